"""The perplexity filter of CCNet: text that a language model of clean text finds odd goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.schema import Kind, first_positive, with_score
from curate.shards import Shards
from curate.sources import BySource
from curate.stage import Context, Global, Inputs, Outcome, Ref, decide
from curate.text.ngram.model import NgramModel, load_ngram_model

_QUANTILES = (0.05, 0.33, 0.5, 0.67, 0.95)
_SOURCES = 50


@dataclass(frozen=True, slots=True)
class Perplexities:
    """Perplexities of n texts, NaN where there is none, and the bounds of each: float32 [n] each."""

    values: np.ndarray
    least: np.ndarray
    most: np.ndarray


class PerplexityFilter(BySource, Global):
    """Drop records whose text an n-gram model of clean text finds odd, by a bound or a quantile.

    Wenzek et al. 2020 (CCNet), arXiv:1911.00359, section 4.2: high perplexity is what does not read
    like the text that the model was trained on (`train.ngram`): lists of words, navigation, code,
    another language. CCNet cuts each language in three equal parts, head, middle and tail:
    `max_quantile: 0.333, within: language` keeps the head. The perplexity per subword is stored as
    the score `perplexity` (of queries `query_perplexity`), on dropped records too. Short texts vary
    most. Holds 12 bytes per record, and some 40 more while it finds bounds.
    """

    name: ClassVar[str] = "filter.perplexity"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")
    varying: ClassVar[frozenset[str]] = frozenset(
        {"max_perplexity", "min_perplexity", "max_quantile", "min_quantile"}
    )

    model: Annotated[str, Ref("model", path=True, model="n-gram model")]
    """The model of clean text: a stage `train.ngram`, or the folder of its model."""
    on: Literal["query", "passage"] = "passage"
    """Which text of a pair is judged; of several positives the first."""
    max_perplexity: float | None = Field(None, ge=1)
    """The highest perplexity that is kept. `train.ngram` notes what held-out clean text has."""
    min_perplexity: float | None = Field(None, ge=1)
    """The lowest that is kept: below lies what the model knows by heart, and text that repeats."""
    max_quantile: float | None = Field(None, ge=0, le=1, examples=[0.8])
    """The share of the input with the lowest perplexity that is kept; 1 only stores the score."""
    min_quantile: float | None = Field(None, ge=0, le=1)
    """The share of the input with the lowest perplexity that is dropped."""
    within: Literal["input", "source", "language"] = "input"
    """Whether quantiles are of the whole input, or of each source or language by itself."""
    languages: list[str] = Field([])
    """Judge the records in these languages; others pass without a score. By default all."""

    def check(self) -> None:
        """Refuse to filter without a bound, and bounds that cross.

        :raises ValueError: naming the setting.
        """
        if all(getattr(self, bound) is None for bound in self.varying):
            raise ValueError(
                "give max_perplexity or max_quantile; max_quantile: 1 only stores the scores"
            )
        for what in ("perplexity", "quantile"):
            low, high = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{what}: {low} is more than max_{what}: {high}")
        super().check()

    def gives(self, main: Kind | None) -> dict[str, Kind]:
        """Return the kinds of its sides.

        :raises ValueError: if queries are to be judged and the input is passages.
        """
        if main == "passages" and self.on == "query":
            raise ValueError("on: 'query' needs pairs, but the input is passages")
        return super().gives(main)

    def fit(self, inputs: Inputs, context: Context) -> Perplexities:
        """Score all records and find the bounds; note quantiles by source."""
        model = load_ngram_model(inputs.model("model"))
        pieces, done = [np.zeros(0, np.float32)], 0
        for number, table in enumerate(inputs.main.tables()):
            pieces.append(
                context.memo(
                    f"perplexity-{number}",
                    lambda table=table: self._score(model, table, context.threads),  # type: ignore[misc]
                )
            )
            done += len(table)
            context.progress(done, len(inputs.main))
        values = np.concatenate(pieces)
        context.note(**_spread(inputs.main, values))
        return Perplexities(values, *self._bounds(inputs.main, values))

    def _score(self, model: NgramModel, table: pa.Table, threads: int) -> np.ndarray:
        """Return the perplexity of each record, float32 [n]; NaN where there is nothing to judge."""
        if "text" in table.column_names:
            column = table["text"]
        else:
            column = table["query"] if self.on == "query" else first_positive(table)
        texts = pl.Series(column, dtype=pl.String)
        texts = texts.zip_with(self._judged(table), pl.Series([None], dtype=pl.String))
        return model.perplexity(texts, threads).astype(np.float32)

    def _judged(self, table: pa.Table) -> pl.Series:
        """Tell of each record whether it is to be judged."""
        if not self.languages:
            return pl.repeat(True, len(table), eager=True)
        return pl.Series(table["language"], dtype=pl.String).is_in(self.languages).fill_null(False)

    def _bounds(self, records: Shards, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest perplexity that is kept of each record, float32 [n]."""
        table = records.to_arrow(["source", "language"])
        group = pl.lit(0) if self.within == "input" else pl.Series("group", table[self.within])
        frame = pl.select(value=pl.Series(values).fill_nan(None), group=group)
        least, most = (np.full(len(values), bound, np.float32) for bound in (-np.inf, np.inf))
        for variant, rows in self.variants(table):
            if variant.min_perplexity is not None:
                least[rows] = variant.min_perplexity
            if variant.max_perplexity is not None:
                most[rows] = variant.max_perplexity
            if variant.min_quantile:
                # What lies on it belongs to the part below.
                above = np.nextafter(_quantile(frame, variant.min_quantile), np.float32(np.inf))
                least[rows] = np.fmax(least[rows], above[rows])
            if variant.max_quantile is not None:
                most[rows] = np.fmin(most[rows], _quantile(frame, variant.max_quantile)[rows])
        return least, most

    def apply(self, table: pa.Table, start: int, fitted: Perplexities) -> Outcome:
        """Keep what lies within the bounds among the rows from `start` on; store every perplexity."""
        here = slice(start, start + len(table))
        parts = {"value": fitted.values, "least": fitted.least, "most": fitted.most}
        value, least, most = (
            pl.Series(name, part[here]).fill_nan(None) for name, part in parts.items()
        )
        decided = pl.select(
            reason=pl.when(value.is_null() & self._judged(table))
            .then(pl.lit("no_text"))
            .when(value > most)
            .then(pl.lit("high_perplexity"))
            .when(value < least)
            .then(pl.lit("low_perplexity")),
            detail=pl.when(value > most)
            .then(pl.format("perplexity {}, maximum {}", value.round(1), most.round(1)))
            .when(value < least)
            .then(pl.format("perplexity {}, minimum {}", value.round(1), least.round(1))),
        )
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        name = "perplexity" if self.on == "passage" else "query_perplexity"
        return decide(
            with_score(table, name, fitted.values[here]),
            decided["reason"].to_arrow().cast(pa.string()),
            decided["detail"].to_arrow().cast(pa.string()),
            kind,
        )


def _quantile(frame: pl.DataFrame, quantile: float) -> np.ndarray:
    """Return a quantile of `value` in the `group` of each row, float32 [n]; NaN in one of nulls."""
    found = frame.select(pl.col("value").quantile(quantile, "lower").over("group"))
    return found.to_series().cast(pl.Float32).to_numpy()


def _spread(records: Shards, values: np.ndarray) -> dict[str, object]:
    """Describe perplexities for the report: quantiles of all, and of the largest sources."""
    value = pl.Series("value", values.astype(np.float64)).fill_nan(None)
    frame = pl.DataFrame({"source": records.to_arrow(["source"])["source"], "value": value})
    columns = {f"{q:.0%}": pl.col("value").quantile(q).round(1) for q in _QUANTILES}
    whole = frame.drop_nulls("value").select(**columns)
    by_source = frame.drop_nulls("value").group_by("source").agg(texts=pl.len(), **columns)
    largest = by_source.sort("texts", "source", descending=[True, False]).head(_SOURCES)
    return {
        "perplexity": whole.to_dicts()[0] if value.count() else {},
        "perplexity_by_source": largest.with_columns(pl.col("source").fill_null("")).to_dicts(),
    }
