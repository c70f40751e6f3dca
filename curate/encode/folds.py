"""Cross-fitting: records in folds, so that a model can judge those it was not trained on.

A model folder says in `left_out.json` which fold its training left out; whoever uses the model on the
same records finds there which of them it never saw.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate.shards import write_bytes

_FILE = "left_out.json"
By = Literal["pair", "query", "group"]
_COLUMNS: dict[By, str] = {"pair": "id", "query": "query_id", "group": "group"}


class LeftOut(BaseModel):
    """Which part of the records a training leaves out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fold: int = Field(0, ge=0)
    """The number of the part, from 0."""
    of: int = Field(2, ge=2)
    """How many parts there are."""
    by: By = "query"
    """What is never cut: all pairs of a `query`, or of a `group` (stricter: a model for packages it never
    saw ranks worse), lie in one part; `pair` deals them out one by one."""

    @model_validator(mode="after")
    def _refuse(self) -> LeftOut:
        if self.fold >= self.of:
            raise ValueError(f"fold {self.fold} of {self.of}: folds are numbered from 0")
        return self

    def rows(self, table: pa.Table) -> np.ndarray:
        """Tell which of n records are left out: bool [n]."""
        out: np.ndarray = numbers(table[_COLUMNS[self.by]], self.of) == self.fold
        return out

    def save(self, folder: Path) -> None:
        """Write it into a model folder."""
        write_bytes(folder / _FILE, self.model_dump_json().encode())

    @classmethod
    def load(cls, folder: Path) -> LeftOut | None:
        """Read what a model folder says; None if the model was trained on everything, or elsewhere."""
        path = folder / _FILE
        return cls.model_validate(json.loads(path.read_bytes())) if path.is_file() else None


def numbers(keys: pa.ChunkedArray, count: int) -> np.ndarray:
    """Number records from 0 to `count` - 1 by a hash (XXH3) of their keys: int64 [n].

    :param keys: n strings; all nulls are one key.
    """
    coded = pc.fill_null(keys, "").combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):  # of no chunks
        return np.zeros(len(keys), np.int64)
    digest = xxhash.xxh3_64_intdigest
    found = [digest(key.as_buffer() or b"") % count for key in coded.dictionary]
    numbered: np.ndarray = np.array(found, np.int64)[coded.indices.to_numpy()]
    return numbered
