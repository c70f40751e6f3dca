"""`synthesize.fret`: what becomes of each answer."""

import json

import pytest

from curate.llm.base import Generated, Sampling
from curate.schema import Passage, content_id, from_table, to_table
from curate.synthesize.fret import FRet
from tests.llm import prompts

CODE = (
    "def sort_rows(rows):\n    return sorted(rows)  # orders all the rows by their first column\n"
)
GOOD = "order the rows of a table"


class Told:
    """Gives the answers it was told to, in order, and remembers the requests."""

    def __init__(self, answers):
        self.answers, self.requests = list(answers), []

    def generate(self, requests):
        start = len(self.requests)
        self.requests += requests
        return self.answers[start : start + len(requests)]


def said(query, task="find code", finish="stop"):
    return Generated(json.dumps({"task": task, "query": query}), finish, 10, 5)


@pytest.fixture
def prompt(tmp_path):
    path = tmp_path / "made.j2"
    path.write_text(prompts.FRET)
    return str(path)


def passage(text=CODE, **given):
    return Passage(text, "python", "numpy", license="BSD", url="https://example.org", **given)


def asked(stage, passages, answers):
    outcome = stage.ask(to_table(passages, "passages"), None, Told(answers))
    assert outcome.kept_inputs + len(outcome.dropped) == len(passages)
    return from_table(outcome.kept), outcome.dropped.to_pylist()


def test_a_query_becomes_a_pair_with_its_passage(prompt):
    given = passage(split="train", language="en")
    (pair,), dropped = asked(
        FRet(prompt=prompt, candidates=1, min_chars=10), [given], [said(f"  {GOOD}\n")]
    )
    assert not dropped
    assert (pair.query, pair.task, pair.kind, pair.source) == (
        GOOD,
        "find code",
        "synthetic",
        "fret",
    )
    (positive,) = pair.positives
    assert (positive.text, positive.id, positive.origin) == (CODE, given.id, "seed")
    assert (pair.parents, pair.group, pair.split) == ([given.id], "numpy", "train")
    assert (pair.license, pair.url, pair.language) == ("BSD", "https://example.org", "en")
    assert pair.query_id == content_id("query", "find code", GOOD)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(GOOD, finish="length"), "cut_off"),
        (said(GOOD, finish="refused"), "refused"),
        (Generated('{"task": "find', "stop", 1, 1), "not_json"),
        (Generated('["find", "sort"]', "stop", 1, 1), "not_of_schema"),
        (Generated('{"task": "find code", "query": 7}', "stop", 1, 1), "not_of_schema"),
        (said("sort rows"), "too_short"),
        (said(" \n "), "too_short"),
        (said("Find the code, find code", task="Find the code for a text"), "copied_task"),
        (said("Return an example of a FUNCTION."), "copied_example"),
        (said("count all the words of a text"), "copied_example"),
        (said("orders all the ROWS by their"), "copied_passage"),
    ],
)
def test_what_is_not_usable_is_counted_with_its_reason(prompt, answer, reason):
    stage = FRet(prompt=prompt, candidates=2, min_chars=10)
    kept, (dropped,) = asked(stage, [passage()], [answer, answer])
    assert kept == []
    assert dropped["text"] == CODE
    assert dropped["drop_reason"] == "no_usable_query"
    assert dropped["drop_detail"] == f"2 {reason}"
    (pair,), dropped = asked(stage, [passage()], [answer, said(GOOD)])
    assert dropped == []
    assert json.loads(pair.meta)["rejected"] == {reason: 1}


def test_a_query_may_have_so_many_words_and_no_more(prompt):
    stage = FRet(prompt=prompt, candidates=2, min_chars=10, max_words=6)
    pairs, _ = asked(stage, [passage()], [said(GOOD), said(f"{GOOD} once")])
    assert [pair.query for pair in pairs] == [GOOD]
    assert json.loads(pairs[0].meta)["rejected"] == {"too_long": 1}


def test_a_query_that_repeats_another_counts_once(prompt):
    answers = [said(GOOD), said("Order the rows of table"), said("put records into sequence")]
    pairs, _ = asked(FRet(prompt=prompt, candidates=3, min_chars=10), [passage()], answers)
    assert [pair.query for pair in pairs] == [GOOD, "put records into sequence"]
    assert json.loads(pairs[0].meta)["rejected"] == {"repeated": 1}


