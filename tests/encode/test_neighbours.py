"""`top_k` is float64 brute force over the same vectors, on every path."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.encode import neighbours
from curate.encode.neighbours import top_k


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def coarse(request, monkeypatch):
    """Choose the implementation; both must do on every machine."""
    monkeypatch.setattr(neighbours, "fast_bfloat16", lambda: request.param)


def unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length == 0, 1, length)).astype(np.float32)


def draw(seed: int, n: int, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw n queries and m passages with copies, near copies and zeros among them."""
    rng = np.random.default_rng(seed)
    passages = unit(rng.normal(size=(m, d)))
    if m:
        passages[rng.integers(0, m, m // 3)] = passages[rng.integers(0, m, m // 3)]
        near = rng.integers(0, m, m // 5)
        passages[near] = unit(passages[near] + rng.normal(size=(len(near), d)) * 1e-6)
        passages[rng.integers(0, m, m // 10)] = 0
    queries = unit(rng.normal(size=(n, d)))
    if n and m:
        same = rng.integers(0, n, n // 3)
        queries[same] = passages[rng.integers(0, m, len(same))]
        queries[rng.integers(0, n, n // 10)] = 0
    return queries, passages


def exact(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """Score by float64, each sum in the same order wherever a vector stands, so that copies tie."""
    return np.stack(
        [
            np.einsum("nd,nd->n", np.broadcast_to(q, passages.shape), passages)
            for q in queries.astype(np.float64)
        ]
        or [np.zeros(len(passages))]
    )[: len(queries)]


def as64(vectors: np.ndarray) -> np.ndarray:
    return vectors.astype(np.float64)


def brute_top(queries, passages, k) -> tuple[np.ndarray, np.ndarray]:
    scores = exact(queries, as64(passages))
    k = min(k, len(passages))
    order = np.stack([np.lexsort((np.arange(len(passages)), -row)) for row in scores])[:, :k]
    return np.take_along_axis(scores, order, 1), order


def check_top(queries, passages, k):
    scores, indices = top_k(queries, passages, k)
    expected_scores, expected = brute_top(queries, passages, k)
    assert scores.dtype == np.float32
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(scores, expected_scores.astype(np.float32))


@pytest.mark.usefixtures("coarse")
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40),
    m=st.integers(1, 300),
    d=st.sampled_from([1, 2, 3, 16, 100]),
    k=st.sampled_from([1, 2, 10, 50, 400]),
)
def test_top_k_is_brute_force(seed, n, m, d, k):
    check_top(*draw(seed, n, m, d), k)


@pytest.mark.usefixtures("coarse")
def test_blocks_join_without_a_seam():
    """More queries and passages than a block has, with ties across blocks."""
    block = neighbours._BEST_BLOCK[1]
    queries, pool = draw(1, 300, block + 500, 8)
    pool[block + 100 :] = pool[:400]
    check_top(queries, pool, 5)


@pytest.mark.usefixtures("coarse")
def test_all_passages_alike():
    """Every score ties: the order is that of the rows."""
    passages = np.repeat(unit(np.ones((1, 16))), 500, 0)
    queries = unit(np.random.default_rng(0).normal(size=(5, 16)))
    scores, indices = top_k(queries, passages, 7)
    np.testing.assert_array_equal(indices, np.tile(np.arange(7), (5, 1)))
    assert (scores == scores[:, :1]).all()


@pytest.mark.usefixtures("coarse")
def test_zero_vectors_tie_with_each_other():
    pool = np.zeros((6, 4), np.float32)
    pool[5] = unit(np.ones((1, 4)))
    queries = np.zeros((2, 4), np.float32)
    np.testing.assert_array_equal(top_k(queries, pool, 6)[1], np.tile(np.arange(6), (2, 1)))


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0), (3, 1)])
def test_few_or_none(n, m):
    queries, passages = unit(np.ones((n, 4))), unit(np.ones((m, 4)))
    scores, indices = top_k(queries, passages, 3)
    assert scores.shape == indices.shape == (n, min(3, m))


def test_progress_is_told():
    told = []
    queries, passages = draw(0, 1500, 10, 4)
    top_k(queries, passages, 2, lambda done, total: told.append((done, total)))
    assert told[-1] == (1500, 1500)
    assert told == sorted(told)
