"""Which of some records stays: `Dedup.preference`, `kept_of` and `Ids`, against plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dedup.keep import Dedup, Ids, kept_of
from curate.schema import Doc, Pair, Passage
from tests.contracts.harness import shards_of


class Keeps(Dedup):
    """Have the settings alone."""

    def fit(self, inputs, context):
        raise NotImplementedError

    def apply(self, table, start, fitted):
        raise NotImplementedError


def record(source, quality, query, text):
    scores = {} if quality is None else {"quality": quality}
    return Pair("qa", query, [Doc(text, id="d")], source, "g", scores=scores)


PAIRS = [
    record("b", 0.5, "query", "short"),
    record("a/x", None, "query", None),
    record("a/y", 0.9, None, "of some length"),
    record(None, 0.9, "query", "longer than the first"),
    record("b", float("nan"), "que\U0001f44d", "sho"),
    record("a/x", 0.5, "query", "short"),
]


@pytest.mark.parametrize(
    ("settings", "order"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"prefer": ["b"]}, [0, 4, 1, 2, 3, 5]),
        ({"prefer": ["a/y", "a/*"]}, [2, 1, 5, 0, 3, 4]),
        ({"best": "quality"}, [2, 3, 0, 5, 1, 4]),
        ({"best": "no such score"}, [0, 1, 2, 3, 4, 5]),
        ({"keep": "longest"}, [3, 2, 0, 5, 4, 1]),
        ({"prefer": ["b"], "best": "quality", "keep": "longest"}, [0, 4, 3, 2, 5, 1]),
    ],
)
@pytest.mark.parametrize("cuts", [1, 3])
def test_wishes_are_asked_one_after_another(tmp_path, settings, order, cuts):
    ranks = Keeps(**settings).preference(shards_of(PAIRS, "pairs", tmp_path, cuts))
    assert ranks.dtype == np.int64
    assert np.argsort(ranks).tolist() == order


def test_the_longest_of_passages(tmp_path):
    passages = [Passage(text, "here", "g") for text in ("aa", None, "aaa", "")]
    ranks = Keeps(keep="longest").preference(shards_of(passages, "passages", tmp_path))
    assert np.argsort(ranks).tolist() == [2, 0, 1, 3]


def test_a_last_wish_of_the_stage(tmp_path):
    records = shards_of(PAIRS, "pairs", tmp_path)
    ranks = Keeps(prefer=["b"]).preference(records, last=np.array([0.3, 0.2, 0.1, 0.1, 0.0, 0.4]))
    assert np.argsort(ranks).tolist() == [4, 0, 2, 3, 1, 5]


def test_of_nothing(tmp_path):
    empty = shards_of([], "pairs", tmp_path)
    stage = Keeps(prefer=["a"], best="quality", keep="longest")
    assert len(stage.preference(empty)) == 0
    assert len(kept_of(np.zeros(0, np.int64), np.zeros(0, np.int64))) == 0
    assert len(Ids(empty).take(np.zeros(0, np.int64))) == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=30), st.randoms())
def test_one_of_each_cluster_stays_the_most_wished_for(clusters, rng):
    ranks = list(range(len(clusters)))
    rng.shuffle(ranks)
    kept = kept_of(np.array(clusters, np.int64), np.array(ranks, np.int64))
    for row, cluster in enumerate(clusters):
        members = [other for other, name in enumerate(clusters) if name == cluster]
        assert kept[row] == min(members, key=lambda other: ranks[other])


@pytest.mark.parametrize("cuts", [1, 4])
def test_ids_are_those_of_the_rows(tmp_path, cuts):
    records = [Passage(f"text {n}", "here", "g") for n in range(10)]
    rows = np.array([9, 0, 3, 3, 7, 1])
    found = Ids(shards_of(records, "passages", tmp_path, cuts)).take(rows)
    assert found.to_pylist() == [records[row].id for row in rows]
