"""Tasks without passages and their examples: rounds, coverage, what is refused, and the records."""

import hashlib
import json
import random
import re
from collections import Counter

import pytest

from curate.engine.local import plan, run
from curate.llm.base import Generated
from curate.llm.prompts import FOLDER, Prompt
from curate.recipe import Recipe
from curate.report.blocks import to_markdown
from curate.report.run import run_report
from curate.schema import Passage, from_table, to_table
from curate.synthesize.coverage import FAMILIES, Cell, cell_of
from curate.synthesize.taxonomy import WORDS
from tests.contracts.harness import Quiet

COVERAGE = """
  coverage:
    family: {short-long: 2, long-short: 1, short-short: 1, long-long: 1, sts: 2, bitext: 1}
    language: {en: 3, de: 1}
    length: {short: 1}
    difficulty: [college]
"""
RECIPE = f"""
llm: {{model: made}}
params:{COVERAGE}
stages:
  tasks: {{synthesize.tasks: {{count: 80, coverage: "${{coverage}}"}}}}
  pairs: {{synthesize.taxonomy: {{count: 120, coverage: "${{coverage}}"}}}}
"""
VOCABULARIES = {
    "English": (
        "the people of this old town were reading their letters beside a quiet river while "
        "children played under tall trees and somebody sold fresh bread from the wooden "
        "cart although it had been raining since early morning nobody wanted to leave "
        "because music came through every open window where young women laughed about what "
        "they would have done with another day without work before winter brought snow over "
        "hills which everyone knew "
    ),
    "German": (
        "die Leute aus dieser alten Stadt lasen gestern ihre Briefe neben dem ruhigen Fluss "
        "während Kinder unter hohen Bäumen spielten und jemand frisches Brot vom hölzernen "
        "Wagen verkaufte obwohl es seit dem frühen Morgen regnete wollte niemand gehen weil "
        "Musik durch jedes offene Fenster kam wo junge Frauen darüber lachten was sie mit "
        "einem weiteren Tag ohne Arbeit getan hätten bevor der Winter Schnee über alle "
        "Hügel brachte die jeder kannte "
    ),
}
"""Words of which texts are made that are surely in their language."""


class Writer:
    """Writes what is asked for, but of some requests what cannot be used.

    :param faults: by fault the share of the requests: `repeat` (tasks), `language`, `length`, `copy`,
        `cut`.
    """

    def __init__(self, **faults):
        self.faults = faults
        self.asked = []

    def generate(self, requests):
        for index, request in enumerate(requests):
            self.asked.append(request)
            rng = random.Random(hashlib.blake2b(repr(request).encode()).digest())
            faults = {name for name, share in self.faults.items() if rng.random() < share}
            last = request.prompt.rstrip().rsplit("\n\n", 1)[-1]
            task = "query" not in json.loads(request.schema)["properties"]
            data = _task(rng, last, faults) if task else _example(rng, last, faults)
            data = _fitted(data, json.loads(request.schema)["properties"])
            text = json.dumps(data, ensure_ascii=False)
            cut = "cut" in faults
            yield index, Generated(text[:-9] if cut else text, "length" if cut else "stop", 9, 9)


def _fitted(data, properties):
    """Cut texts to what the schema allows, as constrained decoding does."""
    cut = {name: properties[name].get("maxLength") for name in data}
    return {name: text[: cut[name]] if cut[name] else text for name, text in data.items()}


def _task(rng, last, faults):
    if "repeat" in faults:
        return {"task": "Given a thing of some kind, find another thing like it."}
    said = " ".join(f"{rng.getrandbits(30):x}" for _ in range(6))
    return {"task": f"Given {said}, find it. {last.splitlines()[-1]}"}


def _example(rng, last, faults):
    shown = last.splitlines()[-1]
    low, high = map(int, re.findall(r"(\d+) to (\d+) words", shown)[-1])
    named = re.findall("English|German", shown)
    first, second = named[0], named[-1]
    if "language" in faults:
        first = {"English": "German", "German": "English"}[first]
    count = 3 * high if "length" in faults else (low + high) // 2

    def text(language, words):
        return " ".join(
            [*rng.choices(VOCABULARIES[language].split(), k=words - 1), f"{rng.getrandbits(9)}"]
        )

    query, positive = text(first, count), text(second, count)
    return {
        "query": query,
        "positive": query if "copy" in faults else positive,
        "negatives": [text(second, count)[:80]],
    }


@pytest.fixture
def write(tmp_path):
    """Run the recipe with overrides and a writer; `write.asked` is what was asked of it."""

    def write(*overrides, output="output", **faults):
        recipe = Recipe.parse(RECIPE, overrides=overrides)
        writer = Writer(**faults)
        options = {"workers": 1, "reporter": Quiet(), "open_model": lambda _: writer}
        write.asked = writer.asked
        return run(recipe, tmp_path / output, **options)

    return write


def records(finished, stage, side="main"):
    return from_table(finished.shards(stage, side).to_arrow())


