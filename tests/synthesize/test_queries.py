"""`synthesize.queries` and what it shares with `fret`: kinds, tasks, and families of one's own."""

import json
import re
from collections import Counter

import pytest

from curate.engine.local import run
from curate.recipe import Recipe
from curate.synthesize.fret import FRet
from curate.synthesize.queries import Queries
from tests.contracts.harness import Quiet
from tests.llm.made import MadeModel
from tests.synthesize.told import asked, passage

TEXT = (
    "The ferry across the fjord was replaced by a bridge in 1998, which shortened the way to the "
    "hospital by forty minutes. Only cyclists still take the boat, on Sundays in summer, when "
    "volunteers run it for a small fee."
)
QUERIES = ["why was the ferry replaced", "fjord bridge 1998", "Volunteers still run a boat there."]

OWN = """---
purpose: Write a request of a traveller, what answers it, and what does not.
source: made by a user
variables: {passage: data, name: line, language: line, mood: text, task: text}
schema:
  type: object
  properties:
    reasoning: {type: string}
    query: {type: string}
    positive: {type: string}
    negatives: {type: array, items: {type: string}}
  required: [reasoning, query, positive, negatives]
---
{{ passage }}
{{ name }}; {{ language }}; {{ mood }}; {{ task }}
"""
OWN_YAML = """
llm: {model: made}
stages:
  records: {tests.records: {rows: 40, hostile: 0}}
  own:
    synthesize.queries:
      from: records.passages
      prompt: PROMPT
      vary: {mood: [hopeful, tired], language: {de: 2, fr: 1}}
      tasks: [Find a way to get there, {task: Find a place to rest, mood: tired}]
      min_chars: 10
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "my-family.j2"
    path.write_text(OWN)
    return str(path)


def own_stage(own, **settings):
    given = {
        "prompt": own,
        "vary": {"mood": ["tired"], "language": ["de"]},
        "tasks": ["Find a way to get there"],
        "candidates": 1,
    }
    return Queries(**(given | settings))


def test_the_task_of_a_query_fits_its_kind():
    records = [passage(f"{TEXT} {n}") for n in range(60)]

    def write(request):
        kind = re.search(r"JSON line: a (\w+) of", request.prompt)[1]
        return {"query": QUERIES[["question", "keyword", "claim"].index(kind)]}

    pairs, dropped, requests = asked(Queries(), records, [write] * 180)
    assert not dropped
    assert len(requests) == 180
    fitting = {
        QUERIES[0]: ("question", "Given a question, find a passage that answers it"),
        QUERIES[1]: ("keyword", "Given keywords, find a passage about them"),
        QUERIES[2]: ("claim", "Given a claim, find a passage that supports it"),
    }
    for pair in pairs:
        made = json.loads(pair.meta)
        assert (made["conditions"]["kind"], pair.task) == fitting[pair.query]
        assert pair.source == "queries"
    kinds = Counter(json.loads(pair.meta)["conditions"]["kind"] for pair in pairs)
    assert min(kinds.values()) > 40


def test_examples_of_a_prompt_are_of_the_kind_that_is_asked_for():
    stage = Queries(vary={"kind": ["claim"]}, tasks=None, candidates=1)
    stage.check()
    (pair,), _, (request,) = asked(stage, [passage(TEXT)], [{"query": QUERIES[2]}])
    assert "Bulgaria's first railway connected" in request.prompt
    assert "Why did British engineers" not in request.prompt
    assert pair.task is None


@pytest.mark.parametrize(
    ("query", "usable"),
    [
        ("bridge in 1998", True),  # three words, a term to search for
        ("replaced by a bridge", False),
        ("fjord", False),  # one word
        ("Bridge Fjord", True),
    ],
)
def test_a_term_of_the_passage_is_a_query_but_a_sentence_is_not(query, usable):
    pairs, _, _ = asked(Queries(candidates=1), [passage(TEXT)], [{"query": query}])
    assert [pair.query for pair in pairs] == ([query] if usable else [])


# -- a family of one's own ----------------------------------------------------------------------------


def test_a_family_of_ones_own_is_a_prompt_and_a_few_lines(own, tmp_path):
    recipe = Recipe.parse(OWN_YAML.replace("PROMPT", own))
    made = run(
        recipe, tmp_path / "output", reporter=Quiet(), open_model=lambda _: MadeModel()
    ).artefacts["own"]
    rows = made.shards("main").to_arrow().to_pylist()
    assert len(rows) > 40
    for row in rows:
        drawn = json.loads(row["meta"])["conditions"]
        assert set(drawn) == {"mood", "language"}
        assert row["language"] == drawn["language"] in {"de", "fr"}
        assert row["task"] in {"Find a way to get there", "Find a place to rest"}
        assert not (row["task"] == "Find a place to rest" and drawn["mood"] == "hopeful")
        assert row["positives"][0]["origin"] == "llm"
    assert {row["task"] for row in rows} == {"Find a way to get there", "Find a place to rest"}


def test_fields_of_the_schema_are_what_they_are_called(own):
    answer = {
        "reasoning": "the traveller is tired",
        "query": "where can I sleep",
        "positive": "There are two hostels at the harbour.",
        "negatives": ["The harbour was built in 1920.", " There are two  hostels at the harbour. "],
    }
    given = passage(TEXT, title="Ferries <b>", language="en")
    (made,), _, (request,) = asked(own_stage(own), [given], [answer])
    assert request.prompt.endswith("Ferries b; German; tired; Find a way to get there")
    assert TEXT in request.prompt
    assert made.query == "where can I sleep"
    assert made.language == "de"
    (positive,) = made.positives
    assert (positive.text, positive.language, positive.origin) == (answer["positive"], "de", "llm")
    assert [doc.text for doc in made.negatives] == ["The harbour was built in 1920."]
    assert made.parents == [given.id]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"query": "where to sleep", "negatives": []}, "not_of_schema"),
        ({"query": "where to sleep", "positive": "x y", "negatives": "none"}, "not_of_schema"),
        ({"query": "where to sleep", "positive": "x y", "negatives": [1]}, "not_of_schema"),
        (
            {"query": "where to sleep", "positive": "Where to sleep?", "negatives": []},
            "copied_query",
        ),
    ],
)
def test_what_a_family_writes_is_checked(own, answer, reason):
    _, (dropped,), _ = asked(own_stage(own), [passage(TEXT)], [answer])
    assert dropped["drop_detail"] == f"1 {reason}"


@pytest.mark.parametrize(
    ("old", "new", "settings", "problem"),
    [
        ("query: {type", "question: {type", {}, "no schema with `query`"),
        (
            "passage: data",
            "passage: text",
            {},
            "`passage` is of type text; here it is foreign text",
        ),
        ("mood: text", "mood: list", {}, "`mood` is of type list; here it is the own text"),
        ("", "", {"vary": {"language": ["de"]}}, "must take `passage`, and may take `name`"),
        ("", "", {"vary": {"mood": ["x"], "tone": ["y"]}}, "vary.tone: .* does not take `tone`"),
        ("", "", {"vary": {"mood": ["x"], "language": ["German"]}}, "no language tag"),
        ("", "", {"tasks": None}, "may take `name`, `language`, `mood`"),
        ("", "", {"tasks": [{"task": "x", "place": "y"}]}, "no condition 'place'"),
        ("", "", {"tasks": "no/such/file"}, "no/such/file: cannot be read"),
        ("", "", {"min_chars": 9, "max_chars": 8}, "min_chars: 9 is more than"),
    ],
)
def test_a_family_that_cannot_work_is_refused_before_it_runs(own, old, new, settings, problem):
    text = OWN.replace(old, new) if old else OWN
    with open(own, "w") as file:
        file.write(text)
    with pytest.raises(ValueError, match=problem):
        own_stage(own, **settings).check()


# -- fret with a pool of tasks ------------------------------------------------------------------------


def test_fret_draws_its_task_from_a_pool(tmp_path):
    pool = tmp_path / "tasks.txt"
    pool.write_text("Find the answer to a question\nFind the page about a topic\n")
    stage = FRet(prompt="fret-task", tasks=str(pool), candidates=2)
    stage.check()
    records = [passage(f"{TEXT} {n}") for n in range(20)]
    pairs, _, requests = asked(stage, records, [{"query": q} for q in QUERIES[:2] * 20])
    shown = [request.prompt.rpartition("Task: ")[2].strip() for request in requests]
    assert [pair.task for pair in pairs] == shown
    assert set(shown) == set(pool.read_text().splitlines())


def test_the_key_holds_the_tasks_and_not_their_place(tmp_path):
    keys = []
    for name, text in (("a.txt", "one task"), ("b.txt", "one task"), ("a.txt", "another task")):
        path = tmp_path / name
        path.write_text(text)
        keys.append(FRet(prompt="fret-task", tasks=str(path)).material())
    assert keys[0] == keys[1] != keys[2]


def test_fret_without_a_pool_has_the_task_written():
    FRet(prompt="fret-text").check()
    with pytest.raises(ValueError, match="no schema with `task` and `query`"):
        FRet(prompt="queries-text").check()
    with pytest.raises(ValueError, match="tasks: fret-text does not take `task`"):
        FRet(prompt="fret-text", tasks=["Find it"]).check()
