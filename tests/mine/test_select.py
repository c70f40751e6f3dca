"""`mine.select` against its rules written as a plain loop."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.mine.select import SelectNegatives
from curate.schema import Doc, Pair
from curate.stage import Inputs
from tests.contracts.harness import shards_of, treat

IDS = ["a", "b", "c", "d", "e", "f"]
scores = st.floats(-1, 1, width=16)


@st.composite
def pair(draw):
    """A pair among few queries and passages, so that they meet again."""
    query = draw(st.sampled_from(["q1", "q2", "q3"]))
    own = draw(st.none() | scores)
    positives = [
        Doc(None, id=i, scores={} if own is None else {"similarity": own})
        for i in draw(st.lists(st.sampled_from(IDS), max_size=2, unique=True))
    ]
    drawn = draw(st.lists(st.tuples(st.sampled_from(IDS), st.none() | scores), max_size=8))
    candidates = [
        Doc(
            None,
            id=i,
            origin="mined",
            scores={"other": 1.0} | ({} if s is None else {"similarity": s}),
        )
        for i, s in drawn
    ]
    negatives = [Doc(None, id="old")] if draw(st.booleans()) else []
    return Pair("k", query, positives, "s", "g", candidates=candidates, negatives=negatives)


def expected(pairs, count, skip, below):
    """Return the ids of each pair's negatives."""
    positives = {}
    for one in pairs:
        positives.setdefault(one.query, set()).update(doc.id for doc in one.positives)
    for one in pairs:
        own = one.positives[0].scores.get("similarity") if one.positives else None
        left, seen = [], set()
        for place, doc in enumerate(one.candidates):
            value = doc.scores.get("similarity")
            fits = None not in (own, value) and value <= own - (1 - below) * abs(own) + 1e-7
            if fits and doc.id not in positives[one.query] and doc.id not in seen:
                left.append((-value, place, doc.id))
                seen.add(doc.id)
        yield [i for _, _, i in sorted(left)][skip : skip + count]


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pairs=st.lists(pair(), min_size=1, max_size=12),
    count=st.integers(1, 4),
    skip=st.integers(0, 2),
    below=st.sampled_from([0.5, 0.75, 1.0]),
    required=st.booleans(),
)
def test_negatives_follow_the_rules(tmp_path_factory, pairs, count, skip, below, required):
    folder = tmp_path_factory.mktemp("select")
    stage = SelectNegatives(count=count, skip=skip, below=below, required=required)
    found = treat(stage, Inputs(shards_of(pairs, "pairs", folder)), folder / "work", batch=5)
    wanted = list(expected(pairs, count, skip, below))
    stays = [bool(ids) or not required for ids in wanted]
    assert [[doc.id for doc in one.negatives] for one in found.kept] == [
        ids for ids, stay in zip(wanted, stays, strict=True) if stay
    ]
    assert [row["drop_reason"] for row in found.dropped] == ["no_negative"] * stays.count(False)
    for one in found.kept:
        assert one.candidates == []
        assert all("similarity" in doc.scores and doc.scores["other"] == 1 for doc in one.negatives)


def select(pair, folder, **options):
    folder.mkdir(exist_ok=True)
    inputs = Inputs(shards_of([pair], "pairs", folder, 1))
    number = len(list(folder.iterdir()))
    (kept,) = treat(SelectNegatives(**options), inputs, folder / f"work{number}").kept
    return [doc.id for doc in kept.negatives]


def candidates(**values):
    return [Doc(None, id=i, scores={"similarity": v}) for i, v in values.items()]


@pytest.mark.parametrize(
    ("own", "below", "chosen"),
    [
        (0.8, 0.5, ["d", "e"]),
        (0.8, 1.0, ["b", "c", "d", "e"]),
        (-0.2, 0.5, ["e"]),
        (0.0, 0.9, ["e"]),
    ],
)
def test_the_limit_is_a_share_of_the_own_score(tmp_path, own, below, chosen):
    """Of a score below zero a share would lie above it; the same distance below it is meant."""
    pair = Pair("k", "q", [Doc("p", scores={"similarity": own})], "s", "g")
    pair.candidates = candidates(a=0.9, b=0.7, c=0.5, d=0.4, e=-0.5)
    assert select(pair, tmp_path / "x", below=below, count=9) == chosen


def test_another_score_may_be_compared(tmp_path):
    pair = Pair("k", "q", [Doc("p", scores={"rerank": 1.0})], "s", "g")
    pair.candidates = [Doc(None, id="a", scores={"rerank": 0.2}), *candidates(b=0.1)]
    assert select(pair, tmp_path / "x", score="rerank") == ["a"]
    assert select(pair, tmp_path / "x") == []
