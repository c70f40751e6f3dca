"""Files of evaluation sets: BEIR folders, and tables with named columns.

A file that does not fit is refused with its name, the line and what is wrong: half of a test set is
worse than none.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeVar

import numpy as np

from curate.errors import CurateError


class DatasetError(CurateError):
    """An evaluation set is missing or malformed. The message names file and line."""


class Document(NamedTuple):
    """A passage of a BEIR corpus; `title` may be empty."""

    title: str
    text: str

    def __str__(self) -> str:
        """Join title and text by a space, as BEIR's own models read it."""
        return f"{self.title} {self.text}".strip()


class Judgement(NamedTuple):
    """A line of a BEIR file of judgements, and where it stands."""

    query_id: str
    passage_id: str
    grade: float
    where: str


class Beir:
    """A BEIR folder (Thakur et al. 2021): corpus.jsonl, queries.jsonl, and judgements of some splits.

    The judgements are `qrels/SPLIT.tsv` or `qrels.tsv`; the first two files may be gzipped.
    """

    def __init__(self, folder: str | Path) -> None:
        """:raises DatasetError: if corpus or queries are missing."""
        self.folder = Path(folder)
        self._corpus = self._one_of("corpus.jsonl", "corpus.jsonl.gz")
        self._queries = self._one_of("queries.jsonl", "queries.jsonl.gz")

    @property
    def name(self) -> str:
        """Return the name of the folder."""
        return self.folder.resolve().name

    def files(self) -> list[Path]:
        """Return all its files."""
        single = self.folder / "qrels.tsv"
        return [
            self._corpus,
            self._queries,
            *self.splits().values(),
            *([single] if single.is_file() else []),
        ]

    def splits(self) -> dict[str, Path]:
        """Return the files of judgements by split, sorted; empty where there is but `qrels.tsv`."""
        return {file.stem: file for file in sorted(self.folder.glob("qrels/*.tsv"))}

    def qrels(self, split: str) -> Path:
        """Return the file of a split's judgements.

        :raises DatasetError: if there is none.
        """
        return self._one_of(f"qrels/{split}.tsv", "qrels.tsv")

    def corpus(self) -> dict[str, Document]:
        """Read the passages by id, in order."""
        return _read_records(self._corpus, _passage)

    def queries(self) -> dict[str, str]:
        """Read the queries by id, in order."""
        return _read_records(self._queries, _query)

    def _one_of(self, *names: str) -> Path:
        found = next((self.folder / n for n in names if (self.folder / n).is_file()), None)
        if found is None:
            wanted = " or ".join(names)
            raise DatasetError(f"{self.folder}: a BEIR folder needs {wanted}; there is none")
        return found


def judgements(path: Path) -> Iterator[Judgement]:
    """Read a BEIR file of judgements.

    :raises DatasetError: if a line is wrong, or there is none.
    """
    empty = True
    for where, row in table_rows(path, "\t"):
        if len(row) != 3:
            raise DatasetError(f"{where}: needs query-id, corpus-id, score; got {list(row)}")
        query_id, passage_id, grade = row.values()
        empty = False
        yield Judgement(query_id, passage_id, number_of(grade, where), where)
    if empty:
        raise DatasetError(f"{path}: no judgements")


def number_of(value: Any, where: str) -> float:
    """Read a score.

    :raises DatasetError: if it is no finite number.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise DatasetError(f"{where}: the score must be a finite number, got {value!r}")
    return number


def _open(path: Path) -> IO[str]:
    """Open a text file, gzipped or not."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


T = TypeVar("T")


def _guarded(path: Path, rows: Callable[[IO[str]], Iterator[T]]) -> Iterator[T]:
    """Yield what `rows` reads from a file; what cannot be read is one clear error."""
    try:
        with _open(path) as stream:
            yield from rows(stream)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error


def json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the object of each line that is not blank."""

    def rows(stream: IO[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, line in enumerate(stream, 1):
            where = f"{path}, line {number}"
            if line.strip():
                yield where, _json_object(line, where)

    return _guarded(path, rows)


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DatasetError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(row, dict):
        raise DatasetError(f"{where}: needs a JSON object, got {type(row).__name__}")
    return row


def table_rows(path: Path, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the cells by column of each row; the first row names the columns."""

    def rows(stream: IO[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        plain = delimiter == "\t"
        quoting: Literal[0, 3] = csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL
        reader = csv.reader(stream, delimiter=delimiter, quoting=quoting)
        header = next(reader, [])
        for row in filter(None, reader):
            where = f"{path}, line {reader.line_num}"
            if len(row) != len(header):
                raise DatasetError(f"{where}: {len(row)} columns, the first line has {len(header)}")
            yield where, dict(zip(header, row, strict=True))

    return _guarded(path, rows)


def _read_records(path: Path, read: Callable[[dict[str, Any], str], T]) -> dict[str, T]:
    """Read a file of JSON lines by id, in its order."""
    records: dict[str, T] = {}
    for where, row in json_rows(path):
        record_id = row.get("_id")
        if not isinstance(record_id, str | int):
            raise DatasetError(f"{where}: '_id' must be a string, got {record_id!r}")
        if str(record_id) in records:
            raise DatasetError(f"{where}: the id {record_id!r} was there before")
        records[str(record_id)] = read(row, where)
    return records


def _query(row: dict[str, Any], where: str) -> str:
    text = row.get("text")
    if not isinstance(text, str):
        raise DatasetError(f"{where}: 'text' must be a string, got {text!r}")
    return text


def _passage(row: dict[str, Any], where: str) -> Document:
    return Document(str(row.get("title") or ""), _query(row, where))
