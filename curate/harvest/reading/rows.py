"""Rows of tables: what `harvest.table` and `harvest.labelled` read, whatever kind of file they lie in.

| format         | a block is                         | a row is at | may be packed |
|----------------|------------------------------------|-------------|---------------|
| JSON lines     | some lines                         | a byte      | yes           |
| JSON           | some elements of a list            | a byte      | yes           |
| CSV, TSV       | some records, over lines if quoted | a byte      | yes           |
| Parquet        | some row groups                    | a row       | no            |
| Arrow, Feather | some record batches                | a row       | no            |

What `datasets` keeps on disk is Arrow. A line of JSON that is a list, and a record of CSV without a
header, is a row with the columns `0`, `1`, ...
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from curate.errors import MissingExtraError
from curate.harvest.base import FileSource
from curate.harvest.reading import rows_arrow, rows_csv, rows_json
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File, plain_name
from curate.harvest.reading.streams import Chunk, stream_blocks, stream_units
from curate.harvest.reading.unpacking import unpacked
from curate.stage import Drop, Unit

Needs = Callable[[list[str]], list[str]]
"""Chooses, of the names of the columns of a columnar file, those that are wanted."""

HEAD_BYTES = 1 << 20
"""How much of a file is read to tell how it is written."""
MAX_TEXT_CHARS = 1_000_000
_MAX_NUMBER = 3e38

Format = Literal["jsonl", "json", "csv", "columnar"]
_DELIMITERS = {".csv": None, ".tsv": "\t", ".tab": "\t"}
_COLUMNAR = (".parquet", ".arrow", ".feather", ".ipc")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    :param at: the byte (or, of Parquet and Arrow, the row) in the file where it begins.
    :param part: the key of the list that it is of, in a JSON document that is an object of lists.
    """

    file: str
    unit: Literal["byte", "row"]
    at: int
    values: dict[str, Any]
    part: str | None = None

    @property
    def where(self) -> str:
        """Say where it is."""
        return f"{self.file}: {self.unit} {self.at}"

    @property
    def origin(self) -> dict[str, Any]:
        """Return where it is, for `meta`."""
        part = {} if self.part is None else {"part": self.part}
        return {"file": self.file, self.unit: self.at, **part}

    def drop(self, reason: str, what: str, **more: str | None) -> Drop:
        """Drop this row."""
        return Drop(reason, f"{self.where}: {what}", **more)


@dataclass(frozen=True, slots=True)
class Table:
    """How a file is written, as its beginning tells.

    :param names: what lists in JSON lines hold.
    :param head: its first bytes, if it is columnar.
    """

    file: File
    format: Format
    encoding: str
    names: tuple[str, ...] | None = None
    form: rows_csv.Form | None = None
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class Block:
    """What is read at a time."""

    table: Table
    content: Chunk | rows_json.Elements | rows_arrow.Batches


