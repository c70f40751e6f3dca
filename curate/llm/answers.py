"""The answers of language models on disk, each under the request that it answers."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from curate.errors import CurateError
from curate.llm.base import (
    Answer,
    Choose,
    Chosen,
    Finish,
    Generate,
    Generated,
    Message,
    Request,
    Sampling,
    Score,
    Scored,
)
from curate.recordfile import RecordFile

_KINDS: dict[type[Request], str] = {Generate: "generate", Score: "score", Choose: "choose"}
_ANSWERS: dict[str, type[Answer]] = {"generate": Generated, "score": Scored, "choose": Chosen}
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
# How an answer ended, out of its JSON. Within a text quotes are escaped, so nothing else is like this.
_FINISH = "CASE {} ELSE 'stop' END".format(
    " ".join(
        f"""WHEN answer LIKE '%"finish":"{name}"%' THEN '{name}'"""
        for name in get_args(Finish)
        if name != "stop"
    )
)
_INSERT = """
INSERT INTO answers VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE
SET answer = excluded.answer, prompt_tokens = excluded.prompt_tokens,
    completion_tokens = excluded.completion_tokens, created = excluded.created
WHERE answers.answer LIKE '%"finish":"failed"%'
"""


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


class Answered(NamedTuple):
    """A request and its answer; `created` in seconds since 1970."""

    request: Request
    answer: Answer
    created: float


class Group(NamedTuple):
    """Recorded answers that have something in common; see `Item`."""

    model: str
    kind: str
    finish: Finish
    answers: int
    prompt_tokens: int
    completion_tokens: int
    oldest: float
    newest: float


@dataclass(frozen=True, slots=True)
class Which:
    """Selects recorded answers: those of a model, that ended in some way, that are older.

    :param before: seconds since 1970.
    """

    model: str | None = None
    finish: Finish | None = None
    before: float | None = None

    def condition(self) -> tuple[str, list[Any]]:
        """Return the condition in SQL, and its values."""
        named = {"model = ?": self.model, f"{_FINISH} = ?": self.finish, "created < ?": self.before}
        held = {text: value for text, value in named.items() if value is not None}
        return " AND ".join(["1", *held]), list(held.values())


EVERY = Which()


class Answers(RecordFile):
    """The recorded answers in one file.

    The first answer recorded for a request stays, so that processes that ask the same agree; only that
    a request `failed` gives way to an answer.
    """

    format = 1
    holds = "answers"
    table = _TABLE
    error = AnswersError

    def get(self, model: str, requests: Sequence[Request]) -> list[Answer | None]:
        """Return the recorded answer to each of n requests; None where there is none.

        :param model: what identifies the model.
        :raises AnswersError: if the file cannot be used.
        """
        keys = [key_of(model, request) for request in requests]
        with self.connected() as connection:
            return _read(connection, keys)

    def put(self, model: str, answered: Iterable[tuple[Request, Answer]]) -> list[Answer]:
        """Record answers in one transaction.

        :param answered: n requests with their answers.
        :return: for each request the answer that is recorded, perhaps an earlier one of another
            process.
        :raises AnswersError: if the file cannot be used; then none of them is recorded.
        """
        rows = [_row(model, request, answer) for request, answer in answered]
        with self.connected() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, rows)
            kept = _read(connection, [row[0] for row in rows])
        return [answer for answer in kept if answer is not None]

    def items(self, which: Which = EVERY) -> Iterator[Item]:
        """Iterate over what is recorded, oldest first."""
        last = 0
        where, values = which.condition()
        query = (
            "SELECT id, key, model, kind, request, answer, created FROM answers"
            f" WHERE id > ? AND {where} ORDER BY id LIMIT {_PAGE}"
        )
        while True:
            with self.connected() as connection:
                rows = connection.execute(query, (last, *values)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            for _, key, name, kind, request, answer, created in rows:
                yield Item(key, name, kind, _unpack(request), _answer(kind, answer), created)

    def latest(self, model: str, count: int) -> list[Answered]:
        """Return what a model was asked last and answered, the newest first."""
        query = (
            "SELECT kind, request, answer, created FROM answers WHERE model = ?"
            " ORDER BY id DESC LIMIT ?"
        )
        with self.connected() as connection:
            rows = connection.execute(query, (model, count)).fetchall()
        return [
            Answered(_request(kind, _unpack(request)), _answer(kind, answer), created)
            for kind, request, answer, created in rows
        ]

    def groups(self, which: Which = EVERY) -> list[Group]:
        """Count what is recorded by model, kind of question and how the answers ended."""
        where, values = which.condition()
        query = (
            f"SELECT model, kind, {_FINISH} AS finish, count(*), sum(prompt_tokens),"
            " sum(completion_tokens), min(created), max(created) FROM answers"
            f" WHERE {where} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        with self.connected() as connection:
            return [Group(*row) for row in connection.execute(query, values)]

    def prune(self, which: Which) -> int:
        """Forget answers, which will be asked for again when they are needed; return how many."""
        where, values = which.condition()
        with self.connected() as connection:
            removed = connection.execute(f"DELETE FROM answers WHERE {where}", values).rowcount
            connection.execute("VACUUM")
        return removed

    def count(self) -> int:
        """Return how many answers are recorded."""
        with self.connected() as connection:
            (n,) = connection.execute("SELECT count(*) FROM answers").fetchone()
        return int(n)


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


def key_of(model: str, request: Request) -> str:
    """Return the key under which the answer to a request is recorded."""
    return _key(model, request)[0]


def _key(model: str, request: Request) -> tuple[str, str, str]:
    """Return the key of a request, its kind, and its fields as JSON."""
    kind = _KINDS[type(request)]
    content = {field.name: getattr(request, field.name) for field in fields(request)}
    if not content.get("attempt"):  # what was recorded when there was only one is of the first
        content.pop("attempt", None)
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


def _request(kind: str, content: dict[str, Any]) -> Request:
    """Return the request that `_key` took apart."""
    if kind == "score":
        return Score(**content)
    if kind == "choose":
        return Choose(content["prompt"], tuple(content["labels"]))
    prompt = content["prompt"]
    if not isinstance(prompt, str):
        prompt = tuple(Message(**turn) for turn in prompt)
    return Generate(**content | {"prompt": prompt, "sampling": Sampling(**content["sampling"])})


def _answer(kind: str, text: str) -> Answer:
    content = json.loads(text)
    if kind == "choose":
        content["probabilities"] = tuple(content["probabilities"])
    return _ANSWERS[kind](**content)
