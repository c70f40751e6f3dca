"""The exact rank of a known answer in a pool: hardly dearer than the blocked matrix product alone.

The score to beat is subtracted within the product, as further dimensions of queries and passages, so
what comes out is above zero where a passage ranks higher. Counting that is a comparison of bits while a
block is still in the cache. The few results nearer to zero than a product can err are computed again in
float64, so the ranks are those of float64 brute force over the same vectors, whatever the machine, its
device or the size of blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.encode.neighbours import fast_bfloat16
from curate.encode.rounding import from_bfloat16
from curate.errors import CurateError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
Progress = Callable[[int, int], None]

# Queries and passages of a block. On a CPU its 2 MB stay in the cache of the core that makes them.
_BLOCKS = {"cpu": (1024, 1024), "cuda": (8192, 16384)}
# What an addition in float32 may err, relative to the sum of what is added; tensor cores cut off bits
# before they add.
_STEP_ERROR = {"cpu": 2.0**-24, "cuda": 2.0**-21}
# The score to beat, in so many parts that together they hold it to float32's precision or better, and
# one dimension that puts the rows that fill up the last block below every score.
_LIMIT_PARTS = 3
_FILLER = _LIMIT_PARTS
_EXTRA = 4
_FAR_BELOW = 8.0
_CHUNK = 1 << 8  # scored together in float64: what is made of them stays in the cache

Split = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of a block of products: how many of each row are surely above zero, int64 [n]; rows and columns of
those too near to say, int64."""


