import os
import shutil
import time

import pytest

from curate.engine.store import Store
from curate.errors import BusyError, CurateError
from curate.report.clean import find_rubbish, remove

DAY = 86_400


@pytest.fixture
def output(made, tmp_path):
    """A copy with this one run: other tests may have run the recipe there again."""
    run, _ = made
    copy = shutil.copytree(run.folder.parent.parent, tmp_path / "output", symlinks=True)
    latest = copy / "runs" / "latest"
    latest.unlink()
    for other in latest.parent.iterdir():
        if other.name != run.folder.name:
            shutil.rmtree(other)
    latest.symlink_to(run.folder.name)
    return copy


def newest_run(output):
    return (output / "runs" / "latest").resolve()


def found(output, **options):
    return {(r.what, r.stage) for r in find_rubbish(output, **options)}


def test_nothing_of_a_run_is_rubbish(output):
    assert find_rubbish(output) == []
    assert remove(output) == []


def test_artefacts_and_their_parts_go_when_no_run_names_them(output):
    shutil.rmtree(output / "runs")
    (output / "runs").mkdir()
    stages = {"harvest.shards", "filter.rules", "dedup.exact"}
    parts = {("part", stage) for stage in stages}
    assert found(output) == parts | {("artefact", stage) for stage in (*stages, "shards")}
    assert found(output, older_than=DAY) == set()
    removed = remove(output)
    assert sum(r.bytes for r in removed) > 10_000
    for place in ("artefacts", "parts", "tmp"):
        assert list((output / "store" / place).iterdir()) == []


def test_a_young_artefact_keeps_its_old_parts(output):
    shutil.rmtree(output / "runs")
    for part in (output / "store" / "parts").rglob("*"):
        os.utime(part, (time.time() - 2 * DAY,) * 2)
    assert found(output, older_than=DAY) == set()


def test_scratch_and_temporary_folders_are_found(output):
    work = output / "store" / "work" / "train.contrastive-abc"
    work.mkdir()
    (work / "checkpoint").write_bytes(b"12345")
    (output / "store" / "tmp" / "1@elsewhere~x").mkdir()
    assert {(r.what, r.stage, r.bytes) for r in find_rubbish(output)} == {
        ("work", "train.contrastive", 5),
        ("tmp", "", 0),
    }
    remove(output)
    assert find_rubbish(output) == []


def test_keep_runs_forgets_the_older_ones(made, output):
    run, _ = made
    old = newest_run(output)
    os.utime(old, (time.time() - DAY,) * 2)
    new = run.recipe.run(output, workers=1).folder
    assert found(output, keep_runs=2) == set()
    assert found(output, keep_runs=1) == {("run", "made")}
    remove(output, keep_runs=1)
    assert not old.exists()
    assert new.exists()
    assert all(artefact.folder.exists() for artefact in run.artefacts.values())


def test_it_does_not_clean_while_a_run_works(output):
    shutil.rmtree(output / "runs")
    with (
        Store(output / "store").in_use(print),
        pytest.raises(BusyError, match=f"the run of process {os.getpid()} works here"),
    ):
        remove(output)
    assert list((output / "store" / "parts").iterdir())
    assert remove(output)


def test_the_lock_of_a_killed_run_does_not_stand_in_the_way(output):
    left = output / "store" / "locks" / "run~1~x.lock"
    left.touch()
    remove(output)
    assert not left.exists()


def test_a_folder_without_a_store_is_refused(tmp_path):
    with pytest.raises(CurateError, match="no store here"):
        find_rubbish(tmp_path)
    assert list(tmp_path.iterdir()) == []
