"""What is timed: one stage, from shards to shards, in a process of its own.

    python -m benchmarks.dedup_run SHARDS OUTPUT [SETTINGS AS JSON]

Without settings the shards are only brought into the store, which costs no time later.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from curate.dedup.minhash import MinHashDedup
from curate.engine.progress import PlainReporter
from curate.recipe import Recipe
from curate.schema import Kind, Passage
from curate.shards import open_shard, read_manifest
from curate.stage import Map, Outcome, Source, Stage, Unit, keep_all


class Files(Source):
    """Give the path of each shard of a folder."""

    name: ClassVar[str] = "benchmarks.files"
    sides: ClassVar[dict[str, Kind | None]] = {"main": "passages"}

    path: Path
    """The folder."""

    def units(self) -> list[Unit]:
        """List the shards."""
        shards = read_manifest(self.path).sides["main"].shards
        return [Unit(info.path, info.checksum, str(self.path / info.path)) for info in shards]

    def harvest(self, block: Unit) -> Iterator[list[Any]]:
        """Give the path as a record."""
        yield [Passage(block.payload, "files", "files")]


class Contents(Map):
    """Replace each path by the records of the shard that lies there."""

    name: ClassVar[str] = "benchmarks.contents"
    takes: ClassVar[tuple[Kind, ...]] = ("passages",)

    def map(self, table: pa.Table) -> Outcome:
        """Open the shards."""
        kept = keep_all(table, "passages")
        tables = [open_shard(path) for path in table["text"].to_pylist()]
        return Outcome(pa.concat_tables([table.slice(0, 0), *tables]), kept.dropped, len(table))


class Quiet(PlainReporter):
    """Says nothing."""

    def say(self, message: str) -> None:
        """Drop the message."""


def main() -> None:
    """Run the recipe."""
    shards, output, *settings = sys.argv[1:]
    stages: dict[str, Stage] = {"files": Files(path=Path(shards)), "rows": Contents()}
    if settings:
        stages["near"] = MinHashDedup(**json.loads(settings[0]))
    run = Recipe(stages).run(Path(output), workers=2, reporter=Quiet())
    last = run.artefacts[list(stages)[-1]]
    print(json.dumps({"folder": str(last.folder), "notes": last.manifest.info["notes"]}))


if __name__ == "__main__":
    main()
