"""Accounting: every input of a stage has one fate, and the sums must agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

UNKNOWN = "unknown"


class AccountingError(AssertionError):
    """A stage lost or invented records: a bug in the stage, not in the input."""


@dataclass(slots=True)
class Account:
    """Counts of one stage, or of one part of it.

    `inputs = kept + sum(dropped.values())`; `outputs` counts the records of each side; the tables by
    source and by language count outputs of all sides and drops; `asked` counts the questions to a
    language model that the rows rest on, and the tokens of prompts and completions, whether they were
    asked now or had been answered before.
    """

    inputs: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    by_source: dict[str, dict[str, int]] = field(default_factory=dict)
    by_language: dict[str, dict[str, int]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Account) -> Account:
        return Account(
            self.inputs + other.inputs,
            self.kept + other.kept,
            _sum(self.dropped, other.dropped),
            _sum(self.outputs, other.outputs),
            _sum_nested(self.by_source, other.by_source),
            _sum_nested(self.by_language, other.by_language),
            _sum(self.asked, other.asked),
        )

    def check(self, where: str) -> None:
        """Compare the sums.

        :raises AccountingError: if an input has no fate, or two.
        """
        fates = self.kept + sum(self.dropped.values())
        if self.inputs != fates:
            raise AccountingError(
                f"{where}: {self.inputs} inputs but {self.kept} kept and "
                f"{sum(self.dropped.values())} dropped"
            )

    def count_outputs(self, side: str, table: pa.Table) -> None:
        """Count the records of a side."""
        self.outputs[side] = self.outputs.get(side, 0) + len(table)
        self._count_by(table, side)

    def count_asked(self, asked: dict[str, int]) -> None:
        """Count what was asked of a language model."""
        self.asked = _sum(self.asked, asked)

    def count_drops(self, table: pa.Table) -> None:
        """Count dropped inputs by reason."""
        self.dropped = _sum(self.dropped, _counts(table["drop_reason"]))
        self._count_by(table, "dropped")

    def _count_by(self, table: pa.Table, label: str) -> None:
        for column, totals in (("source", self.by_source), ("language", self.by_language)):
            for value, count in _counts(table[column]).items():
                cell = totals.setdefault(value, {})
                cell[label] = cell.get(label, 0) + count

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, with sorted keys."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Account:
        """Read what `to_dict` gave."""
        return cls(**data)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    pairs = pc.value_counts(pc.fill_null(column, UNKNOWN)).to_pylist()
    return {pair["values"]: pair["counts"] for pair in sorted(pairs, key=lambda p: p["values"])}


def _sum(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    total = Counter(left)
    total.update(right)
    return dict(sorted(total.items()))


def _sum_nested(
    left: dict[str, dict[str, int]], right: dict[str, dict[str, int]]
) -> dict[str, dict[str, int]]:
    return {k: _sum(left.get(k, {}), right.get(k, {})) for k in sorted(left.keys() | right.keys())}
