"""Records of JSON: one to a line, or the elements of a list, read block by block.

A JSON document may be one list of records, or an object of lists (`{"train": [...], "test": [...]}`). It
is cut between records by a scan for strings and brackets only, at about 150 MB/s; the records themselves
are parsed where a block is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File
from curate.harvest.reading.streams import Chunk
from curate.harvest.reading.unpacking import unpacked
from curate.stage import Drop

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}"]', re.DOTALL)
_GAP = b" \t\r\n"
_LISTS = re.compile(rb'\s*\{\s*"[^"\\]*+"\s*:\s*\[[\s,]*[\[{]')
_LIST = re.compile(rb"\s*\[[\s,]*[\[{\]]")


@dataclass(frozen=True, slots=True)
class Elements:
    """Some elements of a list in a JSON document, with what stands between them.

    :param part: the key of the list, if the document is an object of lists.
    :param first: whether the list begins here.
    """

    chunk: Chunk
    part: str | None
    first: bool


def loads(data: bytes, encoding: str) -> Any:
    """Parse JSON; also with NaN and lone surrogates, as Python's own library writes them.

    :raises ValueError: if it is none, or nests too deep.
    :raises UnicodeDecodeError: if it is not in that encoding.
    """
    try:
        return orjson.loads(data)
    except ValueError:
        text = data.decode(encoding)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nests too deep") from None


# -- telling lines from documents ------------------------------------------------------------------


def is_document(head: bytes, whole: bool) -> bool:
    """Tell whether a file that begins with `head` is one JSON document and not one of lines.

    :param whole: whether `head` is all of it.
    """
    line, _, rest = head.strip().partition(b"\n")
    try:
        value = loads(line, "utf-8")
    except ValueError:
        return bool(_LIST.match(head) or _LISTS.match(head))
    if rest.strip() or not whole:
        return False
    lists = list(value.values()) if isinstance(value, dict) else [value]
    return all(isinstance(held, list) for held in lists) and any(
        isinstance(item, list | dict) for held in lists for item in held
    )


# -- lines -----------------------------------------------------------------------------------------


def read_lines(data: bytes, encoding: str) -> Iterator[tuple[int, Any]]:
    """Parse a block of lines: (position in it, value or `ValueError`) of each that is not empty."""
    start = 0
    for line in data.split(b"\n"):
        if stripped := line.strip():
            yield start, _parsed(stripped, encoding)
        start += len(line) + 1


def _parsed(data: bytes, encoding: str) -> Any:
    try:
        return loads(data, encoding)
    except ValueError as error:
        return error


# -- documents -------------------------------------------------------------------------------------


def cut_document(file: File) -> Iterator[Elements | Drop]:
    """Cut a JSON document between records, in blocks of about `bounds.BLOCK_BYTES`.

    Damage that leaves open where the next record begins ends it with a `Drop`.
    """
    scan = _Scan(file)
    try:
        for piece in unpacked(file):
            yield from scan.feed(piece)
            if scan.over:
                return
    except DamagedError as error:
        yield from scan.cut(scan.done)
        yield Drop(error.reason, f"{file.name}: at byte {scan.start} of its content: {error}")
        return
    yield from scan.finish()


class _Scan:
    """Follows strings and brackets of a document; `held` begins where the next block does."""

    def __init__(self, file: File) -> None:
        self.file, self.held = file, b""
        self.start = self.seen = self.done = 0
        self.depth, self.level = 0, 0
        self.part: str | None = None
        self.text = b""
        self.inside, self.first, self.over = False, True, False

    def feed(self, piece: bytes) -> Iterator[Elements | Drop]:
        self.held += piece
        if not self.level and (begin := self.held.lstrip()[:1]):
            self.level = 1 if begin == b"[" else 2
        while (token := _TOKEN.search(self.held, self.seen)) is not None:
            mark = token[0]
            if mark == b'"':
                self.seen = token.start()
                break
            self.seen = token.end()
            if len(mark) > 1:
                if self.depth == 1:
                    self.text = mark
            elif mark in b"[{":
                self._open(mark)
            else:
                yield from self._close()
        else:
            self.seen = len(self.held)
        if len(self.held) - self.done > bounds.MAX_RECORD_BYTES:
            yield from self.cut(self.done)
            yield self._lost("too_long", f"longer than {bounds.MAX_RECORD_BYTES:,} bytes")
            self.over = True

    def _open(self, mark: bytes) -> None:
        self.depth += 1
        if self.depth == self.level and mark == b"[":
            if self.level > 1:
                self.part = self.text[1:-1].decode("utf-8", "replace")
            self._forget(self.seen)
            self.inside = self.first = True

    def _close(self) -> Iterator[Elements | Drop]:
        if not self.depth:
            return
        self.depth -= 1
        if self.inside and self.depth == self.level:
            self.done = self.seen
            if self.done >= bounds.BLOCK_BYTES:
                yield from self.cut(self.done)
        elif self.inside and self.depth < self.level:
            yield from self.cut(self.seen - 1)
            self.inside = False
        if not self.depth:
            self._forget(self.seen)

    def _forget(self, at: int) -> None:
        self.held = self.held[at:]
        self.start += at
        self.seen, self.done = max(0, self.seen - at), max(0, self.done - at)

    def cut(self, at: int) -> Iterator[Elements]:
        """Give what lies before `at` as a block."""
        data = self.held[:at]
        if data.strip(_GAP):
            chunk = Chunk(self.file, self.start, self.start + at, data)
            yield Elements(chunk, self.part, self.first)
            self.first = False
        self._forget(at)

    def finish(self) -> Iterator[Elements | Drop]:
        if self.depth:
            yield from self.cut(self.done)
            yield self._lost("truncated", "ends within a list")
        elif self.held.strip(_GAP):
            yield self._lost("damaged", "more follows the end of the document")

    def _lost(self, reason: str, what: str) -> Drop:
        return Drop(reason, f"{self.file.name}: at byte {self.start} of its content: {what}")


def read_elements(elements: Elements, data: bytes, encoding: str) -> Iterator[tuple[int, Any]]:
    """Parse the elements of a block: (position in the block, value or `ValueError`) of each.

    What stands between two elements and is no comma is a `ValueError` of its own.
    """
    end, first = 0, elements.first
    for start, stop in _spans(data):
        gap = data[end:start].strip(_GAP)
        if gap != (b"" if first else b","):
            yield end, ValueError(f"between two records stands {_quoted(gap)} instead of a comma")
        yield start, _parsed(data[start:stop], encoding)
        end, first = stop, False
    if gap := data[end:].strip(_GAP):
        yield end, ValueError(f"behind the last record stands {_quoted(gap)}")


def _quoted(gap: bytes) -> str:
    return repr(gap[:40].decode("utf-8", "replace")) if gap else "nothing"


def _spans(data: bytes) -> Iterator[tuple[int, int]]:
    depth = begin = 0
    for token in _TOKEN.finditer(data):
        mark = token[0]
        if len(mark) > 1 or mark == b'"':
            continue
        if mark in b"[{":
            begin = begin if depth else token.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield begin, token.end()
    if depth:
        yield begin, len(data)