class RowSource(FileSource):
    """Reads rows of files, or of a set that `datasets` loads."""

    patterns: ClassVar[tuple[str, ...]] = (
        *("*.jsonl", "*.ndjson", "*.json", "*.csv", "*.tsv", "*.tab"),
        *("*.parquet", "*.arrow", "*.feather", "*.ipc"),
    )

    path: str = ""
    """A file, a folder (read to any depth) or a glob; JSON, CSV and TSV may be packed."""
    dataset: str | None = None
    """Instead of `path`: what `datasets.load_dataset` takes: a name on the Hub, or a folder."""
    subset: str | None = None
    """The configuration of the data set."""
    split: str | None = None
    """The split of the data set; null reads all."""
    encoding: str | None = None
    """Of text files; null means UTF-8, or Windows-1252 where the beginning of a file is not UTF-8."""
    header: tuple[str, ...] | None = None
    """Names for the columns of CSV and TSV without a header, and of lists in JSON lines."""
    parts: tuple[str, ...] = ()
    """Which lists to read of a JSON document that is an object of lists; none means all."""

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        try:
            return encoding and codecs.lookup(encoding).name
        except LookupError:
            raise ValueError(f"no encoding has the name {encoding!r}") from None

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if bool(self.path) == bool(self.dataset):
            raise ValueError("give either `path` or `dataset`")
        return self

    def files(self) -> list[File]:
        """List the files to read, in a fixed order."""
        if self.dataset:
            return _cached_files(self.dataset, self.subset, self.split)
        found = super().files()
        if Path(self.path).is_dir() and any(f.path.name == "state.json" for f in found):
            return [f for f in found if f.path.suffix == ".arrow"]  # as `save_to_disk` leaves it
        return found

    def units(self) -> list[Unit]:
        """List the files."""
        return stream_units(self.files())

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut a file between rows."""
        for found in blocks_of(unit.payload, self.encoding, self.header):
            yield Unit(f"{unit.name} @ {_place(found)}", unit.fingerprint, found)

    def rows(self, block: Unit) -> Iterator[Row | Drop]:
        """Read the rows of one block."""
        if isinstance(block.payload, Drop):
            yield block.payload
            return
        for row in rows_of(block.payload, self.needs):
            if isinstance(row, Drop) or not self.parts or row.part in (None, *self.parts):
                yield row

    def needs(self, names: list[str]) -> list[str]:
        """Return which columns of a file are wanted, by default all."""
        return names

    def sample(self, limit: int) -> Iterator[Row]:
        """Read the first rows of the first files, to check settings against."""
        for file in self.files()[:3]:
            count = 0
            for block in blocks_of(file, self.encoding, self.header):
                if isinstance(block, Drop):
                    continue
                for row in rows_of(block, self.needs):
                    if isinstance(row, Row):
                        yield row
                    count += 1
                    if count >= limit:
                        break
                if count >= limit:
                    break


def _place(found: Block | Drop) -> str:
    if isinstance(found, Drop):
        return found.detail
    content = found.content
    if isinstance(content, rows_arrow.Batches):
        return f"row {content.row}"
    return str(content.chunk.start if isinstance(content, rows_json.Elements) else content.start)


def _cached_files(name: str, subset: str | None, split: str | None) -> list[File]:
    """Return the Arrow files in which `datasets` keeps a set, after it has loaded it.

    :raises ValueError: if it cannot.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "harvest") from None
    try:
        loaded = datasets.load_dataset(name, subset, split=split)
    except Exception as error:  # of the library, of the network, or of the set
        raise ValueError(f"dataset: {name!r} cannot be loaded: {error}") from None
    parts = loaded if isinstance(loaded, dict) else {split or "all": loaded}
    return [
        File(Path(cached["filename"]), f"{part}/{Path(cached['filename']).name}")
        for part, held in sorted(parts.items())
        for cached in held.cache_files
    ]


# -- telling how a file is written -----------------------------------------------------------------


def table_of(file: File, encoding: str | None, header: tuple[str, ...] | None) -> Table:
    """Tell how a file is written, from its name and its first `HEAD_BYTES`.

    :raises OSError: if it cannot be read.
    :raises ValueError: if it is packed, but may not be.
    """
    head, whole = _head(file)
    packed = plain_name(file.name) != file.name
    if rows_arrow.is_columnar(head):
        if packed:
            raise ValueError("Parquet and Arrow files must be unpacked first")
        return Table(file, "columnar", "", head=head[:8])
    encoding = encoding or _encoding(head)
    suffix = Path(plain_name(file.name).lower()).suffix
    if suffix in _COLUMNAR:
        raise ValueError("neither Parquet nor Arrow")
    if suffix in (".jsonl", ".ndjson"):
        return Table(file, "jsonl", encoding, header)
    is_json = suffix == ".json" or (suffix not in _DELIMITERS and head.lstrip()[:1] in (b"{", b"["))
    if is_json:
        document = rows_json.is_document(head, whole)
        return Table(file, "json" if document else "jsonl", encoding, header)
    text = head.decode(encoding, "replace")
    form = rows_csv.form_of(text, _DELIMITERS.get(suffix), header)
    return Table(file, "csv", encoding, form=form)


def _head(file: File) -> tuple[bytes, bool]:
    """Return the beginning of the unpacked content, and whether it is all."""
    held = bytearray()
    pieces = unpacked(file)
    try:
        for piece in pieces:
            held += piece
            if len(held) > HEAD_BYTES:
                return bytes(held[:HEAD_BYTES]), False
    except DamagedError:
        return bytes(held), False
    return bytes(held), True


def _encoding(head: bytes) -> str:
    """Return UTF-8 if more of the characters outside ASCII are valid in it than are not."""
    if head.isascii():
        return "utf-8"
    text = head.decode("utf-8", "surrogateescape")
    strange = sum("\udc80" <= c <= "\udcff" for c in text)
    wide = sum(c > "\x7f" for c in text)
    return "utf-8" if 2 * strange <= wide else "cp1252"


# -- blocks and rows -------------------------------------------------------------------------------


