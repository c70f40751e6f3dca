"""What finds passages for queries: an encoder's neighbours and BM25, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import polars as pl

from curate.encode import Encoder
from curate.encode.neighbours import top_k
from curate.mine import BM25_SCORE, SIMILARITY
from curate.text.bm25 import BM25

_PAIRS_AT_ONCE = 1 << 16


class Retriever(Protocol):
    """Finds passages for n queries that it was made with, and scores given passages."""

    name: str
    """The score that it gives."""

    def find(
        self, queries: slice, k: int, progress: Callable[[int, int], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and rows of the best passages of some queries.

        :return: two arrays [queries, at most k], best first; row -1 where nothing is found.
        """
        ...

    def score(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Score m passages, each for its query.

        :param queries: int [m], numbers of queries.
        :param rows: int [m], rows of passages.
        :return: float32 [m]; NaN for a passage that this retriever has no score for.
        """
        ...


class DenseRetriever:
    """Inner products of unit vectors. Holds the vectors of queries and passages.

    :param passages: the first `searched` of them are searched; others are only scored.
    """

    name = SIMILARITY

    def __init__(
        self, encoder: Encoder, queries: list[str], passages: list[str], searched: int
    ) -> None:
        self.queries = encoder.encode_queries(queries)
        self.passages = encoder.encode_passages(passages)
        self.searched = searched

    def find(
        self, queries: slice, k: int, progress: Callable[[int, int], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search exactly."""
        passages, n = self.passages[: self.searched], len(self.queries)
        return top_k(
            self.queries[queries], passages, k, lambda done, _: progress(queries.start + done, n)
        )

    def score(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Multiply vectors."""
        scores = np.empty(len(rows), np.float32)
        for low in range(0, len(rows), _PAIRS_AT_ONCE):
            part = slice(low, low + _PAIRS_AT_ONCE)
            vectors = self.queries[queries[part]], self.passages[rows[part]]
            np.einsum("nd,nd->n", *vectors, out=scores[part])
        return scores


class LexicalRetriever:
    """BM25 over the first `searched` passages; it has no score for others."""

    name = BM25_SCORE

    def __init__(
        self, queries: list[str], passages: list[str], searched: int, english: bool
    ) -> None:
        self.queries = pl.Series(queries, dtype=pl.String)
        self.index = BM25(passages[:searched], english=english)

    def find(
        self, queries: slice, k: int, progress: Callable[[int, int], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search exactly."""
        found = self.index.top_k(self.queries[queries], k)
        progress(queries.stop, len(self.queries))
        return found

    def score(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Add up the weights of the queries' terms."""
        known = rows < self.index.size
        scores = np.full(len(rows), np.nan, np.float32)
        asked, numbers = np.unique(queries[known], return_inverse=True)
        texts = self.queries.gather(asked)
        scores[known] = self.index.score(texts, np.stack([numbers, rows[known]], 1))
        return scores


def with_scores(found: pl.DataFrame, retrievers: Sequence[Retriever]) -> pl.DataFrame:
    """Score what others found: fill in the nulls in each retriever's column of a ranked frame."""
    for retriever in retrievers:
        known = found[retriever.name].to_numpy(writable=True)
        missing = np.flatnonzero(np.isnan(known))
        pairs, rows = (found[name].to_numpy()[missing] for name in ("pair", "row"))
        known[missing] = retriever.score(pairs, rows)
        found = found.with_columns(pl.Series(retriever.name, known).fill_nan(None))
    return found
