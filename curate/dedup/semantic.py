"""Duplicates in meaning: texts whose vectors are close, whatever words they use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.dedup.clusters import Clusters
from curate.dedup.keep import Dedup, Ids, kept_of
from curate.dedup.texts import RecordTexts
from curate.encode import load_encoder
from curate.encode.kmeans import KMeans
from curate.encode.leaders import Found, Search
from curate.encode.rounding import to_bfloat16
from curate.schema import Kind
from curate.shards import Shards
from curate.stage import Context, Inputs, Outcome, Ref
from curate.text.normalise import content_hashes

_ENCODED = 1 << 14  # texts whose vectors are one memo
_HASHED = 1 << 17
_ALL_PAIRS = 100_000
_PER_ROOT = 4
_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class Texts:
    """The distinct texts of n records.

    :param of: int64 [n], the number of each record's text; -1 where there is none that says something.
    :param firsts: int64 [u], the row of the first record with each text, ascending.
    """

    of: np.ndarray
    firsts: np.ndarray


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was found: the clusters, and which records have a text that was compared, bool [n]."""

    clusters: Clusters
    read: np.ndarray


class SemanticDedup(Dedup):
    """Drop records that mean the same as another: queries or passages with close vectors.

    Records are gone through in the order of the wish to keep them (`prefer`, `best`, `keep`). One stays
    unless one that stays before it reaches the threshold with it; else it is dropped for the most
    similar of these. So a dropped record always has a kept one as similar as the threshold, which
    connected components do not promise: in a space of vectors they chain up. Texts that are equal
    but for case, white space or punctuation at the end (`dedup.exact`) are encoded once and are one.
    Of several positives the first counts. A text that says nothing has no duplicates.

    Up to 100,000 texts all pairs are compared, exactly; beyond, as SemDeDup does (Abbas et al. 2023,
    arXiv:2303.09540), only those within clusters of k-means: each text with those of its `probes`
    nearest clusters. The share of the duplicates that this finds is measured on a sample and noted.

    Every record with a text carries the score `semantic_cluster_size`; in clusters of more than one
    `meta` has `semantic_cluster`, the id of the record that stays. Holds 4 bytes per distinct text and
    dimension, and 100 per record.
    """

    name = "dedup.semantic"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")

    encoder: Annotated[str, Ref("model", path=True)]
    """The model that makes the vectors: a stage, or a model folder."""
    on: Literal["query", "passage"] = "passage"
    """Which text of a pair is compared."""
    threshold: float = Field(0.95, ge=0.1, le=1)
    """From which cosine on two texts are duplicates; each model has its own, so look at what is
    dropped. SemDeDup's epsilon is one minus it."""
    clusters: int | None = Field(None, ge=1)
    """Clusters of k-means; 1 compares all pairs. By default 1 up to 100,000 distinct texts, then four
    times the root of their number."""
    probes: int = Field(16, ge=1)
    """The nearest clusters that a text is compared with: more find more duplicates and take longer."""
    farthest: bool = False
    """Among equals, instead of the first, keep the record farthest from the centre of its cluster of
    k-means, as SemDeDup does."""
    seed: int = Field(0, ge=0)
    """Draws the texts that k-means begins with, and the sample that is checked."""

    def gives(self, main: Kind | None) -> dict[str, Kind]:
        """Return the kinds of its sides.

        :raises ValueError: if queries are to be compared and the input is passages.
        """
        if main == "passages" and self.on == "query":
            raise ValueError("on: 'query' needs pairs, but the input is passages")
        return super().gives(main)

    def fit(self, inputs: Inputs, context: Context) -> Fitted:
        """Find the clusters of all records."""
        records = inputs.main
        side: Literal["query", "passage"] = self.on if records.kind == "pairs" else "passage"
        source = RecordTexts(records, side)
        texts = _distinct(source)
        vectors = partial(self._vectors, source, texts, inputs, context)
        found = context.memo("leaders", lambda: self._leaders(records, texts, vectors(), context))
        leader, cosine, kept = (found[name].to_numpy() for name in ("leader", "cosine", "kept"))
        mine = np.where(texts.of < 0, -1, np.append(leader, -1)[texts.of])
        clusters = self._clusters(mine, texts, cosine, kept, Ids(records))
        context.note(texts=len(texts.firsts), clusters=len(np.unique(clusters.kept)))
        return Fitted(clusters, texts.of >= 0)

    def apply(self, table: pa.Table, start: int, fitted: Fitted) -> Outcome:
        """Drop all but one of each cluster among the rows from `start` on."""
        read = fitted.read[start : start + len(table)]
        return fitted.clusters.decide(
            table, start, read, "semantic", "semantic_duplicate", "cosine"
        )

    # -- vectors -------------------------------------------------------------------------

    def _vectors(
        self, source: RecordTexts, texts: Texts, inputs: Inputs, context: Context
    ) -> np.ndarray:
        """Encode the distinct texts: uint16 [u, d], see `to_bfloat16`."""
        encoder = load_encoder(inputs.model("encoder"), context.threads, context.vectors)
        encode = encoder.encode_queries if self.on == "query" else encoder.encode_passages
        rows = texts.firsts
        vectors = np.empty((len(rows), encoder.dimension), np.uint16)
        for number, start in enumerate(range(0, len(rows), _ENCODED)):
            some = rows[start : start + _ENCODED]
            made = context.memo(f"vectors-{number}", partial(_encoded, encode, source, some))
            vectors[start : start + len(some)] = made
            context.progress(start + len(some), len(rows), "vectors")
        return vectors

    # -- leaders -------------------------------------------------------------------------

    def _leaders(
        self, records: Shards, texts: Texts, vectors: np.ndarray, context: Context
    ) -> pa.Table:
        """Decide about the u distinct texts.

        :return: `leader`, the text that stays for each, -1 without a vector; the `cosine` with it; and
            `kept`, the row of each text's record that is to stay before its others.
        """
        useful = np.flatnonzero(vectors.any(axis=1))
        clusters = self.clusters or _default_clusters(len(useful))
        kmeans = None
        if len(useful) and (self.farthest or clusters > 1):
            kmeans = self._kmeans(vectors[useful], clusters, context)
        ranks = self.preference(records, last=self._centrality(kmeans, vectors, texts))
        read = np.flatnonzero(texts.of >= 0)
        kept = np.zeros(len(texts.firsts), np.int64)
        kept[texts.of[read]] = read[kept_of(texts.of[read], ranks[read])]
        order = useful[np.argsort(ranks[kept[useful]])]
        found = self._search(vectors[order], kmeans if clusters > 1 else None, context)
        leader, cosine = np.full(len(kept), -1), np.ones(len(kept))
        leader[order], cosine[order] = order[found.leader], found.cosine
        return pa.table({"leader": leader, "cosine": cosine, "kept": kept})

    def _kmeans(self, vectors: np.ndarray, clusters: int, context: Context) -> KMeans:
        context.progress(0, 0, "clusters")
        # All pairs are compared with one cluster, whose centre says little of what is typical.
        count = clusters if clusters > 1 else _roots(len(vectors))
        return KMeans.learn(vectors, count, self.seed)

    def _centrality(
        self, kmeans: KMeans | None, vectors: np.ndarray, texts: Texts
    ) -> np.ndarray | None:
        """Return how near each record's vector is to its centre, float64 [n]."""
        if not self.farthest or kmeans is None:
            return None
        _, cosine = kmeans.nearest(vectors)
        central: np.ndarray = np.append(cosine, 1.0)[texts.of]
        return central

    def _search(self, vectors: np.ndarray, kmeans: KMeans | None, context: Context) -> Found:
        search = Search(vectors, self.threshold, context.threads)
        progress = partial(context.progress, unit="texts")
        if kmeans is None:
            return search.exact(progress)
        found = search.within(kmeans, self.probes, progress)
        rng = np.random.default_rng(self.seed)
        sample = np.sort(rng.choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False))
        leads = found.leader[sample] == sample
        repeated = int((~leads).sum())
        missed = search.missed(found, sample[leads])
        share = repeated / (repeated + missed) if repeated + missed else 1.0
        context.note(kmeans_clusters=len(kmeans), sample=len(sample), recall=round(share, 4))
        return found

    # -- records -------------------------------------------------------------------------

    def _clusters(
        self, leader: np.ndarray, texts: Texts, cosine: np.ndarray, kept: np.ndarray, ids: Ids
    ) -> Clusters:
        """Say of each cluster of more than one record which stays.

        :param leader: int64 [n], the text that stays for each record; -1 if it is not compared.
        """
        sizes = np.bincount(leader[leader >= 0], minlength=len(kept))
        rows = np.flatnonzero((leader >= 0) & (np.append(sizes, 0)[leader] > 1))
        of = leader[rows]
        return Clusters(
            rows, kept[of], sizes[of].astype(np.int32), np.minimum(cosine[texts.of[rows]], 1), ids
        )


