"""The contracts of stages, on every stage that is registered: a new one is covered by being there.

What a stage needs and has no default for is taken from `Field(examples=[...])` of its settings; a
source has its input in `harness.SOURCES` and `harness.REAL_SOURCES`. What is missing fails here.
"""

import json
import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.engine.parts import apply_global
from curate.engine.store import folder_checksums
from curate.errors import CurateError
from curate.report.stages import meanings_of
from curate.schema import SCHEMAS, drop_schema
from curate.stage import DROPPED, MAIN, Ask, Build, Global, Map, Source, Stage
from tests.contracts.harness import (
    CASES,
    REAL_SOURCES,
    SOURCES,
    STAGES,
    execute,
    files,
    is_source,
    recipe_for,
    rows,
    settings_of,
    source_recipe,
)

every_case = pytest.mark.parametrize(
    ("name", "kind"), CASES, ids=[f"{name}-{kind or 'source'}" for name, kind in CASES]
)
HARMLESS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture
def recipe(model, made_sources):
    """Return the recipe that runs one stage, under the name `tested`, on records from a seed."""

    def recipe(name, kind, **records):
        if is_source(name):
            return source_recipe(name, made_sources[name])
        return recipe_for(name, kind, model, **records)

    return recipe


# -- what a stage says of itself -------------------------------------------------------------------


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_explains_itself(name):
    cls = STAGES[name]
    assert issubclass(cls, Source | Map | Ask | Global | Build)
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)?", name)
    assert isinstance(cls.version, int)
    assert re.fullmatch(r"[A-Z].+\.", cls.help()), f"{name}: no first line of the docstring"
    meanings = meanings_of(cls)
    for field in cls.model_fields:
        if field != "from_":
            assert meanings.get(field), f"{name}.{field}: no docstring under the field"


@pytest.mark.parametrize("name", [name for name in STAGES if is_source(name)])
def test_a_source_has_inputs_to_be_tested_on(name):
    hint = f"add an entry for {name!r} to {{}} in tests/contracts/harness.py"
    assert name in SOURCES, hint.format("SOURCES")
    assert name in REAL_SOURCES, hint.format("REAL_SOURCES")


def test_a_stage_without_examples_is_refused():
    class NoExample(Map):
        """Have a setting that nobody can guess."""

        language: str
        """The language."""

        def map(self, table):
            raise NotImplementedError

    with pytest.raises(AssertionError, match="'language' has neither: add `Field"):
        settings_of(NoExample, {})


# -- accounting ------------------------------------------------------------------------------------


def check_accounts(artefact, given=None):
    """Compare what an artefact says of itself with its rows, and with what the stage was given."""
    account = artefact.account
    kept, sides = artefact.account.kept, artefact.manifest.sides
    assert kept + sum(account.dropped.values()) == account.inputs
    counted = {"source": Counter(), "language": Counter()}
    for side in sides:
        shards = artefact.shards(side)
        dropped = side == DROPPED
        schema = drop_schema(shards.kind) if dropped else SCHEMAS[shards.kind]
        assert all(table.schema.equals(schema) for table in shards.tables())
        expected = sum(account.dropped.values()) if dropped else account.outputs.get(side, 0)
        assert len(shards) == expected
        for column, counter in counted.items():
            values = column_of(shards, column)
            counter.update(("unknown" if value is None else value, side) for value in values)
    if DROPPED in sides:
        reasons = Counter(column_of(artefact.shards(DROPPED), "drop_reason"))
        assert reasons == account.dropped
    check_counts(account.by_source, counted["source"])
    check_counts(account.by_language, counted["language"])
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", reason) for reason in account.dropped)
    if given is not None:
        assert account.inputs == len(given)
        check_fates(artefact, given)


def check_counts(told: dict[str, dict[str, int]], counted: Counter):
    assert {(v, s): n for v, by in told.items() for s, n in by.items() if n} == counted


