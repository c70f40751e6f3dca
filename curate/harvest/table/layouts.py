"""Layouts of pairs and passages in tables: which columns hold what, known by their names.

| layout                | columns                                                                     |
|-----------------------|-----------------------------------------------------------------------------|
| tevatron              | query, positive_passages, negative_passages: lists of {docid, title, text}  |
| berri                 | question (`instruction [SEP] query`), positive_ctxs, negative_ctxs,         |
|                       | hard_negative_ctxs: lists of {title, text}; DPR's own without instruction   |
| berri-full            | query (`instruction </s> query`), document, label: 0 or 1                   |
| flagembedding         | query, pos, neg, prompt, pos_scores, neg_scores                             |
| medi                  | the same, each text an [instruction, text], and task_name                   |
| sentence-transformers | anchor, positive, negative, negative_1, ...; {set: [..]}; [a, b] or         |
|                       | [a, positive, negative, ..] to a line; MS MARCO's triples as TSV            |
| generic               | query or question with positive, passage, document or answer(s)             |
| titled                | title with abstract, body or text                                           |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Names = str | tuple[str, ...] | None


class Columns(BaseModel):
    """The columns that hold what a record needs; `a.b` is `b` within the object `a`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str | None = None
    """The query; without it, `title` is the query of `text`."""
    positive: Names = None
    """The positive passage, or a list of some; without it, `title` and `text` are the passage."""
    negative: Names = None
    """Hard negatives: each column one, or a list of some."""
    title: str | None = None
    """The title of the passage."""
    text: str | None = None
    """The text of the passage."""
    task: str | None = None
    """The instruction."""
    label: str | None = None
    """The gold grade of the positive, a number."""
    score: str | None = None
    """A score of the pair or passage, a number."""
    source: str | None = None
    """Which part of the collection it is of; appended to the source's name."""
    language: str | None = None
    """The language, a BCP 47 tag."""
    license: str | None = None
    """The licence, an SPDX identifier."""
    url: str | None = None
    """The address."""
    group: str | None = None
    """The unit that no split may cut: a thread, a page, a paper."""
    id: str | None = None
    """The identifier that the collection itself uses; goes to `meta`."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a record's parts lie.

    :param kind: the kind of its pairs.
    :param separator: what stands between instruction and query where both are one text.
    :param min_label: pairs of a lower grade are no pairs.
    :param scores: the columns with scores of the positives and the negatives.
    :param symmetric: whether query and positive may be exchanged.
    """

    name: str
    kind: str
    columns: Columns
    separator: str | None = None
    min_label: float | None = None
    scores: tuple[str | None, str | None] = (None, None)
    symmetric: bool = False

    @property
    def positives(self) -> tuple[str, ...]:
        """Return the columns of positives."""
        return names_in(self.columns.positive)

    @property
    def negatives(self) -> tuple[str, ...]:
        """Return the columns of negatives."""
        return names_in(self.columns.negative)

    @property
    def required(self) -> tuple[str, ...]:
        """Return the columns without which there is no record."""
        named = (self.columns.query, *self.positives[:1])
        if not self.positives:
            named = (self.columns.query or self.columns.title, self.columns.text)
        return tuple(name for name in named if name is not None)


def names_in(names: Names) -> tuple[str, ...]:
    """Return the one name, the names or none."""
    return (names,) if isinstance(names, str) else names or ()


def value_at(row: dict[str, Any], name: str | None) -> Any:
    """Return the value of a column; of `a.b` what the object `a` has under `b`."""
    if name is None:
        return None
    if name in row or "." not in name:
        return row.get(name)
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _pairs(query: str, *positives: str, kind: str = "query-passage", **more: Any) -> list[Layout]:
    columns = {"task": "task", "id": "id", "title": "title"} | more.pop("columns", {})
    return [
        Layout("generic", kind, Columns(query=query, positive=name, **columns), **more)
        for name in positives
    ]


