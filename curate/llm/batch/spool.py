"""Files of requests, each within the limits of a server, written as the requests come."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from curate.llm.openai.probe import PATHS, Endpoint

_LEFT_BEHIND = (
    7 * 86_400.0
)  # seconds after which a file of no batch is of a process that was killed


class Sort(NamedTuple):
    """What the requests of one file have in common.

    :param by_words: whether a schema is told in words.
    """

    endpoint: Endpoint
    by_words: bool

    @property
    def path(self) -> str:
        """Where the server answers such requests, as a batch names it."""
        return f"/v1{PATHS[self.endpoint]}"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may hold."""

    requests: int
    size: int


class RequestFile:
    """One file while it is written.

    :param name: of the batch that it will be.
    """

    def __init__(self, folder: Path) -> None:
        self.name = uuid.uuid4().hex
        self.keys: list[str] = []
        self.size = 0
        self._file: IO[bytes] = file_of(folder, self.name).open("wb")

    def add(self, key: str, line: bytes) -> None:
        """Add a request."""
        self._file.write(line)
        self.keys.append(key)
        self.size += len(line)

    def close(self) -> None:
        """End it."""
        self._file.close()


class Spool:
    """Sorts requests into files; of each sort one is open.

    It holds the keys of the requests in open files, a hundred bytes each.

    :param ready: takes each file that is full, and at the end all others.
    """

    def __init__(
        self, folder: Path, limits: Limits, ready: Callable[[Sort, RequestFile], None]
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._ready = ready
        self._open: dict[Sort, RequestFile] = {}
        self._keys: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Tell whether a request is in a file that is still open."""
        return key in self._keys

    def add(self, sort: Sort, key: str, body: Mapping[str, Any]) -> None:
        """Add a request to the file of its sort."""
        line = _line(sort, key, body)
        file = self._open.get(sort)
        if file is not None and (
            len(file.keys) >= self._limits.requests or file.size + len(line) > self._limits.size
        ):
            self._end(sort)
            file = None
        if file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = self._open[sort] = RequestFile(self._folder)
        file.add(key, line)
        self._keys.add(key)

    def close(self) -> None:
        """End the files that are open."""
        for sort in list(self._open):
            self._end(sort)

    def _end(self, sort: Sort) -> None:
        file = self._open.pop(sort)
        file.close()
        self._ready(sort, file)
        self._keys.difference_update(file.keys)


def file_of(folder: Path, name: str) -> Path:
    """Return where the requests of a batch lie until it is at its end."""
    return folder / f"{name}.jsonl"


def remove_left_behind(folder: Path, names: Iterable[str]) -> None:
    """Remove files that killed processes did not come to note as a batch.

    :param names: of the batches.
    """
    kept = set(names)
    for path in folder.glob("*.jsonl"):
        if path.stem not in kept and time.time() - path.stat().st_mtime > _LEFT_BEHIND:
            path.unlink(missing_ok=True)


def _line(sort: Sort, key: str, body: Mapping[str, Any]) -> bytes:
    """Return the line of a request; lone surrogates, which no JSON in UTF-8 can hold, become `?`."""
    content = {"custom_id": key, "method": "POST", "url": sort.path, "body": body}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"
