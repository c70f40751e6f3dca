"""`synthesize.annotate`: grades from probabilities and from written answers."""

import numpy as np
import pytest

from curate.llm.base import Generated
from curate.schema import Doc, Pair, to_table
from curate.synthesize.annotate import Annotate
from tests.synthesize.told import Told, asked, pair


def pairs(count):
    return [pair(f"query {n}", Doc(f"text {n}", label=9.0)) for n in range(count)]


def test_the_grade_is_expected_over_the_labels():
    shares = [[0.5, 0, 0, 0.5], [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4]]
    kept, dropped, requests = asked(Annotate(), pairs(3), shares)
    assert not dropped
    expected = [np.dot(share, [0, 2, 4, 5]) for share in shares]
    assert [p.positives[0].label for p in kept] == pytest.approx(expected)
    assert [p.positives[0].scores["grade"] for p in kept] == pytest.approx(expected)
    assert {request.labels for request in requests} == {
        (" different", " related", " similar", " same")
    }
    assert requests[1].prompt.endswith("```first\nquery 1\n```\n```second\ntext 1\n```\nMeaning:")
    assert not any(p.symmetric for p in kept)
    assert Annotate().needs() == {"choose"}


def test_a_written_grade_is_read_or_the_pair_is_dropped():
    stage = Annotate(prompt="similarity-json", symmetric=True)
    assert stage.needs() == {"generate", "schema"}
    cut = Generated('{"grade": ', "length", 1, 1)
    answers = [{"grade": 4}, cut, {"grade": "4"}, {"grade": True}, {"grade": 0}, "[4]"]
    kept, dropped, _ = asked(stage, pairs(6), answers)
    assert [(p.query, p.positives[0].label, p.symmetric) for p in kept] == [
        ("query 0", 4.0, True),
        ("query 4", 0.0, True),
    ]
    assert {row["drop_reason"] for row in dropped} == {"no_grade"}
    details = [row["drop_detail"] for row in dropped]
    assert details == ["cut_off", "not_of_schema", "not_of_schema", "not_of_schema"]


def test_pairs_outside_the_bounds_are_dropped():
    stage = Annotate(prompt="relevance-text", min_grade=0.5, max_grade=1.5)
    shares = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    kept, dropped, _ = asked(stage, pairs(5), shares)
    assert [p.query for p in kept] == ["query 1", "query 2", "query 3"]
    assert [row["drop_reason"] for row in dropped] == ["grade_too_low", "grade_too_high"]


def test_the_label_of_the_first_positive_alone_is_set():
    given = Pair("x", "q", [Doc("a", label=9.0), Doc("b", label=8.0)], "s", "g")
    (kept,), _, _ = asked(Annotate(prompt="relevance-text"), [given], [[0, 0, 1]])
    assert [doc.label for doc in kept.positives] == [2.0, 8.0]


def test_what_has_no_text_is_not_asked_about():
    records = [
        pair("", Doc("text")),
        pair("query", Doc("")),
        pair("query", Doc(None, id="x")),
        Pair("x", "query", [], "s", "g"),
        pair("query", Doc("text")),
    ]
    kept, dropped, requests = asked(Annotate(prompt="relevance-text"), records, [[0, 0, 1]])
    assert [p.id for p in kept] == [records[-1].id]
    assert len(requests) == 1
    assert [row["drop_reason"] for row in dropped] == ["no_text"] * 4


def test_only_the_beginning_of_a_text_is_read():
    model = Told([[0, 0, 1]])
    given = pair("query", Doc("abc " * 1_000))
    Annotate(prompt="relevance-text", max_chars=7).ask(to_table([given], "pairs"), None, model)
    assert "```\nabc abc\n```" in model.requests[0].prompt


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"prompt": "queries-text"}, "it must take `query` and `passage`"),
        ({"prompt": "rewrite-query"}, "neither labels nor a schema with `grade`"),
        ({"min_grade": 3, "max_grade": 2}, "min_grade: 3.0 is more than max_grade: 2.0"),
    ],
)
def test_what_cannot_work_is_refused_before_it_runs(settings, problem):
    with pytest.raises(ValueError, match=problem):
        Annotate(**settings).check()
