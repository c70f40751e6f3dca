"""`filter.likelihood`: a query is held against the average of its own passage."""

import numpy as np
import pytest

from curate.filter.likelihood import LIKELIHOOD, MARGIN, LikelihoodFilter
from curate.llm.base import Scored
from curate.schema import Doc, Pair, from_table, to_table
from tests.llm import prompts

EXAMPLES = ["return an example of a function", "count the words of a text"]


class Table:
    """Scores by a table of nats per token; remembers the requests."""

    def __init__(self, nats):
        self.nats, self.requests = nats, []

    def score(self, requests):
        self.requests += requests
        return [Scored(3 * self.nats[r.continuation.strip()], 3, 10) for r in requests]


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
    assert kept.scores == {LIKELIHOOD: -1.0, MARGIN: 2.0}
    (dropped,) = outcome.dropped.to_pylist()
    assert dropped["drop_reason"] == "unlikely"
    assert dropped["drop_detail"] == "margin 0.40, minimum 0.5"
    assert {s["name"]: round(s["value"], 5) for s in dropped["scores"]} == {
        LIKELIHOOD: -2.6,
        MARGIN: 0.4,
    }


def test_every_continuation_begins_with_a_space_after_its_passage(prompt):
    model = Table({"near": -1.0, EXAMPLES[0]: -2.0, EXAMPLES[1]: -4.0})
    LikelihoodFilter(prompt=prompt).ask(to_table(pairs("near"), "pairs"), None, model)
    assert [r.continuation for r in model.requests] == [" near", *(f" {e}" for e in EXAMPLES)]
    assert len({r.prompt for r in model.requests}) == 1
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
