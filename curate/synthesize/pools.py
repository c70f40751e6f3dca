"""Pools of tasks or personas: a list in the recipe, or a file with one a line, as text or as JSON.

Of a task, JSON says more: `{"task": "Find the paper that proves a claim", "kind": "claim"}` is drawn only
where the condition `kind` is `claim`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from curate.synthesize.conditions import Vary, pick

Entry = Annotated[dict[str, str], Field(min_length=1)]
Entries = Sequence[Annotated[str, Field(min_length=1)] | Entry]
Pool = str | Annotated[Entries, Field(min_length=1)]
"""The path of a file, or the entries themselves."""


class Task(NamedTuple):
    """A task, and the conditions that it is for: values by name."""

    text: str
    conditions: dict[str, str]


def read_pool(pool: Pool, field: str) -> list[str | dict[str, str]]:
    """Return the entries of a pool; read anew if it is a file.

    :param field: the field of a JSON line that holds the text.
    :raises ValueError: if there is no such file, or a line of it is not an entry.
    """
    if not isinstance(pool, str):
        _check(pool, field)
        return list(pool)
    path = Path(pool).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ValueError(f"{pool}: cannot be read: {reason}") from None
    entries = [
        _entry(line.strip(), f"{pool}:{n}") for n, line in enumerate(lines, 1) if line.strip()
    ]
    if not entries:
        raise ValueError(f"{pool}: holds nothing, write one entry a line")
    _check(entries, field, f"{pool}: ")
    return entries


def texts_of(entries: Iterable[str | dict[str, str]], field: str) -> list[str]:
    """Return the text of each entry."""
    return [entry if isinstance(entry, str) else entry[field] for entry in entries]


class Tasks:
    """Tasks to draw from.

    :param entries: see `read_pool`.
    """

    field = "task"

    def __init__(self, entries: Iterable[str | dict[str, str]]) -> None:
        self._tasks = [_task(entry) for entry in entries]
        self._fitting: dict[tuple[str | None, ...], list[str]] = {}
        self.names = sorted({name for task in self._tasks for name in task.conditions})
        """The conditions that tasks are for."""

    def draw(
        self, conditions: Mapping[str, str], seed: int, record: str, number: int
    ) -> str | None:
        """Draw a task that fits conditions; None if there is none. See `conditions.draw`."""
        asked = tuple(conditions.get(name) for name in self.names)
        if asked not in self._fitting:
            self._fitting[asked] = [
                task.text
                for task in self._tasks
                if all(conditions.get(name) == value for name, value in task.conditions.items())
            ]
        fitting = self._fitting[asked]
        return pick(fitting, self.field, seed, record, number) if fitting else None

    def check(self, values: Mapping[str, Iterable[str]]) -> None:
        """Refuse tasks for conditions that nothing has.

        :param values: what each condition may be, by its name.
        :raises ValueError: naming the first.
        """
        for task in self._tasks:
            for name, value in task.conditions.items():
                if name not in values:
                    raise ValueError(
                        f"tasks: {task.text!r} is for {name}: {value}, but there is no condition "
                        f"{name!r}: add it to `vary`, or remove it from the task"
                    )
                if value not in values[name]:
                    raise ValueError(
                        f"tasks: {task.text!r} is for {name}: {value}, which is never drawn: "
                        f"{name} is one of {', '.join(values[name])}"
                    )


def vary_values(vary: Vary) -> dict[str, list[str]]:
    """Return the values that each condition may have."""
    return {name: list(values) for name, values in vary.items()}


def _task(entry: str | dict[str, str]) -> Task:
    if isinstance(entry, str):
        return Task(entry, {})
    return Task(entry[Tasks.field], {n: v for n, v in entry.items() if n != Tasks.field})


def _entry(line: str, place: str) -> str | dict[str, str]:
    if not line.startswith("{"):
        return line
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"{place}: not JSON: {line[:60]!r}") from None
    if not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f"{place}: all values of an entry are texts, not {line[:60]!r}")
    return dict(found)


def _check(entries: Sequence[str | dict[str, str]], field: str, place: str = "") -> None:
    for entry in entries:
        if isinstance(entry, dict) and not entry.get(field):
            raise ValueError(f"{place}{entry!r:.80} has no {field!r}")
