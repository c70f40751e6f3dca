"""Vectors as bfloat16: half the bytes, and the form in which processors multiply fastest.

numpy has no such type, so they travel as the upper 16 bits of float32. What is computed from them is
computed from the rounded values, on every machine: a product of two has 16 significant bits, so float64
adds up the scores of unit vectors without any rounding, in any order, and equal vectors score equally.
"""

from __future__ import annotations

import numpy as np

_HALF = 0x7FFF


def to_bfloat16(vectors: np.ndarray) -> np.ndarray:
    """Round float32 to the nearest bfloat16, ties to even.

    :param vectors: finite float32, of any shape.
    :return: uint16 of the same shape.
    """
    bits = np.ascontiguousarray(vectors, np.float32).view(np.uint32)
    rounded = bits >> 16
    rounded &= 1
    rounded += _HALF
    rounded += bits
    rounded >>= 16
    return rounded.astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Return uint16 bits of bfloat16 as float32 of the same shape."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)
