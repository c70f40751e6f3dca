"""What lies in the store is whole or refused by name; the store moves, and has one holder at a time."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curate.arrange.shards import WriteShards
from curate.dedup.exact import ExactDedup
from curate.engine.local import plan
from curate.engine.store import Store, make_key
from curate.errors import BusyError, CurateError
from curate.filter.rules import Rules
from curate.mine.retrieve import Retrieve
from curate.recipe import Recipe
from curate.shards import ShardError, read_shards
from curate.train.contrastive import ContrastiveTraining
from tests.contracts.records import Records
from tests.engine.small import contents, start


def recipe(**settings):
    """Return a recipe of a source, a map, a global stage and a build."""
    return Recipe(
        {
            "records": Records(rows=60, shards=2, hostile=0),
            "clean": Rules(**settings),
            "exact": ExactDedup(),
            "shards": WriteShards(corpus=("records.passages",)),
        }
    )


def flip(path):
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


DAMAGES = {"flipped": flip, "cut": cut, "missing": lambda path: path.unlink()}
damaged = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())


# -- damage ----------------------------------------------------------------------------------------


@damaged
def test_a_damaged_shard_is_refused_when_it_is_read(execute, damage):
    run, _ = execute(recipe())
    folder = run.artefacts["shards"].folder
    victim = sorted(folder.glob("*.arrow"))[-1]
    damage(victim)
    with pytest.raises(ShardError, match=victim.name):
        read_shards(folder).to_arrow()


@damaged
@pytest.mark.parametrize("stage", ["records", "clean", "exact"])
def test_a_run_that_needs_a_damaged_shard_names_it(execute, damage, stage):
    """And by deleting what it names, one gets what an undisturbed run gives."""
    run, _ = execute(recipe())
    shards = run.shards("shards").to_arrow()
    victim = Path(run.artefacts[stage].shards("main").files[0][0])
    after = {"records": "clean", "clean": "exact", "exact": "shards"}[stage]
    forget(run.artefacts[after])
    damage(victim)
    with pytest.raises(ShardError, match=re.escape(str(victim))) as caught:
        execute(recipe())
    assert "\n" not in str(caught.value)
    forget(run.artefacts[stage])
    again, told = execute(recipe())
    assert stage in told.ran
    assert again.shards("shards").to_arrow().equals(shards)


def forget(artefact):
    """Delete an artefact and the parts that it lists."""
    for side in artefact.manifest.sides.values():
        for info in side.shards:
            shutil.rmtree((artefact.folder / info.path).resolve().parent, ignore_errors=True)
    shutil.rmtree(artefact.folder, ignore_errors=True)


def test_a_damaged_shard_met_in_the_middle_of_a_run_is_refused(execute, tmp_path):
    """A part that an unfinished run left behind, damaged before the next one."""
    run, _ = execute(recipe())
    folder = run.artefacts["clean"].folder
    (path, _), *_ = run.artefacts["clean"].shards("main").files
    shutil.rmtree(folder)
    flip(Path(path))
    with pytest.raises(ShardError, match=r"checksum .* damaged"):
        execute(recipe())


@damaged
def test_a_damaged_model_is_refused(execute, damage):
    trained = ContrastiveTraining(dimension=4, epochs=1, batch_size=16)
    stages = dict(recipe_stages(), noisy=trained)
    run, _ = execute(Recipe(stages))
    victim = run.artefacts["noisy"].folder / "0_StaticEmbedding" / "model.safetensors"
    damage(victim)
    stages["found"] = Retrieve(encoder="noisy", from_="clean", top=3)
    with pytest.raises(ShardError, match=r"model\.safetensors: missing or damaged"):
        execute(Recipe(stages))


def recipe_stages():
    return {name: node.stage for name, node in recipe().nodes.items()}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": 1, "sides": {"main": 3}, "info": {}}',
        "\x00",
    ],
)
def test_a_damaged_manifest_is_refused(execute, content):
    run, _ = execute(recipe())
    manifest = run.artefacts["clean"].folder / "manifest.json"
    manifest.write_text(content)
    with pytest.raises(ShardError, match=r"manifest\.json"):
        read_shards(manifest.parent)
    with pytest.raises(ShardError, match=r"manifest\.json"):
        execute(recipe())


def test_a_missing_manifest_is_refused(execute):
    run, _ = execute(recipe())
    (run.artefacts["clean"].folder / "manifest.json").unlink()
    with pytest.raises(ShardError, match=r"manifest\.json is gone; delete the folder"):
        execute(recipe())


@pytest.mark.parametrize("content", [None, "", "[]", '{"sides": {"main": {"path": 1}}}'])
def test_a_damaged_part_is_refused(execute, content):
    run, _ = execute(recipe())
    shutil.rmtree(run.artefacts["clean"].folder)
    store = run.artefacts["clean"].folder.parent.parent
    part = next((store / "parts").glob("filter.rules-*")) / "part.json"
    part.unlink()
    if content is not None:
        part.write_text(content)
    with pytest.raises(ShardError, match=r"part\.json: missing or damaged .* delete its folder"):
        execute(recipe())


# -- moving and formats ----------------------------------------------------------------------------


def test_a_moved_store_is_reused(execute, tmp_path):
    first, _ = execute(recipe(), tmp_path / "here")
    rows = first.shards("shards").to_arrow().to_pylist()
    moved = tmp_path / "elsewhere" / "deep"
    moved.parent.mkdir()
    (tmp_path / "here").rename(moved)
    second, told = execute(recipe(), moved)
    assert told.ran == []
    assert second.shards("shards").to_arrow().to_pylist() == rows
    assert second.artefacts["shards"].folder.is_relative_to(moved)


def test_no_path_of_this_machine_is_in_the_store(execute, tmp_path):
    execute(recipe(), tmp_path / "here")
    for path in (tmp_path / "here" / "store").rglob("*"):
        if path.is_file() and "locks" not in path.parts:
            assert str(tmp_path).encode() not in path.read_bytes(), path


@pytest.mark.parametrize("content", ['{"format": 2}', "{}", "[]", "", '{"format": "1"}'])
def test_a_store_of_another_format_is_refused(execute, tmp_path, content):
    execute(recipe())
    (tmp_path / "output" / "store" / "format.json").write_text(content)
    with pytest.raises(CurateError, match=r"store format .* use another --output"):
        execute(recipe())
    with pytest.raises(CurateError, match="store format"):
        plan(recipe(), tmp_path / "output")


def test_planning_writes_nothing(tmp_path):
    steps = plan(recipe(), tmp_path / "output")
    assert [step.reused for step in steps] == [False] * 4
    assert steps[0].parts == 2
    assert not (tmp_path / "output").exists()


def test_keys_do_not_depend_on_the_order_of_settings():
    assert make_key({"a": 1, "b": [1, 2]}) == make_key({"b": [1, 2], "a": 1})
    assert make_key({"a": [1, 2]}) != make_key({"a": [2, 1]})


# -- two at once -----------------------------------------------------------------------------------

SLOW = """
stages:
  code:  {harvest.python: {packages: [click, rich], stdlib: false, topics: false}}
  clean: {filter.rules: {}}
  noisy: {train.contrastive: {dimension: 16, epochs: 4, batch_size: 32, tokenizer: {vocabulary: 500}}}
