"""A file of what was paid for and is never paid for again: SQLite in WAL mode.

A commit is written without waiting for the disk, so a killed process loses nothing that was committed,
and a power cut at most the last seconds. Processes of one machine may share the file; WAL does not work
on network file systems.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

from filelock import FileLock

from curate.errors import CurateError

_BUSY_SECONDS = 60.0


class RecordFile:
    """One file with one table, made when it is first used.

    Threads may share an object; a worker process that is given one opens the file for itself.
    """

    format: ClassVar[int]
    holds: ClassVar[str]
    """What is recorded, in words."""
    table: ClassVar[str]
    """The statement that creates the table."""
    error: ClassVar[type[CurateError]]
    """What is raised where the file cannot be used."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.path,)

    def close(self) -> None:
        """Close the file; it opens again when it is used again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to one thread at a time."""
        try:
            with self._lock:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
        except sqlite3.Error as error:
            raise self.error(
                f"{self.path}: cannot use the recorded {self.holds}: {error}"
            ) from error

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
        if found == self.format:
            return
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if found or tables:
            raise self.error(
                f"{self.path}: holds {self.holds} of format {found}, this version of curate reads"
                f" format {self.format}: use the version that wrote it, or move the file away"
            )
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(self.table)
            connection.execute(f"PRAGMA user_version = {self.format}")
