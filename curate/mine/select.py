"""Select: hard negatives out of the candidates, none of them too near to be a negative."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.mine import SIMILARITY
from curate.schema import DOC, Kind, replace_docs
from curate.stage import Context, Global, Inputs, Outcome, decide


class SelectNegatives(Global):
    """Choose hard negatives among each pair's candidates, below a share of the positive's score.

    Moreira et al. 2024 (NV-Retriever), arXiv:2407.15831: candidates that score above 95% of the
    positive's score are probably false negatives. Never chosen: a passage that is a positive of the
    same query in any pair. Of the candidates left, best first, `skip` are passed over and `count`
    taken. The candidates are then removed. Holds the ids of all positives in memory.
    """

    name: ClassVar[str] = "mine.select"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)

    score: str = SIMILARITY
    """The name of the score that candidates and positive are compared by."""
    count: int = Field(4, ge=1)
    """Negatives for each pair, at most."""
    skip: int = Field(0, ge=0)
    """Best candidates to pass over."""
    below: float = Field(0.95, gt=0, le=1)
    """The highest share of the positive's score that a negative may have."""
    required: bool = False
    """Drop pairs for which no negative is left."""

    def fit(self, inputs: Inputs, context: Context) -> pl.DataFrame:
        """Collect the positives of every query."""
        pairs = inputs.main.to_arrow(["query_id", "positives"])
        frame = pl.DataFrame(pl.from_arrow(pairs))
        positives = frame.explode("positives", empty_as_null=True).select(
            "query_id", doc=pl.col("positives").struct.field("id")
        )
        return positives.drop_nulls().unique()

    def apply(self, table: pa.Table, start: int, fitted: pl.DataFrame) -> Outcome:
        """Choose for each pair of a batch."""
        candidates = _candidates(table, self.score)
        own = _own_scores(table, self.score)
        # A share of a negative score would lie above it: take the distance off instead.
        limit = pl.col("own") - (1 - self.below) * pl.col("own").abs()
        chosen = (
            candidates.join(own, on="row", how="left")
            .filter(pl.col("score") <= limit)
            .join(fitted, left_on=["query_id", "id"], right_on=["query_id", "doc"], how="anti")
            .unique(["row", "id"], keep="first")
            .sort(["row", "score", "place"], descending=[False, True, False])
            .with_columns(rank=pl.int_range(pl.len()).over("row"))
            .filter(pl.col("rank").is_between(self.skip, self.skip + self.count - 1))
        )
        flat = pa.concat_arrays(
            [*(c.flatten() for c in table["candidates"].chunks), pa.array([], DOC)]
        )
        counts = np.bincount(chosen["row"].to_numpy(), minlength=len(table))
        picked = flat.take(pa.array(chosen["place"].to_numpy()))
        table = replace_docs(table, "negatives", picked, counts)
        table = replace_docs(table, "candidates", pa.array([], DOC), np.zeros(len(table), int))
        missing = (counts == 0) & self.required
        return decide(table, ["no_negative" if row else None for row in missing])


def _candidates(table: pa.Table, score: str) -> pl.DataFrame:
    """Return one row for each candidate: row of the pair, place, query id, id, score."""
    frame = pl.DataFrame(pl.from_arrow(table.select(["query_id", "candidates"])))
    exploded = (
        frame.with_row_index("row")
        .filter(pl.col("candidates").list.len() > 0)
        .explode("candidates", empty_as_null=True)
        .with_row_index("place")
    )
    doc = pl.col("candidates").struct
    return exploded.select(
        pl.col("row").cast(pl.Int64),
        pl.col("place").cast(pl.Int64),
        "query_id",
        id=doc.field("id"),
        score=_score_of(doc.field("scores"), score),
    )


def _own_scores(table: pa.Table, score: str) -> pl.DataFrame:
    """Return the score of each pair's first positive; null where it has none."""
    frame = pl.DataFrame(pl.from_arrow(table.select(["positives"])))
    first = pl.col("positives").list.first().struct.field("scores")
    own = frame.select(own=_score_of(first, score)).with_row_index("row")
    return own.with_columns(pl.col("row").cast(pl.Int64))


def _score_of(scores: pl.Expr, name: str) -> pl.Expr:
    """Return the value of the score `name` from lists of scores; null where there is none."""
    named = scores.list.filter(pl.element().struct.field("name") == name)
    return named.list.last().struct.field("value")