"""


@pytest.fixture
def slow(tmp_path):
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW)
    return path


def test_two_runs_at_once_end_with_the_same_artefacts(slow, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    processes = [start(slow, both, workers=1) for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert "is being computed by process" in "".join(told)
    assert "; waiting" in "".join(told)
    process = start(slow, alone, workers=1)
    assert process.communicate(timeout=120)
    assert contents(both) == contents(alone)
    assert len(list((both / "runs").glob("slow-*"))) == 2


def test_a_run_that_does_not_wait_says_who_holds_the_artefact(slow, tmp_path, execute):
    holder = start(slow, tmp_path / "output", workers=1)
    try:
        deadline = time.monotonic() + 60
        locks = tmp_path / "output" / "store" / "locks"
        while not list(locks.glob("harvest.python-*.json")) and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(BusyError, match=f"computed by process {holder.pid} on ") as caught:
            execute(slow.read_text(), wait=False)
        assert caught.value.exit_code == 3
    finally:
        holder.kill()
        holder.communicate()
    # The lock that the killed process leaves blocks nobody.
    assert list(locks.glob("*.json"))
    run, told = execute(slow.read_text(), wait=False)
    assert told.said == []
    assert run.complete


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path):
    """Eight processes count in a file, each reading, pausing and writing under the lock."""
    program = f"""
import time
from pathlib import Path
from curate.engine.store import Store
store, counter = Store(Path({str(tmp_path)!r})), Path({str(tmp_path / "n")!r})
for _ in range(5):
    with store.lock("artefact", True, lambda message: None):
        seen = int(counter.read_text())
        time.sleep(0.002)
        counter.write_text(str(seen + 1))
"""
    (tmp_path / "n").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert (tmp_path / "n").read_text() == "20"


def test_temporary_folders_of_the_dead_are_swept(tmp_path):
    store = Store(tmp_path)
    host = os.uname().nodename
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folders = {
        "dead": store.root / "tmp" / f"{dead.pid}@{host}~1",
        "alive": store.root / "tmp" / f"{os.getpid()}@{host}~1",
        "elsewhere": store.root / "tmp" / f"{dead.pid}@other~1",
    }
    for folder in folders.values():
        folder.mkdir()
    store.sweep()
    assert {name for name, folder in folders.items() if folder.exists()} == {"alive", "elsewhere"}


def test_what_another_process_finished_first_stays(tmp_path):
    store = Store(tmp_path)
    target = store.artefact_folder("x")
    with store.new_folder(target) as slow_folder:
        (slow_folder / "who").write_text("slow")
        with store.new_folder(target) as fast_folder:
            (fast_folder / "who").write_text("fast")
    assert (target / "who").read_text() == "fast"
    assert not list((store.root / "tmp").iterdir())


def test_a_failure_leaves_nothing_behind(tmp_path):
    store = Store(tmp_path)
    target = store.artefact_folder("x")
    with pytest.raises(ZeroDivisionError), store.new_folder(target):
        raise ZeroDivisionError
    assert not target.exists()
    assert not list((store.root / "tmp").iterdir())


def test_a_run_folder_tells_what_ran(execute):
    run, _ = execute(recipe())
    log = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in log] == ["stage"] * 4 + ["finished"]
    assert [row["name"] for row in run.stage_rows()] == ["records", "clean", "exact", "shards"]
    assert (run.folder / "stages" / "clean").resolve() == run.artefacts["clean"].folder
    assert not os.readlink(run.folder / "stages" / "clean").startswith("/")
