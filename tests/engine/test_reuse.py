"""What is reused and what runs again, told by the stages that ran and the folders of the parts."""

import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from curate.account import AccountingError
from curate.engine.local import plan
from curate.engine.run import open_run
from curate.errors import CurateError
from curate.recipe import Recipe
from curate.stage import Map, Outcome, execution, keep_all
from tests.contracts.records import Records

RECIPE = """
params: {packages: [click, pluggy], k: 30}
stages:
  code:    {harvest.python: {packages: "${packages}", stdlib: false, topics: false, summaries: false}}
  clean:   {filter.rules: {min_query_chars: 10}}
  exact:   {dedup.exact: {on: passage}}
  parts:   {split: {held_out_groups: [pluggy]}}
  trusted: {filter.consistency: {encoder: MODEL, k: "${k}"}}
  found:   {mine.retrieve: {encoder: MODEL, top: 5}}
  hard:    {mine.select: {count: 2}}
  shards:  {shards: {corpus: [code.passages]}}
  proof:   {evaluate.retrieval: {from: parts.held_out, models: [MODEL], samples: 100}}
"""
ALL = ["code", "clean", "exact", "parts", "trusted", "found", "hard", "shards", "proof"]


@pytest.fixture
def recipe(model):
    """Return the recipe, with settings overridden."""
    return lambda *overrides: Recipe.parse(RECIPE.replace("MODEL", str(model)), overrides=overrides)


def parts(run, stage="") -> dict[str, int]:
    """Return the inode of every part of a stage."""
    folder = run.folder.parent.parent / "store" / "parts"
    return {path.name: path.stat().st_ino for path in folder.glob(f"{stage}*")}


def test_unchanged_everything_is_reused(execute, recipe, tmp_path):
    first, told = execute(recipe())
    assert told.ran == ALL
    before = parts(first)
    second, told = execute(recipe())
    assert (told.reused, told.ran) == (ALL, [])
    assert parts(second) == before
    assert all(step.reused for step in plan(recipe(), tmp_path / "output"))
    assert second.shards("shards").to_arrow().equals(first.shards("shards").to_arrow())
    assert [row["reused"] for row in second.stage_rows()] == [True] * len(ALL)


@pytest.mark.parametrize(
    ("override", "again"),
    [
        ("clean.min_query_chars=20", ALL[1:]),
        ("parts.seed=1", ALL[3:]),
        ("params.k=2", ["trusted", "found", "hard", "shards"]),
        ("hard.count=1", ["hard", "shards"]),
        ("shards.by=all", ["shards"]),
        ("proof.samples=200", ["proof"]),
    ],
)
def test_one_setting_runs_its_stage_and_what_depends_on_it(execute, recipe, override, again):
    execute(recipe())
    _, told = execute(recipe(override))
    assert told.ran == again
    _, told = execute(recipe())
    assert told.ran == []


def test_plan_says_what_a_run_then_does(execute, recipe, tmp_path):
    execute(recipe())
    planned = plan(recipe("hard.count=1"), tmp_path / "output")
    _, told = execute(recipe("hard.count=1"))
    assert [step.name for step in planned if not step.reused] == told.ran


@pytest.mark.parametrize("options", [{"workers": 2}, {"batch": 3}, {"wait": False}])
def test_execution_reruns_nothing(execute, recipe, options):
    execute(recipe())
    _, told = execute(recipe(), **options)
    assert told.ran == []


class Paced(Map):
    """Keep every record, at a pace."""

    name = "tests.paced"
    rows_at_once: int = execution(10)
    """How many."""
    mark: str = ""
    """Changes the key."""

    def map(self, table):
        return keep_all(table)


def test_a_setting_of_execution_is_not_in_the_key(execute):
    stages = {"records": Records(rows=10), "paced": Paced()}
    execute(Recipe(stages))
    _, told = execute(Recipe(stages | {"paced": Paced(rows_at_once=1)}))
    assert told.ran == []
    _, told = execute(Recipe(stages | {"paced": Paced(mark="x")}))
    assert told.ran == ["paced"]


def test_a_new_version_runs_again(execute, monkeypatch):
    stages = {"records": Records(rows=10), "paced": Paced()}
    execute(Recipe(stages))
    monkeypatch.setattr(Paced, "version", 2)
    _, told = execute(Recipe(stages))
    assert told.ran == ["paced"]


