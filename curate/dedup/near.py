"""Near-duplicates among records of any number: keys on disk, candidates, true similarities, clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from curate.dedup.texts import RecordTexts
from curate.stage import Context
from curate.text.minhash import DisjointSets, Shingling, band_keys, jaccard
from curate.text.minhash.bloom import BloomIndex
from curate.text.minhash.hashing import mix
from curate.text.minhash.index import BLOCK, KeyIndex, decode, merged, sort_keys
from curate.text.minhash.units import in_threads
from curate.text.minhash.verify import Lookup, ShinglesByRow

_CODES_AT_ONCE = 1 << 18
_PARTITIONS_AT_ONCE = 16
_HELD_SHINGLES = 1 << 25  # 256 MB
_VERIFIED = np.dtype([("code", np.uint64), ("similarity", np.float32)])


class Side:
    """One of the texts that are compared, and how it becomes a set.

    :param hold: hold the shingles of a small corpus after it is signed, up to 256 MB, so that
        verification need not find them again.
    """

    def __init__(self, texts: RecordTexts, shingling: Shingling, hold: bool) -> None:
        self.texts = texts
        self.shingling = shingling
        self.held = ShinglesByRow(_HELD_SHINGLES if hold else 0)

    def lookup(self) -> Lookup:
        """Return where the shingles of all texts may be had."""
        return self.held if self.held.whole(len(self.texts)) else self.texts


@dataclass(frozen=True, slots=True)
class Signing:
    """How the keys of n records are made: of one side, or of both together."""

    sides: Sequence[Side]
    bands: int
    rows: int
    seed: int

    def __len__(self) -> int:
        return len(self.sides[0].texts)

    def blocks(self, context: Context) -> Iterator[tuple[int, int]]:
        """Give the borders of each block of records, and report how far one is."""
        for start in range(0, len(self), BLOCK):
            stop = min(start + BLOCK, len(self))
            yield start, stop
            context.progress(stop, len(self))

    def keys(self, start: int, stop: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `band_keys` does; with two sides, keys that are equal if both are."""
        cut = self.bands, self.rows, self.seed, threads
        made = [
            band_keys(side.texts.slice(start, stop), side.shingling, *cut, side.held.add)
            for side in self.sides
        ]
        keys, filled = made[0]
        for more, some in made[1:]:
            keys, filled = mix(mix(keys) + more), filled & some
        return keys, filled

    def similarity(self, pairs: np.ndarray, threads: int) -> np.ndarray:
        """Return the true Jaccard similarity of m pairs of records, the lesser one of two sides."""
        found = []
        for side in self.sides:
            lookup = side.lookup()
            found.append(jaccard(lookup, lookup, pairs, side.shingling, threads))
        lesser: np.ndarray = np.minimum.reduce(found)
        return lesser


@dataclass(slots=True)
class Near:
    """What is found among n records.

    :param sets: which are connected.
    :param candidates: how many pairs agree in a band, as far as they were listed.
    :param verified: structured [m], the pairs that were compared and found similar, by code.
    """

    sets: DisjointSets
    candidates: int
    verified: np.ndarray


def find_near(signing: Signing, threshold: float | None, context: Context) -> Near:
    """Find the near-duplicates of n records.

    :param threshold: the true similarity from which on candidates count; None: they all do.
    """
    blocks = [
        context.memo(
            f"keys-{start // BLOCK}", partial(_block, signing, start, stop, context.threads)
        )
        for start, stop in signing.blocks(context)
    ]
    index, sets = KeyIndex(blocks, len(signing)), DisjointSets(len(signing))
    if threshold is None:
        return Near(sets, _join_all(index, signing.bands, sets), np.zeros(0, _VERIFIED))
    verify = _Verification(signing, threshold, sets, context)
    for part in _twins(index, context):
        verify(part)
    active = sets.firsts()
    pairs = [_pairs(index, band, active, context) for band in range(1, 1 + signing.bands)]
    for codes in merged([part for parts in pairs for part in parts], _CODES_AT_ONCE):
        verify(codes)
    found = np.concatenate([np.zeros(0, _VERIFIED), *verify.found])
    return Near(sets, verify.candidates, found[np.argsort(found["code"])])


