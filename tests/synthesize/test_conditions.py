"""Conditions and tasks: the same for any batch, in the shares asked for, and refused if wrong."""

import json
from collections import Counter

import pytest
from pydantic import TypeAdapter, ValidationError

from curate.synthesize.conditions import Vary, check_languages, draw, pick, pick_some
from curate.synthesize.pools import Tasks, read_pool, texts_of

RECORDS = [f"record-{n}" for n in range(4_000)]
KINDS = ["question", "keyword", "claim"]


def test_values_come_in_the_shares_that_were_asked_for():
    vary = {"length": {"short": 3.0, "long": 1.0}, "kind": KINDS}
    drawn = [draw(vary, 7, record, number) for record in RECORDS for number in range(3)]
    lengths = Counter(d["length"] for d in drawn)
    assert lengths["short"] / len(drawn) == pytest.approx(0.75, abs=0.01)
    together = Counter((d["kind"], d["length"]) for d in drawn)
    for kind in KINDS:  # what is drawn of one condition says nothing of another
        assert together[kind, "short"] / len(drawn) == pytest.approx(0.25, abs=0.01)


def test_each_draw_number_has_the_same_shares():
    for number in range(4):
        drawn = Counter(draw({"kind": KINDS}, 0, record, number)["kind"] for record in RECORDS)
        assert all(
            count / len(RECORDS) == pytest.approx(1 / 3, abs=0.03) for count in drawn.values()
        )


def test_the_draws_of_a_record_are_spread_over_the_values():
    """Of ten draws of two equal values, chance alone would give 3 to 7 in nine of ten records."""
    for record in RECORDS[:500]:
        drawn = Counter(pick(["a", "b"], "x", 0, record, number) for number in range(10))
        assert 4 <= drawn["a"] <= 6


def test_a_draw_depends_on_seed_record_number_and_name_alone():
    vary = {"kind": KINDS}
    reordered = {"other": ["x", "y"], "kind": KINDS}
    first = [draw(vary, 0, record, 1)["kind"] for record in RECORDS]
    assert [draw(reordered, 0, record, 1)["kind"] for record in RECORDS] == first
    for others in (
        [draw(vary, 1, record, 1)["kind"] for record in RECORDS],
        [draw(vary, 0, record, 2)["kind"] for record in RECORDS],
        [draw({"sort": KINDS}, 0, record, 1)["sort"] for record in RECORDS],
    ):
        assert others != first


def test_the_order_of_weighted_values_changes_nothing():
    """The key of an artefact does not hold it."""
    one = {"kind": {"question": 2.0, "claim": 1.0}}
    other = {"kind": {"claim": 1.0, "question": 2.0}}
    for record in RECORDS[:200]:
        assert draw(one, 0, record, 0) == draw(other, 0, record, 0)


def test_several_are_drawn_without_repetition():
    pool = [f"person {n}" for n in range(9)]
    drawn = [pick_some(pool, 4, "persona", 0, record, 0) for record in RECORDS]
    assert all(len(set(some)) == 4 for some in drawn)
    shares = Counter(person for some in drawn for person in some)
    assert all(n / len(RECORDS) == pytest.approx(4 / 9, abs=0.04) for n in shares.values())
    assert sorted(pick_some(pool, 20, "persona", 0, "record", 0)) == pool


@pytest.mark.parametrize(
    "vary",
    [
        {"kind": []},
        {"kind": {}},
        {"kind": {"a": 0}},
        {"kind": {"a": -1}},
        {"kind": {"a": float("inf")}},
        {"kind": [""]},
        {"kind": [1]},
        {"Kind": ["a"]},
    ],
)
def test_conditions_that_cannot_be_drawn_are_refused(vary):
    with pytest.raises(ValidationError):
        TypeAdapter(Vary).validate_python(vary)


def test_languages_are_tags():
    check_languages({"language": {"de": 1.0, "pt-BR": 1.0}, "kind": ["German"]})
    with pytest.raises(ValueError, match=r"vary\.language: 'German' is no language tag"):
        check_languages({"language": ["en", "German"]})


def test_tasks_fit_conditions():
    tasks = Tasks(
        ["any", {"task": "answer", "kind": "question"}, {"task": "prove", "kind": "claim"}]
    )
    drawn = {
        kind: {tasks.draw({"kind": kind}, 0, record, 0) for record in RECORDS[:50]}
        for kind in (*KINDS, "")
    }
    assert drawn["question"] == {"any", "answer"}
    assert drawn["claim"] == {"any", "prove"}
    assert drawn["keyword"] == drawn[""] == {"any"}
    assert Tasks([{"task": "prove", "kind": "claim"}]).draw({"kind": "x"}, 0, "r", 0) is None


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            {"task": "prove", "kind": "proof"},
            "never drawn: kind is one of question, keyword, claim",
        ),
        ({"task": "prove", "mood": "sad"}, "there is no condition 'mood'"),
    ],
)
def test_tasks_for_conditions_that_never_are_are_refused(entry, problem):
    with pytest.raises(ValueError, match=problem):
        Tasks([entry]).check({"kind": KINDS})


def test_a_pool_is_a_list_or_a_file(tmp_path):
    path = tmp_path / "tasks.jsonl"
    entries = ["find a proof", {"task": "find the answer", "kind": "question"}]
    path.write_text(f"{entries[0]}\n\n  {json.dumps(entries[1])}  \n", "utf-8")
    assert read_pool(str(path), "task") == read_pool(entries, "task") == entries
    assert texts_of(entries, "task") == ["find a proof", "find the answer"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds nothing"),
        ('a\n{"task": ', r":2: not JSON: '\{\"task\":'"),
        ('{"task": 7}', ":1: all values of an entry are texts"),
        ('{"job": "x"}', "has no 'task'"),
        ("[" * 100_000, None),  # a line of text, if a strange one
        ("{" * 100_000, ":1: not JSON"),
    ],
)
def test_a_broken_pool_is_refused_with_its_line(tmp_path, text, problem):
    path = tmp_path / "pool.txt"
    path.write_text(text)
    if problem is None:
        assert read_pool(str(path), "task") == [text]
        return
    with pytest.raises(ValueError, match=problem):
        read_pool(str(path), "task")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_pool(str(tmp_path / "none"), "task")
