"""The consistency filter of E5: a pair stays if its query finds its own passage in a random pool."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.encode import Encoder, load_encoder
from curate.encode.folds import LeftOut
from curate.encode.pairs import Sides, encode_distinct, finite, sides_of
from curate.encode.passages import Passages, sample_passages
from curate.encode.ranking import Device, Pool
from curate.encode.rounding import to_bfloat16
from curate.errors import CurateError
from curate.filter.calibration import calibration_table, curve, edge_table, estimate
from curate.schema import Kind, with_score
from curate.sources import BySource
from curate.stage import Context, Global, Inputs, Outcome, Ref, decide, execution

RANK = "consistency_rank"
# Passages of the pool that are encoded between two moments at which a kill loses nothing.
_PIECE = 1 << 15


@dataclass(frozen=True, slots=True)
class Ranks:
    """What was found about n pairs.

    :param ranks: int64 [n], the rank of each pair's passage in the pool; 0 without a positive.
    :param limits: int64 [n], the worst rank that is kept of it.
    :param pool: the passages that were ranked among.
    """

    ranks: np.ndarray
    limits: np.ndarray
    pool: int


class ConsistencyFilter(BySource, Global):
    """Keep pairs whose passage is among the top k for their query in one fixed random pool.

    Wang et al. 2022 (E5), arXiv:2212.03533, section 3.1: top k = 2 of 1M passages, ranked by a model
    trained on the noisy pairs themselves. The pool is one random sample over all sources; a pair's
    own passage is always in the running and its copies never count against it. The rank is kept as
    the score `consistency_rank`, on dropped pairs too, and the report shows what each k would keep.

    A model that was trained on a wrong pair finds its passage all the same. Cross-fitting avoids it:
    name several encoders, each trained with another part of the pairs left out
    (`train.contrastive: {leave_out: {fold: 0}}`, `{fold: 1}`), and each pair is ranked by the one
    that never saw it. Only then `k: auto` means what it says.

    For synthetic queries this is the round trip (Dai et al. 2022, Promptagator, arXiv:2209.11755,
    section 3.2): give the whole `corpus`. Vectors are rounded to bfloat16 before they are compared.
    Holds the pool's texts once and its vectors twice (2 bytes times the dimension), and about 100
    bytes for each passage and 16 for each pair that there is.
    """

    name: ClassVar[str] = "filter.consistency"
    version: ClassVar[int] = 2
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    varying: ClassVar[frozenset[str]] = frozenset({"k"})

    encoder: Annotated[str | list[str], Ref("model", path=True)]
    """The model that ranks: a training stage, or a model folder. Of several each ranks the pairs that
    its training left out."""
    k: Annotated[int, Field(ge=1)] | Literal["auto"] = 2
    """The worst rank that is kept; `auto` is the largest at which `impurity` holds."""
    impurity: float = Field(0.01, gt=0, lt=1)
    """The share of wrong pairs among those kept that `k: auto` allows, as it is estimated from ranks in
    the worse half of the pool."""
    corpus: Annotated[str | None, Ref("passages")] = None
    """Passages to rank among besides the pairs' own; by default these alone."""
    pool: int = Field(1_000_000, ge=1)
    """Passages to rank among, at most."""
    margin: float = Field(0.0001, ge=0)
    """How much higher than the own passage's cosine another must be to count: near copies tie."""
    seed: int = Field(0, ge=0)
    """Draws the pool, if there are more passages than it holds."""
    device: Device = execution("auto")
    """Where vectors are compared: `auto` is a GPU if there is one."""

    def fit(self, inputs: Inputs, context: Context) -> Ranks:
        """Rank every pair; note the share kept for each k."""
        records = [inputs.main, *inputs.records.values()]
        passages = sample_passages(self.pool, self.seed, *records)
        found = np.zeros(len(inputs.main), np.int64)
        for number, (folder, left_out) in enumerate(self._judges(inputs)):
            judge = _Judge(self, number, folder, passages, context)
            self._rank(inputs, judge, left_out, found)
        limits = self._limits(inputs, found, len(passages.ids), context)
        return Ranks(found, limits, len(passages.ids))

    def _judges(self, inputs: Inputs) -> list[tuple[Path, LeftOut | None]]:
        """Return each encoder's folder, and which pairs it is to rank; None for all."""
        models = inputs.models["encoder"]
        if len(models) == 1:
            return [(models[0][1], None)]
        judges = [(folder, LeftOut.load(folder)) for _, folder in models]
        for (name, _), (_, left_out) in zip(models, judges, strict=True):
            if left_out is None:
                raise CurateError(
                    f"encoder {name!r} was trained on all pairs: of several encoders each must have "
                    "left out another part (`leave_out` of train.contrastive); or name one alone"
                )
        parts = sorted((part.by, part.of, part.fold) for _, part in judges if part)
        whole = [(*parts[0][:2], fold) for fold in range(parts[0][1])]
        if parts != whole:
            told = ", ".join(f"fold {fold} of {of} by {by}" for by, of, fold in parts)
            raise CurateError(
                f"the encoders left out {told}: name one for each fold from 0 to {parts[0][1] - 1}"
            )
        return list(judges)

    def _rank(
        self, inputs: Inputs, judge: _Judge, left_out: LeftOut | None, found: np.ndarray
    ) -> None:
        """Fill in the ranks of the pairs that one encoder is to rank."""
        start = 0
        for number, (table, sides) in enumerate(sides_of(inputs.main, *inputs.records.values())):
            ranked = sides.usable()
            if left_out is not None:
                ranked &= left_out.rows(table)
            rows = np.flatnonzero(ranked)
            found[start + rows] = judge.ranks(number, sides, rows)
            start += len(table)
            judge.context.progress(start, len(found), "queries")

    def _limits(self, inputs: Inputs, found: np.ndarray, pool: int, context: Context) -> np.ndarray:
        """Return the k of each pair, and note what the ranks say."""
        table = inputs.main.to_arrow(["source"])
        limits = np.empty(len(found), np.int64)
        for variant, rows in self.variants(table):
            ranks = found[rows]
            suggested = estimate(ranks[ranks > 0], pool, self.impurity).k
            limits[rows] = suggested if variant.k == "auto" else variant.k
        ranked = found[found > 0]
        whole = estimate(ranked, pool, self.impurity)
        sources = pl.Series("source", table["source"], pl.String)
        context.note(
            pool=pool,
            wrong_share=round(whole.wrong, 4),
            suggested_k=whole.k,
            share_within=curve(ranked),
            tables=[
                calibration_table(found, sources, pool, self.impurity),
                edge_table(found, inputs.main, self.seed),
            ],
        )
        return limits

    def apply(self, table: pa.Table, start: int, fitted: Ranks) -> Outcome:
        """Keep the pairs within the top k; store every rank."""
        part = slice(start, start + len(table))
        found = fitted.ranks[part]
        scored = with_score(table, RANK, np.where(found > 0, found, np.nan).astype(np.float32))
        rank, limit = pl.Series(found), pl.Series(fitted.limits[part])
        reasons = (
            pl.when(rank == 0)
            .then(pl.lit("no_positive"))
            .when(rank > limit)
            .then(pl.lit("inconsistent"))
        )
        details = pl.format("rank {} of {}, k is {}", rank, fitted.pool, limit)
        decided = pl.select(reason=reasons, detail=details)
        return decide(
            scored,
            decided["reason"].to_arrow().cast(pa.string()),
            decided["detail"].to_arrow().cast(pa.string()),
        )


