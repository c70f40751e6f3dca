"""Exact duplicates: texts that say the same, letter for letter, in another form at most."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.dedup.keep import Dedup, Ids
from curate.schema import Kind, first_positive
from curate.shards import Shards
from curate.stage import Context, Inputs, Outcome, decide
from curate.text.normalise import content_hashes

_COPY, _QUERY_CAP, _PASSAGE_CAP = range(3)
_REASONS = pa.array(["exact_duplicate", "query_cap", "passage_cap"])
_STAYS = len(_REASONS)
_LEAST_ROWS = 512  # fewer are not worth a thread
Side = Literal["query", "passage"]
_SIDES: dict[str, tuple[Side, ...]] = {
    "query": ("query",),
    "passage": ("passage",),
    "pair": ("query", "passage"),
}


@dataclass(slots=True)
class Verdicts:
    """Which of the records are dropped, m of them, ascending; 17 bytes each.

    :param rows: int64 [m].
    :param reasons: uint8 [m], places in the list of reasons.
    :param instead: int64 [m], the row of the first record to stay instead.
    :param ids: the ids of all records.
    """

    rows: np.ndarray
    reasons: np.ndarray
    instead: np.ndarray
    ids: Ids


class ExactDedup(Dedup):
    """Drop copies: the same normalised query, passage or pair; one stays, and caps hold.

    Compared is what `text.normalise.content_hashes` sees: case, white space, Unicode form and
    punctuation at the end make no difference. Of several positives the first counts. A record
    whose text is null or says nothing has no copies (`filter.rules` drops it). Instructions
    (`task`) are not compared. Which copy stays, and which records a cap leaves, is for `prefer`,
    `best` and `keep` to say. Holds 60 bytes per record, up to 100 where most are copies, and the
    texts of one shard.
    """

    name = "dedup.exact"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")

    on: Literal["query", "passage", "pair"] | None = None
    """What is compared: by default the pair, or of passages the passage."""
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
        hashes = _Hashes(list(_hash_shards(shards, context)), shards.kind)
        ranks = self.preference(shards)
        fates = np.full(len(shards), _STAYS, np.uint8)
        rows, instead = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for reason, sides, most in self._rounds(shards.kind):
            extra, first = _beyond(hashes, sides, fates == _STAYS, ranks, most)
            fates[extra] = reason
            rows.append(extra)
            instead.append(first)
        dropped = np.concatenate(rows)
        order = np.argsort(dropped)
        dropped = dropped[order]
        return Verdicts(dropped, fates[dropped], np.concatenate(instead)[order], Ids(shards))

    def _rounds(self, kind: Kind) -> list[tuple[int, tuple[Side, ...], int]]:
        """Return what is dropped, one after another: reason, what is compared, how many stay."""
        on = self.on or ("passage" if kind == "passages" else "pair")
        rounds = [(_COPY, _SIDES[on], 1)]
        if self.max_per_query is not None:
            rounds.append((_QUERY_CAP, _SIDES["query"], self.max_per_query))
        if self.max_per_passage is not None:
            rounds.append((_PASSAGE_CAP, _SIDES["passage"], self.max_per_passage))
        return rounds

    def apply(self, table: pa.Table, start: int, fitted: Verdicts) -> Outcome:
        """Drop the copies among the rows from `start` on."""
        low, high = np.searchsorted(fitted.rows, [start, start + len(table)])
        places = fitted.rows[low:high] - start
        ids = fitted.ids.take(fitted.instead[low:high])
        of = np.full(len(table), -1)
        of[places] = np.arange(len(places))
        index = pa.array(of, mask=of < 0)
        reasons = _REASONS.take(pa.array(fitted.reasons[low:high]))
        says = self._says().take(pa.array(fitted.reasons[low:high]))
        details = pc.binary_join_element_wise(says, ids, "", null_handling="replace")
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        return decide(table, reasons.take(index), details.take(index), kind)

    def _says(self) -> pa.Array:
        """Return the beginning of the detail for each reason; the id of the record follows."""
        caps = (self.max_per_query, self.max_per_passage)
        return pa.array(["copy of ", *(f"more than {cap} here; the first is " for cap in caps)])


# --- hashes ---------------------------------------------------------------------------------------


def _hash_shards(shards: Shards, context: Context) -> Iterator[np.ndarray]:
    """Hash the texts of each shard: uint64 [n, 4] of pairs (query, passage), [n, 2] of passages."""
    done = 0
    with ThreadPoolExecutor(context.threads) as pool:
        for number, table in enumerate(shards.tables()):
            step = max(-(-len(table) // context.threads), _LEAST_ROWS)
            parts = [table.slice(at, step) for at in range(0, max(len(table), 1), step)]
            yield context.memo(
                f"hashes-{number}",
                lambda parts=parts: np.concatenate(list(pool.map(_hashes, parts))),  # type: ignore[misc]
            )
            done += len(table)
            context.progress(done, len(shards))


def _hashes(table: pa.Table) -> np.ndarray:
    passages = "text" in table.column_names
    columns = [table["text"]] if passages else [table["query"], first_positive(table)]
    return np.hstack([content_hashes(pl.Series(column, dtype=pl.String)) for column in columns])


class _Hashes:
    """The hashes of all n records, read from the shards' when they are needed."""

    def __init__(self, shards: list[np.ndarray], kind: Kind) -> None:
        self._shards = shards
        self._first = {"query": 0, "passage": 0 if kind == "passages" else 2}

    def halves(self, sides: tuple[Side, ...], half: int) -> np.ndarray:
        """Return one half of the hash of one text or of two texts, uint64 [n]."""
        columns = [self._first[side] + half for side in sides]
        parts = [_sum(*(shard[:, column] for column in columns)) for shard in self._shards]
        return np.concatenate([*parts, np.zeros(0, np.uint64)])

    def say_something(self, sides: tuple[Side, ...]) -> np.ndarray:
        """Tell of which records all these texts say something, bool [n]."""
        parts = [
            np.logical_and.reduce(
                [shard[:, (at := self._first[side]) : at + 2].any(1) for side in sides]
            )
            for shard in self._shards
        ]
        return np.concatenate([*parts, np.zeros(0, bool)])


