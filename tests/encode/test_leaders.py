"""Leaders are those of going through all pairs in float64; k-means gives the same bits anywhere."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.encode import leaders
from curate.encode.kmeans import KMeans
from curate.encode.leaders import Search
from curate.encode.rounding import from_bfloat16, to_bfloat16

QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def coarse(request, monkeypatch):
    """Choose the implementation; both must do on every machine."""
    monkeypatch.setattr(leaders, "fast_bfloat16", lambda: request.param)


def draw(seed, n, d, groups, noise):
    """Draw unit vectors around some directions, with exact copies among them."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, d))
    vectors = centres[rng.integers(0, groups, n)] + noise * rng.normal(size=(n, d))
    vectors[rng.integers(0, n, n // 5)] = vectors[rng.integers(0, n, n // 5)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return to_bfloat16(vectors.astype(np.float32))


def cosines_of(vectors):
    wide = from_bfloat16(vectors).astype(np.float64)
    products = np.stack([np.einsum("nd,nd->n", np.broadcast_to(v, wide.shape), wide) for v in wide])
    return products / np.sqrt(np.outer(np.diag(products), np.diag(products)))


def by_hand(vectors, threshold):
    """Go through the vectors one by one."""
    cosine, leads = cosines_of(vectors), []
    leader, reached = np.arange(len(vectors)), np.ones(len(vectors))
    for row in range(len(vectors)):
        close = [(-cosine[row, other], other) for other in leads if cosine[row, other] >= threshold]
        if close:
            reached[row], leader[row] = -min(close)[0], min(close)[1]
        else:
            leads.append(row)
    return leader, reached


def quiet(done, total):
    assert 0 < done <= total


@pytest.mark.usefixtures("coarse")
@settings(max_examples=25, **QUIET)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 150),
    d=st.sampled_from([1, 2, 16, 70]),
    groups=st.integers(1, 40),
    noise=st.sampled_from([0.0, 0.05, 0.5]),
    threshold=st.sampled_from([0.1, 0.5, 0.9, 0.99, 1.0]),
)
def test_all_pairs_are_gone_through_as_by_hand(seed, n, d, groups, noise, threshold):
    vectors = draw(seed, n, d, groups, noise)
    leader, cosine = by_hand(vectors, threshold)
    found = Search(vectors, threshold, 2).exact(quiet)
    np.testing.assert_array_equal(found.leader, leader)
    np.testing.assert_array_equal(found.cosine, cosine)


@pytest.mark.usefixtures("coarse")
def test_blocks_join_without_a_seam(monkeypatch):
    """Many blocks of rows and of leaders, also where clusters lie within one block or over several."""
    vectors = draw(1, 400, 24, 100, 0.3)
    whole = Search(vectors, 0.8, 1).exact(quiet)
    np.testing.assert_array_equal(whole.leader, by_hand(vectors, 0.8)[0])
    for name, size in {"_ROWS": 37, "_COLUMNS": 11, "_CHUNK": 50, "_LEAST_BLOCK": 100}.items():
        monkeypatch.setattr(leaders, name, size)
    cut = Search(vectors, 0.8, 2).exact(quiet)
    everywhere = Search(vectors, 0.8, 2).within(KMeans.learn(vectors, 8, 0), 8, quiet)
    for found in (cut, everywhere):
        np.testing.assert_array_equal(found.leader, whole.leader)
        np.testing.assert_array_equal(found.cosine, whole.cosine)


def test_clusters_find_nearly_all_and_tell_what_they_missed(monkeypatch):
    monkeypatch.setattr(leaders, "_LEAST_BLOCK", 500)
    monkeypatch.setattr(leaders, "_BLOCKS_PER_CLUSTER", 1)
    vectors = draw(2, 3000, 16, 750, 0.25)
    search, kmeans = Search(vectors, 0.85, 2), KMeans.learn(vectors, 100, 0)
    dropped = {0: (search.exact(quiet).leader != np.arange(3000)).sum()}
    for probes in (1, 8):
        found = search.within(kmeans, probes, quiet)
        dropped[probes] = (found.leader != np.arange(3000)).sum()
        led = np.flatnonzero(found.leader != np.arange(3000))
        cosine = cosines_of(vectors[np.stack([led[:300], found.leader[led[:300]]]).T.ravel()])
        assert (np.diag(cosine, 1)[::2] >= 0.85).all()
        leads = np.flatnonzero(found.leader == np.arange(3000))
        share = len(led) / (len(led) + search.missed(found, leads))
        assert share == pytest.approx(dropped[probes] / dropped[0], abs=0.02)
    assert dropped[1] < dropped[8]
    assert dropped[8] > 0.98 * dropped[0]


def test_copies_take_no_more_than_their_leader():
    """Twenty thousand copies of three texts: no pairs are listed, so neither memory nor time explodes."""
    vectors = draw(3, 3, 16, 50, 1.0)[np.arange(20_000) % 3]
    found = Search(vectors, 0.99, 2).exact(quiet)
    np.testing.assert_array_equal(found.leader, np.arange(20_000) % 3)


def test_kmeans_is_the_same_for_any_threads():
    """Whole numbers are added up without rounding, so any order of the sums gives the same bits."""
    vectors = draw(4, 4000, 48, 300, 0.5)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            kmeans = KMeans.learn(vectors, 60, 0)
            found.append((kmeans.centres, *kmeans.nearest(vectors, 5)))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    centres, nearest, cosine = found[0]
    np.testing.assert_array_equal(centres, np.rint(centres))
    wide = np.rint(from_bfloat16(vectors) * np.float32(4000)).astype(np.int64)
    products = wide @ centres.astype(np.int64).T
    assert products.max() < 2**24
    best = np.sort(products, axis=1)[:, ::-1][:, :5]
    np.testing.assert_array_equal(np.take_along_axis(products, nearest, 1), best)
    np.testing.assert_array_equal(cosine, best[:, 0] / 4000**2)


def test_kmeans_finds_the_groups_that_there_are():
    rng = np.random.default_rng(5)
    centres, group = np.eye(12), np.repeat(np.arange(12), 40)
    vectors = (centres[group] + 0.05 * rng.normal(size=(480, 12))).astype(np.float32)
    vectors = to_bfloat16(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    nearest, cosine = KMeans.learn(vectors, 30, 0).nearest(vectors)
    # Each cluster lies within one group, and every vector near its centre.
    for number in np.unique(nearest):
        assert len(np.unique(group[nearest[:, 0] == number])) == 1
    assert cosine.min() > 0.9


@pytest.mark.parametrize("n", [0, 1])
def test_few_or_none(n):
    vectors = draw(0, 1, 8, 1, 0.1)[:n]
    assert Search(vectors, 0.9, 1).exact(quiet).leader.tolist() == list(range(n))
    if n:
        assert len(KMeans.learn(vectors, 5, 0)) == 1
