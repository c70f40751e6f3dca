"""A training configuration as a recipe of two stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.cli.options import DEFAULT_OUTPUT
from curate.recipe import Problems, Recipe, parse_yaml, read_settings

SOURCE = ("stages", "pairs", "harvest.shards")
MODEL = ("stages", "model", "train.contrastive")


@dataclass(frozen=True, slots=True)
class Training:
    """A recipe that trains, and the folder to run it in."""

    recipe: Recipe
    output: Path


def load_training(path: Path) -> Training:
    """Read a configuration: `pairs` (a folder of shards), `output`, settings of the trainer.

    :raises RecipeError: listing every problem with its line.
    """
    settings, lines = parse_yaml(read_settings(path, "configuration"), str(path))
    # The problems of the stages are found at the lines of the configuration.
    places: dict[Any, int] = {(*MODEL, *place): line for place, line in lines.items()}
    for name, place in (("pairs", (*SOURCE, "path")), ("pairs", SOURCE), ("output", ("output",))):
        if (name,) in lines:
            places[place] = lines[name,]
    problems = Problems(str(path), places)
    pairs, output = settings.pop("pairs", None), settings.pop("output", str(DEFAULT_OUTPUT))
    if not isinstance(pairs, str):
        problems.add((*SOURCE, "path"), "pairs: give the folder of the shards to train on")
    if not isinstance(output, str):
        problems.add(("output",), f"output: give a folder, got {output!r}")
    problems.stop()
    stages = {"pairs": {SOURCE[-1]: {"path": pairs}}, "model": {MODEL[-1]: settings}}
    return Training(Recipe.from_document({"stages": stages}, path.stem, problems), Path(output))
