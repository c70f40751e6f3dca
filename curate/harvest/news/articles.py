"""News articles in tables, feeds and text files, whatever their fields are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curate.harvest.reading.charset import decoded_html
from curate.harvest.reading.rows import text_in
from curate.harvest.reading.rows_json import loads
from curate.harvest.text.extract import spdx
from curate.harvest.text.html import text_of
from curate.harvest.text.texts import collapsed, without_title
from curate.licenses import NOASSERTION

TITLES = ("title", "headline", "heading", "subject", "titel", "titre", "titulo", "name")
BODIES = (
    *("body", "articlebody", "maintext", "fulltext", "contenthtml", "contenttext", "content"),
    *("contentencoded", "text", "article", "story", "document", "texte", "texto", "contenu"),
)
SUMMARIES = (
    *("summary", "description", "shortdescription", "abstract", "lead", "lede", "standfirst"),
    *("subtitle", "subheadline", "teaser", "snippet", "excerpt", "dek", "highlights", "trailtext"),
)
_URLS = ("url", "link", "href", "weburl", "canonical", "guid", "id")
_LANGUAGES = ("language", "lang", "inlanguage")
_LICENSES = ("license", "licence", "rights")
_LISTS = ("items", "articles", "entries", "results", "docs", "news", "data", "stories")

_PLAIN_NAME = re.compile(r"[\W_]+")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,500}>|&(?:#\d{1,6}|[a-zA-Z]{2,8});")
# What earlier programs left: entities without their ampersand.
_APOSTROPHE = re.compile(r" ?&? ?#39;(?=[a-z])")
_BROKEN_ENTITY = re.compile(r"(?<![&;])(#\d{2,4}|\b(?:quot|amp|lt|gt|nbsp|apos));")
_TEXT_COLUMN_CHARS = 20
_BODY_CHARS = 500


# What agencies leave on both sides, so that a model would learn to match it.
_AGENCY = r"(?:AP|AFP|UPI|PTI|dpa|Reuters|Xinhua|[A-Za-z]{3,20}\.com)"
_BEHIND_TITLE = re.compile(rf"\s*\({_AGENCY}\)$")
_BEFORE_TEXT = re.compile(
    rf"\A(?:[A-Z][\w.,'/ -]{{0,60}} )?\(?{_AGENCY}\)? (?:--?|[\u2013\u2014]) ?"
)
_BYLINE = re.compile(
    r"\ABy [A-Z][\w.'\u2019-]*(?: [A-Z][\w.'\u2019-]*){1,3}(?:\n|(?<=[a-z])\. )\s*"
)
_SOFT_HYPHEN = "\xad"


@dataclass(slots=True)
class Article:
    """An article as it was published."""

    title: str = ""
    body: str = ""
    summary: str = ""
    url: str | None = None
    language: str | None = None
    license: str = NOASSERTION

    def unmarked(self) -> Article:
        """Return the article without bylines, marks of agencies, and hyphens that nobody sees."""
        title, body, summary = (
            text.replace(_SOFT_HYPHEN, "") for text in (self.title, self.body, self.summary)
        )
        return replace(
            self,
            title=_BEHIND_TITLE.sub("", title),
            body=_text_alone(body),
            summary=_text_alone(summary),
        )


def _text_alone(text: str) -> str:
    """Take away who wrote it, where, and for which agency."""
    return _BEFORE_TEXT.sub("", _BYLINE.sub("", text, count=1), count=1)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table hold what."""

    title: str
    body: str | None
    summary: str | None


# -- fields ----------------------------------------------------------------------------------------


def columns_of(
    rows: Sequence[Mapping[str, Any]], title: str | None, body: str | None, summary: str | None
) -> Columns | None:
    """Tell which columns hold what: as the user says, else by name, else by length.

    Where columns have no names, the first that holds texts is the title, the last the body, or the
    summary if it is short.

    :param rows: the first rows.
    :return: None if no column is a title, or none belongs to it.
    """
    names = list(rows[0]) if rows else []
    for name in filter(None, (title, body, summary)):
        if name not in names:
            return None
    if title or body or summary:
        found = title or _named(names, TITLES), body, summary
    elif all(name.isdigit() for name in names):
        found = _by_length(names, rows)
    else:
        found = _named(names, TITLES), _named(names, BODIES), _named(names, SUMMARIES)
    head, *texts = found
    return Columns(head, *texts) if head and any(texts) else None


