"""Shingles: runs of words or characters, hashed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curate.text.minhash.hashing import mix
from curate.text.minhash.units import Texts, Unit, Units, pieces, units_of

_BASE = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class Shingling:
    """How a text becomes a set.

    Words have no punctuation (`normalise.words`); characters keep it (`normalise.normalise`), so
    they suit short texts, where `c++` and `c#` must differ. A text shorter than `size` is one
    shingle.
    """

    unit: Unit = "words"
    size: int = 5


def shingles(texts: Texts, shingling: Shingling) -> tuple[np.ndarray, np.ndarray]:
    """Hash the shingles of some texts; a shingle that occurs twice is listed twice.

    :param texts: n strings; a null is as an empty text.
    :return: s unsigned 64-bit hashes, and n + 1 offsets: those of text i are
        `hashes[offsets[i]:offsets[i + 1]]`. A text without words (or characters) has none.
    """
    found = [item for _, piece in pieces(texts) for item in shingle_chunks(piece, shingling)]
    counts = [np.diff(offsets) for _, _, offsets in found]
    offsets = np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))
    return np.concatenate([np.zeros(0, np.uint64), *(hashes for _, hashes, _ in found)]), offsets


def shingle_chunks(
    texts: pa.Array, shingling: Shingling
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Hash the shingles of some texts, chunk by chunk: the number of its first text, hashes, offsets.

    :param texts: a piece of `units.pieces`.
    """
    for start, units in units_of(texts, shingling.unit):
        yield start, *_shingled(units, shingling.size)


def _shingled(units: Units, size: int) -> tuple[np.ndarray, np.ndarray]:
    counts = units.ends - units.starts
    per_text = np.maximum(counts - size + 1, counts > 0)
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(per_text, out=offsets[1:])
    runs = _runs(units.values, size)
    for length in range(1, min(size, int(counts.max()) + 1)):
        short = units.starts[counts == length]
        if len(short):
            runs[short] = _run(units.values, short, length)
    first = np.arange(offsets[-1]) + np.repeat(units.starts - offsets[:-1], per_text)
    return mix(runs[first]), offsets


def _runs(values: np.ndarray, size: int) -> np.ndarray:
    """Return a polynomial over the `size` units from each on; of the last ones, which have none, any."""
    runs = np.zeros(len(values), np.uint64)
    whole = max(len(values) - size + 1, 0)
    for place in range(size if whole else 0):
        runs[:whole] *= _BASE
        runs[:whole] += values[place : place + whole]
    return runs


def _run(values: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Return a polynomial over the `length` units from each start on."""
    run = np.zeros(len(starts), np.uint64)
    for place in range(length):
        run *= _BASE
        run += values[starts + place]
    return run
