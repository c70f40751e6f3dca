"""Signatures: for each of P permutations the smallest permuted shingle of a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curate.text.minhash.hashing import mix, random_bits
from curate.text.minhash.shingling import Shingling, shingle_chunks
from curate.text.minhash.units import Texts, in_threads, pieces

EMPTY = np.uint32(0xFFFFFFFF)
"""What a signature holds in every place if the text has no shingles."""
_SHINGLES_AT_ONCE = 1 << 16  # permuted together: they stay in the cache
_PERMUTATIONS_AT_ONCE = 16  # in one call: threads that take turns at the interpreter wait less
_PAIRS_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True)
class _Signed:
    """What is made of some texts that follow each other.

    :param rows: which have shingles.
    :param columns: an array of which each column is of one of those.
    :param hashes: the shingles of all.
    :param counts: how many each has.
    """

    rows: np.ndarray
    columns: np.ndarray
    hashes: np.ndarray
    counts: np.ndarray


def signatures(
    texts: Texts, shingling: Shingling, permutations: int, seed: int, threads: int = 1
) -> np.ndarray:
    """Sign texts.

    :param texts: n strings; a null is as an empty text.
    :param permutations: P, the length of a signature.
    :return: unsigned 32-bit integers of shape (n, P); all `EMPTY` for a text without shingles.
    """
    signed = np.full((len(texts), permutations), EMPTY, np.uint32)
    for part in _signed(texts, shingling, permutations, seed, threads):
        signed[part.rows] = part.columns.T
    return signed


def band_keys(
    texts: Texts,
    shingling: Shingling,
    bands: int,
    rows: int,
    seed: int,
    threads: int = 1,
    see: Callable[[np.ndarray, np.ndarray], None] = lambda hashes, counts: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sign texts and keep 64 bits of each band, and of the whole signature.

    :param texts: n strings; a null is as an empty text.
    :param see: is called with the shingles of all texts, some at a time, and how many each has.
    :param rows: r, the places of a signature in a band; `bands * r` permutations are drawn.
    :return: unsigned 64-bit integers of shape (1 + bands, n), the hash of the whole first; and n
        booleans, whether a text has shingles: the hashes of others mean nothing.
    """
    keys = np.zeros((1 + bands, len(texts)), np.uint64)
    filled = np.zeros(len(texts), bool)
    factors = random_bits(bands * rows, seed + 2)[:, None] | np.uint64(1)

    def hashed(minima: np.ndarray) -> np.ndarray:
        products = (minima * factors).reshape(bands, rows, -1)
        each = products.sum(1, dtype=np.uint64)
        whole = (each * factors[:bands]).sum(0, keepdims=True, dtype=np.uint64)
        return mix(np.concatenate([whole, each]))

    for part in _signed(texts, shingling, bands * rows, seed, threads, hashed):
        keys[:, part.rows] = part.columns
        filled[part.rows] = True
        see(part.hashes, part.counts)
    return keys, filled


def agreement(left: np.ndarray, right: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Estimate Jaccard similarities from signatures.

    :param pairs: shape (m, 2): rows of `left` and of `right`, which may be the same array.
    :return: m float64 numbers: the share of places in which the two signatures agree.
    """
    blocks = (pairs[at : at + _PAIRS_AT_ONCE] for at in range(0, len(pairs), _PAIRS_AT_ONCE))
    found = [(left[block[:, 0]] == right[block[:, 1]]).mean(1) for block in blocks]
    return np.concatenate([*found, np.zeros(0)])


def _signed(
    texts: Texts,
    shingling: Shingling,
    permutations: int,
    seed: int,
    threads: int,
    then: Callable[[np.ndarray], np.ndarray] = lambda minima: minima,
) -> Iterator[_Signed]:
    """Sign texts chunk by chunk.

    :param then: what is made of the signatures of m texts, shape (P, m); columns stay columns.
    """
    factors = _permutations(permutations, seed)

    def sign(numbered: tuple[int, pa.Array]) -> list[_Signed]:
        begin, piece = numbered
        found = []
        for start, hashes, offsets in shingle_chunks(piece, shingling):
            counts = np.diff(offsets)
            rows = np.flatnonzero(counts)
            minima = _minima(hashes, offsets[np.append(rows, -1)], factors)
            found.append(_Signed(begin + start + rows, then(minima), hashes, counts))
        return found

    for found in in_threads(sign, pieces(texts), threads):
        yield from found


def _permutations(count: int, seed: int) -> np.ndarray:
    """Return the odd factors of `count` permutations of the 32-bit integers.

    A factor is enough: what is permuted are hashes, which are as good as random already.
    """
    bits = random_bits(count, seed + 1) >> np.uint64(32)
    return (bits | np.uint64(1)).astype(np.uint32)


def _minima(hashes: np.ndarray, offsets: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Find the smallest permuted hash of each text for each permutation.

    :param offsets: n + 1 places in `hashes`; none of the n texts is without shingles.
    :return: 32-bit integers of shape (P, n).
    """
    values = (hashes >> np.uint64(32)).astype(np.uint32)
    minima = np.empty((len(factors), len(offsets) - 1), np.uint32)
    start = 0
    while start < len(offsets) - 1:
        most = np.searchsorted(offsets, offsets[start] + _SHINGLES_AT_ONCE, "right") - 1
        end = min(max(int(most), start + 1), len(offsets) - 1)
        some = values[offsets[start] : offsets[end]]
        starts = offsets[start:end] - offsets[start]
        permuted = np.empty((_PERMUTATIONS_AT_ONCE, len(some)), np.uint32)
        for low in range(0, len(factors), _PERMUTATIONS_AT_ONCE):
            group = factors[low : low + _PERMUTATIONS_AT_ONCE, None]
            np.multiply(some, group, out=permuted[: len(group)])
            high = low + len(group)
            np.minimum.reduceat(
                permuted[: len(group)], starts, axis=1, out=minima[low:high, start:end]
            )
        start = end
    return minima