def _named(names: Sequence[str], known: Sequence[str]) -> str | None:
    by_name = {_PLAIN_NAME.sub("", name).lower(): name for name in reversed(names)}
    return next((by_name[name] for name in known if name in by_name), None)


def _by_length(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> tuple[str | None, str | None, str | None]:
    length = {name: sum(len(str(row.get(name, ""))) for row in rows) / len(rows) for name in names}
    texts = [name for name in names if length[name] >= _TEXT_COLUMN_CHARS]
    if len(texts) < 2:
        return None, None, None
    last = max(texts[1:], key=length.__getitem__)
    is_body = length[last] >= _BODY_CHARS
    return texts[0], last if is_body else None, None if is_body else last


def article_of_row(values: Mapping[str, Any], columns: Columns) -> Article:
    """Read an article from a row of a table.

    :raises ValueError: if a column that should hold a text does not.
    """
    return Article(
        title=collapsed(readable(values.get(columns.title))),
        body=readable(values.get(columns.body)) if columns.body else "",
        summary=readable(values.get(columns.summary)) if columns.summary else "",
        url=_address(values),
        language=_first_text(values, _LANGUAGES),
        license=spdx(_first_text(values, _LICENSES) or ""),
    )


def readable(value: Any) -> str:
    """Return the text of a field, without markup.

    :raises ValueError: if it is no text.
    """
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        value = "\n".join(value)
    text = text_in(value)
    if ";" in text:
        text = _BROKEN_ENTITY.sub(r"&\1;", _APOSTROPHE.sub("'", text))
    for _ in range(3):  # feeds of feeds escape their markup again
        if ("<" in text or "&" in text) and _MARKUP.search(text):
            text = text_of(text)
    if "\\" in text:  # for a line end, or before a dollar
        text = text.replace("\\", " ")
    return text_in("\n".join(line for line in map(collapsed, text.split("\n")) if line))


def _first_text(values: Mapping[str, Any], known: Sequence[str]) -> str | None:
    name = _named(list(values), known)
    value = values.get(name) if name else None
    return value.strip() or None if isinstance(value, str) and len(value) < 200 else None


def _address(values: Mapping[str, Any]) -> str | None:
    names = (_named(list(values), (known,)) for known in _URLS)
    found = (values[name] for name in names if name)
    return next((str(v).strip() for v in found if str(v).strip().startswith("http")), None)


# -- whole files -----------------------------------------------------------------------------------


def articles_of_json(data: bytes) -> Iterator[Article | ValueError]:
    """Read the items of a JSON feed, or the article that a JSON document is.

    :raises ValueError: if it is no JSON, or holds no article.
    """
    value = loads(data, "utf-8")
    items = value if isinstance(value, list) else _items(value)
    items = [item for item in items if isinstance(item, dict)]
    if not items:
        raise ValueError("no list of items")
    for item in items:
        columns = columns_of([item], None, None, None)
        if columns is None:
            yield ValueError(f"no title or text among {', '.join(item)[:200]}")
            continue
        try:
            yield article_of_row(item, columns)
        except ValueError as error:
            yield error


def _items(value: Any) -> list[Any]:
    if not isinstance(value, dict):
        return []
    name = _named([k for k, v in value.items() if isinstance(v, list)], _LISTS)
    return value[name] if name else [value]


_BLANK = re.compile(r"\n[ \t\r\f\v]*\n\s*")


def articles_of_text(data: bytes) -> Iterator[Article]:
    """Read text files: one article, or many with an empty line between them.

    The first line of an article is its title. Where every block between empty lines has several lines,
    each is an article; where one of them is a single line, they are the paragraphs of one.
    """
    text = decoded_html(data).replace("\r\n", "\n").replace("\r", "\n").strip()
    blocks = [block for part in _BLANK.split(text) if (block := part.strip())]
    if len(blocks) > 1 and all("\n" in block for block in blocks):
        for block in blocks:
            yield _article_of_lines(block)
    elif blocks:
        yield _article_of_lines("\n".join(blocks))


def _article_of_lines(block: str) -> Article:
    lines = [line for line in map(collapsed, text_in(block).split("\n")) if line]
    title = lines[0] if lines else ""
    return Article(title, without_title("\n".join(lines[1:]), title))
