import pytest
from pydantic import ValidationError

from curate.dedup.exact import ExactDedup
from curate.schema import Doc, Pair, Passage, from_table


def pair(query, text, group="g"):
    positives = [] if text is None else [Doc(text)]
    return Pair("qa", query, positives, "here", group)


def kept(result):
    return [(record.query, record.positives[0].text) for record in from_table(result.kept)]


PAIRS = [
    pair("How to sort?", "Use sorted."),
    pair("how to  SORT", "use sorted"),
    pair("How to sort?", "Call list.sort."),
    pair("How do I sort", "Use sorted."),
    pair("How to sort", "Use  Sorted!", group="other"),
]


@pytest.mark.parametrize(
    ("on", "stay"), [(None, [0, 2, 3]), ("pair", [0, 2, 3]), ("query", [0, 3]), ("passage", [0, 2])]
)
def test_first_of_each_stays(run_global, on, stay):
    result = run_global(ExactDedup(on=on), PAIRS)
    assert kept(result) == [(PAIRS[i].query, PAIRS[i].positives[0].text) for i in stay]
    assert set(result.dropped["drop_reason"].to_pylist()) == {"exact_duplicate"}
    details = dict(
        zip(
            result.dropped["id"].to_pylist(), result.dropped["drop_detail"].to_pylist(), strict=True
        )
    )
    assert details[PAIRS[1].id] == details[PAIRS[4].id] == f"copy of {PAIRS[0].id}"


def test_passages(run_global):
    texts = ["Some text.", "some text", "other", "SOME TEXT"]
    result = run_global(
        ExactDedup(), [Passage(t, "here", "g") for t in texts], kind="passages", shards=3
    )
    assert result.kept["text"].to_pylist() == ["Some text.", "other"]


def test_caps_count_what_is_left_after_copies(run_global):
    pairs = [pair("what is it", f"answer {i // 2}") for i in range(10)]
    pairs += [pair(f"question {i}", "answer 0") for i in range(3)]
    result = run_global(ExactDedup(max_per_query=3, max_per_passage=2), pairs)
    assert kept(result) == [
        ("what is it", "answer 0"),
        ("what is it", "answer 1"),
        ("what is it", "answer 2"),
        ("question 0", "answer 0"),
    ]
    reasons = result.dropped["drop_reason"].to_pylist()
    assert {r: reasons.count(r) for r in reasons} == {
        "exact_duplicate": 5,
        "query_cap": 2,
        "passage_cap": 2,
    }
    assert (
        f"more than 3 here; the first is {pairs[0].id}" in result.dropped["drop_detail"].to_pylist()
    )


def test_what_says_nothing_has_no_copies(run_global):
    pairs = [pair("", "text"), pair(" ", "text"), pair("query", None), pair("query", None)]
    pairs += [pair("query", ""), pair("query", "")]
    assert len(run_global(ExactDedup(), pairs).kept) == 6
    assert len(run_global(ExactDedup(on="query"), pairs).kept) == 3


def test_unicode_forms_are_copies(run_global):
    pairs = [pair("Café 👍", "x"), pair("CAFE\u0301 👍", "x"), pair("café 👎", "x")]
    assert len(run_global(ExactDedup(), pairs).kept) == 2


@pytest.mark.parametrize(("shards", "batch"), [(1, 1), (2, 3), (5, 100), (7, 2)])
def test_same_rows_for_any_cut(run_global, shards, batch):
    pairs = [pair(f"query {i % 7}", f"text {i % 5}") for i in range(50)]
    result = run_global(
        ExactDedup(on="query", max_per_passage=2), pairs, shards=shards, batch=batch
    )
    assert kept(result) == [(f"query {i}", f"text {i % 5}") for i in range(7)]


def test_nothing_at_all(run_global):
    assert len(run_global(ExactDedup(), [], shards=1).kept) == 0


@pytest.mark.parametrize(
    "settings", [{"on": "query"}, {"on": "pair"}, {"max_per_query": 2}, {"max_per_passage": 1}]
)
def test_settings_of_pairs_are_refused_for_passages(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        ExactDedup(**settings).gives("passages")


def test_settings_are_checked():
    with pytest.raises(ValidationError):
        ExactDedup(max_per_query=0)
    with pytest.raises(ValidationError):
        ExactDedup(by="query")


def test_the_best_stays_and_among_equals_the_first(run_global):
    scores = [None, 0.2, 0.9, 0.9, 0.1]
    pairs = [
        Pair("qa", f"query {n}", [Doc("the same passage")], "here", "g", scores=named)
        for n, named in enumerate({} if s is None else {"quality": s} for s in scores)
    ]
    result = run_global(ExactDedup(on="passage", best="quality"), pairs)
    assert [record.query for record in from_table(result.kept)] == ["query 2"]
    assert set(result.dropped["drop_detail"].to_pylist()) == {f"copy of {pairs[2].id}"}
    capped = run_global(ExactDedup(best="quality", max_per_passage=3), pairs)
    assert [record.query for record in from_table(capped.kept)] == ["query 1", "query 2", "query 3"]


def test_without_that_score_the_first_stays(run_global):
    plain = run_global(ExactDedup(on="passage"), PAIRS)
    assert kept(run_global(ExactDedup(on="passage", best="quality"), PAIRS)) == kept(plain)
