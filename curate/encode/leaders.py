"""Which vectors repeat others: of vectors in order, each either leads or is close to one that leads.

A vector leads if no leader before it reaches the threshold with it; otherwise it belongs to the most
similar of these. So whatever is dropped has something at least as similar as the threshold that stays,
which clusters of connected components do not promise: in a space of vectors they chain up, and the less
alike the farther. It also bounds the memory: what is dropped is never compared with what comes later,
and leaders are far from each other, so there are few pairs however many copies there are.

Vectors are compared as they are after rounding to bfloat16 (`rounding`), where float64 adds up a cosine
exactly. Products in bfloat16, or float32 where that is faster, only find the pairs worth computing. So
the result is that of going through all pairs in float64, for any machine, blocks and threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from curate.encode.kmeans import KMeans
from curate.encode.neighbours import fast_bfloat16
from curate.encode.rounding import from_bfloat16

if TYPE_CHECKING:
    import torch

_ROWS = 1024  # vectors that are decided about at a time
_COLUMNS = 4096  # leaders in one product
_LEAST_FILLED = 32  # vectors on a side of a product
_CHUNK = 1 << 12  # pairs that are computed exactly at a time
_BLOCKS_PER_CLUSTER = 4
_LEAST_BLOCK = 16 * _ROWS
# Rounding a product to bfloat16 errs by 2^-8 at most below 2, adding it up in float32 by far less.
_BFLOAT16_ERROR = 2.0**-8 + 2.0**-12
_FLOAT32_ERROR = 2.0**-12

Progress = Callable[[int, int], None]
Task = tuple[np.ndarray, np.ndarray]
"""Rows to compare, and the rows of leaders to compare each of them with."""


class Pairs(NamedTuple):
    """Pairs that reach the threshold: rows, the rows of their leaders, their cosines."""

    rows: np.ndarray
    leaders: np.ndarray
    cosines: np.ndarray


@dataclass(slots=True)
class Found:
    """Which vectors lead.

    :param leader: int64 [n]; its own row for a leader.
    :param cosine: float64 [n] with the leader; 1 for a leader.
    """

    leader: np.ndarray
    cosine: np.ndarray


class Search:
    """Looks for leaders among vectors in order of preference, the first to lead first.

    Holds nothing per vector but 40 bytes and, for the leaders of a block, their vectors once more.
    """

    def __init__(self, vectors: np.ndarray, threshold: float, threads: int) -> None:
        """:param vectors: unit vectors [n, d], none of them zero, uint16 as `to_bfloat16` gives them.

        :param threshold: the least cosine of a repetition, above 0.01.
        """
        self.vectors = vectors
        self.threshold = threshold
        self.threads = threads
        self.squares = np.empty(len(vectors), np.float64)
        for start in range(0, len(vectors), _CHUNK):
            part = from_bfloat16(vectors[start : start + _CHUNK]).astype(np.float64)
            self.squares[start : start + _CHUNK] = np.einsum("nd,nd->n", part, part)
        self.bfloat16 = fast_bfloat16()
        shortest = float(self.squares.min(initial=1.0))
        error = _BFLOAT16_ERROR if self.bfloat16 else _FLOAT32_ERROR
        limit = np.float32(threshold * shortest * (1 - 2.0**-20) - error)
        self.limit = int(limit.view(np.int32)) >> (16 if self.bfloat16 else 0)

    def exact(self, progress: Progress) -> Found:
        """Compare every vector with all leaders before it."""
        found = self._nothing()
        with self._workers() as workers:
            self._lead(range(len(self.vectors)), found, workers, progress)
        return found

    def within(self, clusters: KMeans, probes: int, progress: Progress) -> Found:
        """Compare every vector with the leaders of its nearest clusters, and with the latest ones.

        :param probes: how many clusters each vector is compared with.
        """
        found = self._nothing()
        leaders: dict[int, np.ndarray] = {}
        size = max(_LEAST_BLOCK, _BLOCKS_PER_CLUSTER * len(clusters))
        with self._workers() as workers:
            for start in range(0, len(self.vectors), size):
                block = range(start, min(start + size, len(self.vectors)))
                near, _ = clusters.nearest(self.vectors[start : block.stop], probes)
                tasks = (
                    task
                    for number, places in _groups(near.ravel())
                    if number in leaders
                    for task in _cut(start + places // near.shape[1], leaders[number])
                )
                self._join(self._compared(tasks, workers), found)
                new = self._lead(block, found, workers, progress)
                for number, places in _groups(near[new - start, 0]):
                    known = leaders.get(number, np.zeros(0, np.int64))
                    leaders[number] = np.concatenate([known, new[places]])
        return found

    def missed(self, found: Found, rows: np.ndarray) -> int:
        """Count which of some leaders repeat one that `within` did not compare them with."""
        everyone = np.flatnonzero(found.leader == np.arange(len(found.leader)))
        with self._workers() as workers:
            late: set[int] = set()
            for pairs in self._compared(_cut(rows, everyone), workers):
                late |= set(pairs.rows[pairs.leaders < pairs.rows].tolist())
        return len(late)

    def _nothing(self) -> Found:
        return Found(np.full(len(self.vectors), -1, np.int64), np.zeros(len(self.vectors)))

    # -- deciding ------------------------------------------------------------------------

    def _lead(
        self, block: range, found: Found, workers: ThreadPoolExecutor, progress: Progress
    ) -> np.ndarray:
        """Decide about a block, in order, and return the rows that lead, int64 [m]."""
        new = np.zeros(0, np.int64)
        for start in range(block.start, block.stop, _ROWS):
            rows = np.arange(start, min(start + _ROWS, block.stop))
            self._join(self._compared(_cut(rows, new), workers), found)
            self._decide(self._similar((rows, rows[found.leader[rows] < 0])), found)
            mine = rows[found.leader[rows] < 0]
            found.leader[mine] = mine
            found.cosine[mine] = 1.0
            new = np.concatenate([new, mine])
            progress(int(rows[-1]) + 1, len(self.vectors))
        return new

    def _join(self, compared: Iterable[Pairs], found: Found) -> None:
        """Give each row the most similar of its leaders; of equally similar ones the first."""
        parts = list(compared)
        if not parts:
            return
        rows, leaders, cosines = (
            np.concatenate([part[i] for part in parts]) for i in range(len(Pairs._fields))
        )
        order = np.lexsort((leaders, -cosines, rows))
        first = np.ones(len(order), bool)
        first[1:] = rows[order[1:]] != rows[order[:-1]]
        best = order[first]
        better = best[cosines[best] > found.cosine[rows[best]]]
        found.leader[rows[better]] = leaders[better]
        found.cosine[rows[better]] = cosines[better]

    def _decide(self, pairs: Pairs, found: Found) -> None:
        """Go through the pairs within a block in order: what is not led yet leads."""
        later = pairs.leaders < pairs.rows
        rows, leaders, cosines = (part[later] for part in pairs)
        for leader, places in _groups(leaders):
            if found.leader[leader] < 0:
                better = places[cosines[places] > found.cosine[rows[places]]]
                found.leader[rows[better]] = leader
                found.cosine[rows[better]] = cosines[better]

    # -- comparing -----------------------------------------------------------------------

    @contextmanager
    def _workers(self) -> Iterator[ThreadPoolExecutor]:
        """Give threads that multiply with one core each, which keeps small products in its cache."""
        import torch

        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(
                self.threads, initializer=partial(torch.set_num_threads, 1)
            ) as workers:
                yield workers
        finally:
            torch.set_num_threads(before)

    def _compared(self, tasks: Iterable[Task], workers: ThreadPoolExecutor) -> Iterator[Pairs]:
        return workers.map(self._similar, tasks)

    def _similar(self, task: Task) -> Pairs:
        """Find the pairs of some rows and some leaders that reach the threshold."""
        import torch

        rows, leaders = task
        products = torch.mm(self._coarse(rows), self._coarse(leaders).T)
        # The bits of positive floats sort as the floats do, and as numbers above those of negative ones.
        bits = products.view(torch.int16 if self.bfloat16 else torch.int32).numpy()
        near = np.flatnonzero(bits[: len(rows), : len(leaders)] >= self.limit)
        left, right = np.divmod(near, max(len(leaders), 1))
        cosines = self._cosines(rows[left], leaders[right])
        reach = cosines >= self.threshold
        return Pairs(rows[left[reach]], leaders[right[reach]], cosines[reach])

    def _coarse(self, rows: np.ndarray) -> torch.Tensor:
        """Take some vectors, and zeros up to one of few numbers of rows.

        A product is prepared once for each shape that occurs, which costs time and memory.
        """
        import torch

        taken = np.zeros((_filled(len(rows)), self.vectors.shape[1]), np.uint16)
        np.take(self.vectors, rows, axis=0, out=taken[: len(rows)], mode="clip")
        if self.bfloat16:
            return torch.from_numpy(taken).view(torch.bfloat16)
        return torch.from_numpy(from_bfloat16(taken))

    def _cosines(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Compute the cosines of pairs, float64: the same whatever they are computed together with."""
        cosines = np.empty(len(left), np.float64)
        for start in range(0, len(left), _CHUNK):
            part = slice(start, start + _CHUNK)
            one, other = (
                from_bfloat16(self.vectors[rows[part]]).astype(np.float64) for rows in (left, right)
            )
            product = np.einsum("nd,nd->n", one, other)
            cosines[part] = product / np.sqrt(self.squares[left[part]] * self.squares[right[part]])
        return cosines


def _cut(rows: np.ndarray, leaders: np.ndarray) -> Iterator[Task]:
    """Cut the comparison of rows with leaders into products of a bounded size."""
    for low in range(0, len(rows), _ROWS):
        for start in range(0, len(leaders), _COLUMNS):
            yield rows[low : low + _ROWS], leaders[start : start + _COLUMNS]


def _filled(count: int) -> int:
    """Round up to a power of two, or one and a half of it."""
    power: int = 1 << max(count - 1, _LEAST_FILLED - 1).bit_length()
    return power * 3 // 4 if count <= power * 3 // 4 else power


def _groups(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Give each number that occurs in n numbers, ascending, with its places, ascending."""
    order = np.argsort(numbers, kind="stable")
    found, begins = np.unique(numbers[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, begins[1:]), strict=False)