def blocks_of(
    file: File, encoding: str | None, header: tuple[str, ...] | None
) -> Iterator[Block | Drop]:
    """Cut a file between rows, in blocks of about `bounds.BLOCK_BYTES`."""
    try:
        table = table_of(file, encoding, header)
        for content in _contents(table):
            yield content if isinstance(content, Drop) else Block(table, content)
    except (OSError, ValueError) as error:
        yield Drop("unreadable", f"{file.name}: {error}")


def _contents(
    table: Table,
) -> Iterator[Chunk | rows_json.Elements | rows_arrow.Batches | Drop]:
    if table.format == "columnar":
        yield from rows_arrow.cut_batches(table.file, table.head)
    elif table.format == "json":
        yield from rows_json.cut_document(table.file)
    elif table.form is not None and table.form.quoted:
        yield from rows_csv.cut_quoted(table.file, table.form)
    else:
        for block in stream_blocks(Unit("", "", table.file)):
            yield block.payload


def rows_of(block: Block, needs: Needs = list) -> Iterator[Row | Drop]:
    """Read the rows of a block."""
    table, content = block.table, block.content
    if isinstance(content, rows_arrow.Batches):
        yield from _columnar_rows(table, content, needs)
        return
    elements = content if isinstance(content, rows_json.Elements) else None
    chunk = elements.chunk if elements is not None else content
    assert isinstance(chunk, Chunk)
    try:
        data = chunk.read()
    except OSError as error:
        yield Drop("unreadable", f"{table.file.name}: {error.strerror or error}")
        return
    part = elements.part if elements is not None else None
    for at, values in _parsed(table, chunk, elements, data):
        where = f"{table.file.name}: byte {chunk.start + at}"
        if isinstance(values, UnicodeDecodeError):
            yield Drop("encoding", f"{where}: not {table.encoding}: {values.reason}")
        elif isinstance(values, ValueError):
            yield Drop("damaged", f"{where}: {values}")
        elif isinstance(values, dict):
            yield Row(table.file.name, "byte", chunk.start + at, values, part)
        else:
            yield Drop("damaged", f"{where}: {str(values)[:80]!r} is no record")


def _parsed(
    table: Table, chunk: Chunk, elements: rows_json.Elements | None, data: bytes
) -> Iterator[tuple[int, Any]]:
    if table.form is not None:
        for at, fields in rows_csv.read_records(data, table.form, table.encoding, chunk.start < 4):
            yield at, fields if isinstance(fields, ValueError) else _named(table.form, fields)
        return
    parsed = (
        rows_json.read_elements(elements, data, table.encoding)
        if elements is not None
        else rows_json.read_lines(data, table.encoding)
    )
    for at, value in parsed:
        yield at, _numbered(value, table.names) if isinstance(value, list) else value


def _named(form: rows_csv.Form, fields: list[str]) -> dict[str, Any] | ValueError:
    if len(fields) != len(form.names):
        return ValueError(f"{len(fields)} fields instead of {len(form.names)}")
    return dict(zip(form.names, fields, strict=True))


def _numbered(values: list[Any], names: tuple[str, ...] | None) -> dict[str, Any] | ValueError:
    if names is None:
        return {str(i): value for i, value in enumerate(values)}
    if len(values) != len(names):
        return ValueError(f"{len(values)} values instead of {len(names)}")
    return dict(zip(names, values, strict=True))


def _columnar_rows(table: Table, content: rows_arrow.Batches, needs: Needs) -> Iterator[Row | Drop]:
    name = table.file.name
    try:
        names = rows_arrow.names_of(table.file, table.head)
    except ValueError as error:
        yield Drop("damaged", f"{name}: {error}")
        return
    for at, values in rows_arrow.read_batches(content, table.head, needs(names)):
        yield values if isinstance(values, Drop) else Row(name, "row", at, values)


# -- values ----------------------------------------------------------------------------------------


def text_in(value: Any) -> str:
    """Return a text stripped and without what Arrow refuses; empty if there is none.

    :raises ValueError: if the value is no text, or longer than `MAX_TEXT_CHARS`.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} is no text")
    if len(value) > MAX_TEXT_CHARS:
        raise ValueError(f"a text of {len(value):,} characters")
    if "\0" in value:
        value = value.replace("\0", "")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # lone surrogates; two that belong together become a character
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str(value.strip())


def number_in(value: Any) -> float | None:
    """Return a number, also of a string that says one; None for nothing and for NaN.

    :raises ValueError: if the value is none.
    """
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{str(value)[:40]!r} is no number") from None
    if number != number:
        return None
    if abs(number) > _MAX_NUMBER:
        raise ValueError(f"{number} is no number of single precision")
    return number


def items_in(value: Any) -> list[Any]:
    """Return a list as it is; anything else, strings above all, as the one item of a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
