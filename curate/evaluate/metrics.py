"""Retrieval metrics as trec_eval computes them, Spearman's rho for STS, and bootstrap intervals.

Metrics are one value per query, so that two systems are compared query by query. A query without a
relevant passage scores 0, as in trec_eval, and so does a relevant passage that was not found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NDCG = "nDCG@10"
MRR = "MRR@10"
RECALL = "recall@100"
DEPTH = 100
"""How many passages a ranking must hold for these metrics."""

_DRAWS = 1 << 22


@dataclass(frozen=True, slots=True)
class Qrels:
    """Judgements: three columns of m rows, one row per judged (query, passage), none twice.

    :param query: int64 [m], rows of the queries.
    :param passage: int64 [m], rows of the passages.
    :param grade: float32 [m]; above 0 is relevant, and is the gain. The rest counts as 0.
    :param queries: how many queries there are.
    :param passages: how many passages there are.
    """

    query: np.ndarray
    passage: np.ndarray
    grade: np.ndarray
    queries: int
    passages: int

    def relevant(self) -> np.ndarray:
        """Count the relevant passages of each query, int64 [queries]."""
        return np.bincount(self.query[self.grade > 0], minlength=self.queries)

    def gains(self, ranking: np.ndarray) -> np.ndarray:
        """Look up the gain of ranked passages.

        :param ranking: int64 [queries, k], rows of passages, best first; -1 where there is none.
        :return: float64 [queries, k].
        """
        if ranking.ndim != 2 or len(ranking) != self.queries:
            raise ValueError(f"ranking needs shape ({self.queries}, k), got {ranking.shape}")
        order = np.lexsort((self.passage, self.query))
        known = self.query[order] * self.passages + self.passage[order]
        asked = np.arange(self.queries)[:, None] * self.passages + ranking
        if not len(known):
            return np.zeros(ranking.shape)
        at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        found = (known[at] == asked) & (ranking >= 0)
        return np.where(found, np.maximum(self.grade[order][at], 0), 0).astype(np.float64)

    def ideal(self, k: int) -> np.ndarray:
        """Return the k highest gains of each query in descending order, float64 [queries, k]."""
        order = np.lexsort((-self.grade, self.query))
        query, grade = self.query[order], self.grade[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        gains = np.zeros((self.queries, k))
        kept = (rank < k) & (grade > 0)
        gains[query[kept], rank[kept]] = grade[kept]
        return gains


def ndcg(ranking: np.ndarray, qrels: Qrels, k: int = 10) -> np.ndarray:
    """Normalised discounted cumulative gain at k, float64 [queries].

    The gain is the grade and the discount log2(rank + 1) (Järvelin and Kekäläinen 2002, as
    trec_eval has it): not the variant with the gain 2^grade - 1.

    :param ranking: int64 [queries, at least k], as for `Qrels.gains`.
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    gains = qrels.gains(ranking[:, :k])
    return _ratio(gains @ discount[: gains.shape[1]], qrels.ideal(k) @ discount)


def recall(ranking: np.ndarray, qrels: Qrels, k: int = 100) -> np.ndarray:
    """Share of the relevant passages that are among the first k, float64 [queries]."""
    found = (qrels.gains(ranking[:, :k]) > 0).sum(axis=1)
    return _ratio(found, qrels.relevant())


def reciprocal_rank(ranking: np.ndarray, qrels: Qrels, k: int = 10) -> np.ndarray:
    """1 / rank of the first relevant passage among the first k, else 0; float64 [queries]."""
    hits = qrels.gains(ranking[:, :k]) > 0
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)


def retrieval_metrics(ranking: np.ndarray, qrels: Qrels) -> dict[str, np.ndarray]:
    """Compute nDCG@10, MRR@10 and recall@100 of each query.

    :param ranking: int64 [queries, k]; k is 100, or as many as there are passages.
    """
    return {
        NDCG: ndcg(ranking, qrels),
        MRR: reciprocal_rank(ranking, qrels),
        RECALL: recall(ranking, qrels),
    }


def spearman(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Spearman's rank correlation of two vectors, ties at mean rank; NaN if one is constant."""
    from scipy.stats import spearmanr

    if np.ptp(predicted) == 0 or np.ptp(gold) == 0:
        return float("nan")
    return float(spearmanr(predicted, gold).statistic)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the 95% interval around it."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_interval(values: np.ndarray, samples: int = 2000, seed: int = 0) -> Interval:
    """Return the mean and its 95% percentile bootstrap interval.

    Efron and Tibshirani 1993, ch. 13. The same seed draws the same queries for every system, so the
    interval of a difference of means is `bootstrap_interval(first - second)`, the paired one.

    :param values: [n], one per query; n at least 1.
    """
    if not len(values):
        raise ValueError("an interval needs at least one value, got none")
    generator = np.random.default_rng(seed)
    step = max(1, _DRAWS // len(values))
    means = [
        values[generator.integers(len(values), size=(min(step, samples - done), len(values)))].mean(
            axis=1
        )
        for done in range(0, samples, step)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    result = np.zeros(len(part))
    np.divide(part, whole, out=result, where=whole > 0)
    return result
