"""Requests that are collected and not asked: which they are, and what they are answered."""

import json

import pytest
from jsonschema import Draft202012Validator

from curate.errors import CurateError
from curate.llm.answers import Answers
from curate.llm.base import Choose, Generate, Generated, Score
from curate.llm.collect import Collected, made_answer, made_text
from curate.llm.prompts import FOLDER, Prompt

TEXT = {"type": "string"}
SCHEMAS = [
    {"type": "object", "properties": {"a": TEXT, "b": {"type": "integer"}}, "required": ["a", "b"]},
    {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False},
    {"type": "string", "minLength": 30, "maxLength": 33},
    {"type": "string", "maxLength": 2},
    {"type": "array", "items": TEXT, "minItems": 3, "maxItems": 3},
    {"type": "array", "items": {"enum": [3, 4]}},
    {"type": "number", "minimum": 2, "exclusiveMaximum": 3},
    {"type": "integer", "exclusiveMinimum": 4, "maximum": 5},
    {"type": ["boolean", "null"]},
    {"const": [1]},
    {"anyOf": [{"type": "null"}, TEXT]},
    {
        "$ref": "#/$defs/b",
        "$defs": {"a": TEXT, "b": {"type": "array", "items": {"$ref": "#/$defs/a"}}},
    },
    *(schema for file in FOLDER.glob("*.j2") if (schema := Prompt.load(file).schema) is not None),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:60])
def test_a_made_text_follows_its_schema(schema):
    text = made_text(Generate("p", schema=json.dumps(schema)))
    Draft202012Validator(schema).validate(json.loads(text))
    assert len(text) < 500


def test_a_schema_without_an_example_is_told():
    with pytest.raises(CurateError, match=r"no example .*does not match"):
        made_text(Generate("p", schema='{"type": "string", "pattern": "^[0-9]+$"}'))


def test_made_answers_can_be_used():
    assert made_answer(Score("a", " b c")).mean == -1
    assert made_answer(Choose("a", (" b", " c"))).probabilities == (0.5, 0.5)
    assert made_answer(Generate("a")).finish == "stop"
    written = {None: ["one", "two"]}
    texts = {made_answer(Generate("a", seed=n), written).text for n in range(20)}
    assert texts == {"one", "two"}


def test_what_is_not_recorded_is_collected_once_and_nothing_is_written(tmp_path):
    answers = Answers(tmp_path / "answers.sqlite")
    known, cut, new = (Generate(text) for text in ("known", "cut", "new"))
    answers.put("m", [(known, Generated("x", "stop", 1, 1)), (cut, Generated("", "length", 1, 1))])
    calls = []
    model = Collected("m", answers, calls.append, attempts=2)
    given = model.generate([known, new, cut, new])
    assert given[0].text == "x"
    assert [one.finish for one in given] == ["stop"] * 4
    model.generate([new, cut])
    again = Generate("cut", attempt=1)
    assert calls == [[new], [again]], "the second attempt at what was cut off is still to be asked"
    assert answers.count() == 2


def test_what_collecting_raises_ends_the_call(tmp_path):
    def refuse(requests):
        raise CurateError(f"{len(requests)} requests")

    model = Collected("m", Answers(tmp_path / "answers.sqlite"), refuse)
    with pytest.raises(CurateError, match="2 requests"):
        model.score([Score("a", " b"), Score("a", " c"), Score("a", " c")])
