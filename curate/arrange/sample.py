"""A random sample, for a trial run or where every record costs money."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from xxhash import xxh3_64_intdigest

from curate.schema import Kind
from curate.stage import Context, Global, Inputs, Outcome, decide


class Sample(Global):
    """Keep a random sample of the records; the rest is dropped as `not_sampled`.

    A record's id and the seed decide, so that a sample changes little when records come or go, and a
    larger sample holds the smaller one. Holds the ids of all records in memory while it draws.
    """

    name: ClassVar[str] = "sample"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")

    count: int = Field(ge=0, examples=[40])
    """Records to keep, if there are so many."""
    seed: int = Field(0, ge=0)
    """Another seed keeps other records."""

    def fit(self, inputs: Inputs, context: Context) -> np.ndarray:
        """Draw: bool [n], whether each record stays."""
        ids = inputs.main.to_arrow(["id"])["id"].to_pylist()
        draws = np.array([xxh3_64_intdigest(i.encode(), seed=self.seed) for i in ids], np.uint64)
        keep = np.zeros(len(ids), bool)
        keep[np.argsort(draws, kind="stable")[: self.count]] = True
        return keep

    def apply(self, table: pa.Table, start: int, fitted: np.ndarray) -> Outcome:
        """Keep those that were drawn."""
        keep = fitted[start : start + len(table)]
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        return decide(table, [None if kept else "not_sampled" for kept in keep], kind=kind)
