"""`Pool.ranks` is float64 brute force over the same vectors, on every path."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.encode import ranking
from curate.encode.ranking import Pool
from curate.encode.rounding import from_bfloat16, to_bfloat16
from curate.errors import CurateError
from tests.encode.test_neighbours import draw, exact, unit

WAYS = [
    "float32",
    "bfloat16 in cache",
    "bfloat16 on device",
    "float32 on device",
    "rounded float32",
]


@pytest.fixture(params=WAYS)
def made(request, monkeypatch):
    """Make pools the way that one kind of machine would; the vectors may be rounded first.

    What a GPU does is done here on the CPU, by the code that serves both.
    """
    way = request.param
    monkeypatch.setattr(ranking, "fast_bfloat16", lambda: way != "rounded float32")
    if "device" in way:
        monkeypatch.setattr(ranking, "_InCache", ranking._OnDevice)
    return as_is if way.startswith("float32") else to_bfloat16


def as_is(vectors):
    return vectors.astype(np.float32)


def wide(vectors) -> np.ndarray:
    plain = from_bfloat16(vectors) if vectors.dtype == np.uint16 else vectors
    return plain.astype(np.float64)


def brute_ranks(queries, own, pool, own_rows, margin=0.0) -> np.ndarray:
    scores = exact(wide(queries), wide(pool))
    mine = np.einsum("nd,nd->n", wide(queries), wide(own))
    above = scores > mine[:, None] + margin
    inside = np.flatnonzero(own_rows >= 0)
    above[inside, own_rows[inside]] = False
    return 1 + above.sum(1)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40),
    m=st.integers(1, 300),
    d=st.sampled_from([1, 2, 3, 16, 100]),
    margin=st.sampled_from([0.0, 1e-4, 0.3]),
)
def test_ranks_are_brute_force(made, seed, n, m, d, margin):
    queries, pool = draw(seed, n, m, d)
    rng = np.random.default_rng(seed)
    own_rows = np.where(rng.random(n) < 0.3, -1, rng.integers(0, m, n))
    own = np.where((own_rows < 0)[:, None], unit(rng.normal(size=(n, d))), pool[own_rows])
    queries, pool, own = made(queries), made(pool), made(own)
    found = Pool(pool, threads=2).ranks(queries, own, own_rows, margin)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, brute_ranks(queries, own, pool, own_rows, margin))


def test_blocks_join_without_a_seam(made):
    """More queries and passages than a block has, with ties across blocks, by any number of threads."""
    rows, columns = ranking._BLOCKS["cpu"]
    queries, pool = draw(1, rows + 300, 2 * columns + 100, 8)
    pool[columns + 100 : columns + 500] = pool[:400]
    queries, pool = made(queries), made(pool)
    own_rows = np.random.default_rng(2).integers(0, len(pool), len(queries))
    expected = brute_ranks(queries, pool[own_rows], pool, own_rows)
    assert len(np.unique(expected)) > 100
    for threads in (1, 3):
        found = Pool(pool, threads).ranks(queries, pool[own_rows], own_rows)
        np.testing.assert_array_equal(found, expected)


def test_nothing_ranks_above_its_copies(made):
    """Every score ties, also that of zero vectors and of passages outside the pool."""
    passages = made(np.repeat(unit(np.ones((1, 144))), 500, 0))
    queries = unit(np.random.default_rng(0).normal(size=(5, 144)))
    queries[3], queries[4] = unit(np.ones((1, 144))), 0
    own_rows = np.array([0, 250, 499, -1, 3])
    found = Pool(passages).ranks(made(queries), passages[:5], own_rows)
    np.testing.assert_array_equal(found, np.ones(5))


def test_the_own_passage_is_in_the_running_and_never_counts(made):
    pool = unit(np.eye(4))
    queries = made(unit(np.array([[1, 0.5, 0.2, 0.1]] * 4)))
    own = made(np.stack([pool[1], pool[1], pool[3], pool[3]]))
    # The last one's row of the pool scores higher than what is given as its vector.
    own_rows = np.array([1, -1, -1, 0])
    found = Pool(made(pool)).ranks(queries, own, own_rows)
    np.testing.assert_array_equal(found, [2, 2, 4, 3])


def test_a_margin_makes_near_copies_tie(made):
    query = made(unit(np.array([[1.0, 0, 0]])))
    pool = made(unit(np.array([[1, 0.5, 0], [1, 0.4, 0], [1, 0.1, 0]])))
    ranks = [int(Pool(pool).ranks(query, pool[:1], np.zeros(1, int), m)[0]) for m in (0, 0.05, 0.2)]
    assert ranks == [3, 2, 1]


@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0), (3, 1)])
def test_few_or_none(made, n, m):
    one = made(unit(np.ones((max(n, m, 1), 4))))
    found = Pool(one[:m]).ranks(one[:n], one[:n], np.full(n, -1))
    np.testing.assert_array_equal(found, np.ones(n))


def test_progress_is_told_and_threads_are_given_back():
    queries, pool = draw(0, 2500, 10, 4)
    own_rows = np.zeros(2500, np.int64)
    told, before = [], torch.get_num_threads()
    Pool(pool, 2).ranks(queries, pool[own_rows], own_rows, 0.0, lambda *step: told.append(step))
    assert told[-1] == (2500, 2500)
    assert told == sorted(told)
    assert torch.get_num_threads() == before


def test_a_gpu_is_used_only_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Pool(unit(np.eye(2))).device == "cpu"
    with pytest.raises(CurateError, match="no GPU here"):
        Pool(unit(np.eye(2)), device="cuda")
