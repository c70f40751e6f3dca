"""The answers of language models on disk, each under the request that it answers.

One SQLite file in WAL mode: a commit is written without waiting for the disk, so a killed process
loses no answer that `put` returned for, and a power cut at most the last seconds. Processes of one
machine may share the file; WAL does not work on network file systems.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from pydantic import BaseModel

from curate.errors import CurateError
from curate.llm.base import (
    Answer,
    Choose,
    Chosen,
    Generate,
    Generated,
    Message,
    Request,
    Score,
    Scored,
)

FORMAT = 1
_KINDS: dict[type[Request], str] = {Generate: "generate", Score: "score", Choose: "choose"}
_ANSWERS: dict[str, type[Answer]] = {"generate": Generated, "score": Scored, "choose": Chosen}
_BUSY_SECONDS = 60.0
_CHUNK = 1_000  # keys in one query
_PAGE = 1_000  # rows read at a time by `items`
_LONG = 256  # bytes from which a request is worth compressing

_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    request BLOB NOT NULL,  -- JSON: text, or compressed by zlib
    answer TEXT NOT NULL,  -- JSON
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    created REAL NOT NULL  -- seconds since 1970
)
"""
_INSERT = "INSERT OR IGNORE INTO answers VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)"


class AnswersError(CurateError):
    """The file of answers cannot be used. The message names it."""


class Item(NamedTuple):
    """One recorded answer.

    :param request: the fields of the request, as JSON values.
    :param created: seconds since 1970.
    """

    key: str
    model: str
    kind: str
    request: dict[str, Any]
    answer: Answer
    created: float


class Answers:
    """The recorded answers in one file, which is made when it is first used.

    The first answer recorded for a request stays. Threads may share an object; a worker process that
    is given one opens the file for itself.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __reduce__(self) -> tuple[type[Answers], tuple[Path]]:
        return Answers, (self.path,)

    def get(self, model: str, requests: Sequence[Request]) -> list[Answer | None]:
        """Return the recorded answer to each of n requests; None where there is none.

        :param model: what identifies the model.
        :raises AnswersError: if the file cannot be used.
        """
        keys = [_key(model, request)[0] for request in requests]
        with self._connected() as connection:
            return _read(connection, keys)

    def put(self, model: str, answered: Iterable[tuple[Request, Answer]]) -> list[Answer]:
        """Record answers in one transaction.

        :param answered: n requests with their answers.
        :return: for each request the answer that is recorded, perhaps an earlier one of another
            process.
        :raises AnswersError: if the file cannot be used; then none of them is recorded.
        """
        rows = [_row(model, request, answer) for request, answer in answered]
        with self._connected() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, rows)
            kept = _read(connection, [row[0] for row in rows])
        return [answer for answer in kept if answer is not None]

    def items(self, model: str | None = None) -> Iterator[Item]:
        """Iterate over what is recorded, oldest first, of one model or of all."""
        last = 0
        while True:
            with self._connected() as connection:
                rows = connection.execute(
                    "SELECT id, key, model, kind, request, answer, created FROM answers"
                    " WHERE id > ?1 AND (?2 IS NULL OR model = ?2) ORDER BY id LIMIT ?3",
                    (last, model, _PAGE),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            for _, key, name, kind, request, answer, created in rows:
                yield Item(key, name, kind, _unpack(request), _answer(kind, answer), created)

    def count(self) -> int:
        """Return how many answers are recorded."""
        with self._connected() as connection:
            (n,) = connection.execute("SELECT count(*) FROM answers").fetchone()
        return int(n)

    def close(self) -> None:
        """Close the file; it opens again when it is used again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to one thread at a time."""
        try:
            with self._lock:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
        except sqlite3.Error as error:
            raise AnswersError(f"{self.path}: cannot use the recorded answers: {error}") from error

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite's own waiting does not cover the switch to WAL, which two processes may try at once.
        with FileLock(f"{self.path}.lock"):
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == FORMAT:
            return
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if found or tables:
            raise AnswersError(
                f"{self.path}: holds answers of format {found}, this version of curate reads format"
                f" {FORMAT}: use the version that wrote it, or move the file away"
            )
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {FORMAT}")


def token_counts(answer: Answer) -> tuple[int, int]:
    """Return how many tokens the model read for an answer, and how many it wrote.

    A continuation that is scored is read, like its prompt.
    """
    if isinstance(answer, Generated):
        return answer.prompt_tokens, answer.completion_tokens
    if isinstance(answer, Scored):
        return answer.prompt_tokens + answer.tokens, 0
    return answer.prompt_tokens, 0


def _read(connection: sqlite3.Connection, keys: list[str]) -> list[Answer | None]:
    found: dict[str, Answer] = {}
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        query = f"SELECT key, kind, answer FROM answers WHERE key IN ({marks})"
        for key, kind, answer in connection.execute(query, chunk):
            found[key] = _answer(kind, answer)
    return [found.get(key) for key in keys]


def _key(model: str, request: Request) -> tuple[str, str, str]:
    """Return the key of a request, its kind, and its fields as JSON."""
    kind = _KINDS[type(request)]
    content = {field.name: getattr(request, field.name) for field in fields(request)}
    text = _json(content)
    digest = hashlib.blake2b(_json([model, kind, text]).encode(), digest_size=16)
    return digest.hexdigest(), kind, text


def _row(model: str, request: Request, answer: Answer) -> tuple[Any, ...]:
    key, kind, text = _key(model, request)
    assert type(answer) is _ANSWERS[kind], f"{type(answer).__name__} does not answer {kind!r}"
    tokens = token_counts(answer)
    return key, model, kind, _pack(text), _json(asdict(answer)), *tokens, time.time()


def _json(value: Any) -> str:
    """Write canonical JSON. It is ASCII, so that lone surrogates survive; so do floats, exactly."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, Message):
        return asdict(value)
    raise TypeError(f"an answer or request holds {value!r}, which JSON does not know")


def _pack(text: str) -> str | bytes:
    return text if len(text) < _LONG else zlib.compress(text.encode())


def _unpack(packed: str | bytes) -> dict[str, Any]:
    content = packed if isinstance(packed, str) else zlib.decompress(packed)
    return dict(json.loads(content))


def _answer(kind: str, text: str) -> Answer:
    content = json.loads(text)
    if kind == "choose":
        content["probabilities"] = tuple(content["probabilities"])
    return _ANSWERS[kind](**content)
