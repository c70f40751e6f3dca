"""What a folder of records holds, and the way of one record through a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curate.engine.run import RUN, Run, open_run
from curate.errors import CurateError
from curate.report.blocks import Block, Code, Lines, Report, Section, Table
from curate.report.evaluation import evaluation_blocks, search_blocks
from curate.report.records import (
    Row,
    brief_drop,
    full_record,
    places_of,
    row_at,
    sample,
    sample_drop,
    scores_of,
)
from curate.report.run import METRICS, funnel, short_path
from curate.report.text import number, one_line, size
from curate.shards import Manifest, Shards, Side, open_shard, open_side, read_manifest
from curate.stage import DROPPED, MAIN

_VALUES = 10
_FILES = 20
_COUNTED = ("kind", "source", "language", "license", "split", "group")
_DOCS = ("positives", "negatives", "candidates")
_PARENTS = 5
_COPIES = 3
_AMBIGUOUS = 5

# -- folders ---------------------------------------------------------------------------------


def folder_of(target: Path, stage: str | None) -> Path:
    """Return the folder with the manifest: the target itself, or a stage's in a run folder.

    :raises CurateError: if the stage is missing, or named for what is no run.
    """
    if not (target / RUN).is_file():
        if stage is not None:
            raise CurateError(f"{target}: --stage is for run folders, and this has no {RUN}")
        return target
    if stage is None:
        return target
    artefacts = open_run(target).artefacts
    if stage not in artefacts:
        raise CurateError(f"{target}: no stage {stage!r} there; it has {', '.join(artefacts)}")
    return artefacts[stage].folder


def describe(folder: Path, side: str, rows: int, seed: int, source: str | None = None) -> Report:
    """Describe a folder of shards, any artefact, or a run.

    :param side: the side whose records are counted and sampled.
    :param rows: how many records to draw.
    :param source: draw only records of this source.
    :raises CurateError: if it is none of these.
    """
    if (folder / RUN).is_file():
        return _describe_run(folder)
    manifest = read_manifest(folder)
    report = Report(short_path(folder), [_about(folder, manifest)])
    if not manifest.sides:
        report.sections.extend(_without_records(folder, manifest))
        return report
    listed = _side(folder, manifest, side)
    shards = open_side(folder, listed)
    report.sections.append(_files(folder, listed))
    report.sections.append(Section(f"Counts, {side}", _counts(shards)))
    places = None if source is None else places_of(shards, source)
    if drawn := sample(shards, rows, seed, places):
        items: list[Block] = [full_record(row, f"record {n}") for n, row in enumerate(drawn, 1)]
        count = len(shards) if places is None else len(places)
        report.sections.append(Section(f"{len(drawn)} of {count:,}, drawn at random", items))
    return report


def describe_drops(folder: Path, rows: int, seed: int) -> Report:
    """Count the dropped inputs of an artefact, or of all stages of a run, and show some of each."""
    report = Report(f"Dropped: {short_path(folder)}")
    if (folder / RUN).is_file():
        sides = [
            (f"{name}, ", a.folder, a.manifest) for name, a in open_run(folder).artefacts.items()
        ]
    else:
        sides = [("", folder, read_manifest(folder))]
    for prefix, place, manifest in sides:
        if DROPPED in manifest.sides:
            drops = open_side(place, manifest.sides[DROPPED])
            report.sections.extend(_drop_sections(drops, prefix, rows, seed))
    if not report.sections:
        report.sections.append(Section("Nothing", [Lines(["nothing was dropped here"])]))
    return report


def _drop_sections(drops: Shards, prefix: str, rows: int, seed: int) -> Iterator[Section]:
    reasons: Counter[str] = Counter()
    for table in drops.tables():
        reasons.update(_value_counts(table["drop_reason"]))
    for reason, count in reasons.most_common():
        found = (sample_drop(drops, reason, seed + n) for n in range(min(rows, count)))
        distinct = {str(row): row for row in found if row is not None}
        items: list[Block] = [
            brief_drop(row, prefix or "reason", count) for row in distinct.values()
        ]
        yield Section(f"{prefix}{reason}: {count:,}", items)


def _describe_run(folder: Path) -> Report:
    run = open_run(folder)
    data = json.loads((folder / RUN).read_bytes())
    facts = [
        (key, str(data[key])) for key in ("recipe", "started", "finished", "curate", "machine")
    ]
    stages = ", ".join(run.artefacts)
    return Report(
        short_path(folder),
        [
            Section("Run", [Table(("fact", "value"), facts)]),
            Section("What became of the records", [funnel(run)]),
            Section(
                "To see more",
                [
                    Lines([f"stages: {stages}"]),
                    Code([f"curate inspect {short_path(folder)} --stage NAME [--dropped]"]),
                ],
            ),
        ],
    )


def _about(folder: Path, manifest: Manifest) -> Section:
    info = manifest.info
    names: tuple[str, ...] = ("stage", "version", "kind", "key")
    facts = [(name, str(info[name])) for name in names if name in info]
    for name, given in (info.get("inputs") or {}).items():
        if given:
            facts.append((name, ", ".join(given)))
    facts += [
        (f"setting {k}", one_line(json.dumps(v))) for k, v in (info.get("settings") or {}).items()
    ]
    return Section(
        "Artefact", [Table(("fact", "value"), facts)] if facts else [Lines([str(folder)])]
    )


def _without_records(folder: Path, manifest: Manifest) -> Iterator[Section]:
    if (folder / METRICS).is_file():
        metrics = json.loads((folder / METRICS).read_bytes())
        yield Section("Evaluation", evaluation_blocks(metrics))
        yield Section("Searches", search_blocks(metrics))
    files = (manifest.info.get("notes") or {}).get("files") or {}
    listed = [(name, size((folder / name).stat().st_size)) for name in files]
    yield Section("Files", [Table(("file", "size>"), listed)])


def _side(folder: Path, manifest: Manifest, side: str) -> Side:
    if side not in manifest.sides:
        raise CurateError(f"{folder}: no side {side!r}; it has {', '.join(manifest.sides)}")
    return manifest.sides[side]


def _files(folder: Path, side: Side) -> Section:
    shown = [(f.path, f"{f.rows:,}", size(f.bytes)) for f in side.shards[:_FILES]]
    whole = sum(f.bytes for f in side.shards)
    note = f"{side.rows:,} {side.kind} in {len(side.shards):,} shards, {size(whole)}"
    if len(side.shards) > _FILES:
        note += f"; the first {_FILES} are shown"
    return Section("Shards", [Table(("shard", "records>", "size>"), shown, note)])


def _counts(shards: Shards) -> list[Block]:
    """Count records by each property, and the Docs of pairs, a shard at a time."""
    found: dict[str, Counter[str]] = {
        name: Counter() for name in _COUNTED if name in shards.schema.names
    }
    docs: Counter[str] = Counter()
    for table in shards.tables():
        for name, counter in found.items():
            counter.update(_value_counts(table[name]))
        for name in set(_DOCS) & set(shards.schema.names):
            docs[name] += pc.sum(pc.list_value_length(table[name])).as_py() or 0
    total = len(shards)
    rows = [row for name, counter in found.items() for row in _count_rows(name, counter, total)]
    blocks: list[Block] = [Table(("property", "value", "records>", "share>"), rows)]
    if docs and total:
        means = [f"{docs[name] / total:.2f} {name}" for name in _DOCS]
        blocks.append(Lines([f"a pair has, on average, {', '.join(means)}"]))
    return blocks


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    counts = pc.value_counts(pc.fill_null(column, "(none)")).to_pylist()
    return {entry["values"]: entry["counts"] for entry in counts}


def _count_rows(name: str, counter: Counter[str], total: int) -> Iterator[tuple[str, ...]]:
    for value, count in sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:_VALUES]:
        yield name, one_line(value, 60), f"{count:,}", f"{count / total:.1%}"
    if len(counter) > _VALUES:
        yield name, f"({len(counter) - _VALUES:,} more)", "", ""


# -- one record ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A record as one side of one stage holds it; copies of one content have one id."""

    stage: str
    side: str
    rows: list[Row]

    @property
    def row(self) -> Row:
        return self.rows[0]


