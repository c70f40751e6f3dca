"""Shards as a source: pairs that were made elsewhere, or by another recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator

from curate.errors import CurateError
from curate.schema import Record, from_table
from curate.shards import Shards, open_shard, read_shards
from curate.stage import Drop, Source, Unit

_ROWS = 1024


class ShardsHarvest(Source):
    """Read a folder of shards of pairs, as the stage `shards` writes them.

    Every pair is kept as it is. The content of the shards is in the key, not where they lie. Pairs
    pass through Python objects: about 8,000 a second on one core, one shard to a core.
    """

    name: ClassVar[str] = "harvest.shards"

    path: Path
    """The folder that holds `manifest.json`."""

    @field_validator("path")
    @classmethod
    def _settle(cls, path: Path) -> Path:
        """Follow links now: `runs/latest` is another folder once the run begins."""
        return path.resolve()

    def check(self) -> None:
        """Refuse what is no folder of pairs."""
        try:
            shards = self._open()
        except CurateError as error:
            raise ValueError(str(error)) from None
        if shards.kind != "pairs" or shards.dropped:
            raise ValueError(f"{self.path}: takes shards of pairs, these are {shards.kind}")

    def row_settings(self) -> dict[str, Any]:
        """Return nothing: the units name the content."""
        return {}

    def units(self) -> list[Unit]:
        """List the shards."""
        return [Unit(info.path, info.checksum, (path, info)) for path, info in self._open().files]

    def harvest(self, unit: Unit) -> Iterator[list[Record] | Drop]:
        """Read one shard, verified."""
        path, info = unit.payload
        table = open_shard(path, info)
        for start in range(0, len(table), _ROWS):
            for record in from_table(table.slice(start, _ROWS)):
                yield [record]

    def _open(self) -> Shards:
        return read_shards(self.path)
