"""Records of CSV and TSV, which may go over several lines where a field is quoted.

Whether a line ends a record can only be known from all lines before it. So a file is cut by the same
reader that parses its blocks later, with the same result: every block begins with a record.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File
from curate.harvest.reading.streams import Chunk
from curate.harvest.reading.unpacking import unpacked
from curate.stage import Drop

MAX_FIELD_BYTES = 1 << 20
_BYTES = "latin-1"
"""Makes a character of each byte, so that cutting and reading agree whatever the encoding is."""
_MAX_RESTARTS = 100


@dataclass(frozen=True, slots=True)
class Form:
    """How a file of delimited fields is written.

    :param quoted: whether `"` at the beginning of a field quotes it; if not, a record is a line.
    :param names: the names of its columns.
    :param header: whether they are its first record.
    """

    delimiter: str
    quoted: bool
    names: tuple[str, ...]
    header: bool


# -- how it is written -----------------------------------------------------------------------------


def form_of(head: str, delimiter: str | None, names: tuple[str, ...] | None) -> Form:
    """Tell from the beginning of a file how it is written.

    The delimiter is the most frequent of comma, semicolon, tab and bar in the first line. Fields are
    quoted unless records would so be more ragged than without; of TSV also if there is no quote. The
    first record is a header if its fields are names: different, of at most 4 words and 40 characters,
    and no numbers.

    :param names: the names of the columns if there is no header.
    """
    line = head.partition("\n")[0]
    sign = delimiter or max(",;\t|", key=line.count)
    lines = [f"{whole}\n" for whole in head.split("\n")]
    quoted = sign != "\t" or '"' in head
    quoted = quoted and _ragged(lines, sign, True) <= _ragged(lines, sign, False)
    first = _first_record(lines, sign, quoted)
    if names is not None:
        return Form(sign, quoted, names, False)
    if _is_header(first):
        return Form(sign, quoted, tuple(name.strip() for name in first), True)
    return Form(sign, quoted, tuple(str(i) for i in range(len(first))), False)


def _first_record(lines: list[str], delimiter: str, quoted: bool) -> list[str]:
    try:
        return next(csv.reader(lines, delimiter=delimiter, quoting=_quoting(quoted)), [])
    except csv.Error:
        return lines[0].strip().split(delimiter)


def _quoting(quoted: bool) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE


def _ragged(lines: list[str], delimiter: str, quoted: bool) -> int:
    """Count lines that are not in records of the width of the first."""
    whole = lines[:-1] or lines
    reader = csv.reader(whole, delimiter=delimiter, quoting=_quoting(quoted), strict=True)
    width, ragged, before = 0, 0, 0
    while True:
        try:
            row = next(reader)
            fits = len(row) in (0, width or len(row))
            width = width or len(row)
        except StopIteration:
            return ragged
        except csv.Error:
            fits = False
        ragged += 0 if fits else reader.line_num - before
        before = reader.line_num


def _is_header(fields: list[str]) -> bool:
    return len({f.strip() for f in fields}) == len(fields) and all(map(_is_name, fields))


def _is_name(field: str) -> bool:
    plain = field.strip()
    if not plain or len(plain) > 40 or len(plain.split()) > 4:
        return False
    try:
        float(plain)
    except ValueError:
        return True
    return False


# -- records ---------------------------------------------------------------------------------------


class _Lines:
    """Lines as they are read, some of which may be read once more."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: list[str] = []
        self.taken: list[str] = []
        self.ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        return line

    def begin(self) -> int:
        """Begin a record; return how long the last one was."""
        length = sum(map(len, self.taken))
        self.taken.clear()
        return length

    def return_all_but_first(self) -> None:
        """Read again what a record took but its first line."""
        self._again += reversed(self.taken[1:])
        del self.taken[1:]


def _records(lines: Iterable[str], form: Form) -> Iterator[tuple[int, list[str] | None]]:
    """Parse records: (bytes of it, fields), or None for what is none.

    A quote that is not closed within `MAX_FIELD_BYTES` spoils its own line and no other.
    """
    held = _Lines(lines)
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_BYTES))
    reader = csv.reader(held, delimiter=form.delimiter, quoting=_quoting(form.quoted))
    restarts = 0
    while True:
        row: list[str] | None
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            row = None
        if row is None or (held.ended and _is_open(held.taken, form)):
            row = None
            restarts += 1
            if restarts <= _MAX_RESTARTS:
                held.return_all_but_first()
        yield held.begin(), row


def _is_open(lines: list[str], form: Form) -> bool:
    """Tell whether the input ended within a quoted field."""
    try:
        next(csv.reader(lines, delimiter=form.delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


# -- blocks ----------------------------------------------------------------------------------------


def cut_quoted(file: File, form: Form) -> Iterator[Chunk | Drop]:
    """Cut a file with quoted fields behind records, in blocks of about `bounds.BLOCK_BYTES`."""
    pieces = _Pieces(file)
    start, held = 0, 0
    for length, _ in _records((line.decode(_BYTES) for line in pieces), form):
        held += length
        if held >= bounds.BLOCK_BYTES:
            yield Chunk(file, start, start + held, pieces.take(held))
            start, held = start + held, 0
    if held:
        yield Chunk(file, start, start + held, pieces.take(held))
    if pieces.damage is not None:
        error = pieces.damage
        yield Drop(error.reason, f"{file.name}: at byte {start + held} of its content: {error}")


class _Pieces:
    """The lines of an unpacked file, and the bytes that have been read but not taken."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._held = bytearray()
        self.damage: DamagedError | None = None

    def take(self, size: int) -> bytes:
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        try:
            for piece in unpacked(self._file):
                self._held += piece
                lines = (rest + piece).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    yield line + b"\n"
        except DamagedError as error:
            self.damage = error
        if rest:
            yield rest


def read_records(
    data: bytes, form: Form, encoding: str, first: bool
) -> Iterator[tuple[int, list[str] | ValueError]]:
    """Parse a block: (position in the block, fields or `ValueError`) of each record that is not empty.

    :param first: whether it is the first of its file, which may begin with a header.
    """
    start, header = 0, first and form.header
    for length, row in _records(_lines_of(data), form) if form.quoted else _split(data, form):
        at, start = start, start + length
        if header:
            header = False
        elif row is None:
            yield at, ValueError("a quote that is never closed, or a line break within a field")
        elif row:
            yield at, _decoded(row, encoding)


def _lines_of(data: bytes) -> Iterator[str]:
    lines = data.decode(_BYTES).split("\n")
    rest = lines.pop()
    yield from (line + "\n" for line in lines)
    if rest:
        yield rest


def _split(data: bytes, form: Form) -> Iterator[tuple[int, list[str]]]:
    for line in _lines_of(data):
        plain = line.rstrip("\r\n")
        yield len(line), plain.split(form.delimiter) if plain else []


def _decoded(row: list[str], encoding: str) -> list[str] | ValueError:
    if all(field.isascii() for field in row):
        return row
    try:
        return [field.encode(_BYTES).decode(encoding) for field in row]
    except UnicodeDecodeError as error:
        return error
