"""Damaged inputs: no crash, no hang, no record that Arrow refuses, and every input has its fate.

Every file that `pipelines/ccpairs.yaml` reads is damaged in turn, until there are `MUTANTS`; without
CURATE_DATA, and in `make test`, the inputs that are made for the contract tests are.
"""

import os
import random
import resource
from pathlib import Path

import pytest

from curate.errors import CurateError
from curate.harvest.base import FileSource
from curate.harvest.reading.files import File
from curate.recipe import Recipe
from curate.registry import registry
from curate.schema import to_table
from tests.contracts.harness import SOURCES
from tests.harvest.mutants import bounded, mutant
from tests.harvest.reading import harvested

MUTANTS = 2_200
MADE_MUTANTS = 20
EXCERPT_BYTES = 60_000
SECONDS = 60
MEMORY = 3 << 30
RECIPE = Path(__file__).parents[2] / "pipelines" / "ccpairs.yaml"
FILE_SOURCES = sorted(n for n, cls in registry().items() if issubclass(cls, FileSource))


def try_mutant(source: FileSource, file: File, data: bytes, folder: Path, seed: str) -> bool:
    """Harvest a damaged file, beside the files of its name that it may need (an index, a table).

    :return: whether it was read; a run may also be refused before it begins, where no column is known.
    """
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    stem = file.path.name.split(".")[0]
    for sibling in file.path.parent.glob(f"{stem}.*"):
        if sibling.name != target.name:
            target.with_name(sibling.name).symlink_to(sibling)
    damaged = source.model_copy(update={"path": str(folder)})
    with bounded(SECONDS, f"{source.name} on {file.name}, mutant {seed}"):
        try:
            damaged.check()
        except (ValueError, CurateError):
            return False
        result = harvested(damaged)
    to_table(result.pairs, "pairs")
    to_table(result.passages, "passages")
    return True


def fuzz(sources: dict[str, FileSource], count: int, folder: Path) -> int:
    """Damage the files of some sources, each about as often, and return how many mutants were read."""
    samples = [(name, file) for name, source in sources.items() for file in source.files()]
    others = [file for _, file in samples]
    read = 0
    for number in range(count):
        name, file = samples[number % len(samples)]
        rng = random.Random(f"{number} {name}")
        other = rng.choice(others).path.read_bytes()[:EXCERPT_BYTES]
        data = mutant(rng, file, EXCERPT_BYTES, other)
        read += try_mutant(sources[name], file, data, folder / str(number), f"{number} {name}")
    return read


@pytest.mark.parametrize("name", FILE_SOURCES)
def test_damaged_inputs_are_drops(tmp_path, name):
    made = tmp_path / "made"
    made.mkdir()
    source = registry()[name].model_validate(SOURCES[name](made))
    assert fuzz({name: source}, MADE_MUTANTS, tmp_path) > MADE_MUTANTS // 2


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_every_real_sample_may_be_damaged(data, tmp_path):
    recipe = Recipe.load(RECIPE, [f"params.data={data}"])
    sources = {
        n: node.stage for n, node in recipe.nodes.items() if isinstance(node.stage, FileSource)
    }
    files = sum(len(source.files()) for source in sources.values())
    assert fuzz(sources, max(MUTANTS, files), tmp_path) >= 2_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10 < MEMORY


def test_the_seed_tells_the_mutant(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(os.urandom(5000))
    file = File(path, path.name)
    made = [mutant(random.Random(seed), file, 4000, b"other" * 99) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
