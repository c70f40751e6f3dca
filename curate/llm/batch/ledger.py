"""Which requests were handed to a server in which batch: on disk, so that none is paid for twice.

A batch is noted with its requests before it is submitted, and its id after. What a kill leaves between
the two is a batch that was perhaps submitted: the server is asked for it before it is submitted again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from curate.errors import CurateError
from curate.recordfile import RecordFile

State = Literal["waiting", "answered", "again", "failed"]
"""Of a request. `waiting`: in a batch. `answered`: the answer is here, and not yet recorded elsewhere.
`again`: it got none, and may be submitted again. `failed`: it would get none."""

_CHUNK = 1_000  # keys in one query
_TABLE = """
CREATE TABLE requests (
    key TEXT PRIMARY KEY,
    batch TEXT NOT NULL,  -- the one that it was in last
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,  -- in how many batches it was
    told TEXT  -- the answer as JSON, or why there is none
) WITHOUT ROWID
"""
_MORE = (
    "CREATE INDEX IF NOT EXISTS requests_of_batches ON requests (batch)",
    """
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    by_words INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    noted REAL NOT NULL,
    file_id TEXT,
    sent REAL,
    id TEXT,
    status TEXT,
    done INTEGER NOT NULL
) WITHOUT ROWID
""",
)


class LedgerError(CurateError):
    """The file of batches cannot be used. The message names it."""


class Batch(NamedTuple):
    """A batch that is not at its end.

    :param name: given here; also the name of its file.
    :param url: of the server.
    :param model: what identifies it.
    :param by_words: whether its requests tell a schema in words.
    :param requests: how many it has.
    :param noted: when it was noted, in seconds since 1970.
    :param file_id: of its file, once that is on the server.
    :param sent: when it was last submitted, whether or not that was confirmed.
    :param id: given by the server, once it is submitted.
    :param status: what the server said last.
    :param done: how many of its requests the server had then treated.
    """

    name: str
    url: str
    model: str
    endpoint: str
    by_words: bool
    requests: int
    noted: float
    file_id: str | None = None
    sent: float | None = None
    id: str | None = None
    status: str | None = None
    done: int = 0


class Noted(NamedTuple):
    """What is noted of a request."""

    batch: str
    state: State
    tries: int
    told: str | None


class Ledger(RecordFile):
    """The batches under way, and their requests with the answers that are not recorded elsewhere yet."""

    format = 1
    holds = "batches"
    table = _TABLE
    error = LedgerError

    def _set_up(self, connection: sqlite3.Connection) -> None:
        super()._set_up(connection)
        for statement in _MORE:
            connection.execute(statement)

    def batches(self, url: str | None = None, model: str | None = None) -> list[Batch]:
        """Return the batches that are not at their end, the oldest first."""
        query = "SELECT * FROM batches WHERE url = ifnull(?, url) AND model = ifnull(?, model)"
        with self.connected() as connection:
            rows = connection.execute(f"{query} ORDER BY noted, name", (url, model)).fetchall()
        return [Batch(*row)._replace(by_words=bool(row[4])) for row in rows]

    def find(self, keys: Sequence[str], url: str) -> dict[str, Noted]:
        """Return what is noted of requests; one that waits on another server is not noted here."""
        found: dict[str, Noted] = {}
        with self.connected() as connection:
            for chunk in _chunks(keys):
                marks = ", ".join("?" * len(chunk))
                query = (
                    "SELECT key, batch, state, tries, told FROM requests LEFT JOIN batches ON"
                    f" name = batch WHERE key IN ({marks}) AND (state != 'waiting' OR url = ?)"
                )
                for key, *rest in connection.execute(query, (*chunk, url)):
                    found[key] = Noted(*rest)
        return found

    def note(self, batch: Batch, keys: Iterable[str]) -> None:
        """Note a batch with its requests, before it is submitted."""
        marks = ", ".join("?" * len(Batch._fields))
        with self.connected() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"INSERT INTO batches VALUES ({marks})", batch)
            connection.executemany(
                "INSERT INTO requests VALUES (?, ?, 'waiting', 1, NULL) ON CONFLICT (key) DO UPDATE SET"
                " batch = excluded.batch, state = 'waiting', tries = tries + 1",
                ((key, batch.name) for key in keys),
            )

    def note_file(self, name: str, file_id: str | None) -> None:
        """Note that the file of a batch is on the server, or (None) that it is not, after all."""
        self._set("file_id = ?, sent = NULL", name, file_id)

    def note_sent(self, name: str) -> None:
        """Note that a batch is submitted now."""
        self._set("sent = ?", name, time.time())

    def note_id(self, name: str, identifier: str) -> None:
        """Note that a batch is submitted."""
        self._set("id = ?", name, identifier)

    def renew(self, name: str) -> None:
        """Note that a batch is to be submitted again as it is."""
        self._set("file_id = NULL, sent = NULL, id = NULL, status = NULL, done = 0", name)

    def note_status(self, name: str, status: str, done: int) -> None:
        """Note what the server says of a batch."""
        self._set("status = ?, done = ?", name, status, done)

    def _set(self, what: str, name: str, *values: object) -> None:
        with self.connected() as connection:
            connection.execute(f"UPDATE batches SET {what} WHERE name = ?", (*values, name))

    def take(self, name: str, results: Iterable[tuple[str, State, str]]) -> None:
        """Note what became of requests of a batch, in one transaction.

        :param results: key, state, and the answer or why there is none.
        """
        with self.connected() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "UPDATE requests SET state = ?, told = ?"
                " WHERE key = ? AND batch = ? AND state != 'answered'",
                ((state, told, key, name) for key, state, told in results),
            )

    def end(self, name: str, why: str, *, tried: bool = True) -> int:
        """Note that a batch is at its end, so that what it left without an answer is submitted again.

        :param why: there is no answer.
        :param tried: whether that counts as a try.
        :return: how many are left so.
        """
        with self.connected() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            left = connection.execute(
                "UPDATE requests SET state = 'again', told = ?, tries = tries - ?"
                " WHERE batch = ? AND state = 'waiting'",
                (why, 0 if tried else 1, name),
            ).rowcount
            connection.execute("DELETE FROM batches WHERE name = ?", (name,))
        return left

    def forget(self, keys: Sequence[str]) -> None:
        """Forget requests whose answers are recorded elsewhere, or that were given up."""
        with self.connected() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for chunk in _chunks(keys):
                marks = ", ".join("?" * len(chunk))
                connection.execute(
                    f"DELETE FROM requests WHERE key IN ({marks}) AND state != 'waiting'", chunk
                )


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK))
