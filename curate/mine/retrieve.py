"""Retrieve: the passages that an encoder, BM25 or both find for each query, as candidates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.encode import load_encoder
from curate.encode.passages import Passages, own_rows, passages_of
from curate.mine.ranked import best, best_and_own, fuse, ranked, with_same
from curate.mine.retrievers import DenseRetriever, LexicalRetriever, Retriever, with_scores
from curate.schema import Kind, docs, replace_docs, with_first_positive_score
from curate.stage import Context, Global, Inputs, Outcome, Ref, keep_all

# Queries whose lists are held at a time: with `depth` 100, some 50 MB.
_QUERIES = 8192


@dataclass(frozen=True, slots=True)
class Pool:
    """The passages to find, and those to compare them with.

    :param passages: first those that are searched, by id; then own passages that are not among them.
    :param searched: how many are searched.
    :param own: int64 [n], where each pair's first positive stands; -1 without one.
    """

    passages: Passages
    searched: int
    own: np.ndarray

    @classmethod
    def of(cls, inputs: Inputs) -> Pool:
        """Collect the corpus, or else the pairs' first positives."""
        corpus = passages_of(inputs.records.get("corpus", inputs.main))
        pool = corpus
        if "corpus" in inputs.records:
            own = passages_of(inputs.main)
            more = np.flatnonzero(corpus.rows(own.ids) < 0)
            texts = [own.texts[row] for row in more]
            pool = Passages(pl.concat([corpus.ids, own.ids.gather(more)]), corpus.texts + texts)
        return cls(pool, len(corpus.ids), own_rows(inputs.main, pool))


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for each of n pairs.

    :param ids: the ids of the passages.
    :param ends: int64 [n + 1], where each pair's candidates end; from 0.
    :param rows: int32 [c], rows of `ids`, the candidates of all pairs end to end, best first.
    :param scores: by name float32 [c]; NaN where a candidate has no such score.
    :param own: by name float32 [n], the scores of the pair's first positive; NaN without one.
    """

    ids: pa.Array
    ends: np.ndarray
    rows: np.ndarray
    scores: dict[str, np.ndarray]
    own: dict[str, np.ndarray]


class Retrieve(Global):
    """Attach the passages of a corpus that are found for each query, as candidates.

    An encoder finds the passages nearest to the query, exactly; or BM25 does; or both do, and the
    best by reciprocal rank fusion stay (Cormack et al. 2009). Candidates carry ids and scores, no
    text (`shards` fills texts in): `similarity` and `bm25`, whichever of the two found them, and
    `rrf_retrieval`. The first positive gets its own `similarity` and `bm25`, to compare with; a
    passage outside the corpus has no `bm25`. Held in memory: the vectors of the corpus and of all
    queries, 4 bytes times the dimension each; the index of BM25; for each candidate 4 bytes and 4
    for each score.
    """

    name: ClassVar[str] = "mine.retrieve"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)

    encoder: Annotated[str | None, Ref("model", path=True)]
    """The model that retrieves: a training stage, or a model folder; null for BM25 alone."""
    lexical: Literal["bm25", "bm25-english"] | None = None
    """BM25 retrieves (too): with terms as they are, or with English stems and without stop words."""
    corpus: Annotated[str | None, Ref("passages")] = None
    """Passages to search; by default the first positives of all the pairs."""
    top: int = Field(30, ge=1)
    """Candidates for each pair."""
    depth: int = Field(100, ge=1)
    """Where two retrieve, how many passages each finds for the fusion; at least `top`."""
    constant: float = Field(60, ge=0)
    """Where two retrieve, what the fusion adds to each rank."""
    same: float | None = Field(None, gt=0, le=1)
    """Keep each pair's own passage in the running, as the last if it was not found, and mark it, and
    candidates of at least this Jaccard similarity with it (words, by fives), by the score `same`."""

    def check(self) -> None:
        """Refuse to retrieve by nothing."""
        if self.encoder is None and self.lexical is None:
            raise ValueError("nothing retrieves: name an encoder, or set lexical: bm25")

    def fit(self, inputs: Inputs, context: Context) -> Found:
        """Search for all queries."""
        pool = Pool.of(inputs)
        if not len(pool.passages.ids) or not len(pool.own):
            return _nothing(len(inputs.main))
        retrievers = cache(lambda: self._retrievers(inputs, context, pool))
        found = context.memo("found", lambda: self._search(retrievers(), pool, context))
        own = context.memo("own", lambda: _own_scores(retrievers(), pool.own))
        context.note(corpus=pool.searched)
        return _found(pool, found, own)

    def _retrievers(self, inputs: Inputs, context: Context, pool: Pool) -> list[Retriever]:
        queries = inputs.main.to_arrow(["query"])["query"].fill_null("").to_pylist()
        texts, searched = pool.passages.texts, pool.searched
        made: list[Retriever] = []
        if self.encoder is not None:
            encoder = load_encoder(inputs.model("encoder"), context.threads, context.vectors)
            context.progress(0, 0, "vectors")
            made.append(DenseRetriever(encoder, queries, texts, searched))
        if self.lexical is not None:
            context.progress(0, 0, "terms")
            english = self.lexical == "bm25-english"
            made.append(LexicalRetriever(queries, texts, searched, english))
        return made

    def _search(self, retrievers: list[Retriever], pool: Pool, context: Context) -> pa.Table:
        """Return the candidates of all pairs: `pair`, `row` and a column for each score."""
        blocks = []
        for start in range(0, len(pool.own), _QUERIES):
            stop = min(start + _QUERIES, len(pool.own))
            blocks.append(self._candidates(start, stop, retrievers, pool, context))
        return pl.concat(blocks).cast({"pair": pl.Int32, "row": pl.Int32}).to_arrow()

    def _candidates(
        self, start: int, stop: int, retrievers: list[Retriever], pool: Pool, context: Context
    ) -> pl.DataFrame:
        """Return the candidates of the pairs from `start` to `stop`."""
        depth = self.top if len(retrievers) == 1 else max(self.top, self.depth)
        lists = []
        for retriever in retrievers:
            queries = slice(start, stop)
            scores, rows = retriever.find(
                queries, depth, lambda done, n: context.progress(done, n, "queries")
            )
            lists.append(ranked(start, scores, rows, retriever.name))
        found = lists[0] if len(lists) == 1 else fuse(lists, self.constant)
        if self.same is None:
            return with_scores(best(found, self.top), retrievers)
        own = pl.DataFrame({"pair": np.arange(start, stop), "row": pool.own[start:stop]})
        found = best_and_own(found, self.top, own.filter(pl.col("row") >= 0))
        found = with_same(found, pool.own, pool.passages.texts, self.same, context.threads)
        return with_scores(found, retrievers)

    def apply(self, table: pa.Table, start: int, fitted: Found) -> Outcome:
        """Replace the candidates of each pair."""
        ends = fitted.ends[start : start + len(table) + 1]
        here = slice(ends[0], ends[-1])
        scores = {name: values[here] for name, values in fitted.scores.items()}
        found = docs(fitted.ids.take(pa.array(fitted.rows[here])), "mined", scores)
        table = replace_docs(table, "candidates", found, np.diff(ends))
        for name, values in fitted.own.items():
            own = values[start : start + len(table)]
            table = with_first_positive_score(table, name, own)
        return keep_all(table)


def _own_scores(retrievers: list[Retriever], own: np.ndarray) -> pa.Table:
    """Score each pair's own passage: a column for each retriever."""
    has = np.flatnonzero(own >= 0)
    columns = {}
    for retriever in retrievers:
        columns[retriever.name] = np.full(len(own), np.nan, np.float32)
        columns[retriever.name][has] = retriever.score(has, own[has])
    return pa.table(columns)


def _found(pool: Pool, found: pa.Table, own: pa.Table) -> Found:
    counts = np.bincount(found["pair"].to_numpy(), minlength=len(pool.own))
    return Found(
        pool.passages.ids.to_arrow().cast(pa.string()),
        np.concatenate([[0], np.cumsum(counts)]),
        found["row"].to_numpy(),
        {name: found[name].to_numpy() for name in found.column_names[2:]},
        {name: own[name].to_numpy() for name in own.column_names},
    )


def _nothing(n: int) -> Found:
    """Return what is found for n pairs where there is no passage to search."""
    return Found(pa.array([], pa.string()), np.zeros(n + 1, int), np.zeros(0, np.int32), {}, {})
