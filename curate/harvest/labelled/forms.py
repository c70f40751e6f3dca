"""The forms that labelled sets have, and the columns in which they usually keep texts and labels.

| form           | texts                          | label                                               |
|----------------|--------------------------------|-----------------------------------------------------|
| nli            | premise and hypothesis         | entailment, neutral, contradiction (or 0, 1, 2)     |
| sts            | two sentences                  | a number: the more, the more alike                  |
| duplicates     | two questions or sentences     | 1 or 0, true or false                               |
| classification | one                            | its class                                           |
| clustering     | one                            | its cluster                                         |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict

Form = Literal["nli", "sts", "duplicates", "classification", "clustering"]


class LabelledColumns(BaseModel):
    """The columns that hold what is needed; what is null is looked for by its usual names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = None
    """The text; of two the first: the premise, the question."""
    other: str | None = None
    """The second text: the hypothesis, the other question."""
    label: str | None = None
    """The label; of `sts` the score."""
    language: str | None = None
    """The language, a BCP 47 tag."""
    license: str | None = None
    """The licence, an SPDX identifier."""
    url: str | None = None
    """The address."""
    group: str | None = None
    """The unit that no split may cut."""
    id: str | None = None
    """The identifier that the set itself uses; goes to `meta`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of a file are to be read."""

    form: Form
    text: str
    other: str | None
    label: str


_TWO = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sent1", "sent2"),
    ("0", "1"),
)
_ONE = ("text", "sentence", "sentences", "utterance", "query", "question", "content", "title", "0")
_LABELS: dict[Form, tuple[str, ...]] = {
    "nli": ("gold_label", "entailment_judgment", "entailment"),
    "sts": ("score", "similarity_score", "relatedness_score", "similarity", "relatedness"),
    "duplicates": ("is_duplicate", "duplicate", "is_paraphrase"),
    "classification": ("intent", "category", "class", "topic", "label_text", "label"),
    "clustering": ("cluster", "cluster_id", "labels", "label_text", "label"),
}
_VAGUE = ("label", "labels", "target", "1", "2")
"""Labels of any form; they say nothing of which it is."""
_SCALE = re.compile(r"_\d+(?:_\d+)?$")


@lru_cache(maxsize=4096)
def reading_of(
    names: tuple[str, ...], form: Form | None, columns: LabelledColumns
) -> Reading | None:
    """Return how rows with these columns are to be read; None if that cannot be told.

    :raises ValueError: if they can be read in more than one form and none is given.
    """
    plain = {_SCALE.sub("", name.lower()) if "_" in name else name.lower(): name for name in names}
    forms: list[Form] = [form] if form else _forms(plain, columns)
    if len(forms) > 1:
        raise ValueError(f"form: say which one it is, {' or '.join(forms)}")
    return _reading(plain, forms[0], columns) if forms else None


def _forms(plain: dict[str, str], columns: LabelledColumns) -> list[Form]:
    """Return the forms of which there is a label by a name of their own."""
    if columns.other or _two(plain):
        named: list[Form] = ["nli", "sts", "duplicates"]
        found = [form for form in named if any(name in plain for name in _LABELS[form])]
        if not found and _two(plain) == _TWO[0]:
            found = ["nli"]
        return found
    return ["classification"] if _reading(plain, "classification", columns) else []


def _two(plain: dict[str, str]) -> tuple[str, str] | None:
    return next((two for two in _TWO[:-1] if plain.keys() >= set(two)), None)


def _reading(plain: dict[str, str], form: Form, columns: LabelledColumns) -> Reading | None:
    def real(name: str | None) -> str | None:
        return plain.get(name) if name else None

    labels = (*_LABELS[form], *_VAGUE)
    if form in ("classification", "clustering"):
        text = columns.text or real(next((n for n in _ONE if n in plain), None))
        other = None
    else:
        two = next((two for two in _TWO if plain.keys() >= set(two)), (None, None))
        text, other = columns.text or real(two[0]), columns.other or real(two[1])
        if other is None:
            return None
    free = [n for n in labels if n in plain and plain[n] not in (text, other)]
    label = columns.label or real(free[0] if free else None)
    return Reading(form, text, other, label) if text and label else None
