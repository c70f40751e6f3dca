"""`sample`: as many as asked for, the same ones however the input is cut, each equally likely."""

import numpy as np
import pytest

from curate.arrange.sample import Sample
from curate.schema import Passage
from curate.stage import Inputs
from tests.contracts.harness import shards_of, treat
from tests.contracts.records import make_pairs


@pytest.fixture
def sample(tmp_path):
    def sample(records, kind="pairs", cuts=2, **options):
        folder = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        inputs = Inputs(shards_of(records, kind, tmp_path, cuts))
        return treat(Sample(**options), inputs, folder)

    return sample


def ids(treated):
    return [record.id for record in treated.kept]


def test_count_records_stay_in_their_order(sample):
    records = list({pair.id: pair for pair in make_pairs(3, 200)}.values())
    treated = sample(records, count=30)
    order = [record.id for record in records]
    assert ids(treated) == [i for i in order if i in set(ids(treated))]
    assert len(ids(treated)) == 30
    assert {row["drop_reason"] for row in treated.dropped} == {"not_sampled"}


@pytest.mark.parametrize(("count", "stay"), [(0, 0), (199, 199), (200, 200), (1000, 200)])
def test_no_more_than_there_are(sample, count, stay):
    assert len(ids(sample(make_pairs(3, 200), count=count))) == stay


def test_neither_cuts_nor_order_matter_and_a_larger_sample_holds_the_smaller(sample):
    records = make_pairs(4, 150)
    some = set(ids(sample(records, count=40)))
    assert set(ids(sample(records[::-1], count=40, cuts=7))) == some
    assert some < set(ids(sample(records, count=60)))
    assert set(ids(sample(records, count=40, seed=1))) != some


def test_every_passage_is_as_likely(sample):
    passages = [Passage(f"passage number {n}", "here", "g") for n in range(300)]
    drawn = np.zeros(300)
    place = {passage.id: n for n, passage in enumerate(passages)}
    for seed in range(100):
        drawn[[place[i] for i in ids(sample(passages, "passages", count=60, seed=seed))]] += 1
    assert abs(drawn.mean() - 20) < 1e-9
    assert 3 < drawn.std() < 5  # binomial: sqrt(100 * 0.2 * 0.8) = 4
