"""Does the model find more than the others? nDCG@10, MRR@10 and recall@100, with intervals.

All systems search the same corpus for the same queries, so differences are taken query by query:
the interval of a difference is narrower than the intervals of the two means suggest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from curate.evaluate.datasets import RetrievalSet, from_pairs
from curate.evaluate.metrics import (
    DEPTH,
    NDCG,
    RECALL,
    Interval,
    bootstrap_interval,
    retrieval_metrics,
)
from curate.evaluate.tuning import Tuning, tune_bm25
from curate.schema import Kind
from curate.stage import MAIN, Build, Built, Context, Inputs, Ref
from curate.text import bm25 as lexical

Lexical = Literal["bm25", "bm25-english"]
METRICS = "metrics.json"
PER_QUERY = "per_query.arrow"
_SHOWN = 5

Search = Callable[[Sequence[str], Sequence[str], int], tuple[np.ndarray, np.ndarray]]
"""Queries, passages, k -> scores, float32 [m, k], and rows of passages, int64 [m, k]; best first.

Where fewer than k are found the row is -1."""


@dataclass(frozen=True, slots=True)
class System:
    """Something that searches; `settings` are what a reader must know to repeat it."""

    name: str
    search: Search
    settings: dict[str, Any] = field(default_factory=dict)


def bm25_system(name: Lexical = "bm25", k1: float = lexical.K1, b: float = lexical.B) -> System:
    """Return BM25 as a system; `bm25-english` stems words and leaves out stop words."""
    english = name == "bm25-english"

    def search(
        queries: Sequence[str], texts: Sequence[str], k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return lexical.BM25(texts, k1, b, english).top_k(queries, k)

    return System(name, search, {"k1": k1, "b": b})


def encoder_system(
    name: str, model: str | Path, threads: int | None = None, record: Path | None = None
) -> System:
    """Return the exact search by cosine with an encoder, which is loaded here; see `load_encoder`."""
    from curate.encode import load_encoder
    from curate.encode.neighbours import top_k

    encoder = load_encoder(model, threads, record)

    def search(
        queries: Sequence[str], texts: Sequence[str], k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return top_k(encoder.encode_queries(queries), encoder.encode_passages(texts), k)

    return System(name, search)


@dataclass(frozen=True, slots=True)
class SystemResult:
    """What one system reached.

    :param metrics: mean and interval by metric.
    :param per_query: float64 [queries] by metric.
    :param seconds: of encoding or indexing the corpus, and searching; loading not counted.
    """

    name: str
    metrics: dict[str, Interval]
    per_query: dict[str, np.ndarray]
    seconds: float
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much the proven system's mean lies above that of `baseline`, query by query.

    :param ratio: of the two means; None if the baseline's is 0.
    """

    system: str
    baseline: str
    metric: str
    difference: Interval
    ratio: float | None


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """The comparison of systems on one set. The last system is the one to prove."""

    data: RetrievalSet
    systems: list[SystemResult]
    differences: list[Difference]
    examples: list[dict[str, Any]]

    def per_query(self) -> pl.DataFrame:
        """Return one row per query: id, text, facets, and a column `SYSTEM METRIC` for each."""
        columns: dict[str, Any] = {"query_id": self.data.query_ids, "query": self.data.queries}
        columns |= self.data.facets
        for system in self.systems:
            columns |= {f"{system.name} {name}": v for name, v in system.per_query.items()}
        return pl.DataFrame(columns)

    def by(self, facet: str) -> list[dict[str, Any]]:
        """Return the mean nDCG@10 of each system for each value of a facet, the largest first."""
        columns = {system.name: f"{system.name} {NDCG}" for system in self.systems}
        means = [pl.col(column).mean() for column in columns.values()]
        table = self.per_query().group_by(facet).agg(pl.len().alias("queries"), *means)
        return [
            {facet: row[facet], "queries": row["queries"]}
            | {NDCG: {name: row[column] for name, column in columns.items()}}
            for row in table.sort("queries", facet, descending=[True, False]).to_dicts()
        ]

    def headline(self) -> list[dict[str, Any]]:
        """Return one row per system: its name, and mean and interval by metric as text."""
        return [
            {"system": s.name, **{m: str(i) for m, i in s.metrics.items()}, "seconds": s.seconds}
            for s in self.systems
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into `metrics.json`: all but the values per query."""
        return {
            "data": self.data.name,
            "queries": len(self.data.queries),
            "passages": len(self.data.texts),
            "left_out": self.data.left_out,
            "systems": [
                {
                    "name": s.name,
                    "metrics": {name: asdict(value) for name, value in s.metrics.items()},
                    "seconds": s.seconds,
                    "settings": s.settings,
                }
                for s in self.systems
            ],
            "differences": [asdict(difference) for difference in self.differences],
            "by": {facet: self.by(facet) for facet in self.data.facets},
            "examples": self.examples,
        }


def evaluate_retrieval(
    systems: Sequence[System],
    data: RetrievalSet,
    *,
    samples: int = 2000,
    seed: int = 0,
    searches: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> RetrievalReport:
    """Search with every system and compare the last with each of the others.

    :param systems: at least one, with different names.
    :param samples: bootstrap samples for the intervals.
    :param searches: texts to search with the last system and to show with what it found.
    :param progress: told how many systems are done, of how many.
    """
    names = [system.name for system in systems]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"systems need different names, got {names}")
    k = min(DEPTH, len(data.texts))
    results: list[SystemResult] = []
    for number, system in enumerate(systems):
        shown = searches if number == len(systems) - 1 else ()
        begin = time.perf_counter()
        scores, ranking = system.search([*data.queries, *shown], data.texts, k)
        seconds = round(time.perf_counter() - begin, 2)
        per_query = retrieval_metrics(ranking[: len(data.queries)], data.qrels)
        metrics = {m: bootstrap_interval(v, samples, seed) for m, v in per_query.items()}
        results.append(SystemResult(system.name, metrics, per_query, seconds, system.settings))
        if progress is not None:
            progress(number + 1, len(systems))
    first = len(data.queries)
    return RetrievalReport(
        data=data,
        systems=results,
        differences=_differences(results, samples, seed),
        examples=[
            _example(text, scores[first + row], ranking[first + row], data)
            for row, text in enumerate(searches)
        ],
    )


def _differences(results: list[SystemResult], samples: int, seed: int) -> list[Difference]:
    *baselines, proven = results
    return [
        Difference(
            system=proven.name,
            baseline=other.name,
            metric=metric,
            difference=bootstrap_interval(
                proven.per_query[metric] - other.per_query[metric], samples, seed
            ),
            ratio=proven.metrics[metric].mean / mean
            if (mean := other.metrics[metric].mean)
            else None,
        )
        for other in baselines
        for metric in (NDCG, RECALL)
    ]


def _example(
    text: str, scores: np.ndarray, ranking: np.ndarray, data: RetrievalSet
) -> dict[str, Any]:
    """Return a search and the first passages found; `relevant` is None where nothing is judged."""
    relevant: set[int] | None = None
    if text in data.queries:
        judged = (data.qrels.query == data.queries.index(text)) & (data.qrels.grade > 0)
        relevant = set(data.qrels.passage[judged].tolist())
    found = [
        {
            "id": data.corpus_ids[row],
            "score": round(float(score), 4),
            "relevant": None if relevant is None else row in relevant,
            "text": data.texts[row],
        }
        for score, row in zip(scores[:_SHOWN], ranking[:_SHOWN].tolist(), strict=True)
        if row >= 0
    ]
    return {"query": text, "found": found}


class RetrievalEvaluation(Build):
    """Compare models, and BM25, by what they find for held-out queries.

    The corpus is every positive of the input, the queries are its distinct query texts (see
    `datasets.from_pairs`). Leaves `metrics.json` and, for tests of significance, `per_query.arrow`.
    """

    name: ClassVar[str] = "evaluate.retrieval"
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: "metrics"}

    models: Annotated[list[str], Ref("model", path=True), Field(min_length=1)]
    """The models to compare, in order; the last is the one to prove."""
    baselines: tuple[Lexical, ...] = ("bm25",)
    """Lexical systems to compare with, first in the table: `bm25`, and `bm25-english` with stems."""
    train: Annotated[str | None, Ref("pairs")] = None
    """Training pairs to tune BM25's k1 and b on; without them they are Lucene's 1.2 and 0.75."""
    k1: list[float] = Field([0.6, 1.2, 2.0, 3.0], min_length=1)
    """Values of k1 to try."""
    b: list[float] = Field([0.25, 0.5, 0.75, 1.0], min_length=1)
    """Values of b to try."""
    tuning_queries: int = Field(1000, ge=1)
    """How many training queries, drawn at random, BM25 is tuned on."""
    tuning_passages: int = Field(10_000, ge=1)
    """How many training passages those queries are searched in."""
    min_query_words: int = Field(3, ge=1)
    """Shorter queries are not searched: they name no passage in particular."""
    samples: int = Field(2000, ge=100)
    """Bootstrap samples for the 95% intervals."""
    seed: int = 0
    """Of the bootstrap, the tuning sample and the example searches."""
    search: str | None = None
    """A text to search with the last model and to show; without it held-out queries are drawn."""
    examples: int = Field(1, ge=0)
    """How many held-out queries to draw and to show."""

    def check(self) -> None:
        """Refuse systems of one name."""
        names = [*self.baselines, *self.models]
        if len(set(names)) < len(names):
            raise ValueError(f"models: each must have a name of its own, got {names}")

    def build(self, inputs: Inputs, folder: Path, context: Context) -> Built:
        """Compare, and write the metrics."""
        data = from_pairs(inputs.main, "held-out pairs", self.min_query_words)
        tunings = self._tune(inputs)
        systems = [
            bm25_system(name, tunings[name].k1, tunings[name].b)
            if name in tunings
            else bm25_system(name)
            for name in self.baselines
        ]
        systems += [
            encoder_system(name, folder, context.threads, context.vectors)
            for name, folder in inputs.models["models"]
        ]
        report = evaluate_retrieval(
            systems,
            data,
            samples=self.samples,
            seed=self.seed,
            searches=self._searches(data),
            progress=lambda done, total: context.progress(done, total, "systems"),
        )
        facts = report.to_dict()
        facts["tuning"] = {name: asdict(tuning) for name, tuning in tunings.items()}
        (folder / METRICS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
        report.per_query().write_ipc(folder / PER_QUERY)
        context.note(
            systems=report.headline(),
            differences=facts["differences"],
            queries=facts["queries"],
            passages=facts["passages"],
            examples=report.examples,
        )
        left_out = {reason: count for reason, count in data.left_out.items() if count}
        rows = len(inputs.main)
        return Built(inputs=rows, kept=rows - sum(left_out.values()), dropped=left_out)

    def _tune(self, inputs: Inputs) -> dict[Lexical, Tuning]:
        """Tune the lexical systems on training queries, where there are any."""
        if "train" not in inputs.records or not self.baselines:
            return {}
        train = from_pairs(inputs.records["train"], "training pairs", self.min_query_words)
        part = train.sample(self.tuning_queries, self.tuning_passages, self.seed)
        return {
            name: tune_bm25(part, self.k1, self.b, english=name == "bm25-english")
            for name in self.baselines
        }

    def _searches(self, data: RetrievalSet) -> list[str]:
        if self.search is not None:
            return [self.search]
        order = np.random.default_rng(self.seed).permutation(len(data.queries))
        return [data.queries[row] for row in order[: self.examples]]
