"""The passages of pairs, each once: what is encoded, searched and ranked among."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from curate.schema import first_positive
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
    if records.kind == "passages":
        table = records.to_arrow(["id", "text"])
        ids, texts = table["id"], table["text"]
    else:
        table = records.to_arrow(["positives"])
        ids, texts = first_positive(table, "id"), first_positive(table)
    columns = {"id": pl.from_arrow(ids), "text": pl.from_arrow(texts)}
    return pl.DataFrame(columns, schema={"id": pl.String, "text": pl.String})


def own_rows(pairs: Shards, passages: Passages) -> np.ndarray:
    """Return where each pair's first positive stands among passages, int64 [n]; -1 without one."""
    ids = pl.from_arrow(first_positive(pairs.to_arrow(["positives"]), "id"))
    return passages.rows(pl.Series(ids, dtype=pl.String))