class _Judge:
    """An encoder and the pool as it sees it; neither is loaded before something is to be ranked."""

    def __init__(
        self,
        stage: ConsistencyFilter,
        number: int,
        folder: Path,
        passages: Passages,
        context: Context,
    ) -> None:
        """:param number: which of the encoders it is."""
        self.stage, self.number, self.folder = stage, number, folder
        self.passages, self.context = passages, context

    @cached_property
    def encoder(self) -> Encoder:
        return load_encoder(self.folder, self.context.threads, self.context.vectors)

    @cached_property
    def pool(self) -> Pool:
        texts = self.passages.texts
        pieces = []
        for start in range(0, len(texts), _PIECE):
            self.context.progress(start, len(texts), "passages")
            pieces.append(self._piece(start, texts[start : start + _PIECE]))
        vectors = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
        return Pool(vectors, self.context.threads, self.stage.device)

    def _piece(self, start: int, texts: list[str]) -> np.ndarray:
        def encode() -> np.ndarray:
            return to_bfloat16(finite(self.encoder.encode_passages(texts)))

        piece: np.ndarray = self.context.memo(f"pool-{self.number}-{start}", encode)
        return piece

    def ranks(self, number: int, sides: Sides, rows: np.ndarray) -> np.ndarray:
        """Rank some pairs of a batch: int64 [len(rows)].

        :param number: which of the batches it is.
        """
        if not len(rows):
            return np.zeros(0, np.int64)

        def rank() -> np.ndarray:
            return self._ranks(sides, pa.array(rows))

        ranks: np.ndarray = self.context.memo(f"ranks-{self.number}-{number}", rank)
        return ranks

    def _ranks(self, sides: Sides, rows: pa.Array) -> np.ndarray:
        places = self.passages.rows(pl.Series("id", sides.ids.take(rows), pl.String))
        queries, query = encode_distinct(self.encoder.encode_queries, sides.queries.take(rows))
        own = self._own(sides.passages.take(rows), places)
        left = to_bfloat16(queries)[query]
        return self.pool.ranks(left, own, places, self.stage.margin)

    def _own(self, texts: pa.Array, places: np.ndarray) -> np.ndarray:
        """Return the vectors of the pairs' own passages; only those outside the pool are encoded."""
        own = np.empty((len(texts), self.pool.vectors.shape[1]), np.uint16)
        inside = places >= 0
        own[inside] = self.pool.vectors[places[inside]]
        if not inside.all():
            outside = pc.filter(texts, pa.array(~inside))
            vectors, row = encode_distinct(self.encoder.encode_passages, outside)
            own[~inside] = to_bfloat16(vectors)[row]
        return own