def _block(signing: Signing, start: int, stop: int, threads: int) -> np.ndarray:
    return sort_keys(*signing.keys(start, stop, threads), threads)


def _groups(index: KeyIndex) -> Iterator[range]:
    """Give the partitions of an index, some at a time."""
    for start in range(0, index.partitions, _PARTITIONS_AT_ONCE):
        yield range(start, min(start + _PARTITIONS_AT_ONCE, index.partitions))


def _join_all(index: KeyIndex, bands: int, sets: DisjointSets) -> int:
    """Join all records that agree in a band, and return how many pairs did it."""
    pairs = 0
    for band in range(1, 1 + bands):
        for partition in range(index.partitions):
            rows, first = index.buckets(band, partition)
            sets.join(first, rows)
            pairs += int((first != rows).sum())
    return pairs


def _twins(index: KeyIndex, context: Context) -> Iterator[np.ndarray]:
    """Pair records whose signatures are the same with the first of them."""
    for group in _groups(index):
        parts = in_threads(partial(index.first_pairs, 0), iter(group), context.threads)
        yield np.sort(np.concatenate(list(parts)))


def _pairs(index: KeyIndex, band: int, active: np.ndarray, context: Context) -> list[np.ndarray]:
    """Pair the records that agree in a band; only the first of twins is compared further."""

    def near(partitions: range) -> np.ndarray:
        work = partial(index.near_pairs, band, active=active)
        return np.sort(np.concatenate(list(in_threads(work, iter(partitions), context.threads))))

    return [
        context.memo(f"pairs-{band}-{group.start}", partial(near, group))
        for group in _groups(index)
    ]


class _Verification:
    """Compares candidates, block by block, and joins those that are similar."""

    def __init__(
        self, signing: Signing, threshold: float, sets: DisjointSets, context: Context
    ) -> None:
        self.found: list[np.ndarray] = []
        self.candidates = 0
        self._signing = signing
        self._threshold = threshold
        self._sets = sets
        self._context = context

    def __call__(self, codes: np.ndarray) -> None:
        """Verify a block of sorted codes."""
        name = f"verified-{len(self.found)}"
        found = self._context.memo(name, partial(self._compare, codes))
        self._sets.join(*decode(found["code"]).T)
        self.found.append(found)
        self.candidates += len(codes)

    def _compare(self, codes: np.ndarray) -> np.ndarray:
        """Return the pairs that are similar, as far as they are needed to connect them.

        Each record is first compared with one other. A cluster is mostly connected then, and pairs
        inside it need not be compared.
        """
        once = np.zeros(len(codes), bool)
        once[np.unique(codes & np.uint64(0xFFFFFFFF), return_index=True)[1]] = True
        return np.concatenate([self._similar(codes[once]), self._similar(codes[~once])])

    def _similar(self, codes: np.ndarray) -> np.ndarray:
        pairs = decode(codes)
        apart = self._sets.find(pairs[:, 0]) != self._sets.find(pairs[:, 1])
        codes, pairs = codes[apart], pairs[apart]
        similarity = self._signing.similarity(pairs, self._context.threads)
        similar = similarity >= self._threshold
        found = np.empty(int(similar.sum()), _VERIFIED)
        found["code"], found["similarity"] = codes[similar], similarity[similar]
        self._sets.join(*pairs[similar].T)
        return found


def find_seen(signing: Signing, false_positive: float, context: Context) -> np.ndarray:
    """Tell of each of n records whether an earlier one agrees with it in a band: booleans.

    Bloom filters remember the keys (`BloomIndex`).
    """
    index = BloomIndex(signing.bands, len(signing), false_positive)
    seen = [np.zeros(0, bool)]
    for start, stop in signing.blocks(context):
        keys, filled = signing.keys(start, stop, context.threads)
        seen.append(index.add(keys[1:], filled, context.threads))
    return np.concatenate(seen)