def check_fates(artefact, given):
    """Where each input leaves one record at most, its id is either kept or dropped, never both.

    A stage that makes records of another kind gives them ids of their own.
    """
    account, sides = artefact.account, artefact.manifest.sides
    same = all(artefact.shards(side).kind == given.kind for side in account.outputs)
    if same and sides and sum(account.outputs.values()) == account.kept:
        fates = Counter(i for side in sides for i in column_of(artefact.shards(side), "id"))
        assert fates == Counter(column_of(given, "id"))


def records_of(artefacts, kind: str):
    return artefacts["records"].shards(MAIN if kind == "pairs" else "passages")


def column_of(shards, column: str) -> list:
    return shards.to_arrow([column])[column].to_pylist()


@every_case
def test_every_input_has_one_fate(recipe, tmp_path, name, kind):
    artefacts = execute(recipe(name, kind, rows=120), tmp_path, batch=50)
    if is_source(name):
        check_accounts(artefacts["tested"])
    else:
        check_accounts(artefacts["tested"], records_of(artefacts, kind))


@pytest.mark.parametrize("name", [name for name in STAGES if issubclass(STAGES[name], Source)])
def test_a_source_accounts_for_a_real_input(tmp_path, tmp_path_factory, name):
    settings = REAL_SOURCES[name](tmp_path_factory.mktemp("real"))
    artefact = execute(source_recipe(name, settings), tmp_path)["tested"]
    assert artefact.account.kept > 100
    check_accounts(artefact)


# -- the same rows ---------------------------------------------------------------------------------


@every_case
def test_batches_and_workers_change_no_row(recipe, tmp_path, name, kind):
    """Several workers with one batch size: the same bytes; any batch size: the same rows."""
    ways = {"plain": (1, 8192), "again": (1, 8192), "workers": (2, 8192)}
    ways |= {f"batch {size}": (1, size) for size in (1, 7, 64)}
    # Worker processes take shards of maps and units of sources; elsewhere one shard saves starting them.
    spread = issubclass(STAGES[name], Map | Source)
    work = recipe(name, kind, rows=90, seed=3, shards=3 if spread else 1)
    done = {
        way: execute(work, tmp_path / way, workers, batch)["tested"]
        for way, (workers, batch) in ways.items()
    }
    plain = done.pop("plain")
    for way, artefact in done.items():
        assert artefact.key == plain.key, way
        assert artefact.account == plain.account, way
        assert rows(artefact) == rows(plain), way
    assert files(done["workers"]) == files(plain)
    assert files(done["again"]) == files(plain)
    if plain.kind == "model":
        assert model_files(done["again"]) == model_files(plain)


def model_files(artefact) -> dict[str, str]:
    found = folder_checksums(artefact.folder)
    return {path: checksum for path, checksum in found.items() if path != "manifest.json"}


@every_case
def test_the_cut_into_shards_changes_no_row(recipe, tmp_path, name, kind):
    if is_source(name) or issubclass(STAGES[name], Build):
        pytest.skip("takes no shards, or writes its own")
    found = []
    for shards in (1, 6):
        work = recipe(name, kind, rows=90, seed=4, shards=shards)
        found.append(rows(execute(work, tmp_path / str(shards))["tested"]))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "kind"), [case for case in CASES if issubclass(STAGES[case[0]], Map)]
)
@settings(max_examples=15, deadline=None, suppress_health_check=HARMLESS)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 40))
def test_a_map_is_pure(model, name, kind, seed, size):
    """Any cut of any input: the outcomes joined are the outcome of the whole, and a repetition."""
    stage: Stage = recipe_for(name, kind, model).nodes["tested"].stage
    table = table_of(kind, seed)
    cuts = [table.slice(start, size) for start in range(0, len(table), size)]
    whole, again, parts = stage.map(table), stage.map(table), [stage.map(cut) for cut in cuts]
    for outcome in (whole, again, stage.map(table.slice(0, 0))):
        assert outcome.kept.schema.equals(SCHEMAS[stage.gives(kind)[MAIN]])
        assert outcome.dropped.schema.equals(drop_schema(stage.gives(kind)[MAIN]))
    assert again.kept.equals(whole.kept)
    assert again.dropped.equals(whole.dropped)
    assert pa.concat_tables(part.kept for part in parts).equals(whole.kept)
    assert pa.concat_tables(part.dropped for part in parts).equals(whole.dropped)
    assert whole.kept_inputs + len(whole.dropped) == len(table)
    assert sum(part.kept_inputs for part in parts) == whole.kept_inputs


