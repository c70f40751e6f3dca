"""The filter of BGE: a pair stays if a third-party model finds its two sides similar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.encode import Encoder, load_encoder
from curate.encode.pairs import Sides, encode_distinct, sides_of
from curate.schema import Kind, with_score
from curate.sources import BySource
from curate.stage import Context, Global, Inputs, Outcome, Ref, decide

SIMILARITY = "pair_similarity"
_BINS = np.round(np.linspace(-1, 1, 21), 1)
_SHOWN_SOURCES = 20


@dataclass(frozen=True, slots=True)
class Similarities:
    """What was found about n pairs.

    :param values: float32 [n], the cosine of both sides; NaN without a positive.
    :param limits: float32 [n], the least cosine that is kept.
    """

    values: np.ndarray
    limits: np.ndarray


class SimilarityFilter(BySource, Global):
    """Keep pairs whose query and passage are similar enough to a model that was not trained on them.

    Xiao et al. 2023 (BGE, C-Pack), arXiv:2309.07597, section 3.1: a third-party model, threshold 0.43.
    The threshold belongs to that model (Text2Vec-Chinese); for another one look at the histogram that
    the stage notes, or give `quantile`, or both. The cosine is kept as the score `pair_similarity`, on
    dropped pairs too. Holds 8 bytes a pair.
    """

    name: ClassVar[str] = "filter.similarity"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    varying: ClassVar[frozenset[str]] = frozenset({"threshold", "quantile"})

    encoder: Annotated[str, Ref("model", path=True)]
    """The model that compares: best one that never saw these pairs."""
    threshold: float | None = Field(0.43, ge=-1, le=1)
    """The least cosine that is kept; `null` if `quantile` alone is to decide."""
    quantile: float | None = Field(None, ge=0, lt=1)
    """The share of the pairs, those with the lowest cosines, that is dropped."""

    def fit(self, inputs: Inputs, context: Context) -> Similarities:
        """Compare the sides of every pair; note how the cosines are distributed."""
        values = np.full(len(inputs.main), np.nan, np.float32)
        encoder: Encoder | None = None
        start = 0
        for number, (table, sides) in enumerate(sides_of(inputs.main)):

            def compare(sides: Sides = sides) -> np.ndarray:
                nonlocal encoder
                folder = inputs.model("encoder")
                encoder = encoder or load_encoder(folder, context.threads, context.vectors)
                return _cosines(encoder, sides)

            values[start : start + len(table)] = context.memo(f"cosines-{number}", compare)
            start += len(table)
            context.progress(start, len(values), "pairs")
        sources = inputs.main.to_arrow(["source"])
        context.note(tables=[_histogram(values, pl.Series("source", sources["source"], pl.String))])
        return Similarities(values, self._limits(sources, values))

    def _limits(self, sources: pa.Table, values: np.ndarray) -> np.ndarray:
        """Return the least cosine that each pair needs."""
        limits = np.empty(len(values), np.float32)
        for variant, rows in self.variants(sources):
            limit = -1.0 if variant.threshold is None else variant.threshold
            known = values[rows][~np.isnan(values[rows])]
            if variant.quantile is not None and len(known):
                # The lowest value that stays, so that equal ones share their fate.
                limit = max(limit, np.quantile(known, variant.quantile, method="higher"))
            limits[rows] = limit
        return limits

    def apply(self, table: pa.Table, start: int, fitted: Similarities) -> Outcome:
        """Keep the pairs at or above their limit; store every cosine."""
        part = slice(start, start + len(table))
        values, limits = fitted.values[part], fitted.limits[part]
        frame = pl.DataFrame({"value": values, "limit": limits}).with_columns(pl.all().round(4))
        decided = frame.select(
            reason=pl.when(pl.Series(np.isnan(values)))
            .then(pl.lit("no_positive"))
            .when(pl.Series(values < limits))
            .then(pl.lit("dissimilar")),
            detail=pl.format("cosine {}, at least {} is kept", "value", "limit"),
        )
        return decide(
            with_score(table, SIMILARITY, values),
            decided["reason"].to_arrow().cast(pa.string()),
            decided["detail"].to_arrow().cast(pa.string()),
        )


def _cosines(encoder: Encoder, sides: Sides) -> np.ndarray:
    """Compare the sides of n pairs: float32 [n], NaN where one is missing."""
    values = np.full(len(sides), np.nan, np.float32)
    rows = np.flatnonzero(sides.usable())
    if len(rows):
        queries, query = encode_distinct(encoder.encode_queries, sides.queries.take(pa.array(rows)))
        passages, own = encode_distinct(
            encoder.encode_passages, sides.passages.take(pa.array(rows))
        )
        values[rows] = np.einsum("nd,nd->n", queries[query], passages[own]).clip(-1, 1)
    return values


def _histogram(values: np.ndarray, sources: pl.Series) -> dict[str, Any]:
    """Return how many pairs lie in each tenth of the cosine, overall and for the largest sources."""
    known = ~np.isnan(values)
    names = sources.fill_null("unknown")
    counted = names.filter(pl.Series(known)).value_counts()
    largest = counted.sort("count", "source", descending=[True, False])["source"]
    groups = [("all", known)]
    groups += [(n, known & (names == n).to_numpy()) for n in largest.head(_SHOWN_SOURCES)]
    counts = {name: np.histogram(values[rows], _BINS)[0] for name, rows in groups}
    used = np.flatnonzero(counts["all"])
    first, last = (used[0], used[-1] + 1) if len(used) else (0, 0)
    return {
        "title": "share of the pairs by the cosine of their sides, from",
        "columns": ["source", "pairs>", *(f"{low:g}>" for low in _BINS[first:last])],
        "rows": [
            [name, f"{found.sum():,}"]
            + [f"{count / max(found.sum(), 1):.1%}" for count in found[first:last]]
            for name, found in counts.items()
        ],
        "note": "",
    }
