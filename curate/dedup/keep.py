"""Which of some records that say the same stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.schema import first_positive, score
from curate.shards import Shards
from curate.sources import first_pattern
from curate.stage import Global


class Dedup(Global):
    """A stage that leaves one record of each group; the settings say which.

    The wishes are asked one after another: the source that is preferred, then the best score, then the
    longest text, then the place in the input.
    """

    prefer: list[str] = Field([])
    """Sources whose records stay before others, best first; patterns such as `stackexchange/*`."""
    best: str | None = None
    """The score whose highest value stays; a record without it comes after those that have it."""
    keep: Literal["first", "longest"] = "first"
    """Among equals the first in input order, or the longest: of pairs query and passage together."""

    def preference(self, records: Shards, last: np.ndarray | None = None) -> np.ndarray:
        """Rank n records by the wish to keep them. Holds up to 48 bytes per record.

        :param last: n numbers, asked before the place in the input; the lowest is to stay.
        :return: int64 [n], a permutation; 0 is the first to stay.
        """
        wishes = list(self._wishes(records))
        wishes += [] if last is None else [last]
        if not wishes:
            return np.arange(len(records))
        ranks = np.empty(len(records), np.int64)
        ranks[np.lexsort(wishes[::-1])] = np.arange(len(records))
        return ranks

    def _wishes(self, records: Shards) -> Iterator[np.ndarray]:
        """Give n numbers for each wish, the strongest wish first; the lowest number is to stay."""
        if self.prefer:
            yield _each(records, lambda t: first_pattern(t["source"], self.prefer), np.int32)
        if (name := self.best) is not None:
            values = _each(records, lambda t: score(t, name), np.float32)
            yield np.where(np.isnan(values), np.float32(np.inf), -values)
        if self.keep == "longest":
            yield -_each(records, _own_lengths, np.int64)


def _each(
    records: Shards, read: Callable[[pa.Table], np.ndarray], dtype: type[np.generic]
) -> np.ndarray:
    """Read one number from each of n records, shard by shard."""
    found = np.empty(len(records), dtype)
    start = 0
    for table in records.tables():
        found[start : start + len(table)] = read(table)
        start += len(table)
    return found


def _own_lengths(table: pa.Table) -> np.ndarray:
    """Return the characters of each passage, or of each pair's query and first positive, int64 [n]."""
    if "text" in table.column_names:
        return _lengths(table["text"])
    both: np.ndarray = _lengths(table["query"]) + _lengths(first_positive(table))
    return both


def _lengths(texts: pa.ChunkedArray) -> np.ndarray:
    lengths: np.ndarray = pc.fill_null(pc.utf8_length(texts), 0).to_numpy().astype(np.int64)
    return lengths


class Ids:
    """The ids of records by their row, read from the memory-mapped shards when they are asked for."""

    def __init__(self, records: Shards) -> None:
        self._chunks = records.to_arrow(["id"])["id"].chunks
        self._starts = np.cumsum([0, *map(len, self._chunks)])

    def take(self, rows: np.ndarray) -> pa.Array:
        """Return the ids of the records at m rows."""
        # `ChunkedArray.take` looks at every chunk, however few are wanted.
        number = np.searchsorted(self._starts, rows, "right") - 1
        order = np.argsort(number, kind="stable")
        wanted, begins = np.unique(number[order], return_index=True)
        found = [
            self._chunks[chunk].take(pa.array(rows[some] - self._starts[chunk]))
            for chunk, some in zip(wanted, np.split(order, begins[1:]), strict=False)
        ]
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_arrays([*found, pa.array([], pa.string())]).take(pa.array(back))


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
