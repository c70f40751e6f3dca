"""bfloat16 in numpy is bfloat16 in torch, and its scores need no rounding in float64."""

from fractions import Fraction

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.encode.rounding import from_bfloat16, to_bfloat16


@given(st.lists(st.floats(-2, 2, width=32), max_size=50))
def test_it_rounds_as_torch_does(values):
    vectors = np.array(values, np.float32).reshape(-1, 1)
    expected = torch.from_numpy(vectors).bfloat16()
    bits = to_bfloat16(vectors)
    assert bits.dtype == np.uint16
    np.testing.assert_array_equal(bits, expected.view(torch.uint16).numpy())
    np.testing.assert_array_equal(from_bfloat16(bits), expected.float().numpy())
    np.testing.assert_array_equal(to_bfloat16(from_bfloat16(bits)), bits)


def test_scores_are_exact():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, 384)).astype(np.float32) / 20
    first, second = from_bfloat16(to_bfloat16(vectors)).astype(np.float64)
    total = sum(Fraction(a) * Fraction(b) for a, b in zip(first, second, strict=True))
    assert Fraction(float(first @ second)) == total
