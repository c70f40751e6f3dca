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


# -- a better positive, the lowest negatives -------------------------------------------------------


@st.composite
def judged(draw):
    """A pair of which some candidates are marked as the seed or nearly the seed."""
    one = draw(pair())
    for doc in one.candidates:
        if draw(st.integers(0, 3)) == 0:
            doc.scores["same"] = 0.9
    one.parents = draw(st.lists(st.sampled_from(IDS), max_size=2, unique=True))
    return one


def seed_score(one):
    """Return the score of a seed: its own, or else that of the same passage as a candidate."""
    seed = one.positives[0]
    twins = [doc for doc in one.candidates if doc.id == seed.id]
    scores = (twins[0].scores if twins else {}) | seed.scores
    return scores.get("similarity")


def better(one):
    """Return the candidate that takes the seed's place, or None."""
    scored = [doc for doc in one.candidates if "similarity" in doc.scores]
    if not scored or not one.positives:
        return None
    first = max(scored, key=lambda doc: doc.scores["similarity"])
    if "same" in first.scores or first.id in {doc.id for doc in one.positives}:
        return None
    own = seed_score(one)
    return first if own is None or first.scores["similarity"] > own else None


def lowest(one, forbidden, count):
    """Return the ids of the negatives with the lowest scores; of equal ones the later is lower."""
    left, seen = [], set()
    for place, doc in enumerate(one.candidates):
        value = doc.scores.get("similarity")
        if value is not None and "same" not in doc.scores and doc.id not in forbidden | seen:
            left.append((value, -place, doc.id))
            seen.add(doc.id)
    return [i for _, _, i in sorted(left)][:count]


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pairs=st.lists(judged(), min_size=1, max_size=12), count=st.integers(1, 4))
def test_the_best_becomes_the_positive_and_the_lowest_the_negatives(tmp_path_factory, pairs, count):
    folder = tmp_path_factory.mktemp("select")
    stage = SelectNegatives(positive="best", negatives="lowest", count=count)
    found = treat(stage, Inputs(shards_of(pairs, "pairs", folder)), folder / "work", batch=5)
    chosen = [better(one) for one in pairs]
    forbidden = {}
    for one, new in zip(pairs, chosen, strict=True):
        ids = {doc.id for doc in one.positives} | ({new.id} if new else set())
        forbidden.setdefault(one.query, set()).update(ids)
    for before, new, after in zip(pairs, chosen, found.kept, strict=True):
        seeds = [doc.id for doc in before.positives]
        assert (after.id, after.candidates) == (before.id, [])
        assert [doc.id for doc in after.positives] == ([new.id, *seeds[1:]] if new else seeds)
        added = [seeds[0]] if new and seeds[0] not in before.parents else []
        assert after.parents == before.parents + added
        if new:
            assert after.positives[0] == new
        negatives = [doc.id for doc in after.negatives]
        assert negatives == lowest(before, forbidden[before.query], count)
    moved = sum(new is not None for new in chosen)
    with_candidates = sum(bool(one.candidates) for one in pairs)
    assert (found.notes["moved"], found.notes["with_candidates"]) == (moved, with_candidates)
    assert len(found.notes["moved_examples"]) == min(moved, 2)


def test_what_moved_is_noted_with_examples(tmp_path):
    """Two of the three move; the texts are told where they are known."""
    pairs = []
    for number, value in enumerate([0.9, 0.1, 0.8]):
        one = Pair("k", f"q{number}", [Doc(f"seed {number}")], "s", "g", parents=["source"])
        seed = Doc(None, id=one.positives[0].id, scores={"rrf": 0.5, "same": 1.0})
        text = "x" * 300 if number == 2 else None
        one.candidates = [seed, Doc(text, id=f"new{number}", origin="mined", scores={"rrf": value})]
        pairs.append(one)
    stage = SelectNegatives(score="rrf", positive="best", negatives="lowest")
    found = treat(stage, Inputs(shards_of(pairs, "pairs", tmp_path)), tmp_path / "work")
    seeds = [one.positives[0].id for one in pairs]
    assert found.notes == {
        "with_candidates": 3,
        "moved": 2,
        "moved_share": 0.6667,
        "moved_examples": [
            {"query": "q0", "seed": seeds[0], "seed_text": "seed 0", "positive": "new0"},
            {
                "query": "q2",
                "seed": seeds[2],
                "seed_text": "seed 2",
                "positive": "new2",
                "positive_text": "x" * 200,
            },
        ],
    }
    assert [one.positives[0].id for one in found.kept] == ["new0", seeds[1], "new2"]
    assert [one.parents for one in found.kept] == [
        ["source", seeds[0]],
        ["source"],
        ["source", seeds[2]],
    ]


def test_a_seed_that_stays_takes_over_its_scores_as_a_candidate(tmp_path):
    """Also those that the share of the positive's score is reckoned by."""
    one = Pair("k", "q", [Doc("seed", scores={"similarity": 0.7})], "s", "g")
    judged = {"similarity": 0.75, "rc": 3.0, "rrf": 1.0, "same": 1.0}
    one.candidates = [
        Doc(None, id=one.positives[0].id, scores=judged),
        Doc(None, id="twin", scores={"rrf": 2.0, "same": 0.85}),
        Doc(None, id="near", scores={"rrf": 0.98}),
        Doc(None, id="far", scores={"rrf": 0.5}),
    ]
    stage = SelectNegatives(score="rrf", positive="best")
    inputs = Inputs(shards_of([one], "pairs", tmp_path))
    (kept,) = treat(stage, inputs, tmp_path / "work").kept
    assert kept.positives[0].text == "seed"
    wanted = judged | {"similarity": 0.7}
    assert kept.positives[0].scores == pytest.approx(wanted, abs=1e-6)
    assert [doc.id for doc in kept.negatives] == ["far"]


def test_pairs_without_candidates_or_positives_stay_as_they_are(tmp_path):
    pairs = [
        Pair("k", "q1", [Doc("seed")], "s", "g", parents=["p"]),
        Pair("k", "q2", [], "s", "g", candidates=candidates(a=0.5)),
    ]
    options = {"positive": "best", "negatives": "lowest"}
    inputs = Inputs(shards_of(pairs, "pairs", tmp_path))
    found = treat(SelectNegatives(**options), inputs, tmp_path / "one")
    assert [one.positives for one in found.kept] == [pairs[0].positives, []]
    assert [[doc.id for doc in one.negatives] for one in found.kept] == [[], ["a"]]
    assert [one.parents for one in found.kept] == [["p"], []]
    found = treat(SelectNegatives(required=True, **options), inputs, tmp_path / "two")
    assert [row["query"] for row in found.dropped] == ["q1"]


def test_a_new_positive_is_no_negative_of_another_pair_of_its_query(tmp_path):
    pairs = [
        Pair("k", "q", [Doc("p")], "s", "g", candidates=candidates(a=0.9, b=0.1)),
        Pair("k", "q", [Doc("r")], "s", "h", candidates=candidates(a=0.2, b=0.4, c=0.3)),
    ]
    inputs = Inputs(shards_of(pairs, "pairs", tmp_path))
    stage = SelectNegatives(positive="best", negatives="lowest")
    found = treat(stage, inputs, tmp_path / "work").kept
    assert [one.positives[0].id for one in found] == ["a", "b"]
    assert [[doc.id for doc in one.negatives] for one in found] == [[], ["c"]]
