"""What ranks in a pool say about the pairs as a whole: how many are wrong, and where to cut.

A pair whose passage does not belong to its query has a passage like any other, so its rank is one of
1 to M with equal probability, and rank / M is what statistics calls a p-value. That gives, without a
single label, the share of wrong pairs (Storey 2002, JRSS B 64(3), with lambda = 1/2: few right pairs
rank in the worse half of the pool) and, for every k, the share of wrong ones among those kept, the
false discovery rate (Storey, Taylor and Siegmund 2004, JRSS B 66(1), eq. 13). It holds only if the
encoder was not trained on the pair: one that was has learned wrong pairs by heart, they rank high, and
both shares come out too low.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from curate.schema import first_positive
from curate.shards import Shards

KS = (1, 2, 5, 10, 100)
_CURVE = (1, 2, 3, 5, 10, 20, 50, 100, 1000)
_EXAMPLES = 5
_SHOWN_CHARS = 120
_SHOWN_SOURCES = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the ranks of some pairs say.

    :param wrong: the estimated share of wrong pairs, from 0 to 1.
    :param k: the worst rank to keep.
    """

    wrong: float
    k: int


def estimate(ranks: np.ndarray, pool: int, impurity: float) -> Estimate:
    """Estimate the share of wrong pairs, and suggest the largest k that keeps few of them.

    :param ranks: int [n], from 1.
    :param pool: the passages that were ranked among.
    :param impurity: the share of wrong pairs among those kept that is allowed.
    """
    if not len(ranks):
        return Estimate(0.0, 1)
    size = max(pool, int(ranks.max()))
    tail = int(np.count_nonzero(2 * ranks > size))
    wrong = min(1.0, 2 * (tail + 1) / len(ranks))
    ordered = np.sort(ranks)
    kept = np.searchsorted(ordered, ordered, "right")
    within = np.flatnonzero(wrong * len(ranks) * ordered / size <= impurity * kept)
    return Estimate(wrong, int(ordered[within[-1]]) if len(within) else 1)


def curve(ranks: np.ndarray) -> dict[str, float]:
    """Return the share of pairs within each of some ranks."""
    if not len(ranks):
        return {}
    return {str(k): round(float((ranks <= k).mean()), 4) for k in _CURVE}


def calibration_table(
    ranks: np.ndarray, sources: pl.Series, pool: int, impurity: float
) -> dict[str, Any]:
    """Return the share within each k, overall and for the largest sources, as a table to note.

    :param ranks: int [n]; 0 for a pair that has none, and is left out.
    :param sources: n strings or nulls.
    """
    ranked = ranks > 0
    names = sources.fill_null("unknown")
    largest = (
        names.filter(pl.Series(ranked))
        .value_counts(sort=True)
        .sort("count", names.name, descending=[True, False])
    )
    rows = [_share_row("all", ranks[ranked], pool, impurity)]
    for name in largest[names.name].head(_SHOWN_SOURCES):
        rows.append(_share_row(name, ranks[(names == name).to_numpy() & ranked], pool, impurity))
    return {
        "title": f"share of the pairs within rank k of {pool:,}",
        "columns": ["source", "pairs>", *(f"k={k}>" for k in KS), "wrong>", "suggested k>"],
        "rows": rows,
        "note": "wrong is the estimated share of pairs that do not belong together; at the suggested "
        f"k an estimated {impurity:.1%} of those kept are such; both come out too low if the encoder "
        "was trained on the pairs",
    }


def _share_row(name: str, ranks: np.ndarray, pool: int, impurity: float) -> list[str]:
    found = estimate(ranks, pool, impurity)
    shares = [f"{(ranks <= k).mean():.1%}" if len(ranks) else "" for k in KS]
    return [name, f"{len(ranks):,}", *shares, f"{found.wrong:.1%}", f"{found.k:,}"]


def edge_table(ranks: np.ndarray, pairs: Shards, seed: int) -> dict[str, Any]:
    """Return pairs at the edge of each k, the last that it keeps and the first that it drops.

    :param ranks: int [n]; 0 for a pair that has none.
    :param seed: draws among pairs of one rank.
    """
    ranked = np.flatnonzero(ranks > 0)
    drawn = np.random.default_rng(seed).permutation(len(ranked))
    order = ranked[np.lexsort((drawn, ranks[ranked]))]
    chosen = []
    for k in KS:
        cut = int(np.searchsorted(ranks[order], k, "right"))
        chosen += [(k, "kept", row) for row in order[max(cut - _EXAMPLES, 0) : cut]]
        chosen += [(k, "dropped", row) for row in order[cut : cut + _EXAMPLES]]
    rows = np.array([row for *_, row in chosen], np.int64)
    shown = pairs.to_arrow(["query", "positives"]).take(rows)
    queries, passages = shown["query"].to_pylist(), first_positive(shown).to_pylist()
    return {
        "title": "at the edges",
        "columns": ["k>", "is", "rank>", "query", "passage"],
        "rows": [
            [
                str(k),
                what,
                f"{ranks[row]:,}",
                (query or "")[:_SHOWN_CHARS],
                (passage or "")[:_SHOWN_CHARS],
            ]
            for (k, what, row), query, passage in zip(chosen, queries, passages, strict=True)
        ],
        "note": "",
    }
