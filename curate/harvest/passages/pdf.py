"""The text of PDF files, page by page, by pypdf; without running heads and page numbers."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

from curate.errors import MissingExtraError

MAX_PAGES = 10_000
MAX_CONTENT_BYTES = 8 << 20
"""A page whose drawing instructions are longer is a picture or a bomb."""
_EDGE_LINES = 2
"""So many lines at the top and the bottom of a page may be running heads."""
_DIGITS = re.compile(r"\d+|\b[ivxlc]{1,7}\b")


class PdfError(Exception):
    """A file, or a page of it, that cannot be read.

    :param reason: the reason of the drop.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PdfText:
    """The text of a PDF.

    :param pages: (number, counted from 1, and text) of each page that has some.
    :param damaged: (number and fault) of each page that could not be read.
    """

    title: str | None
    pages: list[tuple[int, str]]
    damaged: list[tuple[int, PdfError]]


@cache
def _pypdf() -> Any:
    try:
        import pypdf
    except ImportError:
        raise MissingExtraError("pypdf", "harvest") from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    return pypdf


def read_pdf(stream: BinaryIO) -> PdfText:
    """Read a PDF.

    :raises PdfError: if nothing of it can be read: it is damaged, encrypted, or has no text.
    """
    pypdf = _pypdf()
    try:
        reader = pypdf.PdfReader(stream)
        if reader.is_encrypted and not reader.decrypt(""):
            raise PdfError("encrypted", "needs a password")
        count = len(reader.pages)
    except PdfError:
        raise
    except Exception as error:  # on damaged files, of any kind
        raise PdfError("damaged", _said(error)) from None
    found: list[tuple[int, str]] = []
    damaged: list[tuple[int, PdfError]] = []
    for number in range(min(count, MAX_PAGES)):
        try:
            found.append((number + 1, _page_text(reader, number)))
        except PdfError as error:
            damaged.append((number + 1, error))
    if count > MAX_PAGES:
        damaged.append((MAX_PAGES + 1, PdfError("too_long", f"more than {MAX_PAGES:,} pages")))
    pages = [(number, text) for number, text in _without_edges(found) if text.strip()]
    if not pages and not damaged:
        raise PdfError("no_text", f"{count} pages without text; they may be scanned")
    return PdfText(_title(reader), pages, damaged)


def _page_text(reader: Any, number: int) -> str:
    try:
        page = reader.pages[number]
        content = page.get_contents()
        if content is not None and len(content.get_data()) > MAX_CONTENT_BYTES:
            raise PdfError("too_long", f"more than {MAX_CONTENT_BYTES:,} bytes of content")
        text: str = page.extract_text()
    except PdfError:
        raise
    except Exception as error:  # on damaged pages, of any kind
        raise PdfError("damaged", _said(error)) from None
    return text


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _title(reader: Any) -> str | None:
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception:  # a damaged title is none
        return None
    return title.strip() or None if isinstance(title, str) else None


# -- running heads ---------------------------------------------------------------------------------


def _without_edges(pages: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Remove lines at the edges that, but for numbers, are those of at least a third of the pages."""
    split = [(number, text.split("\n")) for number, text in pages]
    seen = Counter(form for _, lines in split for form in {_form(lines[i]) for i in _edges(lines)})
    often = {form for form, times in seen.items() if times >= max(3, len(pages) / 3)}
    for number, lines in split:
        gone = {i for i in _edges(lines) if not lines[i].strip() or _form(lines[i]) in often}
        yield number, "\n".join(line for i, line in enumerate(lines) if i not in gone)


def _edges(lines: list[str]) -> set[int]:
    full = [i for i, line in enumerate(lines) if line.strip()]
    return {*full[:_EDGE_LINES], *full[-_EDGE_LINES:]}


def _form(line: str) -> str:
    return _DIGITS.sub("0", line.strip().lower())
