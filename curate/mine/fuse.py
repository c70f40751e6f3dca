"""Fuse: one ranking of the candidates out of several of their scores."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.mine.candidates import doc_scores, flat_candidates, with_doc_score
from curate.mine.fusion import reciprocal_rank_fusion
from curate.schema import Kind, replace_docs
from curate.stage import Map, Outcome, keep_all


class Fuse(Map):
    """Rank each pair's candidates by several of their scores at once (reciprocal rank fusion).

    See `mine.fusion`. The fused score is added to each candidate, and they are put in its order,
    best first; equal ones stay in the order they had. A candidate that lacks a score gets nothing
    from that ranking.
    """

    name: ClassVar[str] = "mine.fuse"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)

    scores: tuple[str, ...] = Field(min_length=1, examples=[["similarity", "relevance"]])
    """The names of the scores to rank by: `[query_likelihood, relevance]`."""
    constant: float = Field(60, ge=0)
    """Added to each rank: 60 evens out the first places, Gecko's 0 lets a first place decide."""
    into: str = Field("rrf", min_length=1)
    """The name of the score that is added."""

    def check(self) -> None:
        """Refuse a score that is named twice."""
        if len(set(self.scores)) < len(self.scores):
            raise ValueError(f"scores: name each once, got {list(self.scores)}")

    def map(self, table: pa.Table) -> Outcome:
        """Score and order the candidates of each pair."""
        flat, counts = flat_candidates(table)
        pairs = np.repeat(np.arange(len(counts)), counts)
        scores = np.stack([doc_scores(flat, name) for name in self.scores])
        fused = reciprocal_rank_fusion(scores, pairs, self.constant).astype(np.float32)
        order = np.lexsort((-fused, pairs))
        ranked = with_doc_score(flat, self.into, fused).take(pa.array(order))
        return keep_all(replace_docs(table, "candidates", ranked, counts))
