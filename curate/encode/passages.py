"""The passages of pairs, each once: what is encoded, searched and ranked among."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from curate.schema import Kind, first_positive
from curate.shards import Shards


@dataclass(frozen=True, slots=True)
class Passages:
    """Distinct passages, by id.

    :param ids: m ids, sorted.
    :param texts: their texts.
    """

    ids: pl.Series
    texts: list[str]

    def rows(self, ids: pl.Series) -> np.ndarray:
        """Return where n ids stand, int64 [n]; -1 where one is null or not here."""
        places = pl.DataFrame({"id": self.ids, "place": np.arange(len(self.ids), dtype=np.int64)})
        wanted = pl.DataFrame({"id": ids})
        found = wanted.join(places, on="id", how="left", maintain_order="left")["place"]
        return found.fill_null(-1).to_numpy()


def passages_of(*records: Shards) -> Passages:
    """Collect the texts of passages, or the first positives of pairs, leaving out those without."""
    frame = pl.concat([_texts_of(shards) for shards in records])
    frame = frame.drop_nulls().unique("id", keep="first", maintain_order=True).sort("id")
    return Passages(frame["id"], frame["text"].to_list())


def _texts_of(records: Shards) -> pl.DataFrame:
    columns = ["id", "text"] if records.kind == "passages" else ["positives"]
    return _texts_in(records.to_arrow(columns), records.kind)


def _texts_in(table: pa.Table, kind: Kind) -> pl.DataFrame:
    """Return ids and texts of the passages, or of the first positives, of a table."""
    if kind == "passages":
        ids, texts = table["id"], table["text"]
    else:
        ids, texts = first_positive(table, "id"), first_positive(table)
    columns = {"id": pl.from_arrow(ids), "text": pl.from_arrow(texts)}
    return pl.DataFrame(columns, schema={"id": pl.String, "text": pl.String})


def sample_passages(count: int, seed: int, *records: Shards) -> Passages:
    """Draw passages at random from all that `passages_of` would collect, or take them all.

    Which are drawn follows from their ids and the seed alone. Holds about 100 bytes for each passage
    there is, and the texts of those drawn.
    """
    ids = [part["id"].unique() for part in _told(*records)]
    every = pl.concat([pl.Series("id", [], pl.String), *ids]).unique().sort()
    if len(every) > count:
        chosen = np.random.default_rng(seed).choice(len(every), count, replace=False)
        every = every.gather(np.sort(chosen))
    frame = texts_of(every, *records).sort("id")
    return Passages(frame["id"], frame["text"].to_list())


def texts_of(ids: pl.Series, *records: Shards) -> pl.DataFrame:
    """Look up passages by id: columns `id` and `text`, each once, without those that have no text."""
    wanted = pl.DataFrame({"id": ids}, schema={"id": pl.String})
    found = [part.join(wanted, on="id", how="semi").unique("id") for part in _told(*records)]
    nothing = pl.DataFrame(schema={"id": pl.String, "text": pl.String})
    return pl.concat([nothing, *found]).unique("id", keep="first", maintain_order=True)


def _told(*records: Shards) -> Iterator[pl.DataFrame]:
    """Yield ids and texts shard by shard, leaving out those without."""
    for shards in records:
        for table in shards.tables():
            yield _texts_in(table, shards.kind).drop_nulls()


def own_rows(pairs: Shards, passages: Passages) -> np.ndarray:
    """Return where each pair's first positive stands among passages, int64 [n]; -1 without one."""
    ids = pl.from_arrow(first_positive(pairs.to_arrow(["positives"]), "id"))
    return passages.rows(pl.Series(ids, dtype=pl.String))
