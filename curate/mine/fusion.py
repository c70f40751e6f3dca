"""Reciprocal rank fusion: one ranking out of several, by places rather than by scores."""

from __future__ import annotations

import numpy as np
import polars as pl


def reciprocal_rank_fusion(scores: np.ndarray, groups: np.ndarray, constant: float) -> np.ndarray:
    """Fuse rankings: R = sum over the rankings of 1 / (constant + rank), ranks from 1.

    Cormack, Clarke and Buettcher 2009, section 2, with the constant 60; Gecko (Lee et al. 2024,
    arXiv:2403.20327, section 3.2) fuses query likelihood and relevance with 0. Equal scores share
    the best of their ranks, and the next one counts them all (1, 2, 2, 4). The terms are added from
    the smallest up, so that the order of the rankings makes no difference, to the last bit.

    :param scores: float [r, n], what r rankings give to n candidates, higher is better; NaN where a
        ranking does not have a candidate, which then gets nothing from it.
    :param groups: int [n], the query of each candidate: it is ranked among those of the same query.
    :return: float64 [n], at most r / (constant + 1); 0 for a candidate that no ranking has.
    :raises ValueError: if the constant is negative or the shapes do not agree.
    """
    if constant < 0:
        raise ValueError(f"constant must be at least 0, got {constant}")
    if scores.ndim != 2 or groups.shape != scores.shape[1:]:
        shapes = f"{scores.shape} and {groups.shape}"
        raise ValueError(f"scores need shape (r, n) for n groups, got {shapes}")
    frame = pl.DataFrame({"group": groups} | {str(i): row for i, row in enumerate(scores)})
    rankings = pl.exclude("group").fill_nan(None)
    ranks = rankings.rank("min", descending=True).over("group").cast(pl.Float64)
    terms = np.nan_to_num(1 / (constant + frame.select(ranks).to_numpy()))
    fused: np.ndarray = np.sort(terms, axis=1).sum(axis=1)
    return fused
