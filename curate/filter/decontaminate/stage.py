"""Decontamination: training data that overlap evaluation sets are dropped, and reported."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.encode import load_encoder
from curate.filter.decontaminate.index import HIT, Index, Methods, best
from curate.filter.decontaminate.met import Met, texts_of
from curate.filter.decontaminate.sets import SIDES, EvaluationSet, Loaded, Side
from curate.schema import Kind
from curate.shards import Shards
from curate.stage import Context, Global, Inputs, Outcome, Ref, decide

_ROWS = 8192  # compared at once by one thread
_GROUP_ROWS = 1 << 16  # remembered at once: what a kill may cost
_EXAMPLE = [
    {
        "given": {
            "query": ["Sort the list of a table and return how many there were."],
            "text": ["many words again and again"],
        }
    }
]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The records that are dropped, and why: m rows, ascending, m reasons and m details."""

    rows: np.ndarray
    reasons: pa.Array
    details: pa.Array


class Decontaminate(Global):
    """Drop records that overlap evaluation sets: copies, shared n-grams and near-duplicates.

    A query is compared with the sets' queries, a passage (each positive of a pair, with its title if
    it has one) with their passages, both with texts that are neither; `crosswise` compares all with
    all. The detail of a drop names the set, the item and the measure; the report counts by set, side
    and method, how much of each set was met, and shows examples. In scripts without spaces each
    character is a word. Holds the sets: some 100 bytes per word of theirs and 512 per text; and 18
    bytes per hit.
    """

    name: ClassVar[str] = "filter.decontaminate"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")

    against: list[EvaluationSet] = Field(..., min_length=1, examples=[_EXAMPLE])
    """The evaluation sets: `beir/scifact`, `mteb:NFCorpus`, or a mapping with `path`, `mteb` or `given`
    (the texts), `columns`, `id`, `splits`, `corpus` (all, relevant, none), `name`."""
    query: Methods = Methods()
    """How queries are compared."""
    passage: Methods = Methods()
    """How passages are compared."""
    crosswise: bool = False
    """Compare queries with the sets' passages too, and passages with their queries."""
    encoder: Annotated[str | None, Ref("model", path=True)] = None
    """The model for near-duplicates by cosine; by default there is no such comparison."""

    def check(self) -> None:
        """Refuse sets that are not there, or whose names are the same."""
        for one in self.against:
            one.check()
        names = [one.title for one in self.against]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"against: two sets are named {min(twice)!r}: give each a `name`")

    def material(self) -> dict[str, Any]:
        """Return what identifies the work: the contents of the sets too."""
        return super().material() | {"sets": [one.fingerprint() for one in self.against]}

    def fit(self, inputs: Inputs, context: Context) -> Verdicts:
        """Compare all records with the sets; note what was met."""
        sets = [one.load() for one in self.against]
        indexes = self._indexes(sets, inputs, context)
        found, start = [np.zeros(0, HIT)], 0
        with ThreadPoolExecutor(context.threads) as pool:
            for number, table in enumerate(_groups(inputs.main)):
                hits = context.memo(
                    f"hits-{number}",
                    lambda table=table: _hits(table, indexes, pool),  # type: ignore[misc]
                )
                found.append(hits.copy())
                found[-1]["row"] += start
                start += len(table)
                context.progress(start, len(inputs.main))
        met = Met(sets, np.concatenate(found))
        context.note(**met.notes(inputs.main))
        return _verdicts(met)

    def _indexes(self, sets: list[Loaded], inputs: Inputs, context: Context) -> dict[Side, Index]:
        """Arrange the items that each side is compared with; they are numbered over all sets."""
        encoder = None
        if self.encoder is not None:
            folder = inputs.model("encoder")
            encoder = load_encoder(folder, context.threads, context.vectors)
        every = [item for one in sets for item in one.items]
        indexes: dict[Side, Index] = {}
        for side, methods in zip(SIDES, (self.query, self.passage), strict=True):
            chosen = [
                (form, number)
                for number, item in enumerate(every)
                if self.crosswise or item.role in (side, "text")
                for form in item.forms
            ]
            items = np.array([number for _, number in chosen], np.int32)
            forms = [form for form, _ in chosen]
            indexes[side] = Index(side, methods, forms, items, encoder, context.threads)
        return indexes

    def apply(self, table: pa.Table, start: int, fitted: Verdicts) -> Outcome:
        """Drop the records that met something among the rows from `start` on."""
        low, high = np.searchsorted(fitted.rows, [start, start + len(table)])
        place = np.full(len(table), -1)
        place[fitted.rows[low:high] - start] = np.arange(low, high)
        index = pa.array(place, mask=place < 0)
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        return decide(table, fitted.reasons.take(index), fitted.details.take(index), kind)


def _groups(records: Shards) -> Iterator[pa.Table]:
    """Put small shards together: each comparison costs some time whatever the number of texts."""
    group: list[pa.Table] = []
    for table in records.tables():
        group.append(table)
        if sum(map(len, group)) >= _GROUP_ROWS:
            yield pa.concat_tables(group)
            group = []
    if group:
        yield pa.concat_tables(group)


def _hits(table: pa.Table, indexes: dict[Side, Index], pool: ThreadPoolExecutor) -> np.ndarray:
    """Compare some records; the `row` of a hit is a place among them."""
    found = [np.zeros(0, HIT)]
    for side, index in indexes.items():
        texts, rows = texts_of(table, side)
        starts = range(0, len(texts), _ROWS)
        parts = [texts.slice(start, _ROWS) for start in starts]
        for start, *both in zip(
            starts, pool.map(index.hits, parts), map(index.similar, parts), strict=True
        ):
            for hits in both:
                hits["row"] = rows[start + hits["row"]]
                found.append(hits)
    return best(np.concatenate(found))


def _verdicts(met: Met) -> Verdicts:
    """Say of each record that met something what weighs most: its query, and the surest method."""
    hits = met.hits  # in that order already
    firsts = np.ones(len(hits), bool)
    firsts[1:] = hits["row"][1:] != hits["row"][:-1]
    first = hits[firsts]
    reasons = pa.array([f"{side}_in_evaluation" for side in SIDES]).take(pa.array(first["side"]))
    details = pa.array([met.detail(hit) for hit in first], pa.string())
    return Verdicts(first["row"], reasons, details)