def _default_clusters(texts: int) -> int:
    return 1 if texts <= _ALL_PAIRS else _roots(texts)


def _roots(texts: int) -> int:
    return _PER_ROOT * math.isqrt(max(texts, 1))


def _encoded(
    encode: Callable[[list[str]], np.ndarray], source: RecordTexts, rows: np.ndarray
) -> np.ndarray:
    return to_bfloat16(encode(source.take(rows).to_pylist()))


def _distinct(source: RecordTexts) -> Texts:
    """Find the distinct texts of n records by their hashes."""
    parts = [
        content_hashes(pl.Series(chunk, dtype=pl.String))
        for start in range(0, len(source), _HASHED)
        for chunk in source.of_chunks(start, min(start + _HASHED, len(source)))
    ]
    hashes = np.concatenate([*parts, np.zeros((0, 2), np.uint64)])
    rows = np.flatnonzero(hashes.any(axis=1))
    order = rows[np.lexsort((hashes[rows, 1], hashes[rows, 0]))]  # stable: equal ones by row
    begins = np.ones(len(order), bool)
    begins[1:] = (hashes[order[1:]] != hashes[order[:-1]]).any(axis=1)
    firsts = order[begins]
    number = np.empty(len(firsts), np.int64)
    number[np.argsort(firsts)] = np.arange(len(firsts))
    of = np.full(len(source), -1)
    of[order] = number[np.cumsum(begins) - 1]
    return Texts(of, np.sort(firsts))
