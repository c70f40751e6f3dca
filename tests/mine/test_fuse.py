"""Reciprocal rank fusion against hand-computed cases and a plain loop, and `mine.fuse` over it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.mine.fuse import Fuse
from curate.mine.fusion import reciprocal_rank_fusion
from curate.schema import Doc, Pair, from_table, to_table

NAN = float("nan")


def fuse(scores, groups=None, constant=60.0):
    scores = np.array(scores)
    groups = np.zeros(scores.shape[1], int) if groups is None else np.array(groups)
    return reciprocal_rank_fusion(scores, groups, constant)


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        (60, [1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62]),
        (0, [1 + 1 / 3, 1 / 2 + 1, 1 / 3 + 1 / 2]),
    ],
)
def test_three_candidates_in_two_rankings(constant, expected):
    scores = [[-0.5, -1.0, -3.0], [0.1, 4.0, 2.0]]
    np.testing.assert_allclose(fuse(scores, constant=constant), expected, rtol=1e-15)


def test_equal_scores_share_the_best_rank_and_are_all_counted():
    found = fuse([[3.0, 5.0, 3.0, 1.0]], constant=0)
    np.testing.assert_allclose(found, [1 / 2, 1, 1 / 2, 1 / 4])


def test_what_a_ranking_does_not_have_gets_nothing_from_it():
    found = fuse([[NAN, 5.0, 3.0, NAN], [1.0, NAN, 2.0, NAN]], constant=60)
    np.testing.assert_allclose(found, [1 / 62, 1 / 61, 1 / 62 + 1 / 61, 0])


def test_candidates_are_ranked_within_their_query():
    found = fuse([[3.0, 9.0, 2.0, 8.0]], groups=[7, 1, 7, 1], constant=0)
    np.testing.assert_allclose(found, [1, 1, 1 / 2, 1 / 2])


def test_nothing_to_fuse():
    assert fuse(np.zeros((2, 0))).shape == (0,)


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match=r"constant must be at least 0, got -1"):
        fuse([[1.0]], constant=-1)
    with pytest.raises(ValueError, match=r"shape \(r, n\) for n groups, got \(1, 2\) and \(3,\)"):
        fuse([[1.0, 2.0]], groups=[0, 0, 0])


values = st.sampled_from([NAN, -1.5, 0.0, -0.0, 0.25, 3.0, float("-inf")])


@given(
    rankings=st.integers(1, 4),
    data=st.data(),
    groups=st.lists(st.integers(0, 3), max_size=12),
    constant=st.sampled_from([0, 0.5, 60]),
)
def test_fusion_follows_its_formula(rankings, data, groups, constant):
    scores = [[data.draw(values) for _ in groups] for _ in range(rankings)]
    expected = []
    for place, group in enumerate(groups):
        total = 0.0
        for ranking in scores:
            if ranking[place] == ranking[place]:
                rivals = [s for s, g in zip(ranking, groups, strict=True) if g == group]
                total += 1 / (constant + 1 + sum(s > ranking[place] for s in rivals))
        expected.append(total)
    given = np.array(scores).reshape(rankings, len(groups))
    found = reciprocal_rank_fusion(given, np.array(groups, int), constant)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    order = data.draw(st.permutations(range(rankings)))
    again = reciprocal_rank_fusion(given[list(order)], np.array(groups, int), constant)
    np.testing.assert_array_equal(again, found)


# -- the stage -------------------------------------------------------------------------------------


def treat(stage, *candidates):
    """Return the candidates of each pair after the stage."""
    pairs = [Pair("k", f"q{i}", [], "s", "g", candidates=docs) for i, docs in enumerate(candidates)]
    return [pair.candidates for pair in from_table(stage.map(to_table(pairs, "pairs")).kept)]


def doc(name, **scores):
    return Doc(None, id=name, origin="mined", scores=scores)


def test_candidates_are_scored_and_put_in_order():
    """Gecko's: a first place in one ranking outweighs two second places only just."""
    stage = Fuse(scores=["ql", "rc"], constant=0)
    a, b, c = doc("a", ql=-1.0, rc=1.0), doc("b", ql=-2.0, rc=2.5), doc("c", ql=-3.0, rc=3.0)
    (found,) = treat(stage, [b, a, c])
    assert [one.id for one in found] == ["a", "c", "b"]
    fused = {one.id: one.scores["rrf"] for one in found}
    assert fused == pytest.approx({"a": 1 + 1 / 3, "b": 1 / 2 + 1 / 2, "c": 1 / 3 + 1})
    assert [one.scores | {"rrf": None} for one in found] == [
        one.scores | {"rrf": None} for one in (a, c, b)
    ]
    assert {one.origin for one in found} == {"mined"}


def test_equal_candidates_keep_their_order():
    (found,) = treat(Fuse(scores=["s"]), [doc("b", s=1.0), doc("z", s=2.0), doc("a", s=1.0)])
    assert [one.id for one in found] == ["z", "b", "a"]


def test_missing_scores_and_missing_candidates():
    stage = Fuse(scores=["s", "t"], into="all")
    none, some = treat(stage, [], [doc("x"), doc("y", t=0.5)])
    assert none == []
    assert [(one.id, one.scores.get("all")) for one in some] == [
        ("y", pytest.approx(1 / 61)),
        ("x", 0.0),
    ]


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"scores: name each once, got \['a', 'a'\]"):
        Fuse(scores=["a", "a"]).check()
    for wrong in ({"scores": []}, {"scores": ["a"], "constant": -1}, {"scores": ["a"], "into": ""}):
        with pytest.raises(ValidationError):
            Fuse.model_validate(wrong)
