"""The held-out side: whole groups set apart, and nothing like them left to train on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import Field

from curate.schema import Kind
from curate.shards import Shards
from curate.stage import MAIN, Context, Global, Inputs, Outcome, decide
from curate.text import minhash
from curate.text.minhash import Shingling
from curate.text.normalise import content_hashes

HELD_OUT = "held_out"
TRAIN = "train"
_SHINGLING = Shingling("words", 5)
_PERMUTATIONS = 128
_RECALL = 0.98  # of pairs exactly at the threshold; of those above it, more


@dataclass(slots=True)
class Parts:
    """What becomes of n records: held out or not, and why one is dropped (None where it stays)."""

    held_out: np.ndarray
    reasons: np.ndarray
    details: np.ndarray

    def drop(self, reason: str, found: pl.DataFrame, ids: pa.ChunkedArray) -> None:
        """Drop records, unless they are dropped already.

        :param found: `row`, each once; `of`, the held-out record that it is like; `how`, a remark.
        :param ids: the ids of all n records.
        """
        fresh = [reason is None for reason in self.reasons[found["row"].to_numpy()]]
        found = found.filter(pl.Series(fresh, dtype=pl.Boolean))
        rows = found["row"].to_numpy()
        records = ids.take(found["of"].to_arrow()).to_pylist()
        self.reasons[rows] = reason
        self.details[rows] = [
            f"of {record}{how}" for record, how in zip(records, found["how"], strict=True)
        ]


@dataclass(slots=True)
class _Texts:
    """t texts, and for each of them the row of its record."""

    name: str
    shards: list[pa.ChunkedArray]
    rows: np.ndarray

    def all(self) -> pa.ChunkedArray:
        chunks = [chunk for shard in self.shards for chunk in shard.chunks]
        return pa.chunked_array(chunks, pa.string())


class Split(Global):
    """Set whole groups apart for evaluation, and drop what would leak from them into training.

    The main side is for training (`split` is "train"), the side `held_out` for evaluation. Dropped
    from the training side are records with a passage that says the same as a held-out passage, or
    nearly so (MinHash candidates, verified), and pairs with the query of a held-out pair: a model
    that was taught the question is not tested by it (Lewis et al. 2021, arXiv:2008.02637). Every
    positive of a pair counts. Held-out records are never dropped. A record without a group belongs
    to the group "". Holds 600 bytes per passage.
    """

    name = "split"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: None, HELD_OUT: None}

    held_out_groups: list[str] = Field([])
    """Groups to hold out, by name; one that does not occur is noted, not refused."""
    held_out: float | None = Field(None, gt=0, lt=1, examples=[0.3])
    """Share of the groups (not of the records) to hold out besides. A group's own name and the seed
    decide, so that it stays on its side when other groups come or go."""
    seed: int = Field(0, ge=0)
    """Which groups `held_out` takes, and which permutations MinHash draws."""
    near_duplicates: float | None = Field(0.8, ge=0.1, le=1)
    """From which Jaccard similarity (of runs of 5 words) on a training passage is too near a
    held-out one; with null only those that say the same are dropped."""
    same_query: Literal["drop", "keep"] = "drop"
    """What happens to training pairs that have the query of a held-out pair."""

    def check(self) -> None:
        """Refuse to hold nothing out."""
        if not self.held_out_groups and self.held_out is None:
            raise ValueError("nothing is held out: give held_out_groups, or held_out as a share")

    def fit(self, inputs: Inputs, context: Context) -> Parts:
        """Choose the groups, and find what leaks from them."""
        shards = inputs.main
        held_out = self._choose(shards, context)
        nothing = np.full(len(shards), None, object)
        parts = Parts(held_out, nothing, nothing.copy())
        ids = shards.to_arrow(["id"])["id"]
        passages = _passages(shards)
        parts.drop("copy_of_held_out", _copies(passages, held_out, context), ids)
        if self.near_duplicates is not None:
            near = self._near(passages, held_out, self.near_duplicates, context)
            parts.drop("near_duplicate_of_held_out", near, ids)
        if shards.kind == "pairs" and self.same_query == "drop":
            columns = [table["query"] for table in shards.tables()]
            queries = _Texts("query", columns, np.arange(len(shards)))
            parts.drop("query_of_held_out", _copies(queries, held_out, context), ids)
        return parts

    def apply(self, table: pa.Table, start: int, fitted: Parts) -> Outcome:
        """Part the rows from `start` on."""
        here = slice(start, start + len(table))
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        held_out = pa.array(fitted.held_out[here])
        index = table.schema.get_field_index("split")
        table = table.set_column(
            index, table.schema.field(index), pc.if_else(held_out, HELD_OUT, TRAIN)
        )
        apart = table.filter(held_out)
        rest = ~fitted.held_out[here]
        outcome = decide(
            table.filter(pa.array(rest)),
            fitted.reasons[here][rest].tolist(),
            fitted.details[here][rest].tolist(),
            kind,
        )
        outcome.kept_inputs += len(apart)
        outcome.sides[HELD_OUT] = apart
        return outcome

    def _choose(self, shards: Shards, context: Context) -> np.ndarray:
        """Tell for each record whether its group is held out."""
        groups = pl.Series(shards.to_arrow(["group"])["group"], dtype=pl.String).fill_null("")
        names = groups.unique().sort().to_list()
        chosen = set(self.held_out_groups) & set(names)
        if self.held_out is not None:
            chosen |= {name for name in names if _place(name, self.seed) < self.held_out}
        held_out = groups.is_in(sorted(chosen)).to_numpy()
        context.note(
            held_out_groups=len(chosen),
            held_out_records=int(held_out.sum()),
            groups=len(names),
            missing_groups=sorted(set(self.held_out_groups) - set(names)),
        )
        return np.asarray(held_out, bool)

    def _near(
        self, passages: _Texts, held_out: np.ndarray, threshold: float, context: Context
    ) -> pl.DataFrame:
        """Find the training records with a passage that is near a held-out one."""
        signed = np.concatenate(
            [*self._signatures(passages, context), np.zeros((0, _PERMUTATIONS), np.uint32)]
        )
        apart = held_out[passages.rows]
        here, there = np.flatnonzero(~apart), np.flatnonzero(apart)
        bands, rows = minhash.bands_and_rows(threshold, _PERMUTATIONS, _RECALL)
        pairs = minhash.candidates_between(signed[here], signed[there], bands, rows)
        pairs = np.stack([here[pairs[:, 0]], there[pairs[:, 1]]], 1)
        texts = passages.all()
        similarity = minhash.jaccard(texts, texts, pairs, _SHINGLING, context.threads)
        context.note(bands=bands, rows=rows, candidate_pairs=len(pairs))
        near = similarity >= threshold
        found = pl.DataFrame(
            {
                "row": passages.rows[pairs[near, 0]],
                "of": passages.rows[pairs[near, 1]],
                "similarity": similarity[near],
            }
        )
        best = found.sort("row", "similarity", "of", descending=[False, True, False])
        return best.unique("row", keep="first", maintain_order=True).select(
            "row", "of", how=pl.format(", Jaccard similarity {}", pl.col("similarity").round(2))
        )

    def _signatures(self, passages: _Texts, context: Context) -> Iterator[np.ndarray]:
        for number, texts in enumerate(passages.shards):
            yield context.memo(
                f"signatures-{number}",
                lambda texts=texts: minhash.signatures(  # type: ignore[misc]
                    texts, _SHINGLING, _PERMUTATIONS, self.seed, context.threads
                ),
            )
            context.progress(number + 1, len(passages.shards), "shards")


def _place(group: str, seed: int) -> float:
    """Return where a group stands in [0, 1), by its name and the seed alone."""
    return float(xxhash.xxh3_64_intdigest(f"{seed}:{group}".encode()) / 2**64)


def _passages(shards: Shards) -> _Texts:
    """Return the texts of passages, or of all positives of pairs."""
    texts, rows, start = [], [np.zeros(0, np.int64)], 0
    for table in shards.tables():
        if shards.kind == "passages":
            texts.append(table["text"])
            rows.append(start + np.arange(len(table)))
        else:
            positives = table["positives"].combine_chunks()
            texts.append(pc.struct_field(pc.list_flatten(table["positives"]), "text"))
            rows.append(start + pc.list_parent_indices(positives).to_numpy(zero_copy_only=False))
        start += len(table)
    return _Texts("passage", texts, np.concatenate(rows))


def _copies(texts: _Texts, held_out: np.ndarray, context: Context) -> pl.DataFrame:
    """Find the training records with a text that says the same as a held-out one."""
    hashes = [
        context.memo(
            f"{texts.name}-hashes-{number}",
            lambda some=some: content_hashes(pl.Series(some, dtype=pl.String)),  # type: ignore[misc]
        )
        for number, some in enumerate(texts.shards)
    ]
    keys = ["low", "high"]
    frame = pl.DataFrame(
        np.concatenate([*hashes, np.zeros((0, 2), np.uint64)]), schema=keys
    ).with_columns(row=pl.Series(texts.rows), apart=pl.Series(held_out[texts.rows]))
    frame = frame.filter((pl.col("low") != 0) | (pl.col("high") != 0))
    there = frame.filter("apart").unique(keys, keep="first", maintain_order=True)
    hits = frame.filter(~pl.col("apart")).join(there, on=keys, maintain_order="left", suffix="_of")
    return hits.unique("row", keep="first", maintain_order=True).select(
        "row", of="row_of", how=pl.lit("")
    )
