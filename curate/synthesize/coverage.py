"""What synthetic data is to cover: shares of families, languages, lengths and difficulties.

A *cell* is one of each. The share of a cell is the product of the four shares. How many texts a cell gets
of a small number of them is chosen so that the shares of the values come out right, even where there are
more cells than texts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from curate.schema import content_id
from curate.synthesize.conditions import Values, Weight
from curate.text.languages import language_name

FamilyName = Literal["short-long", "long-short", "short-short", "long-long", "sts", "bitext"]
Length = Literal["short", "medium", "long"]
FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
LENGTHS: tuple[Length, ...] = get_args(Length)
OTHERS = "others"

LANGUAGES = (
    "af", "am", "ar", "as", "az", "be", "bg", "bn", "br", "bs", "ca", "cs", "cy", "da", "de", "el",
    "en", "eo", "es", "et", "eu", "fa", "fi", "fil", "fr", "fy", "ga", "gd", "gl", "gu", "ha", "he",
    "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "jv", "ka", "kk", "km", "kn", "ko", "ku", "ky",
    "la", "lo", "lt", "lv", "mg", "mk", "ml", "mn", "mr", "ms", "my", "ne", "nl", "no", "om", "or",
    "pa", "pl", "ps", "pt", "ro", "ru", "sa", "sd", "si", "sk", "sl", "so", "sq", "sr", "su", "sv",
    "sw", "ta", "te", "th", "tr", "ug", "uk", "ur", "uz", "vi", "xh", "yi", "zh",
)  # fmt: skip
"""The 93 languages of XLM-R (Conneau et al. 2020, arXiv:1911.02116, table 6), without romanised ones."""

_SHOWN = 20  # rows of a table for each part of a cell


class Cell(NamedTuple):
    """One value of each part of a coverage."""

    family: str
    language: str
    length: str
    difficulty: str


class Coverage(BaseModel):
    """Which shares are asked for; each a list of equal ones, or values with weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: dict[FamilyName, Weight] = {
        "short-long": 167.0,
        "long-short": 122.0,
        "short-short": 13.0,
        "long-long": 17.0,
        "sts": 99.0,
        "bitext": 89.0,
    }
    """The families with their weights; by default those of the paper."""
    language: Values = {"en": 43.0, OTHERS: 57.0}
    """Language tags; `others` are those of XLM-R's 93 languages that are not named, in equal shares."""
    length: dict[Length, Weight] = {"short": 1.0, "medium": 1.0, "long": 1.0}
    """How long the texts are, for their family: see `words`."""
    difficulty: Values = ["high school", "college", "PhD"]
    """How learned the readers are, in the words of the prompt."""

    @field_validator("language")
    @classmethod
    def _known(cls, values: Values) -> Values:
        for tag in values:
            if tag != OTHERS and language_name(tag) == tag:
                raise ValueError(
                    f"{tag!r} is no language tag that has a name here; write `en` for English"
                )
        return values

    @model_validator(mode="after")
    def _two_languages(self) -> Coverage:
        if "bitext" in self.family and len(self.languages()) < 2:
            raise ValueError("bitext needs two languages: name another, or leave the family out")
        return self

    def languages(self) -> dict[str, float]:
        """Return the share of each language."""
        weights = _weights(self.language)
        rest = [tag for tag in LANGUAGES if tag not in weights]
        others = weights.pop(OTHERS, 0.0)
        return _shares(weights | {tag: others / len(rest) for tag in rest if others})

    def shares(self) -> dict[Cell, float]:
        """Return the share of each cell."""
        families = _shares(cast(dict[str, float], self.family))
        lengths = _shares(cast(dict[str, float], self.length))
        parts = (families, self.languages(), lengths, _shares(_weights(self.difficulty)))
        return {
            Cell(*(name for name, _ in values)): float(np.prod([share for _, share in values]))
            for values in product(*(part.items() for part in parts))
        }

    def apportion(self, count: int) -> dict[Cell, int]:
        """Share out a number of texts: the cells that get some, each with how many.

        A cell gets its share rounded down or up; where up is decided one text at a time, for the cell
        whose values miss most, so that the shares of the values hold too.
        """
        shares = self.shares()
        cells = sorted(shares)
        exact = count * np.array([shares[cell] for cell in cells])
        counts = np.floor(exact + 1e-9).astype(np.int64)
        parts = np.array(
            [np.unique(part, return_inverse=True)[1] for part in zip(*cells, strict=True)]
        )
        missing = [np.bincount(part, exact - counts) for part in parts]
        fractions = exact - counts + 1e-6 * _ties(cells)
        for _ in range(count - int(counts.sum())):
            needs = fractions + sum(m[part] for m, part in zip(missing, parts, strict=True))
            best = int(needs.argmax())
            counts[best] += 1
            fractions[best] = -np.inf
            for m, part in zip(missing, parts, strict=True):
                m[part[best]] -= 1
        return {cell: int(n) for cell, n in zip(cells, counts, strict=True) if n}