def table_of(kind, seed):
    from curate.schema import to_table
    from tests.contracts.records import make_pairs, make_passages

    make = make_pairs if kind == "pairs" else make_passages
    return to_table(make(seed, 40), kind)


# -- poor inputs -----------------------------------------------------------------------------------


def execute_or_refuse(name, work, folder):
    """Run a recipe; None if its input is refused in one line, as a `Build` may that needs records."""
    try:
        return execute(work, folder, batch=11)
    except CurateError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert issubclass(STAGES[name], Build), f"{name} may not refuse an input: {refusal}"
    return None


@every_case
@pytest.mark.parametrize("shards", [0, 3])
def test_nothing_in_gives_nothing_out(recipe, tmp_path, name, kind, shards):
    """No shards, or shards without rows: an empty artefact, or one line that says what is missing."""
    if is_source(name):
        pytest.skip("a source has no input records")
    artefacts = execute_or_refuse(name, recipe(name, kind, rows=0, shards=shards), tmp_path)
    if artefacts is None:
        return
    account = artefacts["tested"].account
    assert (account.inputs, account.kept, account.dropped) == (0, 0, {})
    assert not any(account.outputs.values())


@every_case
@settings(max_examples=6, deadline=None, suppress_health_check=HARMLESS)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 30))
def test_hostile_records_are_only_records(recipe, tmp_path_factory, name, kind, seed, count):
    """Empty, null, huge and strange texts: kept or dropped with a reason, or one clear line."""
    if is_source(name):
        pytest.skip("a source has no input records")
    folder = tmp_path_factory.mktemp("hostile")
    work = recipe(name, kind, rows=count, seed=seed, hostile=1.0)
    artefacts = execute_or_refuse(name, work, folder)
    if artefacts is None:
        return
    check_accounts(artefacts["tested"], records_of(artefacts, kind))


@every_case
def test_records_of_which_nothing_can_be_used(recipe, tmp_path, name, kind):
    """Pairs without positives and queries, passages without text."""
    if is_source(name):
        pytest.skip("a source has no input records")
    artefacts = execute_or_refuse(name, recipe(name, kind, rows=5, barren=True), tmp_path)
    if artefacts is not None:
        assert artefacts["tested"].account.inputs == 5
        check_accounts(artefacts["tested"])


@every_case
def test_null_lists_are_empty_lists(recipe, tmp_path, name, kind):
    """Shards from elsewhere may hold null where `curate` writes an empty list."""
    if is_source(name) or not issubclass(STAGES[name], Map | Ask | Global):
        pytest.skip("has no row by row treatment")
    work = recipe(name, kind, rows=20, nulls=True)
    artefact = execute(work, tmp_path)["tested"]
    assert artefact.account.inputs == 20
    check_accounts(artefact)


@every_case
def test_a_killed_stage_goes_on_from_its_memos(recipe, tmp_path, name, kind, monkeypatch):
    """What `fit` left in its scratch gives the same rows as computing it again."""
    if not issubclass(STAGES[name], Global):
        pytest.skip("has no memos")
    work = recipe(name, kind, rows=40, seed=5)
    plain = rows(execute(work, tmp_path / "plain")["tested"])

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("curate.engine.local.apply_global", stop)
        with pytest.raises(KeyboardInterrupt):
            execute(work, tmp_path / "stopped")
    assert apply_global is not stop
    assert rows(execute(work, tmp_path / "stopped")["tested"]) == plain


@every_case
def test_manifests_hold_no_place_on_this_machine(recipe, tmp_path, name, kind):
    artefact = execute(recipe(name, kind, rows=60), tmp_path)["tested"]
    text = (artefact.folder / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["info"]["version"] == STAGES[name].version
