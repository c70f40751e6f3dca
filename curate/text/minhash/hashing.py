"""Hash functions of which every bit is defined here."""

from __future__ import annotations

import numpy as np


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers one to one, in place (the finaliser of SplitMix64)."""
    shifted = values >> np.uint64(30)
    values ^= shifted
    values *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(values, np.uint64(27), out=shifted)
    values ^= shifted
    values *= np.uint64(0x94D049BB133111EB)
    np.right_shift(values, np.uint64(31), out=shifted)
    values ^= shifted
    return values


def random_bits(n: int, seed: int) -> np.ndarray:
    """Return n 64-bit integers: SplitMix64 (Steele et al. 2014) from `seed`."""
    counter = np.arange(1, n + 1, dtype=np.uint64) + mix(np.array([seed], np.uint64))
    return mix(counter * np.uint64(0x9E3779B97F4A7C15))
