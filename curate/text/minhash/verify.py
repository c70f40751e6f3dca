"""Verification: the true Jaccard similarity of pairs of texts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.text.minhash.shingling import Shingling, shingle_chunks
from curate.text.minhash.units import in_threads

_PAIRS_LISTED = 1 << 14
_PAIRS_AT_ONCE = 1 << 12
_BYTES_AT_ONCE = 1 << 19  # of texts: their shingles stay in the cache
_HASH_BITS = np.uint64(52)  # the other 12 tell the texts of a chunk, or the pairs of a block, apart
_GOLDEN = 0x9E3779B97F4A7C15


class Lookup(Protocol):
    """Texts that lie somewhere, by row."""

    def shingles(
        self, rows: np.ndarray, shingling: Shingling
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the shingles of some rows, int64, ascending, as `shingling.shingle_chunks` does."""
        ...

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Return about how many bytes the texts of some rows have, int64."""
        ...


class TextsByRow:
    """Texts in memory."""

    def __init__(self, texts: pa.Array | pa.ChunkedArray) -> None:
        self._texts = texts
        self._sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy().astype(np.int64)

    def shingles(
        self, rows: np.ndarray, shingling: Shingling
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the shingles of some rows."""
        taken = self._texts.take(pa.array(rows))
        if isinstance(taken, pa.ChunkedArray):
            taken = pa.concat_arrays([*taken.chunks, pa.array([], taken.type)])
        return ((hashes, offsets) for _, hashes, offsets in shingle_chunks(taken, shingling))

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Return their sizes."""
        sizes: np.ndarray = self._sizes[rows]
        return sizes


class ShinglesByRow:
    """The shingles of texts in memory, up to a number of shingles; filled as texts come.

    :param room: how many shingles there may be, 8 bytes each; memory is taken as it is filled.
    """

    def __init__(self, room: int) -> None:
        self._hashes = np.empty(room, np.uint64)
        self._offsets = [np.zeros(1, np.int64)]
        self._full = False

    def add(self, hashes: np.ndarray, counts: np.ndarray) -> None:
        """Add the shingles of the next texts, and how many each has."""
        start = int(self._offsets[-1][-1])
        if start + len(hashes) > len(self._hashes):
            self._full, self._hashes = True, np.empty(0, np.uint64)
        if not self._full:
            self._hashes[start : start + len(hashes)] = hashes
            self._offsets.append(start + np.cumsum(counts))

    def whole(self, n: int) -> bool:
        """Tell whether n texts have come, and there was room for them."""
        return not self._full and sum(map(len, self._offsets)) == n + 1

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.concatenate(self._offsets)

    def shingles(
        self, rows: np.ndarray, shingling: Shingling
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the shingles of some rows."""
        counts = self._ends[rows + 1] - self._ends[rows]
        offsets = np.append(0, np.cumsum(counts))
        starts = np.repeat(self._ends[rows] - offsets[:-1], counts)
        yield self._hashes[starts + np.arange(len(starts))], offsets

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Return what their shingles take."""
        sizes: np.ndarray = (self._ends[rows + 1] - self._ends[rows]) * self._hashes.itemsize
        return sizes


def jaccard(
    left: pa.Array | pa.ChunkedArray | Lookup,
    right: pa.Array | pa.ChunkedArray | Lookup,
    pairs: np.ndarray,
    shingling: Shingling,
    threads: int = 1,
) -> np.ndarray:
    """Compute true Jaccard similarities of the sets of shingles.

    Two shingles are the same if 52 bits of their hashes are, which is wrong for one pair in four
    billion pairs of texts with a thousand shingles each. Holds the texts of some hundred pairs for each
    thread; it is fast where pairs that follow each other have texts in common.

    :param pairs: shape (m, 2): rows of `left` and of `right`, which may be the same object.
    :return: m float64 numbers; 0 where both texts are without shingles.
    """
    one = left is right
    left = TextsByRow(left) if isinstance(left, pa.Array | pa.ChunkedArray) else left
    right = TextsByRow(right) if isinstance(right, pa.Array | pa.ChunkedArray) else right
    blocks = _blocks(left, left if one else right, pairs)
    compare = partial(_compare, left, None if one else right, shingling)
    return np.concatenate([*in_threads(compare, blocks, threads), np.zeros(0)])


def _compare(
    left: Lookup, right: Lookup | None, shingling: Shingling, block: np.ndarray
) -> np.ndarray:
    """Return the similarity of some pairs; without a right side both are of the left one."""
    places = np.empty_like(block)
    if right is None:
        rows, places = np.unique(block, return_inverse=True)
        sets = _Sets(left.shingles(rows, shingling))
        return _overlap(sets, sets, places.reshape(block.shape))
    rows, places[:, 0] = np.unique(block[:, 0], return_inverse=True)
    sets = _Sets(left.shingles(rows, shingling))
    rows, places[:, 1] = np.unique(block[:, 1], return_inverse=True)
    return _overlap(sets, _Sets(right.shingles(rows, shingling)), places)


def _blocks(left: Lookup, right: Lookup, pairs: np.ndarray) -> Iterator[np.ndarray]:
    """Cut pairs into blocks with texts of not much more than `_BYTES_AT_ONCE`."""
    for start in range(0, len(pairs), _PAIRS_LISTED):
        listed = pairs[start : start + _PAIRS_LISTED]
        sizes = np.cumsum(_sizes(left, listed[:, 0]) + _sizes(right, listed[:, 1]))
        begin = 0
        while begin < len(listed):
            base = sizes[begin - 1] if begin else 0
            end = int(np.searchsorted(sizes, base + _BYTES_AT_ONCE, "right"))
            end = min(max(end, begin + 1), begin + _PAIRS_AT_ONCE)
            yield listed[begin:end]
            begin = end


def _sizes(side: Lookup, rows: np.ndarray) -> np.ndarray:
    distinct, places = np.unique(rows, return_inverse=True)
    return side.sizes(distinct)[places]


class _Sets:
    """The distinct shingles of some texts, end to end.

    :ivar hashes: unsigned 52-bit integers.
    :ivar offsets: int64 [n + 1], those of text i are `hashes[offsets[i]:offsets[i + 1]]`.
    """

    def __init__(self, chunks: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
        found = [self._distinct(hashes, offsets) for hashes, offsets in chunks]
        self.hashes = np.concatenate([np.zeros(0, np.uint64), *(hashes for hashes, _ in found)])
        counts = np.concatenate([np.zeros(1, np.int64), *(counts for _, counts in found)])
        self.offsets = np.cumsum(counts)

    @staticmethod
    def _distinct(hashes: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Leave one of each text's equal hashes, and count those of each text."""
        counts = np.diff(offsets)
        labels = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
        firsts = _firsts(labels << _HASH_BITS | hashes >> np.uint64(12))
        counts = np.diff(np.append(0, np.cumsum(firsts))[offsets])
        distinct: np.ndarray = hashes[firsts] >> np.uint64(12)
        return distinct, counts

    def of(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the shingles of texts, one after another, each with the number of its text here."""
        counts = self.counts(texts)
        starts = self.offsets[texts] - np.cumsum(counts) + counts
        places = np.repeat(starts, counts) + np.arange(counts.sum())
        labels = np.repeat(np.arange(len(texts), dtype=np.uint64), counts)
        return self.hashes[places], labels

    def counts(self, texts: np.ndarray) -> np.ndarray:
        """Return the sizes of the sets of some texts."""
        counts: np.ndarray = self.offsets[texts + 1] - self.offsets[texts]
        return counts


def _overlap(left: _Sets, right: _Sets, places: np.ndarray) -> np.ndarray:
    """Return the Jaccard similarity of m pairs of sets.

    :param places: shape (m, 2): which sets of the left and of the right.
    """
    (mine, labels), (others, other_labels) = left.of(places[:, 0]), right.of(places[:, 1])
    common = _common(labels << _HASH_BITS | mine, other_labels << _HASH_BITS | others)
    shared = np.bincount(other_labels[common].astype(np.int64), minlength=len(places))
    either = left.counts(places[:, 0]) + right.counts(places[:, 1]) - shared
    return np.asarray(shared / np.maximum(either, 1), np.float64)


class _Slots:
    """A place in a table for each of some keys; in every round another one."""

    def __init__(self, n: int) -> None:
        self.bits = max(2 * n, 2).bit_length()
        self._factor = _GOLDEN

    def table(self) -> np.ndarray:
        """Make a table of numbers of keys, and turn to the next round."""
        self._factor = self._factor * _GOLDEN % (1 << 64)
        return np.zeros(1 << self.bits, np.int32)

    def of(self, keys: np.ndarray) -> np.ndarray:
        """Return the place of each key."""
        return ((keys * np.uint64(self._factor)) >> np.uint64(64 - self.bits)).astype(np.int64)


def _firsts(keys: np.ndarray) -> np.ndarray:
    """Choose one of each kind of equal keys: n booleans.

    All keys write their numbers into a table; who finds another key in its place tries again.
    """
    chosen = np.zeros(len(keys), bool)
    left, slots = np.arange(len(keys), dtype=np.int32), _Slots(len(keys))
    while len(left):
        table = slots.table()
        places = slots.of(keys[left])
        table[places] = left
        holders = table[places]
        chosen[left[holders == left]] = True
        left = left[keys[holders] != keys[left]]
    return chosen


def _common(mine: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tell which of others' distinct keys are among mine, which are distinct: booleans."""
    common = np.zeros(len(others), bool)
    left, wanted = np.arange(len(mine), dtype=np.int32), np.arange(len(others), dtype=np.int32)
    slots = _Slots(len(mine))
    while len(left) and len(wanted):
        table = slots.table()
        places = slots.of(mine[left])
        table[places] = left
        # A place that nobody wrote to names key 0, which may rightly be found there.
        found = mine[table[slots.of(others[wanted])]] == others[wanted]
        common[wanted[found]] = True
        wanted = wanted[~found]
        left = left[mine[table[places]] != mine[left]]
    return common
