"""How a run shows where it is: a live bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from curate.account import Account
from curate.llm.recorded import unusable_counts

_SECONDS_BETWEEN_LINES = 10.0


class Reporter(Protocol):
    """What an engine tells whoever watches."""

    def live(self) -> AbstractContextManager[object]:
        """Return the context in which the run happens."""
        ...

    def start(self, stage: str, help_text: str) -> None:
        """A stage starts."""
        ...

    def advance(self, done: int, total: int, unit: str, detail: str = "") -> None:
        """The running stage is at `done` of `total` units; a total of 0 is not known."""
        ...

    def finish(self, stage: str, account: Account, seconds: float, reused: bool) -> None:
        """A stage ended, or was found finished."""
        ...

    def say(self, message: str) -> None:
        """Something the user should know, such as waiting for another run."""
        ...


def summary(stage: str, account: Account, seconds: float, reused: bool) -> str:
    """Describe a finished stage in one line."""
    outputs = ", ".join(
        f"{count:,} {'out' if side == 'main' else side}" for side, count in account.outputs.items()
    )
    counts = f"{account.inputs:,} in, {outputs or f'{account.kept:,} used'}"
    if dropped := sum(account.dropped.values()):
        counts += f", {dropped:,} dropped"
    if calls := account.asked.get("calls"):
        tokens = account.asked.get("prompt_tokens", 0), account.asked.get("completion_tokens", 0)
        counts += f", {calls:,} LLM calls of {tokens[0]:,} + {tokens[1]:,} tokens"
        counts = ", ".join([counts, *unusable_counts(account.asked)])
    return f"{stage}: {counts} ({'reused' if reused else f'{seconds:.1f} s'})"


class PlainReporter:
    """A line when a stage starts, every ten seconds, and when it ends: for logs and pipes."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._stage = ""
        self._last = 0.0

    def live(self) -> AbstractContextManager[object]:
        """Need no context."""
        return nullcontext()

    def start(self, stage: str, help_text: str) -> None:
        """Print the stage's name."""
        self._stage, self._last = stage, time.monotonic()

    def advance(self, done: int, total: int, unit: str, detail: str = "") -> None:
        """Print a line if the last one is ten seconds old."""
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            self.say(f"{self._stage}: {done:,} of {total:,} {unit}{detail and f'; {detail}'}")

    def finish(self, stage: str, account: Account, seconds: float, reused: bool) -> None:
        """Print the summary."""
        self.say(summary(stage, account, seconds, reused))

    def say(self, message: str) -> None:
        """Print a line."""
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)


class LiveReporter(PlainReporter):
    """A live bar with the running stage, its rate and time left; a line for each finished stage."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", style="progress.data.speed"),
            console=self.console,
            transient=True,
        )

    def live(self) -> AbstractContextManager[object]:
        """Draw the bar while the run happens."""
        return self.bar

    def start(self, stage: str, help_text: str) -> None:
        """Draw a new bar."""
        super().start(stage, help_text)
        self._clear()
        self.bar.add_task(stage, total=None, unit="", detail="")

    def advance(self, done: int, total: int, unit: str, detail: str = "") -> None:
        """Move the bar; it starts anew when the stage goes on to count something else."""
        task = self.bar.tasks[-1]
        if task.fields["unit"] != unit or done < task.completed:
            self.bar.reset(task.id, total=total or None, unit=unit)
        self.bar.update(task.id, completed=done, total=total or None, unit=unit, detail=detail)

    def finish(self, stage: str, account: Account, seconds: float, reused: bool) -> None:
        """Replace the bar by the stage's line."""
        self._clear()
        super().finish(stage, account, seconds, reused)

    def _clear(self) -> None:
        for task in self.bar.task_ids:
            self.bar.remove_task(task)


class _RateColumn(ProgressColumn):
    """Units per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "")
        return Text(f"{speed:,.0f} {unit}/s" if speed else unit, style="progress.data.speed")


def default_reporter() -> PlainReporter:
    """Return the live reporter where the output is a terminal or a notebook, else the plain one."""
    console = Console(stderr=True)
    return LiveReporter(console) if console.is_terminal or console.is_jupyter else PlainReporter()
