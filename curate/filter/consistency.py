"""The consistency filter of E5: a pair stays if its query finds its own passage in a random pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.encode import load_encoder
from curate.encode.neighbours import ranks
from curate.encode.passages import Passages, own_rows, passages_of
from curate.schema import Kind, with_score
from curate.stage import Context, Global, Inputs, Outcome, Ref, decide

RANK = "consistency_rank"
_CURVE = (1, 2, 3, 5, 10, 20, 50, 100, 1000)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of each pair of the input within a pool of `pool` passages; 0 without a positive."""

    ranks: np.ndarray
    pool: int


class ConsistencyFilter(Global):
    """Keep pairs whose passage is among the top k for their query in one fixed random pool.

    Wang et al. 2022 (E5), arXiv:2212.03533, section 3.1: top k = 2 of 1M passages, ranked by a model
    trained on the noisy pairs themselves. The pool is one random sample over all sources; a pair's
    own passage is always in the running and its copies never count against it. The rank is kept as
    the score `consistency_rank`, on dropped pairs too. For synthetic queries this is the round trip
    (Dai et al. 2022, Promptagator, arXiv:2209.11755, section 3.2): give the whole `corpus`. Holds the
    vectors of all queries and passages in memory: 4 bytes times the dimension each.
    """

    name: ClassVar[str] = "filter.consistency"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)

    encoder: Annotated[str, Ref("model", path=True)]
    """The model that ranks: a training stage, or a model folder."""
    k: int = Field(2, ge=1)
    """The worst rank that is kept."""
    corpus: Annotated[str | None, Ref("passages")] = None
    """Passages to rank among besides the pairs' own; by default these alone."""
    pool: int = Field(1_000_000, ge=1)
    """Passages to rank among, at most."""
    seed: int = Field(0, ge=0)
    """Draws the pool, if there are more passages than it holds."""

    def fit(self, inputs: Inputs, context: Context) -> Ranks:
        """Rank every pair; note the share kept for each k."""
        passages = passages_of(inputs.main, *inputs.records.values())
        found = context.memo("ranks", lambda: self._rank(inputs, context, passages))
        ranked = found[found > 0]
        size = min(self.pool, len(passages.ids))
        curve = {str(k): round(float((ranked <= k).mean()), 4) for k in _CURVE if len(ranked)}
        context.note(pool=size, share_within=curve)
        return Ranks(found, size)

    def _rank(self, inputs: Inputs, context: Context, passages: Passages) -> np.ndarray:
        rows = own_rows(inputs.main, passages)
        queries = inputs.main.to_arrow(["query"])["query"]
        usable = np.flatnonzero((rows >= 0) & queries.is_valid().to_numpy())
        encoder = load_encoder(inputs.model("encoder"), context.threads)
        context.progress(0, 0, "vectors")
        vectors = encoder.encode_passages(passages.texts)
        result = np.zeros(len(rows), np.int64)
        if len(usable) == 0:
            return result
        pool = self._pool(len(vectors))
        place = np.full(len(vectors), -1, np.int64)
        place[pool] = np.arange(len(pool))
        result[usable] = ranks(
            encoder.encode_queries(queries.take(pa.array(usable)).to_pylist()),
            vectors[rows[usable]],
            vectors[pool],
            place[rows[usable]],
            lambda done, total: context.progress(done, total, "queries"),
        )
        return result

    def _pool(self, count: int) -> np.ndarray:
        """Draw the rows of the pool from `count` passages in the order of their ids."""
        if count <= self.pool:
            return np.arange(count)
        return np.sort(np.random.default_rng(self.seed).choice(count, self.pool, replace=False))

    def apply(self, table: pa.Table, start: int, fitted: Ranks) -> Outcome:
        """Keep the pairs within the top k; store every rank."""
        found = fitted.ranks[start : start + len(table)]
        scored = with_score(table, RANK, np.where(found > 0, found, np.nan).astype(np.float32))
        rank = pl.Series(found)
        reasons = (
            pl.when(rank == 0)
            .then(pl.lit("no_positive"))
            .when(rank > self.k)
            .then(pl.lit("inconsistent"))
        )
        details = pl.format("rank {} of {}, k is {}", rank, fitted.pool, self.k)
        decided = pl.select(reason=reasons, detail=details)
        return decide(
            scored,
            decided["reason"].to_arrow().cast(pa.string()),
            decided["detail"].to_arrow().cast(pa.string()),
        )
