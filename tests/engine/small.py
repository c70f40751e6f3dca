"""A small recipe with the stages of `pipelines/quickstart.yaml`, and a process that runs it."""

import os
import subprocess
import sys
from pathlib import Path

from curate.engine.store import folder_checksums

RECIPE = """
params:
  packages: [click, tqdm, pluggy, packaging]
  k: 50
stages:
  code:     {harvest.python: {packages: "${packages}", stdlib: false, topics: false}}
  clean:    {filter.rules: {}}
  exact:    {dedup.exact: {on: passage}}
  unique:   {dedup.minhash: {on: passage, threshold: 0.8}}
  parts:    {split: {held_out_groups: [tqdm]}}
  noisy:    {train.contrastive: {dimension: 32, epochs: 2, batch_size: 64, tokenizer: {vocabulary: 800}}}
  trusted:  {filter.consistency: {from: parts, encoder: noisy, k: "${k}"}}
  found:    {mine.retrieve: {encoder: noisy, top: 10}}
  hard:     {mine.select: {count: 2, below: 0.95}}
  shards:   {shards: {by: source}}
  final:    {train.contrastive: {dimension: 32, epochs: 2, batch_size: 64, negatives: 1,
             tokenizer: {vocabulary: 800}}}
  proof:    {evaluate.retrieval: {from: parts.held_out, models: [noisy, final], train: shards,
             samples: 100, k1: [1.2], b: [0.75]}}
"""

PROGRAM = """
import sys
from pathlib import Path
from curate.engine.local import run
from curate.engine.progress import PlainReporter
from curate.errors import CurateError
from curate.recipe import Recipe

if __name__ == "__main__":
    recipe, output, workers, wait = sys.argv[1:]
    try:
        run(Recipe.load(recipe), Path(output), workers=int(workers), wait=wait == "wait",
            reporter=PlainReporter())
    except CurateError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
"""


def start(recipe: Path, output: Path, workers: int = 2, wait: bool = True) -> subprocess.Popen:
    """Start a run in a process of its own."""
    program = recipe.with_name("program.py")
    program.write_text(PROGRAM)
    # Threads of torch that wait by spinning are slow where other processes want the cores too.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(
        [sys.executable, program, recipe, output, str(workers), "wait" if wait else "fail"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(output: Path) -> dict[str, str]:
    """Return the checksum of every file of a store that its rows and models lie in, by path.

    Manifests and metrics are left out: they tell how long things took.
    """
    store = output / "store"
    found = {}
    for folder in ("artefacts", "parts"):
        found |= folder_checksums(store / folder)
    timed = ("manifest.json", "metrics.json")
    return {path: checksum for path, checksum in found.items() if not path.endswith(timed)}
