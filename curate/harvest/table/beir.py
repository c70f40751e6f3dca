"""Folders in BEIR's layout: a corpus, queries, and judgements that join them.

corpus.jsonl    {"_id", "title", "text"}
queries.jsonl   {"_id", "text"}
qrels.tsv       query-id, corpus-id, score; or TREC's four columns; or qrels/<split>.tsv
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from curate.harvest.reading.files import File, find, plain_name
from curate.harvest.reading.rows import Block, Row, blocks_of, number_in, rows_of, text_in
from curate.stage import Drop, Found, Piece

_CORPUS, _QUERIES = "corpus.jsonl", "queries.jsonl"


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement that has found both its ends."""

    query_id: str
    query: str
    document: dict[str, Any]
    grade: float
    where: str
    origin: dict[str, Any]


def is_beir(path: str) -> bool:
    """Tell whether a path is a folder in this layout."""
    folder = Path(path).expanduser()
    return folder.is_dir() and bool(_listed(folder, _CORPUS) and _listed(folder, _QUERIES))


def _listed(folder: Path, name: str) -> list[Path]:
    return sorted(p for p in folder.glob(f"{name}*") if plain_name(p.name) == name)


def files(path: str, split: str | None, record: str) -> list[File]:
    """List the files to read: all, or for passages the corpus alone.

    :param split: reads `qrels/<split>.tsv` only.
    :raises ValueError: if there are no judgements.
    """
    found = find(path, (_CORPUS, _QUERIES, "qrels*.tsv", "qrels/*.tsv"))
    if record == "passages":
        return [f for f in found if plain_name(f.name) == _CORPUS]
    judged = [f for f in found if not _is_known(f) and _is_split(f, split)]
    if not judged:
        raise ValueError(
            f"path: {path!r} holds no judgements" + (f" of {split!r}" if split else "")
        )
    return [f for f in found if _is_known(f)] + judged


def _is_known(file: File) -> bool:
    return plain_name(file.name) in (_CORPUS, _QUERIES)


def _is_split(file: File, split: str | None) -> bool:
    return split is None or PurePosixPath(plain_name(file.name)).stem == split


def read(row: Row) -> Iterator[Found]:
    """Read a row of one of the files: a document helps, a judgement counts, a query waits."""
    name = plain_name(row.file)
    if name == _QUERIES:
        return
    try:
        yield _document(row) if name == _CORPUS else _judgement(row)
    except ValueError as error:
        yield row.drop("bad_value", str(error))


def _document(row: Row) -> Piece | Drop:
    own_id = _id_in(row.values.get("_id"))
    data = {"title": text_in(row.values.get("title")), "text": text_in(row.values.get("text"))}
    return Piece(own_id, data, counts=False)


def _judgement(row: Row) -> Piece | Drop:
    values = list(row.values.values())
    if len(values) == 4:  # TREC's, where the second column means nothing
        del values[1]
    if len(values) != 3:
        return row.drop("damaged", f"{len(values)} fields instead of 3")
    query, document, grade = values
    number = number_in(grade)
    if number is None:
        return row.drop("bad_value", "no grade")
    data = {"query": _id_in(query), "grade": number, "where": row.where, "origin": row.origin}
    return Piece(_id_in(document), data)


def _id_in(value: Any) -> str:
    plain = text_in(str(value)) if isinstance(value, str | int) else ""
    if not plain:
        raise ValueError(f"{str(value)[:40]!r} is no identifier")
    return plain


def join(path: str, key: str, pieces: list[Piece], least: float) -> Iterator[Judged | Drop]:
    """Bring judgements to their document, which all have the same identifier `key`."""
    document = next((piece.data for piece in pieces if not piece.counts), None)
    queries, seen = queries_of(path), set()
    for data in (piece.data for piece in pieces if piece.counts):
        where, query_id = data["where"], data["query"]
        if document is None:
            yield Drop("unknown_document", f"{where}: {key!r} is not in the corpus")
        elif query_id not in queries:
            yield Drop("unknown_query", f"{where}: {query_id!r} is not among the queries")
        elif data["grade"] < least:
            yield Drop("low_label", f"{where}: {data['grade']:g} is below {least:g}")
        elif query_id in seen:
            yield Drop("duplicate", f"{where}: query and document are judged twice")
        else:
            seen.add(query_id)
            origin = {**data["origin"], "query_id": query_id, "document_id": key}
            yield Judged(query_id, queries[query_id], document, data["grade"], where, origin)


def queries_of(path: str) -> dict[str, str]:
    """Return the texts of the queries by identifier, read once by each worker."""
    folder = Path(path).expanduser()
    (file, *_) = _listed(folder, _QUERIES)
    stat = file.stat()
    return _queries(File(file, file.name), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=2)
def _queries(file: File, _size: int, _changed: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for block in blocks_of(file, None, None):
        for row in rows_of(block) if isinstance(block, Block) else ():
            if isinstance(row, Row):
                try:
                    found[_id_in(row.values.get("_id"))] = text_in(row.values.get("text"))
                except ValueError:
                    continue
    return found