def notes(finished, stage):
    return finished.artefacts[stage].manifest.info["notes"]


def cells(found):
    return Counter(cell_of(record.meta) for record in found)


# -- tasks -----------------------------------------------------------------------------------------


def test_each_cell_gets_its_tasks_though_many_are_repeated_or_cut_off(write):
    finished = write(repeat=0.4, cut=0.1)
    coverage = finished.recipe.nodes["tasks"].stage.coverage
    found = records(finished, "tasks")
    assert cells(found) == coverage.apportion(80)
    assert len({record.text for record in found}) == 80
    told = notes(finished, "tasks")
    assert told["reached"] == told["asked"] == 80 > told["first_round"] > 20
    assert told["coverage_error"] == 0 < told["coverage_error_first_round"]
    account = finished.artefacts["tasks"].account
    assert account.inputs == account.asked["calls"] == 80 + sum(account.dropped.values())
    assert account.dropped["repeated"] > 10 < account.dropped["cut_off"] + 8
    dropped = finished.shards("tasks", "dropped").to_arrow().to_pylist()
    details = {row["drop_detail"] for row in dropped if row["drop_reason"] == "repeated"}
    assert details == {"Given a thing of some kind, find another thing like it."}


def test_without_further_rounds_the_tasks_stay_short(write):
    finished = write("tasks.rounds=1", repeat=0.4)
    told = notes(finished, "tasks")
    assert told["first_round"] == told["reached"] < 70
    assert told["coverage_error"] == told["coverage_error_first_round"] > 0


def test_a_model_that_says_one_thing_is_asked_a_bounded_number_of_times(write):
    finished = write("tasks.count=10", "pairs.count=5", repeat=1.0)
    assert len(records(finished, "tasks")) == 1
    calls = finished.artefacts["tasks"].account.asked["calls"]
    assert 10 < calls <= 10 * (1 + 4 * 4)


def test_tasks_show_what_was_drawn_and_differ_between_seeds(write):
    finished = write()
    asked = [request.prompt for request in write.asked if request.prompt.startswith("Tasks for")]
    assert len(set(asked)) == len(asked) == 80
    for record in records(finished, "tasks"):
        conditions = json.loads(record.meta)["conditions"]
        assert any(f"Subject: {conditions['domain']}." in prompt for prompt in asked)
    again = write(output="again")
    assert records(again, "tasks") == records(finished, "tasks")
    assert records(again, "pairs") == records(finished, "pairs")
    other = write("tasks.seed=1", output="other")
    assert not {r.text for r in records(other, "tasks")} & {
        r.text for r in records(finished, "tasks")
    }


def test_the_plan_tells_the_first_round(write, tmp_path):
    finished = write(output="other")
    tasks, _ = plan(finished.recipe, tmp_path / "planned")
    assert tasks.asks.takes.calls == 80
    assert tasks.asks.takes.prompt_tokens > 80 * 50


def test_a_run_again_asks_nothing(write):
    first = write(repeat=0.3, length=0.2)
    more = write("pairs.languages=trust", repeat=0.3, length=0.2)
    assert not write.asked
    assert records(more, "tasks") == records(first, "tasks")


# -- examples --------------------------------------------------------------------------------------


def test_pairs_cover_what_is_asked_though_a_third_is_lost(write):
    finished = write(language=0.1, length=0.15, copy=0.15, cut=0.05)
    coverage = finished.recipe.nodes["pairs"].stage.coverage
    found = records(finished, "pairs")
    assert cells(found) == coverage.apportion(120)
    told = notes(finished, "pairs")
    assert told["first_round"] < 100
    assert told["coverage_error"] == 0 < told["coverage_error_first_round"]
    rejected = Counter()
    for meta in {pair.group: json.loads(pair.meta)["rejected"] for pair in found}.values():
        rejected.update(meta)
    assert rejected.keys() >= {"wrong_language", "wrong_length", "copied_query", "cut_off"}


def test_pairs_are_what_their_family_says(write):
    tasks, pairs = (records(finished := write(), stage) for stage in ("tasks", "pairs"))
    by_id = {task.id: task for task in tasks}
    assert finished.artefacts["pairs"].account.inputs == 80
    for pair in pairs:
        cell, made = cell_of(pair.meta), json.loads(pair.meta)
        task = by_id[pair.parents[0]]
        assert (pair.task, pair.group) == (task.text, task.id)
        assert cell_of(task.meta) == cell
        assert made["prompt"] == f"taxonomy-{cell.family}"
        assert pair.symmetric == (cell.family in ("sts", "bitext"))
        (positive,), (negative,) = pair.positives, pair.negatives
        assert (positive.origin, negative.origin) == ("llm", "llm")
        other = made["conditions"].get("other", cell.language)
        assert (other != cell.language) == (cell.family == "bitext")
        assert (pair.language, positive.language, negative.language) == (
            cell.language,
            other,
            other,
        )
        if cell.family == "sts":
            grades = (made["conditions"]["high"], made["conditions"]["low"])
            assert (positive.label, negative.label) == tuple(map(float, grades))
        else:
            assert positive.label is negative.label is None
    assert {cell_of(pair.meta).family for pair in pairs} == set(FAMILIES)


