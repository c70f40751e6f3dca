"""Near-duplicates by MinHash: texts that share most of their shingles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.schema import Kind, first_positive, with_score
from curate.shards import Shards
from curate.stage import Context, Global, Inputs, Outcome, decide
from curate.text import minhash
from curate.text.minhash import Shingling


@dataclass(slots=True)
class Clusters:
    """What became of n records: sizes of their clusters (NaN: no text), why they are dropped."""

    sizes: np.ndarray
    reasons: np.ndarray
    details: np.ndarray


class MinHashDedup(Global):
    """Drop near-duplicates: of each cluster of similar queries or passages one record stays.

    Two texts are similar if the Jaccard similarity of their sets of shingles reaches the threshold
    (MinHash and LSH find the candidates, see `text.minhash`); clusters are the connected
    components, so a dropped record may resemble the kept one through others only: the detail tells
    how much. Of several positives the first counts. A text without words has no duplicates. Every
    record carries the score `minhash_cluster_size`. Holds 4 bytes per record and permutation, and
    100 per candidate pair.
    """

    name = "dedup.minhash"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")

    on: Literal["query", "passage"] = "passage"
    """Which text of a pair is compared."""
    threshold: float = Field(0.8, gt=0, le=1)
    """From which Jaccard similarity on two texts are duplicates."""
    shingle: Literal["words", "chars"] | None = None
    """Shingles of words or characters; by default words of passages, characters of queries: one
    word changed in a query of eight may leave no run of five words whole."""
    shingle_size: int = Field(5, ge=1)
    """How many words or characters make a shingle; a shorter text is one shingle."""
    permutations: int = Field(128, ge=1)
    """The length of a signature: more find more of the pairs near the threshold."""
    recall: float = Field(0.95, gt=0, lt=1)
    """At least this share of the pairs exactly at the threshold must become candidates."""
    verify: bool = True
    """Compare the true sets of candidates; else the estimate from signatures decides."""
    keep: Literal["first", "longest"] = "first"
    """Which record of a cluster stays: the first in input order, or that with the longest text."""
    seed: int = Field(0, ge=0)
    """Which permutations are drawn."""

    def check(self) -> None:
        """Refuse too few permutations for the threshold and the recall."""
        minhash.bands_and_rows(self.threshold, self.permutations, self.recall)

    def gives(self, main: Kind | None) -> dict[str, Kind]:
        """Return the kinds of its sides.

        :raises ValueError: if queries are to be compared and the input is passages.
        """
        if main == "passages" and self.on == "query":
            raise ValueError("on: 'query' needs pairs, but the input is passages")
        return super().gives(main)

    def fit(self, inputs: Inputs, context: Context) -> Clusters:
        """Cluster all records."""
        texts = pa.chunked_array(self._texts(inputs.main), pa.string())
        pairs, similarity = self._similar(inputs.main, texts, context)
        duplicates = pairs[similarity >= self.threshold]
        cluster = minhash.components(len(texts), duplicates)
        kept = self._kept(cluster, texts)
        context.note(clusters=len(np.unique(cluster[duplicates[:, 0]])))
        return self._clusters(kept, texts, inputs.main.to_arrow(["id"])["id"], context.threads)

    def apply(self, table: pa.Table, start: int, fitted: Clusters) -> Outcome:
        """Drop all but one of each cluster among the rows from `start` on."""
        here = slice(start, start + len(table))
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        table = with_score(table, "minhash_cluster_size", fitted.sizes[here])
        return decide(table, fitted.reasons[here].tolist(), fitted.details[here].tolist(), kind)

    def _shingling(self) -> Shingling:
        default: Literal["words", "chars"] = "chars" if self.on == "query" else "words"
        return Shingling(self.shingle or default, self.shingle_size)

    def _texts(self, shards: Shards) -> Iterator[pa.Array]:
        for table in shards.tables():
            if shards.kind == "passages":
                column = table["text"]
            else:
                column = table["query"] if self.on == "query" else first_positive(table)
            yield from column.chunks

    def _similar(
        self, shards: Shards, texts: pa.ChunkedArray, context: Context
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find candidate pairs, shape (m, 2), and their m similarities."""
        signed = self._signatures(shards, texts, context)
        bands, rows = minhash.bands_and_rows(self.threshold, self.permutations, self.recall)
        pairs = context.memo("candidates", lambda: minhash.candidates(signed, bands, rows))
        if self.verify:
            similarity = context.memo(
                "similarity",
                lambda: minhash.jaccard(texts, texts, pairs, self._shingling(), context.threads),
            )
        else:
            similarity = minhash.agreement(signed, signed, pairs)
        context.note(
            bands=bands,
            rows=rows,
            recall_at_threshold=round(minhash.chance(self.threshold, bands, rows), 4),
            candidate_pairs=len(pairs),
            verified_pairs=int((similarity >= self.threshold).sum()),
        )
        return pairs, similarity

    def _signatures(self, shards: Shards, texts: pa.ChunkedArray, context: Context) -> np.ndarray:
        """Sign all texts, shard by shard, so that a kill costs one shard."""
        signed = np.empty((len(texts), self.permutations), np.uint32)
        start = 0
        for number, table in enumerate(shards.tables()):
            some = texts.slice(start, len(table))
            signed[start : start + len(table)] = context.memo(
                f"signatures-{number}",
                lambda some=some: minhash.signatures(  # type: ignore[misc]
                    some, self._shingling(), self.permutations, self.seed, context.threads
                ),
            )
            start += len(table)
            context.progress(start, len(texts))
        return signed

    def _kept(self, cluster: np.ndarray, texts: pa.ChunkedArray) -> np.ndarray:
        """Return for each record the row of its cluster's record that stays."""
        if self.keep == "first":
            return cluster
        lengths = pc.fill_null(pc.utf8_length(texts), 0).to_numpy()
        order = np.lexsort((np.arange(len(cluster)), -lengths, cluster))
        firsts = np.ones(len(order), bool)
        firsts[1:] = cluster[order][1:] != cluster[order][:-1]
        kept = np.empty_like(cluster)
        kept[cluster[order][firsts]] = order[firsts]
        staying: np.ndarray = kept[cluster]
        return staying

    def _clusters(
        self, kept: np.ndarray, texts: pa.ChunkedArray, ids: pa.ChunkedArray, threads: int
    ) -> Clusters:
        sizes = np.bincount(kept, minlength=len(kept))[kept].astype(np.float64)
        sizes[texts.is_null().to_numpy()] = np.nan
        rows = np.flatnonzero(kept != np.arange(len(kept)))
        pairs = np.stack([rows, kept[rows]], 1)
        similarity = minhash.jaccard(texts, texts, pairs, self._shingling(), threads)
        reasons, details = np.full(len(kept), None, object), np.full(len(kept), None, object)
        reasons[rows] = "near_duplicate"
        details[rows] = [
            f"of {record}, Jaccard similarity {value:.2f}"
            for record, value in zip(
                ids.take(pa.array(kept[rows])).to_pylist(), similarity, strict=True
            )
        ]
        return Clusters(sizes, reasons, details)
