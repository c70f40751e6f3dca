"""Records of Parquet and Arrow files: a block is a row group, or some record batches.

What is read is validated before it is touched, as a damaged offset could point anywhere.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.harvest.reading import bounds
from curate.harvest.reading.files import File
from curate.stage import Drop

PARQUET, ARROW, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
_ROWS = 1024
_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError, struct.error, MemoryError)
"""What pyarrow raises for damaged content; the last where a damaged length asks for too much."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Some rows of a Parquet or Arrow file.

    :param first: the first row group or record batch.
    :param last: the one behind the last.
    :param row: the number of the first row in the file.
    """

    file: File
    first: int
    last: int
    row: int


def is_columnar(head: bytes) -> bool:
    """Tell by its first bytes whether a file is Parquet or Arrow."""
    return head.startswith((PARQUET, ARROW, ARROW_STREAM))


def cut_batches(file: File, head: bytes) -> Iterator[Batches | Drop]:
    """Cut a file into row groups, or record batches of about `bounds.BLOCK_BYTES` together."""
    row = 0
    try:
        with _sizes(file, head) as sizes:
            begin, start, held, count = 0, 0, 0, 0
            for number, (rows, size) in enumerate(sizes, 1):
                held += size
                count, row = number, row + rows
                if held >= bounds.BLOCK_BYTES:
                    yield Batches(file, begin, number, start)
                    begin, start, held = number, row, 0
            if begin < count:
                yield Batches(file, begin, count, start)
    except _ERRORS as error:
        yield _damaged(file, row, error)


@contextmanager
def _sizes(file: File, head: bytes) -> Iterator[Iterable[tuple[int, int]]]:
    """Give rows and bytes of each row group or record batch."""
    if head.startswith(PARQUET):
        with pq.ParquetFile(file.path) as opened:
            groups = (opened.metadata.row_group(i) for i in range(opened.num_row_groups))
            yield [(group.num_rows, group.total_byte_size) for group in groups]
    else:
        with _batches(file) as batches:
            yield (_size(batch) for batch in batches)


def _size(batch: Any) -> tuple[int, int]:
    batch.validate()  # its size cannot be told otherwise
    return len(batch), batch.nbytes


@contextmanager
def _batches(file: File, first: int = 0, last: int | None = None) -> Iterator[Iterable[Any]]:
    """Give record batches of an Arrow file or stream, without copying them."""
    with pa.memory_map(str(file.path)) as mapped:
        if mapped.read(len(ARROW)) == ARROW:
            mapped.seek(0)
            opened = pa.ipc.open_file(mapped)
            end = opened.num_record_batches if last is None else last
            yield (opened.get_batch(i) for i in range(first, end))
        else:
            mapped.seek(0)
            yield islice(pa.ipc.open_stream(mapped), first, last)


def names_of(file: File, head: bytes) -> list[str]:
    """Return the names of the columns.

    :raises ValueError: if the file is damaged.
    """
    try:
        if head.startswith(PARQUET):
            return list(pq.read_schema(file.path).names)
        with pa.memory_map(str(file.path)) as mapped:
            if head.startswith(ARROW):
                return list(pa.ipc.open_file(mapped).schema.names)
            return list(pa.ipc.open_stream(mapped).schema.names)
    except _ERRORS as error:
        raise ValueError(str(error)) from None


def read_batches(
    block: Batches, head: bytes, columns: list[str]
) -> Iterator[tuple[int, dict[str, Any] | Drop]]:
    """Read a block: (number of the row in the file, the row) for each.

    :param columns: the columns that are wanted; others are not decoded.
    """
    row = block.row
    try:
        with _opened(block, head, columns) as batches:
            for batch in batches:
                batch.validate(full=True)
                for start in range(0, len(batch), _ROWS):
                    for values in batch.slice(start, _ROWS).to_pylist():
                        yield row, values
                        row += 1
    except _ERRORS as error:
        yield row, _damaged(block.file, row, error)


def _opened(
    block: Batches, head: bytes, columns: list[str]
) -> AbstractContextManager[Iterable[Any]]:
    if head.startswith(PARQUET):
        return _row_groups(block, columns)
    return _selected(block, columns)


@contextmanager
def _row_groups(block: Batches, columns: list[str]) -> Iterator[Iterable[Any]]:
    groups = list(range(block.first, block.last))
    with pq.ParquetFile(block.file.path) as opened:
        yield opened.iter_batches(_ROWS, groups, columns, use_threads=False)


@contextmanager
def _selected(block: Batches, columns: list[str]) -> Iterator[Iterable[Any]]:
    with _batches(block.file, block.first, block.last) as batches:
        yield (batch.select(columns) for batch in batches)


def _damaged(file: File, row: int, error: BaseException) -> Drop:
    what = str(error).partition("\n")[0] or type(error).__name__
    return Drop("damaged", f"{file.name}: from row {row} on: {what}")
