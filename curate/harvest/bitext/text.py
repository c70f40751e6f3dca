"""Sentences and their translations: what two texts must be to be a pair, and the pairs that they give."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from curate.harvest.text.languages import in_script, is_english_instead
from curate.harvest.text.texts import says_little, weight
from curate.schema import Doc, Pair
from curate.text.languages import language_name

KIND = "translation"
TASK = "Given a sentence in {}, find its translation in {}"
MAX_CHARS = 8_000
_WORD = re.compile(r"[^\W\d_]+")
_RUN = 8
_COPIED = 0.75
_ADDRESS = re.compile(r"\b(?:https?|ftp)://\S+|\bwww\.\S+")
_NUMBER = re.compile(r"(?:[A-Z]\.)?\d{1,3}(?:\.\d{1,3}){0,4}\.?\s+(?=\S)")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Text:
    """A text and the tag of its language."""

    text: str
    language: str


def refusal(one: Text, other: Text, max_ratio: float) -> str | None:
    """Return the reason why two texts are no translations of each other; None if they may be."""
    for side in (one, other):
        if not _LETTER.search(_ADDRESS.sub(" ", side.text)):
            return "no_words"
        if len(side.text) > MAX_CHARS:
            return "too_long"
    if one.text.casefold() == other.text.casefold():
        return "same_text"
    if _is_foreign(one) or _is_foreign(other) or _shares_run(one.text, other.text):
        return "not_translated"
    if _is_copy(one.text, other.text):
        return "same_text"
    if says_little(one.text) and says_little(other.text):
        return "short_text"
    sizes = sorted((weight(one.text), weight(other.text)))
    return "length_ratio" if sizes[1] > 30 and sizes[1] > max_ratio * sizes[0] else None


def _is_foreign(side: Text) -> bool:
    """Tell whether a text is not in the language that it should be in."""
    return not in_script(side.text, side.language) or is_english_instead(side.text, side.language)


def _is_copy(one: str, other: str) -> bool:
    """Tell whether the words of two texts are nearly all the same, in any order: names, commands."""
    first, second = (set(_WORD.findall(text.lower())) for text in (one, other))
    return len(first & second) >= _COPIED * max(len(first), len(second), 1)


def _shares_run(one: str, other: str) -> bool:
    """Tell whether a part of one text was left in the other: `_RUN` words in a row."""
    first, second = _WORD.findall(one.lower()), _WORD.findall(other.lower())
    if len(first) < _RUN or len(second) < _RUN or len(set(first).intersection(second)) < _RUN // 2:
        return False
    runs = {tuple(first[at : at + _RUN]) for at in range(len(first) - _RUN + 1)}
    return any(tuple(second[at : at + _RUN]) in runs for at in range(len(second) - _RUN + 1))


def without_number(one: str, other: str) -> tuple[str, str]:
    """Take the number of a section off two headings that have the same: it would give the pair away."""
    first, second = _NUMBER.match(one), _NUMBER.match(other)
    if first and second and first[0].strip() == second[0].strip():
        return one[first.end() :], other[second.end() :]
    return one, other


def both_ways(one: Text, other: Text, shared: dict[str, Any]) -> list[Pair]:
    """Return the pair of two texts in both directions.

    :param shared: what else the pairs have: source, group, license, url, meta.
    """
    return [_pair(one, other, shared), _pair(other, one, shared)]


def _pair(query: Text, passage: Text, shared: dict[str, Any]) -> Pair:
    return Pair(
        KIND,
        query.text,
        [Doc(passage.text, language=passage.language)],
        task=TASK.format(language_name(query.language), language_name(passage.language)),
        symmetric=True,
        language=query.language,
        **shared,
    )
