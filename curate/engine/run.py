"""A run: a folder with references into the store and a log of what happened.

OUTPUT/runs/<recipe>-<time>/run.json      what ran, with which settings; references by name
OUTPUT/runs/<recipe>-<time>/log.jsonl     a line for each event
OUTPUT/runs/<recipe>-<time>/stages/NAME   a relative link to the artefact's folder
OUTPUT/runs/latest                        a link to the newest run
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

from curate import __version__
from curate.engine.store import Artefact, Store
from curate.errors import CurateError
from curate.llm.recorded import Usage
from curate.recipe import Node, Recipe
from curate.shards import Shards, write_bytes
from curate.stage import MAIN

RUN = "run.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: the artefact of every stage, by the stage's name in the recipe."""

    folder: Path
    recipe: Recipe | None
    artefacts: dict[str, Artefact]

    def shards(self, name: str, side: str = MAIN) -> Shards:
        """Open the records that the stage `name` left: `main`, `dropped` or another side."""
        return self.artefacts[name].shards(side)

    @property
    def complete(self) -> bool:
        """Whether every stage finished."""
        return bool(json.loads((self.folder / RUN).read_bytes())["finished"])

    def stage_rows(self) -> list[dict[str, Any]]:
        """Return the entries of `run.json`: name, stage, artefact, seconds, whether reused."""
        rows: list[dict[str, Any]] = json.loads((self.folder / RUN).read_bytes())["stages"]
        return rows

    def _repr_html_(self) -> str:
        heads = ("stage", "what", "inputs", "outputs", "dropped", "seconds", "reused")
        lines = [_html_row("th", heads)]
        for row in self.stage_rows():
            account = self.artefacts[row["name"]].account
            outputs = " + ".join(f"{n:,}" for n in account.outputs.values())
            dropped = ", ".join(f"{reason} {n:,}" for reason, n in account.dropped.items())
            reused = "yes" if row["reused"] else ""
            cells = (row["name"], row["stage"], f"{account.inputs:,}", outputs, dropped)
            lines.append(_html_row("td", (*cells, f"{row['seconds']:.1f}", reused)))
        return f"<p>Run {escape(self.folder.name)}</p><table>{''.join(lines)}</table>"


def _html_row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def open_run(folder: Path) -> Run:
    """Open a run folder, finished or not.

    :raises CurateError: if it is none.
    """
    try:
        data = json.loads((folder / RUN).read_bytes())
    except FileNotFoundError:
        raise CurateError(f"{folder}: not a run folder: it has no {RUN}") from None
    store = Store(folder.resolve().parent.parent / "store", create=False)
    artefacts = {}
    for row in data["stages"]:
        artefact = store.find(row["artefact"])
        if artefact is None:
            raise CurateError(f"{folder}: {row['artefact']} is no longer in the store; run again")
        artefacts[row["name"]] = artefact
    return Run(folder.resolve(), None, artefacts)


class RunLog:
    """Writes the run folder while the run goes on."""

    def __init__(self, output: Path, recipe: Recipe) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        runs = output.absolute() / "runs"
        folder = runs / f"{recipe.name}-{stamp}"
        number = 1
        while True:
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                number += 1
                folder = runs / f"{recipe.name}-{stamp}-{number}"
        self.folder = folder
        self._data: dict[str, Any] = {
            "recipe": recipe.name,
            "params": recipe.params,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "finished": None,
            "curate": __version__,
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "stages": [],
        }
        (folder / "stages").mkdir()
        self._write()
        _point(runs / "latest", folder.name)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._data["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            self._write()
            self.event("finished")
        else:
            self.event("failed", error=str(error) or type(error).__name__)

    def finished(
        self,
        node: Node,
        artefact: Artefact,
        seconds: float,
        reused: bool,
        usage: Usage | None = None,
    ) -> None:
        """Record that a stage is finished.

        :param usage: what it asked a language model in this run.
        """
        row = {
            "name": node.name,
            "stage": node.stage.name,
            "artefact": artefact.folder.name,
            "settings": node.stage.model_dump(mode="json", by_alias=True),
            "seconds": round(seconds, 3),
            "reused": reused,
            "llm": asdict(usage) if usage else None,
        }
        self._data["stages"].append(row)
        self._write()
        link = self.folder / "stages" / node.name
        link.symlink_to(os.path.relpath(artefact.folder, link.parent))
        self.event("stage", **row, account=artefact.account.to_dict())

    def event(self, kind: str, **facts: Any) -> None:
        """Append a line to the log."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": kind, **facts}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _write(self) -> None:
        text = json.dumps(self._data, indent=1, ensure_ascii=False)
        write_bytes(self.folder / RUN, text.encode())


def _point(link: Path, target: str) -> None:
    temporary = link.with_name(f"{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
