"""The rows of Stack Exchange's tables: `<row Id="1" .../>`, one element each, all data in attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from curate.errors import MissingExtraError

BOUNDARY = b"/>"
"""What a row ends with; a dump may have a row to a line, or no lines at all."""
_START = re.compile(rb"<row[\s/]")
# The declaration, the root's tags.
_FRAME = re.compile(rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:</?[A-Za-z]\w{0,40}\s*>\s*)?")
_MAX_DIGITS = 15
_SHOWN = 80


@dataclass(slots=True)
class Row:
    """A row that an XML parser has read.

    :param start: the position of its first byte in the block.
    :param get: gives the value of an attribute; None where there is none.
    """

    start: int
    get: Callable[[str], str | None]


@dataclass(slots=True)
class Broken:
    """What is no row, though it stands where rows do."""

    start: int
    fault: str


def read_rows(data: bytes, *marks: bytes) -> Iterator[Row | Broken]:
    """Parse the rows of a block, each by itself, so that a broken one takes no other with it.

    :param marks: if given, only rows that hold one of them are parsed.
    """
    element, faults = _parser()
    end = 0
    for start, stop in _spans(data):
        between = data[end:start].strip()
        if between and not _FRAME.fullmatch(between):
            yield Broken(end, f"not a row: {_shown(between)}")
        end = data.rfind(BOUNDARY, start, stop) + len(BOUNDARY)
        end = end if end > start else stop
        if marks and not any(data.find(mark, start, end) >= 0 for mark in marks):
            continue
        try:
            row = element(data[start:end])
        except faults as error:
            fault = f"{str(error)[:_SHOWN]}: {_shown(data[start:end])}"
            first = data.find(BOUNDARY, start, end) + len(BOUNDARY)
            try:  # what follows the first end may be no row
                row = element(data[start:first])
            except faults:
                yield Broken(start, fault)
                continue
            end = first
        yield Row(start, row.get)
    if not _FRAME.fullmatch(data[end:].strip()):
        yield Broken(end, f"not a row: {_shown(data[end:])}")


def _spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Give where each row begins and where the next one does."""
    before = -1
    for found in _START.finditer(data):
        if before >= 0:
            yield before, found.start()
        before = found.start()
    if before >= 0:
        yield before, len(data)


@lru_cache(maxsize=1)
def _parser() -> tuple[Callable[[bytes], Any], tuple[type[Exception], ...]]:
    """Return a function that parses an element, and what it raises at bad ones."""
    try:
        from lxml import etree
    except ImportError:
        raise MissingExtraError("lxml", "harvest") from None
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, encoding="utf-8"
    )
    return lambda data: etree.fromstring(data, parser), (etree.XMLSyntaxError, ValueError)


def whole(value: str | None) -> int | None:
    """Return an integer; None if it is none, or absurdly long."""
    if value is None or len(value) > _MAX_DIGITS:
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _shown(data: bytes) -> str:
    return repr(data.strip()[:_SHOWN].decode("utf-8", "replace"))
