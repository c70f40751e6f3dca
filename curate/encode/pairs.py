"""The two sides of pairs as vectors, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curate.encode.passages import texts_of
from curate.errors import CurateError
from curate.schema import first_positive
from curate.shards import Shards

BATCH = 1 << 15
"""Pairs whose vectors are held at a time."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The two sides of n pairs.

    :param queries: n strings or nulls.
    :param ids: n ids of first positives, or nulls.
    :param passages: n texts of first positives; null where it is not known anywhere.
    """

    queries: pa.Array
    ids: pa.Array
    passages: pa.Array

    def __len__(self) -> int:
        return len(self.queries)

    def usable(self) -> np.ndarray:
        """Tell which pairs have both sides: bool [n]."""
        both = pc.and_(pc.is_valid(self.queries), pc.is_valid(self.passages))
        found: np.ndarray = both.to_numpy(zero_copy_only=False).astype(bool)
        return found


def sides_of(pairs: Shards, *records: Shards) -> Iterator[tuple[pa.Table, Sides]]:
    """Yield the batches of some pairs, and their two sides.

    Where a first positive comes without its text, it is looked up by its id.

    :param records: passages or pairs to look for such texts in, besides the pairs themselves.
    """
    untold = [_untold(table) for table in pairs.tables()]
    ids = pl.concat([pl.Series("id", [], pl.String), *untold]).unique()
    known = texts_of(ids, pairs, *records) if len(ids) else None
    for table in pairs.batches(BATCH):
        yield table, _sides(table, known)


def _untold(table: pa.Table) -> pl.Series:
    ids, texts = first_positive(table, "id"), first_positive(table)
    missing = ids.filter(pc.is_null(texts)).drop_null()
    return pl.Series("id", missing, pl.String).unique()


def _sides(table: pa.Table, known: pl.DataFrame | None) -> Sides:
    ids, texts = first_positive(table, "id"), first_positive(table)
    if known is not None and texts.null_count:
        asked = pl.DataFrame({"id": pl.from_arrow(ids)}, schema={"id": pl.String})
        found = asked.join(known, on="id", how="left", maintain_order="left")["text"]
        texts = pc.coalesce(texts, found.to_arrow().cast(pa.string()))
    return Sides(*(_one(column) for column in (table["query"], ids, texts)))


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return pa.concat_arrays([pa.array([], pa.string()), *chunks])


def encode_distinct(
    encode: Callable[[Sequence[str]], np.ndarray], texts: pa.Array
) -> tuple[np.ndarray, np.ndarray]:
    """Encode each distinct text once.

    :param texts: n strings, no nulls.
    :return: float32 [m, d], the vectors of the distinct texts; int64 [n], the row of each text.
    :raises CurateError: as `finite` does.
    """
    coded = texts.dictionary_encode()
    vectors = finite(encode(coded.dictionary.to_pylist()))
    return vectors, coded.indices.to_numpy().astype(np.int64)


def finite(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors that an encoder gave.

    :param vectors: float32 [n, d].
    :raises CurateError: if one of them has a value that is no finite number: nothing can be compared
        with it.
    """
    broken = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(broken):
        raise CurateError(
            f"the encoder gave {len(broken)} of {len(vectors)} texts vectors with values that are not "
            "finite numbers: it is damaged, or its precision too low; use another one"
        )
    return vectors
