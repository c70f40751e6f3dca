"""Golden rows: what each stage decides about a fixed input, as a digest stored with its version.

After a change of rows that is meant: raise the stage's `version`, then

    python -m tests.contracts.golden

writes `golden.json` anew. Without a new version it refuses, since artefacts in the stores of users
would silently stay what they were; `--same-version` is for a stage that is not released yet.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.contracts.harness import (
    CASES,
    SOURCES,
    STAGES,
    decisions,
    digest,
    execute,
    is_source,
    recipe_for,
    source_recipe,
)
from tests.contracts.records import static_model

FILE = Path(__file__).with_name("golden.json")


def label(name: str, kind: str | None) -> str:
    """Return the key of a case in `golden.json`."""
    return f"{name} {kind}" if kind else name


def golden(name: str, kind: str | None, model: Path, source: dict, folder: Path) -> dict:
    """Run one case on its fixed input and return version and digest.

    :param source: the settings that read the input of a source.
    """
    if is_source(name):
        recipe = source_recipe(name, source)
    else:
        recipe = recipe_for(name, kind, model, rows=150, seed=11, shards=2)
    artefact = execute(recipe, folder)["tested"]
    made = decisions(artefact, recipe.nodes["tested"].stage)
    return {"version": STAGES[name].version, "digest": digest(made)}


def read() -> dict[str, dict]:
    """Read `golden.json`."""
    return json.loads(FILE.read_text("utf-8"))


def main(same_version: bool) -> int:
    """Write `golden.json` and return the exit code."""
    known, found = read() if FILE.exists() else {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        model = static_model(root / "model")
        for index, (name, kind) in enumerate(CASES):
            folder = root / f"source{index}"
            folder.mkdir()
            source = SOURCES[name](folder) if is_source(name) else {}
            found[label(name, kind)] = golden(name, kind, model, source, root / str(index))
    silent = [
        case
        for case, now in found.items()
        if case in known and now["version"] == known[case]["version"] and now != known[case]
    ]
    if silent and not same_version:
        sys.stderr.write(f"other rows, same version: {silent}; raise the version of each\n")
        return 1
    FILE.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main("--same-version" in sys.argv))
