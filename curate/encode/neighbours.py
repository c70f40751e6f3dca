"""Exact neighbours by blocked matrix products: the best k.

Nothing larger than a block of scores is ever held. Where the processor multiplies bfloat16 several
times faster than float32, the products are made in bfloat16 and only choose candidates, whose scores
are computed again in float64. So `top_k` returns what float64 brute force over the same vectors
returns, whatever the machine or block size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

# Blocks of scores small enough to be searched for the best while still in the cache.
_BEST_BLOCK = (256, 16384)
_FLOAT32_ERROR = 1e-5
# Candidates kept beyond the k asked for, so that the exact best k are almost surely among them.
_SPARE = 32
_RESCORE_CHUNK = 1 << 16

Progress = Callable[[int, int], None]


def top_k(
    queries: np.ndarray, passages: np.ndarray, k: int, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k passages with the largest inner product for each query.

    :param queries: unit vectors, float32 [n, d].
    :param passages: unit vectors, float32 [m, d].
    :param progress: called with (queries done, n).
    :return: scores float32 [n, min(k, m)], descending; indices int64 of the same shape. Equal scores
        are ordered by index.
    """
    k = min(k, len(passages))
    scores = np.zeros((len(queries), k), np.float32)
    indices = np.zeros((len(queries), k), np.int64)
    if k == 0:
        return scores, indices
    table = _Table(passages)
    for start in range(0, len(queries), _BEST_BLOCK[0]):
        stop = min(start + _BEST_BLOCK[0], len(queries))
        scores[start:stop], indices[start:stop] = _best(table, queries[start:stop], k)
        if progress:
            progress(stop, len(queries))
    return scores, indices


@cache
def fast_bfloat16() -> bool:
    """Tell whether this CPU has bfloat16 products (AVX-512 BF16 or AMX)."""
    import torch

    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            return any("bf16" in line for line in info if line.startswith("flags"))
    except OSError:
        return False


class _Table:
    """Passages ready for products: exact, and as coarse as is fast here."""

    def __init__(self, vectors: np.ndarray) -> None:
        import torch

        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.exact = torch.from_numpy(self.vectors)
        dimension = max(vectors.shape[1], 1)
        if fast_bfloat16():
            self.coarse = self.exact.bfloat16()
            # Rounding the result of a product below 1 errs by at most 2^-9, and so does rounding the
            # number it is compared with. Rounding d coordinates of two unit vectors adds an error
            # with a standard deviation below 2^-9 / sqrt(d); eight of them are allowed for.
            self.error = 2.0**-8 + 8 * 2.0**-9 / dimension**0.5
        else:
            self.coarse = self.exact
            self.error = _FLOAT32_ERROR

    def rescore(self, queries: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the exact scores of (query row, passage column) pairs, float64 [len(rows)]."""
        scores = np.empty(len(rows), np.float64)
        for start in range(0, len(rows), _RESCORE_CHUNK):
            part = slice(start, start + _RESCORE_CHUNK)
            scores[part] = np.einsum(
                "nd,nd->n",
                queries[rows[part]].astype(np.float64),
                self.vectors[columns[part]].astype(np.float64),
            )
        return scores


def _best(table: _Table, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact best k of a block of queries."""
    import torch

    wide = min(k + _SPARE, len(table.exact))
    exact = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32))
    columns, cut = _candidates(table.coarse, exact.to(table.coarse.dtype), wide)
    best, where = _rescored_best(table, queries, columns, k)
    # What was cut off may still belong to the best k of some rows: look at these in float32, and
    # where even that cannot tell (many equal passages), at every passage in float64.
    unsure = _unsure(cut, table.error, best, wide < len(table.exact))
    if len(unsure) and table.error != _FLOAT32_ERROR:
        columns, cut = _candidates(table.exact, exact[unsure], wide)
        best[unsure], where[unsure] = _rescored_best(table, queries[unsure], columns, k)
        unsure = unsure[_unsure(cut, _FLOAT32_ERROR, best[unsure], True)]
    for row in unsure:
        every = np.arange(len(table.exact))[None]
        best[row], where[row] = _rescored_best(table, queries[row : row + 1], every, k)
    return best.astype(np.float32), where


def _unsure(cut: np.ndarray, error: float, best: np.ndarray, was_cut: bool) -> np.ndarray:
    return np.flatnonzero((cut + error >= best[:, -1]) & was_cut)


def _candidates(
    table: torch.Tensor, queries: torch.Tensor, wide: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of the best `wide` by these products, and each row's lowest score."""
    import torch

    best = torch.full((len(queries), 0), 0.0, dtype=table.dtype)
    where = torch.zeros((len(queries), 0), dtype=torch.int64)
    for low in range(0, len(table), _BEST_BLOCK[1]):
        product = queries @ table[low : low + _BEST_BLOCK[1]].T
        values, columns = product.topk(min(wide, product.shape[1]), dim=1)
        values, columns = torch.cat([best, values], 1), torch.cat([where, columns + low], 1)
        best, order = values.topk(min(wide, values.shape[1]), dim=1)
        where = columns.gather(1, order)
    return where.numpy(), best[:, -1].float().numpy()


def _rescored_best(
    table: _Table, queries: np.ndarray, columns: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    rows = np.repeat(np.arange(len(queries)), columns.shape[1])
    scores = table.rescore(queries, rows, columns.ravel()).reshape(columns.shape)
    order = np.lexsort((columns, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(columns, order, 1)
