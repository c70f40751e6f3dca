"""Settings that differ by source: what is short for a forum is long for a glossary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from curate.stage import Stage


class BySource(Stage):
    """A stage some of whose settings may have other values for some sources."""

    varying: ClassVar[frozenset[str]]
    """The settings that may."""

    per_source: dict[str, dict[str, Any]] = Field({})
    """Other values of some settings for some sources: `{"reddit*": {...}}`. Of several patterns that
    fit a record's source the first counts; `*` stands for any characters, also for a slash."""

    @model_validator(mode="after")
    def _refuse_unknown(self) -> Self:
        for pattern, settings in self.per_source.items():
            for name in settings:
                if name not in self.varying:
                    raise ValueError(
                        f"per_source: {pattern!r}: {name!r} cannot differ by source; "
                        f"these can: {', '.join(sorted(self.varying))}"
                    )
        if self.per_source:
            _ = self._variants
        return self

    def check(self) -> None:
        """Refuse values for some sources that the stage itself would refuse.

        :raises ValueError: naming the pattern.
        """
        for pattern, variant in zip(self.per_source, self._variants[1:], strict=True):
            try:
                variant.check()
            except ValueError as error:
                raise ValueError(f"per_source: {pattern!r}: {error}") from None

    @cached_property
    def _variants(self) -> list[Self]:
        """The stage itself, and with the values of each pattern."""
        own = self.model_dump(by_alias=True, exclude={"per_source"}, round_trip=True)
        return [self, *(type(self)(**{**own, **values}) for values in self.per_source.values())]

    def variants(self, table: pa.Table) -> Iterator[tuple[Self, np.ndarray]]:
        """Give the stage with the settings of each group of sources that occurs, and its rows.

        :return: each row of `table` once; int64 [m], ascending.
        """
        if not self.per_source:
            yield self, np.arange(len(table))
            return
        place = first_pattern(table["source"], list(self.per_source))
        for number, variant in enumerate([*self._variants[1:], self]):
            rows = np.flatnonzero(place == number)
            if len(rows):
                yield variant, rows


def first_pattern(sources: pa.ChunkedArray, patterns: Sequence[str]) -> np.ndarray:
    """Return which of some patterns fits each source first, int64 [n]; their number where none does."""
    names = pl.Series("source", sources, pl.String)
    places = {
        name: next((i for i, p in enumerate(patterns) if fnmatchcase(name, p)), len(patterns))
        for name in names.drop_nulls().unique()
    }
    found = names.replace_strict(places, default=len(patterns), return_dtype=pl.Int64)
    return found.fill_null(len(patterns)).to_numpy()
