"""Lists of found passages as frames: `pair`, `row` and a column for each score, null where it has none.

Those of a pair stand together, best first, and pairs in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from curate.mine import RETRIEVAL_RRF, SAME
from curate.mine.fusion import reciprocal_rank_fusion
from curate.text.minhash import Shingling, jaccard

_KEY = ["pair", "row"]


def ranked(start: int, scores: np.ndarray, rows: np.ndarray, name: str) -> pl.DataFrame:
    """Make a frame of what a retriever found for the pairs from `start` on.

    :param scores: float32 [n, k], best first.
    :param rows: int [n, k]; -1 where nothing was found.
    """
    pairs = np.repeat(np.arange(start, start + len(rows)), rows.shape[1])
    frame = pl.DataFrame({"pair": pairs, "row": rows.ravel(), name: scores.ravel()})
    return frame.filter(pl.col("row") >= 0)


def fuse(lists: Sequence[pl.DataFrame], constant: float) -> pl.DataFrame:
    """Join lists of one score each by their fusion; equals in the order of the first list, and so on."""
    joined = lists[0]
    for more in lists[1:]:
        joined = joined.join(more, on=_KEY, how="full", coalesce=True)
    names = [name for name in joined.columns if name not in _KEY]
    scores = joined.select(pl.col(names).fill_null(np.nan)).to_numpy().T
    fused = reciprocal_rank_fusion(scores, joined["pair"].to_numpy(), constant)
    joined = joined.with_columns(pl.Series(RETRIEVAL_RRF, fused.astype(np.float32)))
    by = ["pair", RETRIEVAL_RRF, *names, "row"]
    descending = [False, True, *(True for _ in names), False]
    return joined.sort(by, descending=descending, nulls_last=True)


def best(found: pl.DataFrame, top: int) -> pl.DataFrame:
    """Keep the best `top` of each pair."""
    return found.filter(pl.int_range(pl.len()).over("pair") < top)


def best_and_own(found: pl.DataFrame, top: int, own: pl.DataFrame) -> pl.DataFrame:
    """Keep the best `top` of each pair, of which its own passage is one, if need be the last.

    :param own: the own passages: `pair` and `row`.
    """
    absent = own.join(found, on=_KEY, how="anti")
    every = pl.concat([found, absent], how="diagonal").sort("pair", maintain_order=True)
    every = every.join(own.with_columns(own=True), on=_KEY, how="left", maintain_order="left")
    place = pl.int_range(pl.len()).over("pair")
    own_place = pl.col("place").filter(pl.col("own")).first().over("pair")
    room = pl.when(own_place >= top).then(top - 1).otherwise(top)
    kept = pl.col("own").fill_null(False) | (pl.col("place") < room)
    return every.with_columns(place=place).filter(kept).drop("place", "own")


def with_same(
    found: pl.DataFrame, own: np.ndarray, texts: Sequence[str], threshold: float, threads: int
) -> pl.DataFrame:
    """Add the column `same`: 1 for the pair's own passage, for one like it the Jaccard similarity.

    :param own: int [n], the row of each pair's own passage; -1 where there is none.
    :param texts: the texts of all rows.
    :param threshold: from which similarity of the sets of shingles a passage is like the own one.
    """
    rows = found["row"].to_numpy()
    own_rows = own[found["pair"].to_numpy()]
    same = np.where(rows == own_rows, np.float32(1), np.float32(np.nan))
    others = np.flatnonzero((rows != own_rows) & (own_rows >= 0))
    pairs = np.stack([own_rows[others], rows[others]], 1)
    used, places = np.unique(pairs, return_inverse=True)
    compared = pa.array([texts[row] for row in used], pa.large_string())
    similarity = jaccard(compared, compared, places.reshape(pairs.shape), Shingling(), threads)
    alike = similarity >= threshold
    same[others[alike]] = similarity[alike]
    return found.with_columns(pl.Series(SAME, same).fill_nan(None))
