"""Near-duplicates by MinHash: texts that share most of their shingles."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.dedup.clusters import Clusters
from curate.dedup.keep import Dedup, Ids, kept_of
from curate.dedup.near import Near, Side, Signing, find_near, find_seen
from curate.dedup.texts import RecordTexts, TextOf, texts_of
from curate.schema import Kind
from curate.shards import Shards
from curate.stage import Context, Inputs, Outcome, decide
from curate.text.minhash import Shingling, balanced, bands_and_rows, chance
from curate.text.minhash.bloom import bloom_size
from curate.text.minhash.index import decode, encode

_KEY_BYTES = 8
_REASON = "near_duplicate"
_LIKE_EARLIER = "like an earlier record"


class MinHashDedup(Dedup):
    """Drop near-duplicates: of each cluster of similar queries, passages or pairs one record stays.

    Two texts are similar if the Jaccard similarity of their sets of shingles reaches the threshold.
    MinHash and LSH find candidates (see `text.minhash`), and the true similarity decides; clusters
    are the connected components, so a dropped record may resemble the kept one through others only:
    the detail tells how much. Two pairs are near-duplicates on `both` if their queries are similar
    and their passages too: the same passage may answer different questions. (To leave one pair where
    either is similar, run the stage twice, on the one and on the other.) Of several positives the
    first counts. A text without words has no duplicates.

    Every record carries the score `minhash_cluster_size`; in clusters of more than one `meta` has
    `minhash_cluster`, the id of the record that stays.

    Holds 13 bytes per record (40 more for `prefer`, `best` and `keep`), 80 per member of a cluster,
    the shingles of a corpus where they need less than 256 MB, and some 150 MB of work; on disk, while
    it runs, 8 bytes per record and band, and 8 more. With `index: bloom` it holds the filters, 3.5
    bytes per record and band; a killed pass begins again.
    """

    name = "dedup.minhash"
    version: ClassVar[int] = 2
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")

    on: Literal["query", "passage", "both"] = "passage"
    """Which text of a pair is compared; `both`: one pair is a duplicate if both are."""
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
    memory: int | None = Field(None, ge=2 * _KEY_BYTES)
    """How many bytes on disk there are for each record while the stage runs, 8 for a band and 8 more;
    by default as many as the permutations allow."""
    bands: Literal["recall", "balanced"] | None = None
    """How signatures are cut: by `recall`, the default where candidates are verified; or `balanced`
    between false and missed ones, as datasketch does, the default where they are not."""
    index: Literal["exact", "bloom"] = "exact"
    """Find candidates by their sorted keys; or, for the largest corpora, let a Bloom filter for each
    band tell whether an earlier record agrees in it (LSHBloom, Khan et al. 2024). Then the first
    stays, candidates are not verified, and there are no clusters: neither score nor `meta`."""
    verify: bool | None = None
    """Compare the true sets of candidates, else every candidate is a duplicate; by default they are
    compared, except with Bloom filters, which do not know what a record agrees with."""
    false_positive: float = Field(1e-5, gt=0, lt=1)
    """The probability that the Bloom filters together take a new record for a known one."""
    seed: int = Field(0, ge=0)
    """Which permutations are drawn."""

    def check(self) -> None:
        """Refuse what cannot work together, and too few permutations for threshold and recall."""
        _ = self._cut
        if self.index == "bloom":
            wishes = {"prefer": self.prefer, "best": self.best, "verify": self.verify}
            for field, value in wishes.items():
                if value:
                    raise ValueError(f"{field}: {value!r} needs index: exact, not bloom")
            if self.keep != "first":
                raise ValueError(f"keep: {self.keep!r} needs index: exact; bloom keeps the first")

    def gives(self, main: Kind | None) -> dict[str, Kind]:
        """Return the kinds of its sides.

        :raises ValueError: if queries are to be compared and the input is passages.
        """
        if main == "passages" and self.on != "passage":
            raise ValueError(f"on: {self.on!r} needs pairs, but the input is passages")
        return super().gives(main)

    def planned(self) -> dict[str, Any]:
        """Return how signatures are cut, what that finds and costs, and the other way to cut them."""
        bands, rows = self._cut
        facts: dict[str, Any] = {
            "bands": bands,
            "rows": rows,
            "recall_at_threshold": round(chance(self._similarity, bands, rows), 4),
        }
        if self.index == "bloom":
            bits, _ = bloom_size(bands, self.false_positive)
            facts["memory_bytes_per_record"] = round(bands * bits / 8)
        else:
            facts["disk_bytes_per_record"] = (1 + bands) * _KEY_BYTES
        other = balanced(self._similarity, self.permutations)
        if other != (bands, rows):
            facts["balanced"] = f"{other[0]} x {other[1]}"
            facts["balanced_recall_at_threshold"] = round(chance(self._similarity, *other), 4)
        return facts

    def fit(self, inputs: Inputs, context: Context) -> Clusters | np.ndarray:
        """Cluster all records; with Bloom filters only tell which resemble an earlier one."""
        context.note(**self.planned())
        signing = self._signing(inputs.main)
        if self.index == "bloom":
            seen: np.ndarray = context.memo(
                "seen", lambda: find_seen(signing, self.false_positive, context)
            )
            return seen
        threshold = self.threshold if self._verifies else None
        near = find_near(signing, threshold, context)
        clusters = self._clusters(near, signing, inputs.main, context)
        context.note(
            candidate_pairs=near.candidates,
            verified_pairs=len(near.verified),
            clusters=int((clusters.rows == clusters.kept).sum()),
        )
        return clusters

    def apply(self, table: pa.Table, start: int, fitted: Clusters | np.ndarray) -> Outcome:
        """Drop all but one of each cluster among the rows from `start` on."""
        if isinstance(fitted, np.ndarray):
            kind: Kind = "pairs" if "query" in table.column_names else "passages"
            seen = pa.array(fitted[start : start + len(table)])
            reasons = pc.if_else(seen, _REASON, pa.scalar(None, pa.string()))
            return decide(table, reasons, pc.if_else(seen, _LIKE_EARLIER, reasons), kind)
        read = ~self._unread(table)
        return fitted.decide(table, start, read, "minhash", _REASON, "Jaccard similarity")

    @property
    def _verifies(self) -> bool:
        return self.index == "exact" if self.verify is None else self.verify

    @property
    def _sides(self) -> tuple[TextOf, ...]:
        return ("query", "passage") if self.on == "both" else (self.on,)

    @property
    def _similarity(self) -> float:
        """How often a place of the signatures is the same at the threshold, on all sides at once."""
        return self.threshold ** len(self._sides)

    @cached_property
    def _cut(self) -> tuple[int, int]:
        """How many bands of how many rows."""
        most = None if self.memory is None else self.memory // _KEY_BYTES - 1
        if (self.bands or ("recall" if self._verifies else "balanced")) == "balanced":
            return balanced(self._similarity, self.permutations, most)
        return bands_and_rows(self._similarity, self.permutations, self.recall, most)

    def _signing(self, records: Shards) -> Signing:
        sides = [
            Side(RecordTexts(records, side), self._shingling(side), self._verifies)
            for side in self._sides
        ]
        return Signing(sides, *self._cut, self.seed)

    def _shingling(self, side: TextOf) -> Shingling:
        default: Literal["words", "chars"] = "chars" if side == "query" else "words"
        return Shingling(self.shingle or default, self.shingle_size)

    def _unread(self, table: pa.Table) -> np.ndarray:
        """Tell which records lack a text that is compared: n booleans."""
        texts = [texts_of(table, side) for side in self._sides]
        unread: np.ndarray = np.any([some.is_null().to_numpy() for some in texts], axis=0)
        return unread

    def _clusters(
        self, near: Near, signing: Signing, records: Shards, context: Context
    ) -> Clusters:
        """Say of each cluster of more than one which record stays."""
        roots = near.sets.roots()
        joined = np.flatnonzero(~near.sets.firsts())
        rows = np.union1d(joined, roots[joined])
        _, cluster, sizes = np.unique(roots[rows], return_inverse=True, return_counts=True)
        kept = rows[kept_of(cluster, self.preference(records)[rows])]
        similarity = np.full(len(rows), np.nan)
        if self._verifies:
            codes = encode(np.minimum(rows, kept), np.maximum(rows, kept))
            place = np.searchsorted(near.verified["code"], codes)
            known = np.append(near.verified["code"], np.uint64(0))[place] == codes
            similarity[known] = near.verified["similarity"][place[known]]
            missing = np.flatnonzero(~known & (rows != kept))
            pairs = decode(codes[missing])
            similarity[missing] = context.memo(
                "similarity", lambda: signing.similarity(pairs, context.threads)
            )
        return Clusters(rows, kept, sizes[cluster].astype(np.int32), similarity, Ids(records))
