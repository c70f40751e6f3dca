"""What in a store no run refers to any more, and its removal.

Referred to is what `run.json` of a run names, and the parts that such an artefact's manifest lists.
Everything else can be made again: artefacts of recipes that have changed, parts and scratch of stages
that never finished (a killed run goes on from these), and what killed processes left in `tmp/`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from curate.engine.run import RUN
from curate.engine.store import PART, Store
from curate.errors import CurateError
from curate.report.blocks import Lines, Report, Section, Table
from curate.report.run import short_path
from curate.report.text import seconds, size
from curate.shards import MANIFEST, read_manifest

What = Literal["run", "artefact", "part", "work", "tmp"]
_KINDS: tuple[tuple[What, str], ...] = (("part", "parts"), ("work", "work"), ("tmp", "tmp"))


@dataclass(frozen=True, slots=True)
class Rubbish:
    """A folder that no run refers to; its age in seconds, its size in bytes."""

    what: What
    folder: Path
    age: float
    bytes: int

    @property
    def stage(self) -> str:
        """Whose it is: the stage of an artefact, part or scratch, or the recipe of a run."""
        return "" if self.what == "tmp" else self.folder.name.partition("-")[0]


def find_rubbish(
    output: Path, older_than: float = 0, keep_runs: int | None = None
) -> list[Rubbish]:
    """List what could be removed, and leave what is younger than `older_than` seconds.

    :param keep_runs: count only the newest so many runs; the others are listed too.
    :raises CurateError: if there is no store.
    """
    root = output / "store"
    if not (root / "format.json").is_file():
        raise CurateError(f"{output}: no store here; give the --output folder of a run")
    now = time.time()
    runs = sorted(_runs(output), key=lambda run: (run.stat().st_mtime, run.name), reverse=True)
    old = [_measure("run", run, now) for run in runs[keep_runs:]] if keep_runs is not None else []
    old = [run for run in old if run.age >= older_than]
    gone = {run.folder for run in old}
    named = {name for run in runs if run not in gone for name in _artefacts_of(run)}
    artefacts = [
        found
        for folder in _folders(root / "artefacts")
        if folder.name not in named
        and (found := _measure("artefact", folder, now)).age >= older_than
    ]
    gone = {artefact.folder for artefact in artefacts}
    used = _parts_of(folder for folder in _folders(root / "artefacts") if folder not in gone)
    rest = [
        found
        for what, place in _KINDS
        for folder in _folders(root / place)
        if folder.name not in used and (found := _measure(what, folder, now)).age >= older_than
    ]
    return [*old, *artefacts, *rest]


def _runs(output: Path) -> Iterator[Path]:
    for folder in _folders(output / "runs"):
        if (folder / RUN).is_file():
            yield folder


def _folders(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    return sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink())


def _artefacts_of(run: Path) -> list[str]:
    return [row["artefact"] for row in json.loads((run / RUN).read_bytes())["stages"]]


def _parts_of(artefacts: Iterable[Path]) -> set[str]:
    """Return the names of the parts that manifests list, by paths such as `../../parts/NAME/x.arrow`."""
    names = set()
    for folder in artefacts:
        if (folder / MANIFEST).is_file():
            sides = read_manifest(folder).sides.values()
            paths = (PurePosixPath(shard.path).parts for side in sides for shard in side.shards)
            names |= {parts[3] for parts in paths if parts[:3] == ("..", "..", "parts")}
    return names


def _measure(what: What, folder: Path, now: float) -> Rubbish:
    files = [entry.lstat() for entry in folder.rglob("*") if not entry.is_dir()]
    marks = [folder / name for name in (MANIFEST, PART, RUN) if (folder / name).exists()]
    # A finished folder is as old as what finished it, scratch as its newest file.
    changed = [mark.stat().st_mtime for mark in marks] or [
        folder.stat().st_mtime,
        *(f.st_mtime for f in files),
    ]
    return Rubbish(what, folder, max(0.0, now - max(changed)), sum(f.st_size for f in files))


def rubbish_report(output: Path, rubbish: list[Rubbish]) -> Report:
    """Show what could be removed: runs and artefacts one by one, the rest by stage."""
    report = Report(f"Not referred to in {short_path(output)}")
    if not rubbish:
        report.sections.append(Section("Nothing", [Lines(["every artefact belongs to a run"])]))
        return report
    groups: dict[tuple[str, str], list[Rubbish]] = {}
    for found in rubbish:
        single = found.what in ("run", "artefact")
        groups.setdefault((found.what, found.folder.name if single else found.stage), []).append(
            found
        )
    rows = [
        (
            what,
            name,
            f"{len(group):,}",
            size(sum(found.bytes for found in group)),
            seconds(max(found.age for found in group)),
        )
        for (what, name), group in groups.items()
    ]
    total = sum(found.bytes for found in rubbish)
    note = f"{len(rubbish):,} folders, {size(total)}"
    if any(found.what in ("part", "work") for found in rubbish):
        note += "; parts and work that belong to no artefact are what a killed run would go on from"
    columns = ("what", "of", "folders>", "size>", "oldest>")
    report.sections.append(Section("By age and size", [Table(columns, rows, note)]))
    return report


def remove(output: Path, older_than: float = 0, keep_runs: int | None = None) -> list[Rubbish]:
    """Remove what no run refers to, as it is now; runs that begin meanwhile wait.

    A kill leaves nothing half removed under its own name: folders go to `tmp/` first.

    :return: what was removed.
    :raises BusyError: if a run works in the store.
    """
    store = Store(output / "store")
    with store.alone():
        rubbish = find_rubbish(output, older_than, keep_runs)
        for found in rubbish:
            if found.what == "tmp":
                shutil.rmtree(found.folder)
            else:
                store.discard(found.folder)
        _forget_latest(output / "runs" / "latest")
    return rubbish


def _forget_latest(link: Path) -> None:
    if link.is_symlink() and not link.exists():
        link.unlink()
