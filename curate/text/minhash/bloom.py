"""LSH-Bloom (Khan et al. 2024, arXiv:2411.04257): of each band a Bloom filter instead of its keys."""

from __future__ import annotations

import numpy as np

from curate.text.minhash.hashing import mix
from curate.text.minhash.units import in_threads


class BloomIndex:
    """Tells of texts, in their order, whether an earlier one agrees with them in a band.

    An earlier text is never missed. A text is wrongly said to have one with at most the probability
    `false_positive` over all bands, once `capacity` texts have come. Holds 1.44 * log2(1 / p) bits for
    each text and band, where p is the share of a band in that probability.
    """

    def __init__(self, bands: int, capacity: int, false_positive: float) -> None:
        bits, self.hashes = bloom_size(bands, false_positive)
        size = int(np.ceil(max(capacity, 1) * bits / 8))
        self._filters = [np.zeros(size, np.uint8) for _ in range(bands)]

    def add(self, keys: np.ndarray, filled: np.ndarray, threads: int = 1) -> np.ndarray:
        """Add the next texts.

        :param keys: their keys, unsigned 64-bit integers of shape (bands, m).
        :param filled: m booleans, whether a text has shingles; the others agree with nothing.
        :return: m booleans, whether an earlier text agrees, also one of these.
        """
        rows = np.flatnonzero(filled)

        def seen(numbered: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
            bits, band = numbered
            distinct, first, place = np.unique(band[rows], return_index=True, return_inverse=True)
            known = self._known(bits, distinct)
            self._insert(bits, distinct[~known])
            earlier: np.ndarray = first[place] != np.arange(len(rows))
            earlier |= known[place]
            return earlier

        found = np.zeros(len(filled), bool)
        for band in in_threads(seen, iter(zip(self._filters, keys, strict=True)), threads):
            found[rows] |= band
        return found

    def _known(self, bits: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Tell which keys have all their bits set; most others fail at the first or second."""
        left = np.arange(len(keys))
        for turn in range(self.hashes):
            byte, bit = _place(keys[left], turn, len(bits))
            left = left[bits[byte] & bit != 0]
        known = np.zeros(len(keys), bool)
        known[left] = True
        return known

    def _insert(self, bits: np.ndarray, keys: np.ndarray) -> None:
        for turn in range(self.hashes):
            byte, bit = _place(keys, turn, len(bits))
            np.bitwise_or.at(bits, byte, bit)


def bloom_size(bands: int, false_positive: float) -> tuple[float, int]:
    """Return the bits for each text in one band's filter, and the number of hash functions.

    These are the optimal ones (Bloom 1970) for a band's share p of the false positives:
    1 - (1 - p)^bands = `false_positive`.
    """
    share = -np.expm1(np.log1p(-false_positive) / bands)
    return float(-np.log(share) / np.log(2) ** 2), max(round(-np.log2(share)), 1)


def _place(keys: np.ndarray, turn: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a byte and a bit in it for each key, in a filter of `size` bytes."""
    hashed = mix(keys + np.uint64(turn * 0x9E3779B97F4A7C15 % (1 << 64)))
    byte = (hashed >> np.uint64(3)) % np.uint64(size)
    return byte.astype(np.int64), np.uint8(1) << (hashed & np.uint64(7)).astype(np.uint8)