def _weights(values: Values) -> dict[str, float]:
    return dict(values) if isinstance(values, dict) else dict.fromkeys(values, 1.0)


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _ties(cells: Iterable[Cell]) -> np.ndarray:
    """Return a number from 0 to 1 for each cell, by which equal needs are told apart."""
    return np.array([int(content_id(*cell)[:8], 16) / 0xFFFFFFFF for cell in cells])


# -- what was reached ------------------------------------------------------------------------------


def cell_of(meta: str | None) -> Cell | None:
    """Return the cell that a record's `meta` tells; None if it tells none."""
    try:
        told = json.loads(meta or "")["cell"]
        cell = Cell(**told)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return cell if all(isinstance(value, str) for value in cell) else None


def error(asked: Mapping[Cell, int], reached: Mapping[Cell, int]) -> float:
    """Return how far the shares of two countings are apart: the total variation distance, 0 to 1."""
    if not (asked_all := sum(asked.values())) or not (all_ := sum(reached.values())):
        return 1.0 if asked_all else 0.0
    cells = asked.keys() | reached.keys()
    apart = (abs(asked.get(c, 0) / asked_all - reached.get(c, 0) / all_) for c in sorted(cells))
    return sum(apart) / 2


def coverage_notes(asked: Mapping[Cell, int], made: Iterable[pa.Table]) -> dict[str, Any]:
    """Say what was asked and what was reached, after the first round and at the end.

    :param made: records with their cell and their round in `meta`.
    """
    first: Counter[Cell] = Counter()
    reached: Counter[Cell] = Counter()
    for table in made:
        for meta in table["meta"].to_pylist():
            if cell := cell_of(meta):
                reached[cell] += 1
                first[cell] += not json.loads(meta)["round"]
    return {
        "asked": sum(asked.values()),
        "first_round": first.total(),
        "reached": reached.total(),
        "coverage_error_first_round": round(error(asked, first), 4),
        "coverage_error": round(error(asked, reached), 4),
        "tables": [_table(asked, first, reached)],
    }


def _table(*counts: Mapping[Cell, int]) -> dict[str, Any]:
    rows = [row for part in range(len(Cell._fields)) for row in _rows(part, *counts)]
    return {
        "title": "asked and reached shares",
        "columns": ["part", "value", "asked>", "first round>", "reached>"],
        "rows": rows,
        "note": f"Of parts with more than {_SHOWN} values those that are furthest from what was asked.",
    }


def _rows(part: int, *counts: Mapping[Cell, int]) -> list[list[str]]:
    shares = [_marginal(part, count) for count in counts]
    values = sorted(set().union(*shares))
    far = sorted(values, key=lambda v: -abs(shares[0].get(v, 0) - shares[-1].get(v, 0)))[:_SHOWN]
    return [
        [Cell._fields[part], value, *(f"{share.get(value, 0):.1%}" for share in shares)]
        for value in values
        if value in far
    ]


def _marginal(part: int, counts: Mapping[Cell, int]) -> dict[str, float]:
    total = sum(counts.values()) or 1
    found: dict[str, float] = {}
    for cell, count in counts.items():
        found[cell[part]] = found.get(cell[part], 0) + count / total
    return found
