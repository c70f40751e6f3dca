"""The rule that suggests k, on ranks whose origin is known."""

import numpy as np
import pytest

from curate.filter.calibration import curve, estimate

POOL = 50_000


def ranks_of(seed, right, wrong):
    """Draw ranks: right pairs near the front, a few far off; wrong ones anywhere in the pool."""
    rng = np.random.default_rng(seed)
    good = np.minimum(1 + np.floor(rng.lognormal(1.5, 2.5, right)), POOL).astype(np.int64)
    bad = rng.integers(1, POOL + 1, wrong)
    return np.concatenate([good, bad]), np.repeat([False, True], [right, wrong])


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
@pytest.mark.parametrize("impurity", [0.005, 0.01, 0.05])
def test_it_finds_the_share_of_wrong_pairs_and_keeps_to_the_impurity(share, impurity):
    ranks, wrong = ranks_of(1, round(20_000 * (1 - share)), round(20_000 * share))
    found = estimate(ranks, POOL, impurity)
    assert found.wrong == pytest.approx(share, abs=0.02)
    kept = ranks <= found.k
    assert wrong[kept].mean() == pytest.approx(impurity, rel=0.4, abs=0.002)
    # The largest such k: a tenth more would let more in than is allowed, unless all are kept.
    if not kept.all():
        more = ranks <= found.k * 1.1 + 1
        assert found.wrong * len(ranks) * found.k * 1.1 / POOL > impurity * more.sum() * 0.95


def test_clean_pairs_all_stay():
    ranks, _ = ranks_of(2, 20_000, 0)
    assert (ranks <= estimate(np.minimum(ranks, 1000), POOL, 0.01).k).mean() > 0.98


def test_where_all_pairs_are_wrong_next_to_nothing_stays():
    ranks, _ = ranks_of(3, 0, 20_000)
    found = estimate(ranks, POOL, 0.01)
    assert found.wrong > 0.97
    assert (ranks <= found.k).mean() < 0.001


@pytest.mark.parametrize("ranks", [[], [1], [1, 2, 3], [7, 7, 7]])
def test_few_pairs(ranks):
    found = estimate(np.array(ranks, np.int64), 10, 0.01)
    assert found.k >= 1
    assert 0 <= found.wrong <= 1


def test_the_curve():
    assert curve(np.array([1, 1, 3, 60])) == {
        "1": 0.5, "2": 0.5, "3": 0.75, "5": 0.75, "10": 0.75, "20": 0.75, "50": 0.75, "100": 1.0,
        "1000": 1.0,
    }  # fmt: skip
    assert curve(np.zeros(0, np.int64)) == {}
