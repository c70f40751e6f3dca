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
from curate.schema import Kind, first_positive, with_score
from curate.shards import Shards
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
    the score `consistency_rank`, on dropped pairs too. Holds the vectors of all queries and of the
    pool in memory: 8 bytes times the dimension for each pair.
    """

    name: ClassVar[str] = "filter.consistency"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)

    encoder: Annotated[str, Ref("model", path=True)]
    """The model that ranks: a training stage, or a model folder."""
    k: int = Field(2, ge=1)
    """The worst rank that is kept."""
    pool: int = Field(1_000_000, ge=1)
    """Passages to rank among, at most."""
    seed: int = Field(0, ge=0)
    """Draws the pool, if there are more passages than it holds."""

    def fit(self, inputs: Inputs, context: Context) -> Ranks:
        """Rank every pair; note the share kept for each k."""
        ids, texts = pool_of(inputs.main, self.pool, self.seed)
        found = context.memo("ranks", lambda: self._rank(inputs, context, ids, texts))
        ranked = found[found > 0]
        curve = {str(k): round(float((ranked <= k).mean()), 4) for k in _CURVE if len(ranked)}
        context.note(pool=len(ids), share_within=curve)
        return Ranks(found, len(ids))

    def _rank(
        self, inputs: Inputs, context: Context, ids: pl.Series, texts: list[str]
    ) -> np.ndarray:
        table = inputs.main.to_arrow(["query", "positives"])
        frame = pl.DataFrame(
            {
                "query": pl.from_arrow(table["query"]),
                "text": pl.from_arrow(first_positive(table)),
                "id": pl.from_arrow(first_positive(table, "id")),
            }
        )
        usable = frame["query"].is_not_null() & frame["text"].is_not_null()
        frame = frame.filter(usable)
        encoder = load_encoder(inputs.model("encoder"), context.threads)
        context.progress(0, 0, "vectors")
        own_texts = frame["text"].unique(maintain_order=True)
        own_vectors = encoder.encode_passages(own_texts.to_list())
        queries = encoder.encode_queries(frame["query"].to_list())
        own = own_vectors[_positions(frame["text"], own_texts)]
        pool = encoder.encode_passages(texts)
        result = np.zeros(len(usable), np.int64)
        result[usable.to_numpy()] = ranks(
            queries,
            own,
            pool,
            _positions(frame["id"], ids),
            lambda done, total: context.progress(done, total, "queries"),
        )
        return result

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


def pool_of(pairs: Shards, size: int, seed: int) -> tuple[pl.Series, list[str]]:
    """Draw at most `size` distinct positives, by id, from all pairs.

    :return: their ids, sorted, and their texts.
    """
    table = pairs.to_arrow(["positives"])
    frame = pl.DataFrame(
        {
            "id": pl.from_arrow(first_positive(table, "id")),
            "text": pl.from_arrow(first_positive(table)),
        }
    )
    frame = frame.drop_nulls().unique("id").sort("id")
    if len(frame) > size:
        chosen = np.random.default_rng(seed).choice(len(frame), size, replace=False)
        frame = frame[np.sort(chosen)]
    return frame["id"], frame["text"].to_list()


def _positions(values: pl.Series, known: pl.Series) -> np.ndarray:
    """Return where each value stands among distinct known ones, int64; -1 where it does not."""
    places = pl.DataFrame({"value": known, "place": np.arange(len(known), dtype=np.int64)})
    found = pl.DataFrame({"value": values}).join(
        places, on="value", how="left", maintain_order="left"
    )
    return found["place"].fill_null(-1).to_numpy()
