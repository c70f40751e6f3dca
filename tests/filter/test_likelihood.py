"""`filter.likelihood`: a query is held against the average of its own passage."""

import numpy as np
import pytest

from curate.filter.likelihood import LIFT, LIKELIHOOD, MARGIN, LikelihoodFilter
from curate.llm.base import Scored
from curate.schema import Doc, Pair, from_table, to_table
from tests.llm import prompts

EXAMPLES = ["return an example of a function", "count the words of a text"]


class Table:
    """Scores by a table of nats per token, and `alone` after an empty passage; remembers requests."""

    def __init__(self, nats, alone=-5.0):
        self.nats, self.alone, self.requests = nats, alone, []

    def score(self, requests):
        self.requests += requests
        return [Scored(3 * self._nats(request), 3, 10) for request in requests]

    def _nats(self, request):
        empty = request.prompt.endswith("```\n\n```")
        return self.alone if empty else self.nats[request.continuation.strip()]


@pytest.fixture
def prompt(tmp_path):
    path = tmp_path / "made.j2"
    path.write_text(prompts.LIKELIHOOD)
    return str(path)


def pairs(*queries, text="def sort(rows): ..."):
    return [Pair("k", q, [] if text is None else [Doc(text)], "s", "g") for q in queries]


def test_the_margin_is_the_distance_to_the_mean_of_the_examples(prompt):
    model = Table({"near": -1.0, "far": -2.6, EXAMPLES[0]: -2.0, EXAMPLES[1]: -4.0})
    stage = LikelihoodFilter(prompt=prompt, margin=0.5)
    outcome = stage.ask(to_table(pairs("near", "far"), "pairs"), None, model)
    (kept,) = from_table(outcome.kept)
    assert kept.query == "near"
    assert kept.scores == {LIKELIHOOD: -1.0, MARGIN: 2.0, LIFT: 4.0}
    (dropped,) = outcome.dropped.to_pylist()
    assert dropped["drop_reason"] == "unlikely"
    assert dropped["drop_detail"] == "margin 0.40, minimum 0.5"
    assert {s["name"]: round(s["value"], 5) for s in dropped["scores"]} == {
        LIKELIHOOD: -2.6,
        MARGIN: 0.4,
        LIFT: 2.4,
    }


def test_the_lift_is_the_distance_to_the_query_without_a_passage(prompt):
    nats = {"near": -1.0, "other": -1.5, EXAMPLES[0]: -4.0, EXAMPLES[1]: -4.0}
    stage = LikelihoodFilter(prompt=prompt, lift=1.2)
    outcome = stage.ask(to_table(pairs("near", "other"), "pairs"), None, Table(nats, alone=-2.5))
    assert outcome.kept["query"].to_pylist() == ["near"]
    assert outcome.dropped["drop_reason"].to_pylist() == ["likely_anyway"]
    assert outcome.dropped["drop_detail"].to_pylist() == ["lift 1.00, minimum 1.2"]


def test_every_continuation_begins_with_a_space_after_its_passage(prompt):
    model = Table({"near": -1.0, EXAMPLES[0]: -2.0, EXAMPLES[1]: -4.0})
    LikelihoodFilter(prompt=prompt).ask(to_table(pairs("near"), "pairs"), None, model)
    *asked, empty = model.requests
    assert [r.continuation for r in asked] == [" near", *(f" {e}" for e in EXAMPLES)]
    assert len({r.prompt for r in asked}) == 1
    assert empty.continuation == " near"
    assert "def sort(rows)" not in empty.prompt
    assert "def sort(rows)" in model.requests[0].prompt


def test_what_has_no_text_is_dropped_unasked(prompt):
    model = Table({})
    records = [*pairs(""), *pairs("query", text=None)]
    outcome = LikelihoodFilter(prompt=prompt).ask(to_table(records, "pairs"), None, model)
    assert outcome.dropped["drop_reason"].to_pylist() == ["no_text", "no_text"]
    assert model.requests == []


def test_only_the_beginning_of_a_long_passage_is_read(prompt):
    model = Table({"near": -1.0, EXAMPLES[0]: -2.0, EXAMPLES[1]: -4.0})
    table = to_table(pairs("near", text="a " * 500 + "END"), "pairs")
    LikelihoodFilter(prompt=prompt, max_chars=100).ask(table, None, model)
    assert "END" not in model.requests[0].prompt
    assert np.char.count(model.requests[0].prompt, "a a a") > 10


def test_a_prompt_without_examples_is_refused(tmp_path):
    path = tmp_path / "other.j2"
    path.write_text(prompts.RELEVANCE.replace(", query: data", "").replace("{{ query }}\n", ""))
    with pytest.raises(ValueError, match="no examples to average over"):
        LikelihoodFilter(prompt=str(path)).check()
