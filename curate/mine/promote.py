"""A better positive: the best candidate takes the place of a pair's first positive, the seed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curate.mine.candidates import (
    candidate_frame,
    doc_scores,
    first_positive_scores,
    flat_candidates,
)
from curate.schema import DOC, first_positive, replace_docs, with_first_positive_score


def promote(table: pa.Table, score: str) -> tuple[pa.Table, np.ndarray]:
    """Put the candidate with the highest score in the place of the seed, if its score is higher.

    The seed stays if the best candidate is marked `same` or is a positive of the pair already, and
    takes over its scores as a candidate. A seed without the score gives way to any candidate that
    has it. Of equal candidates the first is the best. The id of a seed that gives way is in `parents`.

    :param table: n pairs.
    :return: the pairs, and bool [n], whose positive is another one now.
    """
    flat, counts = flat_candidates(table)
    frame = candidate_frame(flat, counts, score)
    table = _with_own_scores(table, flat, frame)
    better = _better(table, frame, score)
    moved = np.zeros(len(table), bool)
    moved[better["row"].to_numpy()] = True
    seeds = pc.if_else(pa.array(moved), first_positive(table, "id"), None)
    table = _with_parents(table, seeds)
    return _with_first_positives(table, moved, flat.take(better["place"].to_arrow())), moved


def _with_own_scores(table: pa.Table, flat: pa.StructArray, frame: pl.DataFrame) -> pa.Table:
    """Give each seed the scores that it lacks and has as a candidate of its own pair."""
    seeds = pl.Series(pl.from_arrow(first_positive(table, "id")), dtype=pl.String)
    own = frame.filter(pl.col("id") == seeds.gather(frame["row"]))
    own = own.unique("row", keep="first", maintain_order=True)
    rows, docs = own["row"].to_numpy(), flat.take(own["place"].to_arrow())
    names = pc.struct_field(pc.struct_field(docs, "scores").flatten(), "name")
    for name in sorted(pc.unique(names).to_pylist()):
        values = np.full(len(table), np.nan, np.float32)
        values[rows] = doc_scores(docs, name)
        values[~np.isnan(first_positive_scores(table, name))] = np.nan
        table = with_first_positive_score(table, name, values)
    return table


def _better(table: pa.Table, frame: pl.DataFrame, score: str) -> pl.DataFrame:
    """Return the rows of `frame` that take a seed's place, at most one for each pair, in their order."""
    best = frame.filter(pl.col("score").is_not_null())
    best = best.sort(["row", "score", "place"], descending=[False, True, False])
    best = best.unique("row", keep="first", maintain_order=True)
    seeds = pl.Series(first_positive_scores(table, score)).fill_nan(None)
    docs = pl.DataFrame(pl.from_arrow(table.select(["positives"])))["positives"]
    ids = docs.list.eval(pl.element().struct.field("id"))
    against = best.with_columns(seed=seeds.gather(best["row"]), positives=ids.gather(best["row"]))
    return against.filter(
        pl.col("same").is_null(),
        pl.col("positives").list.len() > 0,
        ~pl.col("positives").list.contains(pl.col("id")),
        (pl.col("score") > pl.col("seed")).fill_null(True),
    )


def _with_first_positives(table: pa.Table, moved: np.ndarray, docs: pa.Array) -> pa.Table:
    """Replace the first positives of some pairs.

    :param moved: bool [n], which pairs.
    :param docs: the new ones, in the order of their pairs.
    """
    lists = pa.concat_arrays([*table["positives"].chunks, pa.array([], pa.list_(DOC))])
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    flat = lists.flatten()
    order = np.arange(len(flat))
    order[(np.cumsum(counts) - counts)[moved]] = len(flat) + np.arange(len(docs))
    return replace_docs(
        table, "positives", pa.concat_arrays([flat, docs]).take(pa.array(order)), counts
    )


def _with_parents(table: pa.Table, more: pa.ChunkedArray) -> pa.Table:
    """Add an id to the parents of each pair, where it is not null and not there yet."""
    frame = pl.DataFrame({"old": pl.from_arrow(table["parents"]), "new": pl.from_arrow(more)})
    old = pl.col("old").fill_null(pl.lit([], pl.List(pl.String)))
    missing = pl.col("new").is_not_null() & ~old.list.contains(pl.col("new"))
    grown = pl.when(missing).then(pl.concat_list(old, "new")).otherwise("old")
    parents = frame.select(parents=grown)["parents"].to_arrow().cast(pa.list_(pa.string()))
    index = table.schema.get_field_index("parents")
    return table.set_column(index, table.schema.field(index), parents)
