"""Exact duplicates: texts that say the same, letter for letter, in another form at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.schema import Kind, first_positive, score
from curate.stage import Context, Global, Inputs, Outcome, decide
from curate.text.normalise import content_hashes

_KEYS = {"query": ["q0", "q1"], "passage": ["p0", "p1"], "pair": ["q0", "q1", "p0", "p1"]}


@dataclass(slots=True)
class Verdicts:
    """Why each of n records is dropped (an array of objects): None where it stays."""

    reasons: np.ndarray
    details: np.ndarray


class ExactDedup(Global):
    """Drop copies: the same normalised query, passage or pair; the first, or the best, stays.

    Compared is what `text.normalise.content_hashes` sees: case, white space, Unicode form and
    punctuation at the end make no difference. Of several positives the first counts. A record
    whose text is null or says nothing has no copies (`filter.rules` drops it). Instructions
    (`task`) are not compared. Holds 100 bytes per record, and the texts of one shard.
    """

    name = "dedup.exact"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")

    on: Literal["query", "passage", "pair"] | None = None
    """What is compared: by default the pair, or of passages the passage."""
    best: str | None = None
    """The score whose highest value stays; without it, or among equals, the first in input order."""
    max_per_query: int | None = Field(None, ge=1)
    """After the copies have gone, at most so many pairs for one query."""
    max_per_passage: int | None = Field(None, ge=1)
    """After the copies have gone, at most so many pairs for one passage."""

    def gives(self, main: Kind | None) -> dict[str, Kind]:
        """Return the kinds of its sides; refuse settings that need pairs where the input has none.

        :raises ValueError: if the input is passages and a setting speaks of queries or pairs.
        """
        if main == "passages":
            needs_pairs = {
                "on": self.on if self.on != "passage" else None,
                "max_per_query": self.max_per_query,
                "max_per_passage": self.max_per_passage,
            }
            for field, value in needs_pairs.items():
                if value is not None:
                    raise ValueError(f"{field}: {value!r} needs pairs, but the input is passages")
        return super().gives(main)

    def fit(self, inputs: Inputs, context: Context) -> Verdicts:
        """Find the copies among all records."""
        shards = inputs.main
        hashes = [
            context.memo(f"hashes-{number}", lambda table=table: _hashes(table))  # type: ignore[misc]
            for number, table in enumerate(shards.tables())
        ]
        names = _KEYS["passage" if shards.kind == "passages" else "pair"]
        frame = pl.DataFrame(
            np.concatenate([*hashes, np.zeros((0, len(names)), np.uint64)]), schema=names
        ).with_row_index("row")
        if self.best is not None:
            values = pl.Series(score(shards.to_arrow(["scores"]), self.best)).fill_nan(None)
            frame = frame.with_columns(best=values).sort(
                "best", descending=True, nulls_last=True, maintain_order=True
            )
        verdicts = Verdicts(np.full(len(frame), None, object), np.full(len(frame), None, object))
        ids = shards.to_arrow(["id"])["id"]
        for reason, keys, most in self._rounds(shards.kind):
            extra = _beyond(frame, keys, most)
            frame = frame.join(extra, on="row", how="anti", maintain_order="left")
            rows = extra["row"].to_numpy()
            verdicts.reasons[rows] = reason
            kept = ids.take(extra["first"].to_arrow()).to_pylist()
            verdicts.details[rows] = _details(reason, most, kept)
        return verdicts

    def _rounds(self, kind: Kind) -> list[tuple[str, list[str], int]]:
        """Return what is dropped, one after another: reason, key columns, how many stay per key."""
        on = self.on or ("passage" if kind == "passages" else "pair")
        rounds = [("exact_duplicate", _KEYS[on], 1)]
        if self.max_per_query is not None:
            rounds.append(("query_cap", _KEYS["query"], self.max_per_query))
        if self.max_per_passage is not None:
            rounds.append(("passage_cap", _KEYS["passage"], self.max_per_passage))
        return rounds

    def apply(self, table: pa.Table, start: int, fitted: Verdicts) -> Outcome:
        """Drop the copies among the rows from `start` on."""
        here = slice(start, start + len(table))
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        return decide(table, fitted.reasons[here].tolist(), fitted.details[here].tolist(), kind)


def _hashes(table: pa.Table) -> np.ndarray:
    """Hash the texts of n records: shape (n, 4) for pairs (query, passage), (n, 2) for passages."""
    columns = (
        [table["text"]]
        if "text" in table.column_names
        else [
            table["query"],
            first_positive(table),
        ]
    )
    return np.hstack([content_hashes(pl.Series(column)) for column in columns])


def _beyond(frame: pl.DataFrame, keys: list[str], most: int) -> pl.DataFrame:
    """Find the rows that come after the first `most` of the same keys: `row`, and the `first` itself."""
    says_something = [
        (pl.col(low) != 0) | (pl.col(high) != 0)
        for low, high in zip(keys[::2], keys[1::2], strict=True)
    ]
    return (
        frame.filter(*says_something)
        .select(
            "row",
            pl.col("row").first().over(keys).alias("first"),
            pl.int_range(pl.len()).over(keys).alias("place"),
        )
        .filter(pl.col("place") >= most)
    )


def _details(reason: str, most: int, kept: list[str]) -> list[str]:
    if reason == "exact_duplicate":
        return [f"copy of {record}" for record in kept]
    return [f"more than {most} here; the first is {record}" for record in kept]
