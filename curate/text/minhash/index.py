"""An index of band keys that is sorted block by block, so that it may be far larger than memory.

A block is 2^18 texts. Of each band it holds one sorted 64-bit integer per text: 46 bits of the band's key
and 18 of the text's place in the block. Whatever has the same first bits of the key lies together in all
blocks, so buckets are found partition by partition, some 2^18 entries at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from curate.text.minhash.units import in_threads

PLACE_BITS = 18
BLOCK = 1 << PLACE_BITS
"""The texts of a block."""
_WINDOW = 16


def sort_keys(keys: np.ndarray, filled: np.ndarray, threads: int = 1) -> np.ndarray:
    """Make a block of band keys.

    :param keys: unsigned 64-bit integers of shape (bands, m), m at most `BLOCK`.
    :param filled: m booleans; the other texts are left out.
    :return: unsigned 64-bit integers of shape (bands, filled.sum()), each row sorted.
    """
    places = np.flatnonzero(filled).astype(np.uint64)
    mask = np.uint64(((1 << 64) - 1) ^ (BLOCK - 1))
    entries = keys[:, filled] if len(places) < len(filled) else keys.copy()
    entries &= mask
    entries |= places
    list(in_threads(lambda band: band.sort(), iter(entries), threads))
    return entries


class KeyIndex:
    """The keys of n texts in their bands, n at most 2^32.

    :param blocks: what `sort_keys` made, one of every `BLOCK` texts; memory-mapped at best.
    """

    def __init__(self, blocks: Sequence[np.ndarray], n: int) -> None:
        if n > 1 << 32:
            raise ValueError(f"{n:,} texts: cluster at most {1 << 32:,} at once")
        self._blocks = blocks
        self._row_bits = max(n - 1, 1).bit_length()
        bits = max(self._row_bits - PLACE_BITS, 0)
        self.partitions = 1 << bits
        self._key_bits = 64 - PLACE_BITS - bits
        borders = np.arange(1, self.partitions, dtype=np.uint64) << np.uint64(64 - max(bits, 1))
        self._borders = [self._split(block, borders) for block in blocks]

    @staticmethod
    def _split(block: np.ndarray, borders: np.ndarray) -> np.ndarray:
        """Return where each partition of each band begins and ends: shape (bands, partitions + 1)."""
        ends = [[0, *np.searchsorted(band, borders), block.shape[1]] for band in block]
        return np.array(ends, np.int64)

    def buckets(
        self, band: int, partition: int, active: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the rows of one partition that share their key with another row.

        :param active: n booleans; other rows are left out.
        :return: those rows, bucket by bucket, ascending in each; and for each the first of its bucket.
        """
        packed = np.concatenate([np.zeros(0, np.uint64), *self._entries(band, partition, active)])
        if len(self._blocks) > 1:
            packed.sort()
        keys = packed >> np.uint64(self._row_bits)
        same = keys[1:] == keys[:-1]
        shared = np.zeros(len(keys), bool)
        shared[1:] = same
        shared[:-1] |= same
        packed, keys = packed[shared], keys[shared]
        rows = (packed & np.uint64((1 << self._row_bits) - 1)).astype(np.int64)
        starts = np.arange(len(rows))
        starts[1:][keys[1:] == keys[:-1]] = 0
        return rows, rows[np.maximum.accumulate(starts)]

    def _entries(
        self, band: int, partition: int, active: np.ndarray | None
    ) -> Iterator[np.ndarray]:
        """Give the entries of each block: the bits of the key that differ, then the row."""
        key_mask = np.uint64((1 << self._key_bits) - 1)
        for number, (block, borders) in enumerate(zip(self._blocks, self._borders, strict=True)):
            low, high = borders[band, partition : partition + 2]
            entries = block[band, low:high]
            rows = (entries & np.uint64(BLOCK - 1)) + np.uint64(number * BLOCK)
            packed = ((entries >> np.uint64(PLACE_BITS)) & key_mask) << np.uint64(self._row_bits)
            packed |= rows
            yield packed if active is None else packed[active[rows.astype(np.int64)]]

    def first_pairs(self, band: int, partition: int) -> np.ndarray:
        """Pair the rows of each bucket with its first: sorted codes."""
        rows, first = self.buckets(band, partition)
        return np.sort(encode(first, rows)[first != rows])

    def near_pairs(self, band: int, partition: int, active: np.ndarray) -> np.ndarray:
        """Pair each row of a bucket with the next 15 and with the first: sorted codes.

        A bucket of b rows leaves at most 16 b pairs instead of b^2 / 2; up to 16 rows leave them all.
        """
        rows, first = self.buckets(band, partition, active)
        found = [encode(first, rows)[first != rows]]
        for step in range(1, _WINDOW):
            near = np.flatnonzero(first[step:] == first[:-step])
            if not len(near):
                break
            found.append(encode(rows[near], rows[near + step]))
        return np.unique(np.concatenate(found))


def encode(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Pack pairs of rows below 2^32 into unsigned 64-bit integers that sort as the pairs do."""
    return left.astype(np.uint64) << np.uint64(32) | right.astype(np.uint64)


def decode(codes: np.ndarray) -> np.ndarray:
    """Return the pairs of m codes: int64 of shape (m, 2)."""
    return np.stack([codes >> np.uint64(32), codes & np.uint64(0xFFFFFFFF)], 1).astype(np.int64)


def merged(parts: Sequence[np.ndarray], most: int) -> Iterator[np.ndarray]:
    """Merge sorted codes of several parts, each code once, into sorted blocks of some `most`.

    :param parts: each sorted; memory-mapped at best.
    """
    parts = [part for part in parts if len(part)]
    starts = [0] * len(parts)
    step = max(most // max(len(parts), 1), 1)
    while parts:
        last = [
            part[min(start + step, len(part)) - 1]
            for part, start in zip(parts, starts, strict=True)
        ]
        bound = min(last)
        ends = [int(np.searchsorted(part, bound, "right")) for part in parts]
        taken = [part[start:end] for part, start, end in zip(parts, starts, ends, strict=True)]
        yield np.unique(np.concatenate(taken))
        alive = [number for number, end in enumerate(ends) if end < len(parts[number])]
        parts, starts = [parts[number] for number in alive], [ends[number] for number in alive]
