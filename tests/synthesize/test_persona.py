"""`synthesize.persona`: who is offered, what is chosen, and what that does to the query."""

import json
import re

import pytest

from curate.llm.base import Generated
from curate.llm.prompts import FOLDER
from curate.synthesize.persona import Persona
from tests.synthesize.told import asked, passage

TEXT = (
    "The ferry across the fjord was replaced by a bridge in 1998, which shortened the way to the "
    "hospital by forty minutes. Only cyclists still take the boat, on Sundays in summer, when "
    "volunteers run it for a small fee."
)
QUERY = "how do I cross the fjord by bicycle"


def choose(request):
    """Choose the last of those who are offered."""
    offered = json.loads(request.schema)["properties"]["persona"]["enum"]
    return {"persona": offered[-1], "type": "keywords", "difficulty": "expert"}


def test_the_second_question_has_what_the_first_one_chose():
    stage = Persona(candidates=1, vary={"length": ["of ten words"]})
    (pair,), _, (first, second) = asked(stage, [passage(TEXT)], [choose, {"query": QUERY}])
    offered = json.loads(first.schema)["properties"]["persona"]["enum"]
    assert len(set(offered)) == 4
    assert f"Persons: {'; '.join(offered)}\n" in first.prompt
    end = f"Person: {offered[-1]}\nQuery: keywords of ten words, expert\n"
    assert second.prompt.endswith(end)
    assert pair.query == QUERY
    assert pair.task == "Given keywords, find a passage about them"
    assert pair.source == "persona"
    assert json.loads(pair.meta)["conditions"] == {
        "length": "of ten words",
        "persona": offered[-1],
        "type": "keywords",
        "difficulty": "expert",
    }


def test_each_query_has_persons_and_a_seed_of_its_own():
    records = [passage(f"{TEXT} {n}") for n in range(10)]
    _, _, requests = asked(Persona(), records, [choose] * 20 + [{"query": QUERY}] * 20)
    first = [json.loads(r.schema)["properties"]["persona"]["enum"] for r in requests[:20]]
    assert len({tuple(offered) for offered in first}) == 20
    assert [request.seed for request in requests] == [0, 1] * 20


def test_what_is_not_chosen_is_not_asked_about():
    cut = Generated('{"persona": "a b', "length", 1, 1)
    stage = Persona(candidates=3)
    answers = [cut, choose, {"persona": "x", "type": 1, "difficulty": ""}, {"query": QUERY}]
    (pair,), _, requests = asked(stage, [passage(TEXT)], answers)
    assert len(requests) == 4
    assert pair.query == QUERY
    assert json.loads(pair.meta)["rejected"] == {"cut_off": 1, "not_of_schema": 1}
    kept, (dropped,), _ = asked(stage, [passage(TEXT)], [cut] * 3)
    assert kept == []
    assert (dropped["drop_reason"], dropped["drop_detail"]) == ("no_usable_query", "3 cut_off")


def test_personas_of_ones_own(tmp_path):
    pool = tmp_path / "people.jsonl"
    pool.write_text('{"persona": "a pilot", "country": "Norway"}\na cyclist\n')
    stage = Persona(personas=str(pool), candidates=1)
    stage.check()
    _, _, (first, _) = asked(stage, [passage(TEXT)], [choose, {"query": QUERY}])
    offered = json.loads(first.schema)["properties"]["persona"]["enum"]
    assert sorted(offered) == ["a cyclist", "a pilot"]
    assert stage.material()["settings"]["personas"] == ["a pilot", "a cyclist"]


def test_the_pool_that_comes_along_has_a_hundred_persons():
    people = (FOLDER / "personas.txt").read_text("utf-8").splitlines()
    assert len(set(people)) == len(people) >= 100
    assert all(re.fullmatch(r"an? [^;]{8,80}", person) for person in people)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"choice": "queries-text"}, "choice: queries-text has no schema with `persona`"),
        ({"personas": "no/such/file"}, "no/such/file: cannot be read"),
        ({"tasks": [{"task": "x", "type": "riddle"}]}, "never drawn: type is one of question"),
        (
            {"vary": {"length": ["x"], "mood": ["y"]}},
            "vary.mood: persona-query does not take `mood`",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_it_runs(settings, problem):
    with pytest.raises(ValueError, match=problem):
        Persona(**settings).check()


def test_a_first_prompt_must_show_whom_it_offers(tmp_path):
    path = tmp_path / "choice.j2"
    text = (FOLDER / "persona-choice.j2").read_text("utf-8")
    path.write_text(text.replace("personas: list", "personas: text"))
    with pytest.raises(ValueError, match="must take `passage` as data and `personas` as list"):
        Persona(choice=str(path)).check()
