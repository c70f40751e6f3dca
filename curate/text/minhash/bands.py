"""Bands: how signatures are cut, and which texts of two sides agree in one."""

from __future__ import annotations

import numpy as np

from curate.text.minhash.hashing import mix
from curate.text.minhash.signing import EMPTY

_ROWS_AT_ONCE = 1 << 12
_MOST = 16
_STEP = 0.001


def bands_and_rows(
    threshold: float, permutations: int, recall: float, most_bands: int | None = None
) -> tuple[int, int]:
    """Choose how to cut signatures into bands: b bands of r rows, b * r <= P.

    A pair of similarity s becomes a candidate with probability 1 - (1 - s^r)^b (Leskovec,
    Rajaraman, Ullman, "Mining of Massive Datasets", 3.4.2). The most rows are taken, hence the
    fewest false candidates, with which a pair *at* the threshold is found with probability
    `recall`: where candidates are verified, false ones cost time alone.

    :param threshold: Jaccard similarity, above 0 and at most 1.
    :param most_bands: what memory there is for the keys of bands; by default as many as may be.
    :raises ValueError: if the permutations, or the bands, are too few.
    """
    most = most_bands or permutations
    for rows in range(permutations, 0, -1):
        bands = min(permutations // rows, most)
        if chance(threshold, bands, rows) >= recall:
            return bands, rows
    needed = int(np.ceil(np.log1p(-recall) / np.log1p(-threshold)))
    few = f"permutations: {permutations}" if permutations < needed else f"bands: at most {most}"
    raise ValueError(
        f"{few} find pairs of similarity {threshold} with less than the recall {recall}: "
        f"use at least {needed}"
    )


def balanced(threshold: float, permutations: int, most_bands: int | None = None) -> tuple[int, int]:
    """Choose bands and rows as datasketch does: the least sum of two areas under `chance`.

    These are the chance of a pair below the threshold to become a candidate and of one above it to
    become none, over similarities from 0 to 1 (Zhu et al. 2016, LSH Ensemble, eq. 23 to 25). For
    0.8 and 128 permutations that gives 9 bands of 13 rows, which find 40% of the pairs at the
    threshold: right where candidates are not verified.
    """
    below = np.arange(_STEP / 2, threshold, _STEP)
    above = np.arange(threshold + _STEP / 2, 1, _STEP)
    best, least = (1, 1), np.inf
    for bands in range(1, min(permutations, most_bands or permutations) + 1):
        for rows in range(1, permutations // bands + 1):
            false = (1 - (1 - below**rows) ** bands).sum()
            missed = ((1 - above**rows) ** bands).sum()
            if false + missed < least:
                best, least = (bands, rows), false + missed
    return best


def chance(similarity: float, bands: int, rows: int) -> float:
    """Return the probability that a pair of this similarity becomes a candidate."""
    return float(1 - (1 - similarity**rows) ** bands)


def candidates_between(
    left: np.ndarray, right: np.ndarray, bands: int, rows: int, most: int = _MOST
) -> np.ndarray:
    """Find for the texts of one side those of the other that agree with them in at least one band.

    :param left: n signatures, shape (n, P).
    :param right: m signatures, shape (m, P).
    :param most: per left text and band, the first so many of the right texts.
    :return: int64 of shape (k, 2), each (left row, right row) once, sorted.
    """
    here, there = _filled(left), _filled(right)
    found = np.zeros(0, np.uint64)
    wanted, offered = _keys(left, here, bands, rows), _keys(right, there, bands, rows)
    for band in range(bands):
        order = np.argsort(offered[band], kind="stable")
        keys = offered[band][order]
        low = np.searchsorted(keys, wanted[band])
        high = np.searchsorted(keys, wanted[band], "right")
        counts = np.minimum(high - low, most)
        hits = np.repeat(low - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        codes = np.repeat(here, counts).astype(np.uint64) << np.uint64(32)
        found = np.union1d(found, codes | there[order[hits]].astype(np.uint64))
    return np.stack([found >> np.uint64(32), found & np.uint64(0xFFFFFFFF)], 1).astype(np.int64)


def _filled(signed: np.ndarray) -> np.ndarray:
    """Return the rows that have shingles."""
    return np.flatnonzero((signed[:, :1] != EMPTY).any(1))


def _keys(signed: np.ndarray, rows: np.ndarray, bands: int, places: int) -> np.ndarray:
    """Hash each band of some rows' signatures to 64 bits: shape (bands, len(rows))."""
    keys = np.empty((bands, len(rows)), np.uint64)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = np.ascontiguousarray(signed[rows[start : start + _ROWS_AT_ONCE]].T)
        for band in range(bands):
            key = np.full(block.shape[1], band, np.uint64)
            for place in range(band * places, (band + 1) * places):
                key = mix(key + block[place])
            keys[band, start : start + _ROWS_AT_ONCE] = key
    return keys