def _sum(first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """Join the halves of two hashes.

    They are random bits already, so any sum will do in which equal ones do not cancel out.
    """
    return first if second is None else first * np.uint64(3) + second


def _beyond(
    hashes: _Hashes, sides: tuple[Side, ...], left: np.ndarray, ranks: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the records that come after the first `most` of those with the same texts.

    :param left: bool [n], the records to look at.
    :param ranks: see `Dedup.preference`.
    :return: m rows, and for each the row of the first of its like, int64 [m] both.
    """
    rows = np.flatnonzero(left & hashes.say_something(sides))
    # Most have a first half of their own; only the others are compared whole and ranked.
    keys = hashes.halves(sides, 0)[rows]
    order = np.argsort(keys)
    same = keys[order[1:]] == keys[order[:-1]]
    shared = np.zeros(len(rows), bool)
    shared[1:] = same
    shared[:-1] |= same
    places = order[shared]
    del order, same, shared
    keys, rows = keys[places], rows[places]
    others = hashes.halves(sides, 1)[rows]
    order = np.lexsort((ranks[rows], others, keys))
    keys, others, rows = keys[order], others[order], rows[order]
    begins = np.ones(len(rows), bool)
    begins[1:] = (keys[1:] != keys[:-1]) | (others[1:] != others[:-1])
    numbers = np.arange(len(rows))
    firsts = np.maximum.accumulate(np.where(begins, numbers, 0))
    extra = numbers - firsts >= most
    return rows[extra], rows[firsts[extra]]
