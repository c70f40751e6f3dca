"""The candidates of a batch of pairs, end to end."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curate.mine import SAME
from curate.schema import DOC, append_scores, first_positive, read_scores


def flat_candidates(table: pa.Table) -> tuple[pa.StructArray, np.ndarray]:
    """Return the candidates of n pairs end to end, and int [n], how many each pair has."""
    lists = pa.concat_arrays([*table["candidates"].chunks, pa.array([], pa.list_(DOC))])
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return lists.flatten(), counts


def with_doc_score(flat: pa.StructArray, name: str, values: np.ndarray) -> pa.StructArray:
    """Append the score `name` to each Doc, except where the value is NaN.

    :param values: m numbers for the m Docs.
    """
    grown = append_scores(pc.struct_field(flat, "scores"), name, values)
    parts = [grown if f.name == "scores" else pc.struct_field(flat, f.name) for f in DOC]
    return pa.StructArray.from_arrays(parts, fields=list(DOC))


def doc_scores(flat: pa.StructArray, name: str) -> np.ndarray:
    """Read the score `name` of m Docs: float32 [m], NaN where one has none."""
    return read_scores(pc.struct_field(flat, "scores"), name)


def first_positive_scores(table: pa.Table, name: str) -> np.ndarray:
    """Read the score `name` of each pair's first positive: float32 [n], NaN without one."""
    lists = first_positive(table, "scores")
    return read_scores(pa.concat_arrays([*lists.chunks, pa.array([], lists.type)]), name)


def candidate_frame(flat: pa.StructArray, counts: np.ndarray, score: str) -> pl.DataFrame:
    """Return a row for each candidate: `row` of its pair, `place`, `id`, `score`, `same`.

    :param score: the name of the score that becomes the column `score`.
    :return: `place` counts through all candidates; `score` and `same` are null where a candidate
        has none.
    """
    frame = pl.DataFrame(
        {
            "row": np.repeat(np.arange(len(counts)), counts),
            "place": np.arange(len(flat)),
            "id": pl.Series(pl.from_arrow(pc.struct_field(flat, "id")), dtype=pl.String),
            "score": doc_scores(flat, score),
            "same": doc_scores(flat, SAME),
        }
    )
    return frame.with_columns(pl.col("score", "same").fill_nan(None))
