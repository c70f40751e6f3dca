"""`synthesize.rewrite`: rewritten queries and written negatives."""

import json

import pytest

from curate.schema import Doc
from curate.synthesize.rewrite import Rewrite
from tests.synthesize.told import asked, pair

TITLE = "Ferries of the fjord, an overview"
TEXT = "Only cyclists still take the boat, on Sundays in summer, when volunteers run it for a fee."
QUERY = "can I still cross the fjord by boat"
NEGATIVE = (
    "Cyclists meet on Sundays in summer at the bridge, where volunteers repair their bicycles."
)


def title(**given):
    doc = Doc(TEXT, language="en", label=2.0, scores={"similarity": 0.5})
    return pair(TITLE, doc, language="en", license="MIT", split="train", **given)


def test_a_rewritten_query_makes_a_pair_beside_the_original():
    given = title(negatives=[Doc("another")], candidates=[Doc("a third")], scores={"quality": 1.0})
    (same, made), dropped, (request,) = asked(Rewrite(), [given], [{"query": QUERY}])
    assert not dropped
    assert (same.id, same.query, same.scores) == (given.id, TITLE, {"quality": 1.0})
    assert f"```title\n{TITLE}\n```\n```\n{TEXT}\n```" in request.prompt
    assert (made.query, made.kind, made.parents) == (QUERY, "rewritten", [given.id])
    assert made.id != given.id
    assert made.query_id != given.query_id
    assert (made.source, made.group, made.split) == ("news", "page", "train")
    assert (made.license, made.language) == ("MIT", "en")
    (positive,) = made.positives
    assert (positive.text, positive.label, positive.scores) == (TEXT, 2.0, {})
    assert [doc.text for doc in made.negatives] == ["another"]
    assert (made.candidates, made.scores) == ([], {})  # of the other query


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"query": "An overview: ferries of the fjord"}, "copied_query"),
        ({"query": "ferries"}, "too_short"),
        ({"query": "volunteers run it for a fee"}, "copied_passage"),
        ("{", "not_json"),
    ],
)
def test_without_a_usable_query_a_pair_stays_or_goes(answer, reason):
    given = title()
    (same,), dropped, _ = asked(Rewrite(), [given], [answer])
    assert (same.id, dropped) == (given.id, [])
    kept, (row,), _ = asked(Rewrite(original="replace"), [given], [answer])
    assert kept == []
    assert (row["drop_reason"], row["drop_detail"]) == ("nothing_usable", f"1 {reason}")


def test_replaced_is_replaced():
    (made,), dropped, _ = asked(Rewrite(original="replace"), [title()], [{"query": QUERY}])
    assert (made.query, dropped) == (QUERY, [])


def test_pairs_without_text_are_not_asked_about():
    records = [pair("", Doc(TEXT)), pair(TITLE, Doc(None, id="x"))]
    kept, dropped, requests = asked(Rewrite(), records, [])
    assert [record.id for record in kept] == [record.id for record in records]
    assert not requests
    kept, dropped, _ = asked(Rewrite(original="replace"), records, [])
    assert [row["drop_reason"] for row in dropped] == ["no_text", "no_text"]


def test_written_negatives_join_those_there_are():
    given = title(negatives=[Doc("The boat is painted red, as volunteers like it.")])
    stage = Rewrite(prompt="hard-negatives", candidates=2)
    stage.check()
    answers = [
        {"negatives": [NEGATIVE, TEXT.upper(), "too short", given.negatives[0].text]},
        {"negatives": [f" {NEGATIVE.replace('repair', 'mend')}\n"]},
    ]
    (made,), _, _ = asked(stage, [given], answers)
    assert made.id == given.id
    assert [(doc.text, doc.origin) for doc in made.negatives[1:]] == [(NEGATIVE, "llm")]
    assert made.negatives[1].language == "en"
    assert made.candidates == given.candidates


def test_without_a_usable_negative_a_pair_stays_or_goes():
    stage = Rewrite(prompt="hard-negatives")
    (same,), _, _ = asked(stage, [title()], [{"negatives": [TEXT]}])
    assert same.negatives == []
    stage = Rewrite(prompt="hard-negatives", original="replace", candidates=2)
    _, (row,), _ = asked(stage, [title()], [{"negatives": [TEXT]}, "{"])
    assert row["drop_detail"] == "1 copied_or_too_short, 1 not_json"


def test_a_prompt_may_take_the_task_and_language_of_a_pair(tmp_path):
    path = tmp_path / "own.j2"
    path.write_text(
        "---\npurpose: Rewrite.\nsource: made\nvariables: {query: line, task: line, language: line}\n"
        "schema: {type: object, properties: {query: {type: string}}, required: [query]}\n---\n"
        "{{ query }}|{{ task }}|{{ language }}\n"
    )
    stage = Rewrite(prompt=str(path), max_chars=7)
    stage.check()
    given = title(task="Find the page")
    (_, made), _, (request,) = asked(stage, [given], [{"query": QUERY}])
    assert request.prompt.strip() == "Ferries|Find the page|English"
    assert made.task == "Find the page"
    assert json.loads(made.meta) == {"prompt": "own", "rejected": {}}


def test_a_prompt_that_writes_neither_is_refused():
    with pytest.raises(ValueError, match="no schema with `query`"):
        Rewrite(prompt="relevance-text").check()
