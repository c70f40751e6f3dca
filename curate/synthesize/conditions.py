"""Conditions of what a language model is asked for: drawn for each call from the values of a recipe.

    vary:
      kind: [question, keyword, claim]           # equal shares
      length: {a few words: 3, a sentence: 1}    # three in four, one in four

Which value a call gets follows from the seed, the record and the number of the draw alone, so batches and
workers change nothing.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Annotated

from pydantic import Field

from curate.text.languages import NAMES

Name = Annotated[str, Field(pattern=r"^[a-z]\w*$")]
Value = Annotated[str, Field(min_length=1)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Values = (
    Annotated[list[Value], Field(min_length=1)]
    | Annotated[dict[Value, Weight], Field(min_length=1)]
)
"""Equally likely values, or values with the weights that they are drawn by."""
Vary = dict[Name, Values]
"""The values of each condition, by its name."""

LANGUAGE = "language"
"""The condition whose values are language tags: prompts are given their names."""

_RANGE = 1 << 64
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio


def draw(vary: Mapping[str, Values], seed: int, record: str, number: int) -> dict[str, str]:
    """Draw a value of each condition.

    :param record: the id of the record that is asked about.
    :param number: counts the draws of a record. They are spread over the values as evenly as the
        weights allow.
    """
    return {
        name: _weighted(values, place(name, seed, record, number)) for name, values in vary.items()
    }


def pick(values: Sequence[str], name: str, seed: int, record: str, number: int) -> str:
    """Draw one of some equally likely values; see `draw`.

    :param name: what is drawn; each has draws of its own.
    """
    return values[place(name, seed, record, number) * len(values) // _RANGE]


def pick_some(
    values: Sequence[str], count: int, name: str, seed: int, record: str, number: int
) -> list[str]:
    """Draw up to `count` different ones of some equally likely values; see `pick`."""
    rest = list(range(len(values)))
    places = [place(f"{name} {n}", seed, record, number) for n in range(min(count, len(rest)))]
    return [values[rest.pop(at * len(rest) // _RANGE)] for at in places]


def place(name: str, seed: int, record: str, number: int) -> int:
    """Return a number below 2^64: over the records uniform, over the draws of one record evenly spread.

    The draws go on in steps of the golden ratio, so that any first few of them lie far apart.
    """
    text = f"{name}\0{seed}\0{record}".encode("utf-8", "surrogatepass")
    first = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
    return (first + number * _GOLDEN) % _RANGE


def check_languages(vary: Mapping[str, Values]) -> None:
    """Refuse languages that have no name.

    :raises ValueError: naming the first.
    """
    for tag in vary.get(LANGUAGE, ()):
        if tag not in NAMES:
            raise ValueError(
                f"vary.{LANGUAGE}: {tag!r} is no language tag that has a name here; write `en` for "
                "English"
            )


def _weighted(values: Values, at: int) -> str:
    if not isinstance(values, dict):
        return values[at * len(values) // _RANGE]
    names = sorted(values)  # the order in which a recipe writes them is not in its key
    ends = list(accumulate(values[name] for name in names))
    found = bisect_right(ends, at / _RANGE * ends[-1])
    return names[min(found, len(names) - 1)]  # a quotient of floats may round up to the end
