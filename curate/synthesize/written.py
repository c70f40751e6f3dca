"""What a language model wrote: read, and checked before it becomes a record."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import polars as pl

from curate.llm.base import Generated
from curate.text.normalise import normalise, words

_UNUSABLE = {
    "length": "cut_off",
    "refused": "refused",
    "invalid": "not_of_schema",
    "failed": "failed",
}
"""Why an answer cannot be used, by how it ended."""
ALIKE = 0.7  # Jaccard similarity of their words, from which one text is a copy of another


def read_answer(answer: Generated, texts: Iterable[str]) -> dict[str, Any] | str:
    """Read a JSON object.

    :param texts: the fields that must be there and hold a text; these come back on one line.
    :return: its fields, or the reason why it cannot be used.
    """
    if answer.finish != "stop":
        return _UNUSABLE[answer.finish]
    try:
        data = json.loads(answer.text)
    except ValueError:
        return "not_json"
    if not isinstance(data, dict) or not all(isinstance(data.get(name), str) for name in texts):
        return "not_of_schema"
    return data | {name: " ".join(data[name].split()) for name in texts}


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text in normal form."""
    return frozenset(words(pl.Series([text]))[0].split())


def plain(text: str) -> str:
    """Return a text in normal form."""
    return str(normalise(pl.Series([text]))[0])


def alike(left: frozenset[str], right: frozenset[str]) -> bool:
    """Tell whether one set of words is a copy of another."""
    return len(left & right) >= ALIKE * len(left | right)