def walk(run: Run, prefix: str) -> Report:
    """Follow a record through the stages of a run, from its source to where it is kept or dropped.

    :param prefix: its id, or the beginning of it.
    :raises CurateError: if no record, or more than one, has such an id.
    """
    sightings = _find(run, prefix)
    if not sightings:
        raise CurateError(
            f"no record of {short_path(run.folder)} has an id that begins with {prefix!r}"
        )
    ids = sorted({s.row["id"] for s in sightings})
    if len(ids) > 1:
        shown = ", ".join(ids[:_AMBIGUOUS]) + (", …" if len(ids) > _AMBIGUOUS else "")
        raise CurateError(f"{len(ids)} records have an id that begins with {prefix!r}: {shown}")
    first = sightings[0]
    report = Report(f"{ids[0]} in {short_path(run.folder)}")
    read: list[Block] = [full_record(row, "as it was read") for row in first.rows[:_COPIES]]
    report.sections.append(Section(f"Where it came from: {_place(first)}", read))
    report.sections.append(Section("What each stage did", [_steps(run, sightings)]))
    last = sightings[-1]
    if last is not first:
        item = full_record(last.row, "dropped" if last.side == DROPPED else "kept")
        report.sections.append(Section(f"As it is now: {_place(last)}", [item]))
    if parents := first.row["parents"]:
        report.sections.append(Section("Parents", _parents(run, parents)))
    return report


