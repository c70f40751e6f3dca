"""The stage that writes the shards to train from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import CurateError
from curate.schema import DOC, Kind, first_positive, replace_docs
from curate.shards import ShardInfo, Shards, Side, write_shard
from curate.stage import MAIN, Build, Built, Context, Inputs, Ref

_DOC_COLUMNS = ("positives", "negatives", "candidates")
_BATCH_ROWS = 8192
_UNKNOWN = "unknown"


class WriteShards(Build):
    """Write the pairs as shards by source, with every text filled in.

    The folder is the public result: `datasets.load_dataset("arrow", data_files=...)` and
    `polars.scan_ipc` open its files as they are. Holds the passages in memory to fill texts in.
    """

    name: ClassVar[str] = "shards"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: "pairs"}

    by: Literal["source", "kind", "all"] = "source"
    """What gets files of its own."""
    max_rows: int = Field(100_000, ge=1)
    """Pairs in a file, at most."""
    corpus: Annotated[tuple[str, ...], Ref("passages")] = ()
    """Passages whose texts negatives and candidates may need, besides the pairs' own positives."""

    def build(self, inputs: Inputs, folder: Path, context: Context) -> Built:
        """Write the files of one source after another."""
        texts = _texts(inputs)
        shards: list[ShardInfo] = []
        for name, stem in self._stems(inputs.main).items():
            rows = (_fill(rows, texts) for rows in self._rows(inputs.main, name, context))
            shards += _write(folder, stem, rows, self.max_rows, inputs.main.schema)
        return Built(len(inputs.main), len(inputs.main), sides={MAIN: Side("pairs", shards)})

    def _stems(self, pairs: Shards) -> dict[str, str]:
        """Return the beginning of the file names for each source, all different."""
        if self.by == "all":
            return {"": "pairs"}
        column = pc.fill_null(pairs.to_arrow([self.by])[self.by], _UNKNOWN)
        stems: dict[str, str] = {}
        for name in sorted(pc.unique(column).to_pylist()):
            stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or _UNKNOWN
            numbered = (f"{stem}-{number}" for number in count(2))
            stems[name] = next(s for s in chain([stem], numbered) if s not in stems.values())
        return stems

    def _rows(self, pairs: Shards, name: str, context: Context) -> Iterator[pa.Table]:
        done = 0
        for batch in pairs.batches(_BATCH_ROWS):
            done += len(batch)
            context.progress(done, len(pairs), f"rows, {name or 'all'}")
            if self.by == "all":
                yield batch
            else:
                yield batch.filter(pc.equal(pc.fill_null(batch[self.by], _UNKNOWN), name))


def _write(
    folder: Path, stem: str, tables: Iterator[pa.Table], max_rows: int, schema: pa.Schema
) -> list[ShardInfo]:
    """Write tables to files of `max_rows` rows each."""
    written: list[ShardInfo] = []
    left = schema.empty_table()
    for table in tables:
        left = pa.concat_tables([left, table])
        while len(left) >= max_rows:
            name = f"{stem}-{len(written):05d}.arrow"
            written.append(write_shard(folder, name, left.slice(0, max_rows)))
            left = left.slice(max_rows)
    if len(left):
        written.append(write_shard(folder, f"{stem}-{len(written):05d}.arrow", left))
    return written


def _texts(inputs: Inputs) -> pl.DataFrame:
    """Return `id` and `text` of every passage that is known."""
    frames = []
    for table in inputs.main.tables():
        ids, texts = first_positive(table, "id"), first_positive(table)
        frames.append(pl.DataFrame({"id": pl.from_arrow(ids), "text": pl.from_arrow(texts)}))
    if "corpus" in inputs.records:
        passages = inputs.records["corpus"].to_arrow(["id", "text"])
        frames.append(pl.DataFrame(pl.from_arrow(passages)))
    if not frames:
        return pl.DataFrame(schema={"id": pl.String, "text": pl.String})
    return pl.concat(frames).drop_nulls().unique("id", keep="first", maintain_order=True)


def _fill(table: pa.Table, texts: pl.DataFrame) -> pa.Table:
    """Fill in the texts of Docs that have only an id.

    :raises CurateError: if an id is not known.
    """
    for column in _DOC_COLUMNS:
        lists = pa.concat_arrays([*table[column].chunks, pa.array([], pa.list_(DOC))])
        flat = lists.flatten()
        text = pc.struct_field(flat, "text")
        if not text.null_count:
            continue
        ids = pl.DataFrame({"id": pl.from_arrow(pc.struct_field(flat, "id"))})
        found = ids.join(texts, on="id", how="left", maintain_order="left")["text"]
        text = pc.coalesce(text, found.to_arrow().cast(pa.string()))
        if text.null_count:
            lost = flat.filter(pc.is_null(text))[0]["id"]
            raise CurateError(
                f"no text is known for the passage {lost} in `{column}`: name the stage that holds "
                "it in `corpus`"
            )
        parts = [text if f.name == "text" else pc.struct_field(flat, f.name) for f in DOC]
        counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        filled = pa.StructArray.from_arrays(parts, fields=list(DOC))
        table = replace_docs(table, column, filled, counts)
    return table
