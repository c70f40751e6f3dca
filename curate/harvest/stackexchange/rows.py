"""The rows of Stack Exchange's tables: `<row Id="1" .../>`, one element each, all data in attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from curate.harvest.reading.xml import xml_reader

BOUNDARY = b"/>"
"""What a row ends with; a dump may have a row to a line, or no lines at all."""
_START = re.compile(rb"<row[\s/]")
# The declaration, the root's tags.
_FRAME = re.compile(rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:</?[A-Za-z]\w{0,40}\s*>\s*)?")
_MAX_DIGITS = 15
_SHOWN = 80
_TOGETHER = 64


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
    """Parse the rows of a block; a broken one takes no other with it.

    Rows are parsed some at a time, which is faster, and one by one where that finds anything odd.

    :param marks: if given, only rows that hold one of them are parsed.
    """
    spans = list(_spans(data))
    end = 0
    for first in range(0, len(spans), _TOGETHER):
        some = spans[first : first + _TOGETHER]
        rows = None if marks or data[end : some[0][0]].strip() else _parsed(data, some)
        if rows is None:
            end = yield from _one_by_one(data, some, end, marks)
        else:
            yield from rows
            end = some[-1][1]
    if not _FRAME.fullmatch(data[end:].strip()):
        yield Broken(end, f"not a row: {_shown(data[end:])}")


def _parsed(data: bytes, spans: list[tuple[int, int]]) -> list[Row] | None:
    """Parse some rows at once; None if there is anything but as many rows, each an empty element."""
    element, faults = _parser()
    try:
        root = element(b"<r>%b</r>" % data[spans[0][0] : spans[-1][1]])
    except faults:
        return None
    if len(root) != len(spans):
        return None
    for child in root:
        if len(child) or child.text or (child.tail or "").strip():
            return None
    return [Row(start, child.get) for (start, _), child in zip(spans, root, strict=True)]


def _one_by_one(
    data: bytes, spans: list[tuple[int, int]], end: int, marks: tuple[bytes, ...]
) -> Generator[Row | Broken, None, int]:
    """Parse each row by itself; return where the last one ends.

    :param end: where the row before the first one ended.
    """
    element, faults = _parser()
    for start, stop in spans:
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
    return end


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
    return xml_reader(encoding="utf-8")


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