_NEGATIVES = re.compile(r"(?:hard_)?neg(?:ative)?s?(?:_\d+)?$")
_PLACES = re.compile(r"\d+$")
_LAYOUTS = (
    Layout(
        "tevatron",
        "query-passage",
        Columns(
            query="query",
            positive="positive_passages",
            negative="negative_passages",
            id="query_id",
        ),
    ),
    Layout(
        "berri",
        "query-passage",
        Columns(
            query="question",
            positive="positive_ctxs",
            negative=("hard_negative_ctxs", "negative_ctxs"),
            source="dataset",
        ),
        separator=" [SEP] ",
    ),
    Layout(
        "berri-full",
        "query-passage",
        Columns(query="query", positive="document", label="label"),
        separator=" </s> ",
        min_label=1,
    ),
    Layout(
        "flagembedding",
        "query-passage",
        Columns(query="query", positive="pos", task="prompt", source="task_name"),
        scores=("pos_scores", "neg_scores"),
    ),
    Layout("sentence-transformers", "query-passage", Columns(query="anchor", positive="positive")),
    *_pairs("query", "positive", "passage", "document"),
    *_pairs("query", "answer", "answers", "response", kind="question-answer"),
    *_pairs("question", "positive", "passage", "context"),
    *_pairs("question", "answer", "answers", "response", kind="question-answer"),
    *(
        Layout("titled", f"title-{text}", Columns(title="title", text=text, id="id", url="url"))
        for text in ("abstract", "body", "text")
    ),
)
_PASSAGES = tuple(
    Layout("passages", "", Columns(title="title", text=text, id=id_, url="url"))
    for text in ("text", "passage", "contents", "content", "body", "abstract", "document")
    for id_ in ("_id", "docid", "id")
)


@lru_cache(maxsize=4096)
def layout_of(
    names: tuple[str, ...], columns: Columns, record: Literal["pairs", "passages"]
) -> Layout | None:
    """Return how rows with these columns are to be read; None if nothing fits.

    :param columns: what the user named; if that is a text, nothing is guessed.
    """
    if record == "passages":
        return _passages(names, columns)
    named = columns.query or columns.positive or columns.title or columns.text
    found = _named(columns) if named else _known(set(names))
    if found is None:
        return None
    have = {name.partition(".")[0] for name in found.required}
    return _with_columns(found, columns, names) if have <= set(names) else None


def _passages(names: tuple[str, ...], columns: Columns) -> Layout | None:
    if columns.text:
        found = Layout("named", "", columns)
        return found if columns.text.partition(".")[0] in names else None
    fit = [known for known in _PASSAGES if known.columns.text in names]
    best = next((known for known in fit if known.columns.id in names), fit[0] if fit else None)
    return None if best is None else _with_columns(best, columns, names)


def _named(columns: Columns) -> Layout | None:
    if not columns.query and not columns.title:
        return None
    kind = "query-passage" if columns.query else "title-text"
    return Layout("named", kind, columns)


def _known(names: set[str]) -> Layout | None:
    if "set" in names:
        return Layout("set", "paraphrase", Columns(query="set"), symmetric=True)
    if {"0", "1"} <= names and all(map(_PLACES.match, names)):
        return Layout("places", "query-passage", Columns(query="0", positive="1"))
    return next((known for known in _LAYOUTS if names.issuperset(known.required)), None)


def _with_columns(found: Layout, columns: Columns, names: tuple[str, ...]) -> Layout:
    """Complete a layout with what the user named, and with the columns of negatives that are there."""
    given = {name: value for name, value in columns.model_dump().items() if value is not None}
    if found.columns.negative is None and found.name != "named":
        more = [n for n in names if _NEGATIVES.match(n)]
        if found.name == "places":
            more = [n for n in names if n not in ("0", "1")]
        given = {"negative": tuple(more)} | given
    merged = found.columns.model_copy(update=given)
    return Layout(
        found.name,
        found.kind,
        merged,
        found.separator,
        found.min_label,
        found.scores,
        found.symmetric,
    )