def test_another_package_adds_parts_to_maps_and_changes_none(execute, recipe):
    first, _ = execute(recipe())
    before, harvested = parts(first, "filter.rules"), parts(first, "harvest.python")
    second, told = execute(recipe("params.packages=[click, pluggy, packaging]"))
    after = parts(second, "filter.rules")
    assert told.reused == []
    assert before.items() < after.items()
    assert len(after) == len(before) + 1
    now = parts(second, "harvest.python")
    assert harvested.items() < now.items()
    assert len(now) == len(harvested) + 1
    third, _ = execute(recipe("params.packages=[packaging, pluggy]"))
    assert parts(third, "filter.rules") == after
    assert len(third.shards("clean")) < len(second.shards("clean"))


def test_the_name_of_a_stage_is_not_in_the_key(execute):
    execute(Recipe({"records": Records(rows=10), "paced": Paced()}))
    _, told = execute(Recipe({"a": Records(rows=10), "b": Paced()}))
    assert told.ran == []


def test_joined_inputs_are_all_there_in_order(execute):
    stages = {
        "first": Records(rows=10, seed=1),
        "second": Records(rows=20, seed=2),
        "both": Paced(from_=["second", "first"]),
    }
    run, _ = execute(Recipe(stages))
    ids = [run.shards(name).to_arrow(["id"])["id"].to_pylist() for name in stages]
    assert ids[2] == ids[1] + ids[0]


def test_equal_shards_are_counted_twice(execute):
    """Two inputs with the same content share a part, yet each counts."""
    same = Records(rows=10, shards=1)
    run, _ = execute(Recipe({"a": same, "b": same, "both": Paced(from_=["a", "b"])}))
    assert run.artefacts["both"].account.inputs == 20
    assert len(run.shards("both")) == 20


def test_a_run_can_be_opened_again(execute, recipe, tmp_path):
    run, _ = execute(recipe())
    opened = open_run(tmp_path / "output" / "runs" / "latest")
    assert opened.complete
    assert opened.folder == run.folder
    assert {n: a.key for n, a in opened.artefacts.items()} == {
        n: a.key for n, a in run.artefacts.items()
    }
    with pytest.raises(CurateError, match="not a run folder"):
        open_run(tmp_path)


# -- what goes wrong in a stage --------------------------------------------------------------------


class Loses(Map):
    """Lose the first record of every batch."""

    name = "tests.loses"

    def map(self, table):
        outcome = keep_all(table.slice(1))
        return Outcome(outcome.kept, outcome.dropped, outcome.kept_inputs)


class Dies(Map):
    """Kill the process that it runs in, unless told not to."""

    name = "tests.dies"
    how: str = execution("exit")
    """`exit`, `raise` or `live`."""

    def map(self, table):
        if self.how == "exit":
            os._exit(3)
        if self.how == "raise":
            raise ZeroDivisionError("in a worker")
        return keep_all(table)


def test_a_stage_that_loses_records_is_found_out(execute, tmp_path):
    with pytest.raises(AccountingError, match="10 inputs but 9 kept and 0 dropped"):
        execute(Recipe({"records": Records(rows=10, shards=1), "loses": Loses()}))
    store = tmp_path / "output" / "store"
    assert not list((store / "parts").glob("tests.loses-*"))
    assert not list((store / "artefacts").glob("tests.loses-*"))


def test_a_failure_in_a_worker_is_no_success(execute, tmp_path):
    stages = {"records": Records(rows=30, shards=3), "dies": Dies(how="raise")}
    with pytest.raises(ZeroDivisionError, match="in a worker"):
        execute(Recipe(stages), workers=2)
    assert not list((tmp_path / "output" / "store" / "parts").glob("tests.dies-*"))
    assert not open_run_data(tmp_path)["finished"]
    run, told = execute(Recipe(stages | {"dies": Dies(how="live")}))
    assert told.reused == ["records"]
    assert run.artefacts["dies"].account.kept == 30


def open_run_data(tmp_path):
    import json

    return json.loads((tmp_path / "output" / "runs" / "latest" / "run.json").read_bytes())


def test_a_killed_worker_is_one_clear_line(execute):
    stages = {"records": Records(rows=30, shards=3), "dies": Dies()}
    with pytest.raises(CurateError, match="a worker process was killed") as caught:
        execute(Recipe(stages), workers=2)
    assert not isinstance(caught.value, BrokenProcessPool)