def test_a_cell_without_a_task_borrows_those_of_its_family(write):
    only = "{family: {sts: 1}, language: [en], length: {short: 1}, difficulty: [college]}"
    finished = write(
        f"tasks.coverage={only}",
        "tasks.count=4",
        "pairs.coverage={family: {sts: 1, short-long: 1}, language: [en, de], length: {short: 1}}",
        "pairs.count=40",
    )
    found = cells(records(finished, "pairs"))
    assert {cell.family for cell in found} == {"sts"}
    assert Counter(cell.language for cell in found.elements()) == {"en": 10, "de": 10}
    assert notes(finished, "pairs")["coverage_error"] == 0.5


def test_tasks_that_are_not_asked_for_are_dropped_with_the_reason(write):
    finished = write("pairs.count=20", "pairs.coverage={family: {sts: 1}, language: [en, de]}")
    account = finished.artefacts["pairs"].account
    assert account.dropped == {"not_needed": 80 - account.kept}
    assert account.outputs["main"] == 20
    nothing = write("pairs.rounds=1", output="nothing", length=1.0)
    assert nothing.artefacts["pairs"].account.dropped == {"no_usable_pair": 80}
    row = nothing.shards("pairs", "dropped").to_arrow().to_pylist()
    assert {r["drop_detail"] for r in row if r["drop_reason"] == "no_usable_pair"} >= {
        "1 wrong_length"
    }


def test_passages_of_the_user_are_tasks_if_they_say_their_cell():
    stage = Recipe.parse(RECIPE).nodes["pairs"].stage
    cell = Cell("sts", "en", "short", "college")
    own = Passage("Find the same.", "me", "g", meta=json.dumps({"cell": cell._asdict()}))
    table = to_table([own, Passage("A text without a cell.", "me", "g")], "passages")
    plan = stage.share_out([table])
    assert plan.keys() == {own.id}
    wanted = sum(n for c, n in stage.coverage.apportion(120).items() if c.family == "sts")
    assert sum(count for _, count in plan[own.id]) == wanted
    outcome = stage.ask(table, plan, _Recorded())
    assert outcome.kept_inputs == 1
    assert outcome.dropped["drop_reason"].to_pylist() == ["no_cell"]


class _Recorded:
    """Answers from the writer, without a record."""

    def generate(self, requests):
        return [answer for _, answer in Writer().generate(requests)]


def test_the_report_shows_the_coverage(write):
    text = to_markdown(run_report(write(repeat=0.4)))
    assert "tasks: asked and reached shares" in text
    assert "pairs: asked and reached shares" in text
    assert re.search(r"language\s*\|\s*de\s*\|\s*25\.0%", text)


# -- settings and prompts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("tasks.prompt=fret-code", "has no schema with `task`|which has no value"),
        ("tasks.vary={mood: [sad]}", "takes domain, form, which has no value|vary.mood"),
        ("pairs.vary={mood: [sad]}", "which has no value here|vary.mood"),
        ("pairs.prompts={sts: fret-code}", "prompts.sts: fret-code has no schema with"),
        ("pairs.prompts={poem: fret-code}", "short-long"),
        ("tasks.coverage={language: [en]}", "bitext needs two languages"),
    ],
)
def test_settings_that_cannot_work_are_refused(override, told):
    with pytest.raises(Exception, match=told):
        Recipe.parse(RECIPE, overrides=[override])


def test_a_prompt_of_the_user_replaces_that_of_a_family(write, tmp_path):
    text = (FOLDER / "taxonomy-sts.j2").read_text().replace("Each task is followed", "A task comes")
    (tmp_path / "own.j2").write_text(text)
    plain = write(output="a")
    own = write(f"pairs.prompts={{sts: {tmp_path}/own.j2}}", output="a")
    assert plain.artefacts["tasks"].key == own.artefacts["tasks"].key
    assert plain.artefacts["pairs"].key != own.artefacts["pairs"].key
    asked = [request.prompt for request in write.asked]
    assert asked
    assert all(prompt.startswith("A task comes") for prompt in asked)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_examples_of_a_prompt_would_be_used_themselves(family):
    """They are of the schema, of the length that they state, and differ from one another."""
    prompt = Prompt.load(f"taxonomy-{family}")
    limits = prompt.schema["properties"]
    for example in prompt.examples:
        low, high = map(int, example["words"].split(" to "))
        assert (low, high) in WORDS[family].values()
        measured = example["query" if family == "long-short" else "positive"]
        assert low / 1.5 <= len(measured.split()) <= high * 1.5
        texts = [example[name] for name in ("query", "positive", "negative")]
        assert len(set(texts)) == 3
        for text, limit in zip(
            texts, (limits["query"], limits["positive"], limits["negatives"]["items"]), strict=True
        ):
            assert limit["minLength"] <= len(text) <= limit["maxLength"]