def test_passages_out_of_bounds_are_not_asked_about(prompt):
    stage = FRet(prompt=prompt, candidates=1, min_chars=20, max_chars=200)
    model = Told([said(GOOD)])
    table = to_table([passage("x = 1"), passage(), passage("x = 1\n" * 99)], "passages")
    outcome = stage.ask(table, None, model)
    assert len(model.requests) == 1
    assert outcome.dropped["drop_reason"].to_pylist() == ["passage_too_short", "passage_too_long"]
    assert outcome.kept_inputs == 1


def test_each_draw_has_a_seed_of_its_own(prompt):
    model = Told([said(GOOD)] * 12)
    table = to_table([passage()], "passages")
    for seed in (0, 1, 2):
        FRet(prompt=prompt, candidates=4, min_chars=10, seed=seed).ask(table, None, model)
    assert [request.seed for request in model.requests] == list(range(12))
    assert {request.sampling for request in model.requests} == {
        Sampling(temperature=0.7, top_p=0.95, max_tokens=64)
    }
    assert all(CODE.strip() in request.prompt for request in model.requests)


def test_a_prompt_that_asks_for_something_else_is_refused(tmp_path):
    path = tmp_path / "other.j2"
    path.write_text(prompts.LIKELIHOOD)
    with pytest.raises(ValueError, match="no schema with `task` and `query`"):
        FRet(prompt=str(path)).check()


def test_only_passages_that_match_are_asked_about(prompt):
    stage = FRet(prompt=prompt, candidates=1, min_chars=10, match=r"def _?sort_[a-z]")
    table = to_table([passage(), passage(CODE.replace("sort", "order"))], "passages")
    model = Told([said(GOOD)])
    outcome = stage.ask(table, None, model)
    assert len(model.requests) == 1
    assert outcome.dropped["drop_reason"].to_pylist() == ["no_match"]
    with pytest.raises(ValueError, match=r"match: '\[' is not a pattern"):
        FRet(prompt=prompt, match="[").check()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"meta": '{"qualname": "TrafficLight._setColor"}'}, "set color (in traffic light)"),
        ({"meta": '{"qualname": "http.Server2.close_all"}'}, "close all (in server 2)"),
        ({"meta": '{"qualname": "is_leap_year"}'}, "is leap year"),
        ({"title": "Sorting, an overview"}, "Sorting, an overview"),
        ({"meta": "no JSON", "title": "kept"}, "kept"),
        ({"meta": "[]"}, ""),
    ],
)
def test_a_prompt_may_take_the_name_of_a_passage(tmp_path, given, name):
    path = tmp_path / "named.j2"
    text = prompts.FRET.replace("{passage: data}", "{passage: data, name: line}")
    path.write_text(text.rstrip() + "\nName: {{ name }}|")
    model = Told([said(GOOD)])
    stage = FRet(prompt=str(path), candidates=1, min_chars=10)
    stage.check()
    stage.ask(to_table([passage(**given)], "passages"), None, model)
    assert model.requests[0].prompt.endswith(f"Name: {name}|")


def test_a_prompt_that_takes_what_there_is_not_is_refused(tmp_path):
    path = tmp_path / "other.j2"
    text = prompts.FRET.replace("{passage: data}", "{passage: data, colour: line}")
    path.write_text(text.rstrip() + "\n{{ colour }}")
    with pytest.raises(ValueError, match="it must take `passage`, and may take `name`"):
        FRet(prompt=str(path)).check()


@pytest.mark.parametrize(
    ("query", "grounded", "kept"),
    [
        ("order all of the rows", 1.0, True),  # `orders`, `all`, `rows`; the others are stop words
        ("sorting a row by columns", 1.0, True),
        ("order the rows of a spreadsheet", 1.0, False),
        ("order the rows of a spreadsheet", 0.6, True),
        ("order the rows of a spreadsheet", 0.7, False),
        ("open a spreadsheet file", 0.0, True),
    ],
)
def test_a_query_may_have_to_speak_of_what_is_there(prompt, query, grounded, kept):
    stage = FRet(prompt=prompt, candidates=1, min_chars=10, grounded=grounded)
    pairs, dropped = asked(stage, [passage()], [said(query)])
    assert [pair.query for pair in pairs] == ([query] if kept else [])
    assert [row["drop_detail"] for row in dropped] == ([] if kept else ["1 not_grounded"])
