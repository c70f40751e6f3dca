import random
from fnmatch import fnmatchcase

import pytest
from pydantic import ValidationError

from curate.dedup.exact import ExactDedup
from curate.schema import Doc, Pair, Passage, from_table
from tests.contracts.records import HOSTILE


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


SOURCES = ["forum/a", "forum/b", "wiki", None]


def ranked_pairs(count, seed=0):
    """Pairs of few queries and passages in several forms, from several sources, some with a score."""
    rng = random.Random(seed)
    pairs = []
    for number in range(count):
        query = rng.choice(["", "  ", f"query {rng.randrange(8)}", f"Query  {rng.randrange(8)}?"])
        texts = [
            [],
            [f"text {rng.randrange(5)}"],
            [f"TEXT {rng.randrange(5)}" + " ." * rng.randrange(3)],
        ]
        record = Pair("qa", query, [Doc(t) for t in rng.choice(texts)], rng.choice(SOURCES), "g")
        record.scores = {} if rng.random() < 0.3 else {"quality": rng.choice([0.25, 0.5, 1.0])}
        record.id = str(number)
        pairs.append(record)
    return pairs


def form(text):
    """Reduce a text as the test's few forms need it."""
    return " ".join(text.lower().rstrip(" .?").split())


def expected_fates(pairs, stage):
    """Decide one pair after another, best first, in plain Python: the reason and the record instead."""

    def wish(number):
        pair = pairs[number]
        source = pair.source
        sources = [i for i, p in enumerate(stage.prefer) if source and fnmatchcase(source, p)]
        size = len(pair.query) + len(pair.positives[0].text if pair.positives else "")
        return (
            min(sources, default=99),
            -pair.scores.get(stage.best, -9),
            -size if stage.keep == "longest" else 0,
            number,
        )

    fates = {}
    rounds = [
        ("exact_duplicate", stage.on or "pair", 1),
        ("query_cap", "query", stage.max_per_query),
        ("passage_cap", "passage", stage.max_per_passage),
    ]
    for reason, on, most in rounds:
        seen = {}
        for number in sorted(range(len(pairs)), key=wish):
            texts = {
                "query": form(pairs[number].query),
                "passage": form(pairs[number].positives[0].text) if pairs[number].positives else "",
            }
            key = tuple(texts[side] for side in (["query", "passage"] if on == "pair" else [on]))
            if number in fates or most is None or not all(key):
                continue
            first = seen.setdefault(key, [])
            if len(first) >= most:
                fates[number] = (reason, first[0])
            else:
                first.append(number)
    return fates


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"on": "query"},
        {"on": "passage", "keep": "longest"},
        {"on": "query", "prefer": ["wiki", "forum/*"]},
        {"prefer": ["forum/b"], "best": "quality", "keep": "longest", "max_per_query": 2},
        {"best": "quality", "max_per_query": 3, "max_per_passage": 2},
        {"on": "passage", "keep": "longest", "max_per_query": 1},
        {"keep": "longest", "prefer": ["*"], "max_per_passage": 4},
    ],
)
def test_fates_are_those_of_one_after_another(run_global, settings):
    pairs, stage = ranked_pairs(400), ExactDedup(**settings)
    result = run_global(stage, pairs, shards=3, batch=50)
    dropped = result.dropped.to_pylist()
    found = {
        int(row["id"]): (row["drop_reason"], int(row["drop_detail"].rpartition(" ")[2]))
        for row in dropped
    }
    expected = expected_fates(pairs, stage)
    assert found == expected
    assert len(expected) > 50


def test_hostile_texts_have_only_their_copies(run_global):
    pairs = [pair("query", text) for text in HOSTILE]
    twice = run_global(ExactDedup(on="passage"), [*pairs, *pairs])
    says_nothing = [text for text in HOSTILE if not text.strip("\x00 \n\t")]
    assert len(twice.dropped) == len(HOSTILE) - len(says_nothing)
    assert len(run_global(ExactDedup(), [*pairs, *pairs]).dropped) == len(twice.dropped)