class Pool:
    """The passages to rank among, on the device that multiplies.

    Holds their vectors with four more dimensions: 2 bytes each where bfloat16 is multiplied, else 4.
    """

    def __init__(
        self, vectors: np.ndarray, threads: int | None = None, device: Device = "auto"
    ) -> None:
        """:param vectors: unit vectors of distinct passages [m, d]: float32, or uint16 as `to_bfloat16`
            gives them, which is exact in products of bfloat16 and twice as fast where a processor has
            such products.
        :param threads: on a CPU; by default torch's own choice.
        :param device: `auto` is a GPU if there is one.
        :raises CurateError: if a GPU is asked for and there is none.
        """
        import torch

        self.vectors = vectors
        self.device = _device(device)
        self.threads = threads or torch.get_num_threads()
        fast = self.device == "cuda" or fast_bfloat16()
        self.dtype = torch.bfloat16 if vectors.dtype == np.uint16 and fast else torch.float32
        self.rows, self.columns = _BLOCKS[self.device]
        filled = -(-len(vectors) // self.columns) * self.columns
        table = torch.ones(filled, vectors.shape[1] + _EXTRA, dtype=self.dtype)
        table[: len(vectors), :-_EXTRA] = self._tensor(vectors)
        table[len(vectors) :, :-1] = 0
        table[: len(vectors), -1] = 0
        self.table = table.to(self.device)
        self.length = _longest(vectors)

    def ranks(
        self,
        queries: np.ndarray,
        own: np.ndarray,
        own_rows: np.ndarray,
        margin: float = 0.0,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Rank each query's own passage: 1 + the passages that score higher by more than a margin.

        :param queries: unit vectors [n, d], of the pool's type.
        :param own: the vector of each query's own passage [n, d]. It is always in the running, whether
            the pool holds it or not.
        :param own_rows: int64 [n], the row of the pool that is the own passage, or -1; never counted.
        :param progress: called with (queries done, n).
        :return: int64 [n], from 1 to m + 1.
        """
        result = np.ones(len(queries), np.int64)
        starts = range(0, len(queries), self.rows)
        blocks = [slice(start, min(start + self.rows, len(queries))) for start in starts]

        def count(block: slice) -> np.ndarray:
            return self._count(queries[block], own[block], own_rows[block], margin)

        with self._workers() as workers:
            for block, counts in zip(blocks, workers.map(count, blocks), strict=True):
                result[block] += counts
                if progress:
                    progress(block.stop, len(queries))
        return result

    @contextmanager
    def _workers(self) -> Iterator[ThreadPoolExecutor]:
        """Give threads that multiply with one core each; a GPU is fed by one."""
        import torch

        before = torch.get_num_threads()
        reduced = torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        count = 1 if self.device == "cuda" else self.threads
        try:
            with ThreadPoolExecutor(
                count, initializer=partial(torch.set_num_threads, 1)
            ) as workers:
                yield workers
        finally:
            torch.set_num_threads(before)
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = reduced

    def _count(
        self, queries: np.ndarray, own: np.ndarray, own_rows: np.ndarray, margin: float
    ) -> np.ndarray:
        """Count, for a block of queries, the passages that score above the own one."""
        limits = _scores(queries, own) + margin
        left = self._with_limits(queries, limits)
        splitter = _OnDevice if self.device == "cuda" else _InCache
        split = splitter(len(queries), self, self._error(queries, limits))
        counts = np.zeros(len(queries), np.int64)
        unclear = []
        for low in range(0, len(self.table), self.columns):
            above, rows, columns = split(left, self.table[low : low + self.columns])
            counts += above
            if len(rows):
                unclear.append((rows, columns + low))
        if unclear:
            rows, columns = map(np.concatenate, zip(*unclear, strict=True))
            higher = self._rescored(queries, rows, columns) > limits[rows]
            counts += np.bincount(rows[higher], minlength=len(queries))
        inside = np.flatnonzero(own_rows >= 0)
        itself = self._rescored(queries, inside, own_rows[inside]) > limits[inside]
        counts[inside[itself]] -= 1
        return counts

    def _tensor(self, vectors: np.ndarray) -> torch.Tensor:
        import torch

        if vectors.dtype != np.uint16:
            return torch.from_numpy(np.array(vectors, np.float32))
        if self.dtype == torch.float32:
            return torch.from_numpy(from_bfloat16(vectors))
        return torch.from_numpy(np.array(vectors)).view(torch.bfloat16)

    def _with_limits(self, queries: np.ndarray, limits: np.ndarray) -> torch.Tensor:
        """Append to each query what subtracts its limit from every product: [n, d + 4]."""
        import torch

        extra = torch.zeros(len(queries), _EXTRA, dtype=self.dtype)
        rest = -limits
        for part in range(_LIMIT_PARTS):
            extra[:, part] = torch.from_numpy(rest).to(self.dtype)
            rest = rest - extra[:, part].double().numpy()
        extra[:, _FILLER] = -_FAR_BELOW
        return torch.cat([self._tensor(queries), extra], 1).to(self.device)

    def _error(self, queries: np.ndarray, limits: np.ndarray) -> float:
        """Return what any product of a block may err at most, before it is rounded."""
        largest = _longest(queries) * self.length + 2 * float(np.abs(limits).max())
        return (self.table.shape[1] + 1) * _STEP_ERROR[self.device] * largest

    def _rescored(self, queries: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        scores = np.empty(len(rows), np.float64)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            scores[part] = _scores(queries[rows[part]], self.vectors[columns[part]])
        return scores


class _InCache:
    """Splits blocks of products with numpy, which compares integers as fast as the cache gives them.

    The bits of positive floats sort as the floats do; those of negative ones sort the other way round
    and, as unsigned integers, behind all positive ones.
    """

    def __init__(self, rows: int, pool: Pool, error: float) -> None:
        """:param error: what a product may err at most."""
        import torch

        self.products = torch.empty((rows, pool.columns), dtype=pool.dtype)
        size = pool.dtype.itemsize
        self.signed, self.unsigned = (
            self.products.view(getattr(torch, f"int{8 * size}")).numpy().view(kind)
            for kind in (f"i{size}", f"u{size}")
        )
        self.high = _bits_above(error, size)
        self.low = (1 << (8 * size - 1)) + self.high
        self.above, self.unclear = np.empty((2, rows, pool.columns), bool)

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Split:
        import torch

        torch.mm(left, right.T, out=self.products)
        np.greater(self.signed, self.high, out=self.above)
        np.less_equal(self.unsigned, self.low, out=self.unclear)
        above, unclear = self.above.view(np.uint64), self.unclear.view(np.uint64)
        unclear ^= above  # what is surely above is also not surely below
        # Few are unclear, so eight are looked at together.
        eights = np.flatnonzero(unclear != 0)
        some, places = np.nonzero(self.unclear.reshape(-1, 8)[eights])
        rows, columns = np.divmod(8 * eights[some] + places, self.unclear.shape[1])
        return _per_row(above), rows, columns


def _per_row(eights: np.ndarray) -> np.ndarray:
    """Count the true bytes of each row of 64-bit integers; none of the eight sums exceeds 255."""
    counts: np.ndarray = eights.sum(1).view(np.uint8).reshape(-1, 8).sum(1, dtype=np.int64)
    return counts


class _OnDevice:
    """The same with torch, wherever the vectors lie."""

    def __init__(self, rows: int, pool: Pool, error: float) -> None:
        """:param error: what a product may err at most."""
        import torch

        self.products = torch.empty((rows, pool.columns), dtype=pool.dtype, device=pool.device)
        bits = _bits_above(error, pool.dtype.itemsize)
        whole = np.array(bits << (8 * (4 - pool.dtype.itemsize)), np.uint32)
        self.error = float(whole.view(np.float32))

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> Split:
        import torch

        torch.mm(left, right.T, out=self.products)
        above = (self.products > self.error).sum(1)
        rows, columns = (self.products.abs() <= self.error).nonzero(as_tuple=True)
        return above.cpu().numpy(), rows.cpu().numpy(), columns.cpu().numpy()


def _bits_above(value: float, size: int) -> int:
    """Return the bits of the least float of 2 or 4 bytes that is not below a value >= 0."""
    nearest = np.nextafter(np.float32(value), np.float32(np.inf))
    bits = int(nearest.view(np.uint32))
    return bits if size == 4 else -(-bits >> 16)


def _device(device: Device) -> Literal["cpu", "cuda"]:
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise CurateError("device 'cuda': there is no GPU here that torch can use; use 'auto'")
    return "cuda" if device == "cuda" or (device == "auto" and there) else "cpu"


def _wide(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of either type as float64."""
    plain = from_bfloat16(vectors) if vectors.dtype == np.uint16 else vectors
    return plain.astype(np.float64)


def _scores(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """Return the score of each query for the passage in its row, float64 [n]."""
    scores: np.ndarray = np.einsum("nd,nd->n", _wide(queries), _wide(passages))
    return scores


def _longest(vectors: np.ndarray) -> float:
    """Return the greatest length of some vectors; 0 if there are none."""
    starts = range(0, len(vectors), _CHUNK)
    parts = (vectors[start : start + _CHUNK] for start in starts)
    return max((float(np.sqrt(_scores(part, part).max())) for part in parts), default=0.0)
