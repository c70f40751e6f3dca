"""What rules say of rows: each rule over all of them at once, the first one broken counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np
import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict

from curate.text.characters import Characters, characters
from curate.text.lines import Parts, lines


class Family(BaseModel):
    """Rules that are switched on together; each field is a threshold, null turns its rule off."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _switched(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    return value


F = TypeVar("F", bound=Family)
Switch = Annotated[F | None, BeforeValidator(_switched)]
"""A family of rules: `true` for all of them as published, `{...}` to change some, null for none."""


class Rule(NamedTuple):
    """One rule over n rows: why it drops, which rows, and what it says of each."""

    reason: str
    fails: np.ndarray
    says: str
    """With a `{}` for the measured value."""
    values: np.ndarray | pl.Series


def above(reason: str, values: np.ndarray, most: float | None, says: str) -> list[Rule]:
    """Return the rule that values may not be above `most`; none if that is null. NaN passes."""
    if most is None:
        return []
    return [Rule(reason, values > most, f"{says}, maximum {most}", values)]


def below(reason: str, values: np.ndarray, least: float | None, says: str) -> list[Rule]:
    """Return the rule that values may not be below `least`; none if that is null. NaN passes."""
    if least is None:
        return []
    return [Rule(reason, values < least, f"{says}, minimum {least}", values)]


def literal(text: str) -> str:
    """Return a text as a part of what a rule says."""
    return text.replace("{", "{{").replace("}", "}}")


@dataclass(frozen=True)
class Side:
    """The texts of one side of n records, and what is measured of them more than once.

    :param name: `query` or `passage`.
    :param texts: n strings; a null has no text that rules could be about.
    """

    name: str
    texts: pl.Series

    @cached_property
    def characters(self) -> Characters:
        """What the texts' characters are; of a null as of an empty text."""
        return characters(self.texts)

    @cached_property
    def lengths(self) -> np.ndarray:
        """The characters of each text: float64 [n], NaN where it is null."""
        return self.known(self.characters.lengths)

    def known(self, values: np.ndarray) -> np.ndarray:
        """Return numbers [n] as float64, NaN where the text is null."""
        if not self.texts.null_count():
            return values.astype(np.float64)
        return np.where(self.texts.is_null().to_numpy(), np.nan, values)

    @cached_property
    def lines(self) -> Parts:
        """The lines of the texts."""
        return lines(self.characters)

    def share(self, counts: np.ndarray) -> np.ndarray:
        """Return which part of each text's characters some are: float64 [n], NaN of no text."""
        return counts / np.where(self.lengths > 0, self.lengths, np.nan)

    def take(self, rows: np.ndarray) -> Side:
        """Return some of the texts: int64 [m], ascending."""
        return self if len(rows) == len(self.texts) else Side(self.name, self.texts.gather(rows))


class Verdicts:
    """Which of n rows have passed so far, and why the others have not."""

    def __init__(self, n: int) -> None:
        self.reasons = np.full(n, None, object)
        self.details = np.full(n, None, object)
        self.passed = np.ones(n, bool)

    def rows(self, among: np.ndarray | None = None) -> np.ndarray:
        """Return the rows that have passed: int64 [m], ascending.

        :param among: bool [n].
        """
        return np.flatnonzero(self.passed if among is None else self.passed & among)

    def judge(self, rules: Iterable[Rule], rows: np.ndarray | None = None) -> None:
        """Apply rules one after another.

        :param rows: int64 [m], the rows that they are over; by default all.
        """
        for rule in rules:
            failing = np.flatnonzero(rule.fails)
            places = failing if rows is None else rows[failing]
            fresh = self.passed[places]
            places, failing = places[fresh], failing[fresh]
            self.passed[places] = False
            self.reasons[places] = rule.reason
            if len(places):
                self.details[places] = [rule.says.format(v) for v in rule.values[failing]]
