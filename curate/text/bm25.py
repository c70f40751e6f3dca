"""BM25, the lexical baseline that every trained model has to beat, made for code and for prose.

The term weights are `bm25s`'s, computed when the index is built. A search is then one product of
sparse matrices for a block of queries, and its ranking is exact: equal scores go to the lower row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.errors import MissingExtraError
from curate.text.identifiers import split_identifiers

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

K1 = 1.2
B = 0.75
"""Lucene's defaults."""

# Chinese and Japanese are written without spaces: there a character is a term.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー"
_TERM = rf"[{_UNSPACED}]|[^ {_UNSPACED}]+"
# Scores held at a time: 16 MB.
_CELLS = 1 << 22
_PAIRS_AT_ONCE = 1 << 14


class Terms:
    """Texts as terms: identifiers split, lower-cased, punctuation gone; numbered when indexed.

    Several indices over the same texts (a grid of `k1` and `b`) share one `Terms`.

    :param texts: n texts; a null counts as empty.
    :param english: leave out English stop words, and reduce words to their stems (Snowball).
    :raises MissingExtraError: if `english` is asked for and PyStemmer is not installed.
    """

    def __init__(self, texts: Sequence[str | None] | pl.Series, english: bool = False) -> None:
        series = pl.Series(texts, dtype=pl.String).fill_null("")
        self.lists = split_identifiers(series).str.extract_all(_TERM)
        self.english = english
        if english:
            self.lists = _stems(self.lists)

    def __len__(self) -> int:
        return len(self.lists)

    def vocabulary(self) -> pl.Enum:
        """Return the distinct terms in alphabetical order, as the type that numbers them."""
        return pl.Enum(self.lists.explode().drop_nulls().unique().sort())

    def numbered(self, vocabulary: pl.Enum) -> pl.Series:
        """Return n lists of term numbers; a term outside the vocabulary is left out."""
        number = pl.element().cast(vocabulary, strict=False).to_physical().drop_nulls()
        return self.lists.list.eval(number)


def _stems(lists: pl.Series) -> pl.Series:
    """Drop stop words and stem the rest, word by distinct word."""
    try:
        from Stemmer import Stemmer
    except ImportError:
        raise MissingExtraError("PyStemmer", "eval") from None
    from bm25s.stopwords import STOPWORDS_EN

    words = lists.explode().drop_nulls().unique().sort()
    kept = words.filter(~words.is_in(list(STOPWORDS_EN)))
    stems = pl.Series(Stemmer("english").stemWords(kept.to_list()), dtype=pl.String)
    stem = pl.element().replace_strict(kept, stems, default=None).drop_nulls()
    return lists.list.eval(stem) if len(kept) else lists.list.head(0)


class BM25:
    """A BM25 index over passages. Holds 8 bytes per distinct term of each passage.

    Robertson and Zaragoza 2009, eq. 3.15, with Lucene's idf ln(1 + (N - n + 0.5) / (n + 0.5)); a
    term that a query repeats counts each time.

    :param texts: n passages, or their `Terms`.
    :param k1: how much a repeated term adds; 0 counts it once.
    :param b: how much long passages are discounted, from 0 to 1.
    :param english: see `Terms`; not used if `texts` are terms already.
    :raises ValueError: if `k1` or `b` is out of range.
    """

    def __init__(
        self,
        texts: Sequence[str | None] | pl.Series | Terms,
        k1: float = K1,
        b: float = B,
        english: bool = False,
    ) -> None:
        if k1 < 0 or not 0 <= b <= 1:
            raise ValueError(f"BM25 needs k1 >= 0 and b from 0 to 1, got k1 {k1} and b {b}")
        terms = texts if isinstance(texts, Terms) else Terms(texts, english)
        self.k1, self.b, self.size = k1, b, len(terms)
        self.english = terms.english
        self.vocabulary = terms.vocabulary()
        self._weights = self._weigh(terms)

    def _weigh(self, terms: Terms) -> csr_matrix:
        """Return the weight of each term in each passage, shape [terms, n]."""
        import bm25s
        from scipy.sparse import csr_matrix

        shape = (len(self.vocabulary.categories), self.size)
        if not shape[0]:
            return csr_matrix(shape, dtype=np.float32)
        index: Any = bm25s.BM25(k1=self.k1, b=self.b, method="lucene")
        columns = index.build_index_from_ids(
            range(shape[0]), terms.numbered(self.vocabulary).to_list(), show_progress=False
        )
        return csr_matrix((columns["data"], columns["indices"], columns["indptr"]), shape)

    def top_k(
        self, queries: Sequence[str | None] | pl.Series | Terms, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best passages of each of m queries; equal scores go to the lower row.

        :return: scores, float32 [m, min(k, n)], descending, and rows, int64 of that shape. A
            passage that shares no term with the query is not found: where fewer than k are found,
            the rest has score 0 and row -1.
        :raises ValueError: if `k` is below 1.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        terms = queries if isinstance(queries, Terms) else Terms(queries, self.english)
        counts = self._count(terms)
        k = min(k, self.size)
        scores = np.zeros((counts.shape[0], k), np.float32)
        rows = np.full((counts.shape[0], k), -1, np.int64)
        step = max(1, _CELLS // max(1, self.size))
        for start in range(0, counts.shape[0] if k else 0, step):
            part = slice(start, start + step)
            scores[part], rows[part] = _best((counts[part] @ self._weights).toarray(), k)
        return scores, rows

    def score(
        self, queries: Sequence[str | None] | pl.Series | Terms, pairs: np.ndarray
    ) -> np.ndarray:
        """Score passages, each for one of m queries.

        :param pairs: int [p, 2]: rows of `queries` and of the index.
        :return: float32 [p], as by `top_k` but for rounding; 0 where no term is shared.
        """
        terms = queries if isinstance(queries, Terms) else Terms(queries, self.english)
        counts, passages = self._count(terms), self._weights.T.tocsr()
        scores = np.zeros(len(pairs), np.float32)
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            shared = counts[pairs[part, 0]].multiply(passages[pairs[part, 1]])
            scores[part] = np.asarray(shared.sum(axis=1)).ravel()
        return scores

    def _count(self, terms: Terms) -> csr_matrix:
        """Return how often each term stands in each query, shape [m, terms]."""
        from scipy.sparse import csr_matrix

        numbered = terms.numbered(self.vocabulary)
        lengths = numbered.list.len().to_numpy()
        columns = numbered.explode().drop_nulls().to_numpy().astype(np.int32)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        shape = (len(terms), len(self.vocabulary.categories))
        counts = csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape)
        counts.sum_duplicates()
        return counts


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k highest scores of each row and their columns; column -1 for a score of 0.

    The bits of a non-negative float32 sort as the float does. Joined with the column, counted from
    the right, they make one integer key per cell, and no two keys of a row are equal.

    :param scores: float32 [m, n], not negative, n at least k.
    """
    n = scores.shape[1]
    keys = scores.view(np.int32).astype(np.int64) << 32 | np.arange(n - 1, -1, -1)
    keys.partition(n - k, axis=1)
    best = -np.sort(-keys[:, n - k :], axis=1)
    values = (best >> 32).astype(np.int32).view(np.float32)
    return values, np.where(values > 0, n - 1 - (best & 0xFFFFFFFF), -1)
