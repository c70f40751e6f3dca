"""Which of some records that say the same stays."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import score
from curate.shards import Shards
from curate.sources import first_pattern
from curate.stage import Global


class Dedup(Global):
    """A stage that leaves one record of each group; the settings say which.

    The wishes are asked one after another: the source that is preferred, then the best score, then the
    longest text, then the place in the input.
    """

    prefer: list[str] = []
    """Sources whose records stay before others, best first; patterns such as `stackexchange/*`."""
    best: str | None = None
    """The score whose highest value stays; a record without it comes after those that have it."""
    keep: Literal["first", "longest"] = "first"
    """Among equals the first in input order, or the one with the longest text."""

    def preference(self, records: Shards, texts: pa.ChunkedArray | None = None) -> np.ndarray:
        """Rank n records by the wish to keep them.

        :param texts: their n texts, for `longest`.
        :return: int64 [n], a permutation; 0 is the first to stay.
        """
        order = {"row": np.arange(len(records))}
        if self.prefer:
            sources = records.to_arrow(["source"])["source"]
            order["source"] = first_pattern(sources, self.prefer)
        if self.best is not None:
            value = score(records.to_arrow(["scores"]), self.best)
            order["best"] = np.where(np.isnan(value), np.inf, -value)
        if self.keep == "longest":
            assert texts is not None, "the longest of no texts"
            order["length"] = -pc.fill_null(pc.utf8_length(texts), 0).to_numpy().astype(np.int64)
        wishes = [name for name in ("source", "best", "length", "row") if name in order]
        sorted_rows = pl.DataFrame(order).sort(wishes)["row"].to_numpy()
        ranks = np.empty(len(sorted_rows), np.int64)
        ranks[sorted_rows] = np.arange(len(sorted_rows))
        return ranks


def kept_of(cluster: np.ndarray, preference: np.ndarray) -> np.ndarray:
    """Return for each of n records the row of the record that stays for its cluster, int64 [n].

    :param cluster: int [n], equal for the members of a cluster.
    :param preference: see `Dedup.preference`.
    """
    order = np.lexsort((preference, cluster))
    firsts = np.ones(len(order), bool)
    firsts[1:] = cluster[order[1:]] != cluster[order[:-1]]
    kept = np.empty(len(order), np.int64)
    kept[order] = order[np.flatnonzero(firsts)[np.cumsum(firsts) - 1]]
    return kept
