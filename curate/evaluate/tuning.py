"""Tune BM25's two parameters, so that a model is compared with BM25 at its best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from curate.evaluate.datasets import RetrievalSet
from curate.evaluate.metrics import ndcg
from curate.text.bm25 import BM25, Terms


@dataclass(frozen=True, slots=True)
class Tuning:
    """The best `k1` and `b`, and the mean nDCG@10 of every point of the grid."""

    k1: float
    b: float
    grid: list[dict[str, float]]
    queries: int
    passages: int


def tune_bm25(
    data: RetrievalSet, k1: Sequence[float], b: Sequence[float], english: bool = False
) -> Tuning:
    """Try every pair of `k1` and `b`; the highest nDCG@10 wins, the first of the grid if equal.

    Takes about 0.5 s per point for 1,000 queries over 6,000 Python functions on one core.
    """
    texts, queries = Terms(data.texts, english), Terms(data.queries, english)
    grid = []
    for k, length in product(k1, b):
        _, ranking = BM25(texts, k, length).top_k(queries, 10)
        grid.append({"k1": k, "b": length, "ndcg": float(ndcg(ranking, data.qrels).mean())})
    best = max(grid, key=lambda point: point["ndcg"])
    return Tuning(best["k1"], best["b"], grid, len(data.queries), len(data.texts))