def _place(sighting: _Sighting) -> str:
    return sighting.stage if sighting.side == MAIN else f"{sighting.stage}, {sighting.side}"


def _find(run: Run, prefix: str) -> list[_Sighting]:
    """Find each record of which the id begins with `prefix`, in every side of every stage.

    Shards are opened without their checksums, which would read all of them: only ids are needed.
    """
    found = []
    for stage, artefact in run.artefacts.items():
        sides = artefact.manifest.sides
        for side in [MAIN, *(s for s in sides if s not in (MAIN, DROPPED)), DROPPED]:
            if side in sides:
                found += _find_in(stage, side, artefact.shards(side), prefix)
    return found


def _find_in(stage: str, side: str, shards: Shards, prefix: str) -> list[_Sighting]:
    rows: dict[str, list[Row]] = {}
    for path, _ in shards.files:
        table = open_shard(path)
        hits = pc.indices_nonzero(pc.starts_with(table["id"], prefix)).to_pylist()
        for row in (row_at(table, place) for place in hits):
            rows.setdefault(row["id"], []).append(row)
    return [_Sighting(stage, side, same) for same in rows.values()]


def _steps(run: Run, sightings: list[_Sighting]) -> Table:
    rows = []
    seen: dict[tuple[str, str], Row] = {}
    for sighting in sightings:
        before = _before(run, sighting.stage, seen)
        seen[sighting.stage, sighting.side] = sighting.row
        fate = "dropped" if sighting.side == DROPPED else "kept"
        if sighting.side not in (MAIN, DROPPED):
            fate += f" in {sighting.side}"
        if len(sighting.rows) > 1:
            fate += f" ({len(sighting.rows)} with this id)"
        rows.append(
            (sighting.stage, fate, "\n".join(_changes(before, sighting.row)) or "as it was")
        )
    return Table(("stage", "fate", "what it did"), rows)


def _before(run: Run, stage: str, seen: dict[tuple[str, str], Row]) -> Row | None:
    """Return the record as the stage was given it."""
    inputs = run.artefacts[stage].manifest.info["inputs"]["from"]
    places = [(name, side or MAIN) for name, _, side in (str(i).partition(".") for i in inputs)]
    return next((seen[place] for place in places if place in seen), None)


def _changes(before: Row | None, after: Row) -> list[str]:
    """Say in words what a stage changed of a record, or why it dropped it."""
    if before is None:
        changes = [f"read from {after['source'] or 'its source'}"]
    else:
        changes = [
            f"{name}: {one_line(str(before[name]), 60)} -> {one_line(str(after[name]), 60)}"
            for name in before
            if name not in ("scores", "meta", *_DOCS) and before[name] != after.get(name)
        ]
        changes += _new_scores(before, after, "score")
        for name in _DOCS:
            if name in after:
                changes += _doc_changes(before[name] or [], after[name] or [], name)
    if after.get("drop_reason"):
        detail = f": {after['drop_detail']}" if after["drop_detail"] else ""
        changes.append(f"dropped as {after['drop_reason']}{detail}")
    return changes


def _new_scores(before: Row, after: Row, label: str) -> list[str]:
    old = {s["name"]: s["value"] for s in before.get("scores") or []}
    new = {s["name"]: s["value"] for s in after.get("scores") or []}
    return [f"{label} {k} {number(v)}" for k, v in new.items() if old.get(k) != v]


def _doc_changes(before: list[Row], after: list[Row], name: str) -> list[str]:
    if [doc["id"] for doc in before] != [doc["id"] for doc in after]:
        shown = [f"{name}: {len(before)} -> {len(after)}"]
        return shown + [f"  {doc['id'][:12]} ({scores_of(doc)})" for doc in after[:3]]
    changes = []
    filled = sum(
        b["text"] is None and a["text"] is not None for b, a in zip(before, after, strict=True)
    )
    if filled:
        changes.append(f"{name}: {filled} texts filled in")
    for old, new in zip(before, after, strict=True):
        changes += _new_scores(old, new, f"{name}, score")
    return changes


def _parents(run: Run, parents: list[str]) -> list[Block]:
    items: list[Block] = []
    for parent in parents[:_PARENTS]:
        found = [s for s in _find(run, parent) if s.row["id"] == parent]
        if found:
            items.append(full_record(found[0].row, f"{parent}, first in {_place(found[0])}"))
        else:
            items.append(Lines([f"{parent}: not a record of this run"]))
    if len(parents) > _PARENTS:
        items.append(Lines([f"{len(parents) - _PARENTS} more"]))
    return items
