"""SIGKILL at any moment, then the same command: the same bytes as if nothing had happened."""

import random
import shutil
import signal
import time

import psutil
import pytest

from tests.engine.small import RECIPE, contents, start

KILLS = 20
SECONDS_FOR_WORKERS_TO_END = 10.0


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def finish(process) -> None:
    """Wait for a run and demand that it succeeds."""
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told


def wait_for_work(process, output, runs: int) -> float:
    """Wait until a process has made its run folder, the first thing it does; return when."""
    while process.poll() is None and len(run_folders(output)) <= runs:
        time.sleep(0.005)
    return time.monotonic()


def run_folders(output):
    found = (output / "runs").iterdir() if (output / "runs").exists() else ()
    return [path for path in found if not path.is_symlink()]


def parts(output) -> dict[str, tuple[int, int]]:
    """Return inode and time of every finished part and artefact."""
    stats = {}
    for kind in ("parts", "artefacts"):
        folder = output / "store" / kind
        for path in folder.iterdir() if folder.exists() else ():
            stats[f"{kind}/{path.name}"] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return stats


def kill_at(process, begun: float, delay: float) -> list[psutil.Process]:
    """Kill a process (not its workers) some seconds after its work began; return its workers."""
    while time.monotonic() < begun + delay and process.poll() is None:
        time.sleep(0.002)
    try:
        workers = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        workers = []
    process.kill()
    process.communicate()
    return workers


def assert_all_end(workers):
    _, alive = psutil.wait_procs(workers, timeout=SECONDS_FOR_WORKERS_TO_END)
    assert not alive, f"workers outlived the run: {[p.cmdline() for p in alive]}"


@pytest.mark.timeout(400)
def test_killed_runs_end_as_an_undisturbed_one(recipe, tmp_path):
    """Kills fall anywhere; once the shards are written, begin anew, so that all stages meet many."""
    undisturbed = start(recipe, tmp_path / "undisturbed")
    begun = wait_for_work(undisturbed, tmp_path / "undisturbed", 0)
    finish(undisturbed)
    seconds = time.monotonic() - begun
    expected = contents(tmp_path / "undisturbed")

    rng, output = random.Random(6), tmp_path / "killed"
    kills = with_workers = with_shards = 0
    while kills < KILLS:
        before, runs = parts(output), len(run_folders(output))
        process = start(recipe, output)
        begun = wait_for_work(process, output, runs)
        workers = kill_at(process, begun, rng.uniform(0, 0.6 * seconds))
        assert_all_end(workers)
        kills += process.returncode == -signal.SIGKILL  # or it was faster than its death
        with_workers += bool(workers)
        assert before.items() <= parts(output).items(), "a finished part was made twice"
        assert contents(output).items() <= expected.items()
        if has_shards(contents(output)) and kills < KILLS:
            with_shards += 1
            shutil.rmtree(output)
    assert with_shards, "no killed run came as far as the shards"
    assert with_workers, "no kill fell into the work of worker processes"
    finish(start(recipe, output))
    assert contents(output) == expected
    assert has_shards(expected)
    assert not list((output / "store" / "tmp").iterdir()), "rubbish of killed runs stays"


def has_shards(files) -> bool:
    return any(path.startswith("shards-") and path.endswith(".arrow") for path in files)


def test_a_kill_while_workers_work_leaves_no_orphan(recipe, tmp_path):
    output = tmp_path / "output"
    process = start(recipe, output)
    try:
        workers = []
        while not workers and process.poll() is None:
            found = psutil.Process(process.pid).children(recursive=True)
            workers = [p for p in found if "spawn_main" in " ".join(p.cmdline())]
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate()
    assert workers
    assert_all_end(workers)
