"""The report of a run: what became of the records, what came out, and where it lies.

It knows no particular stage: it reads manifests, and `metrics.json` where an artefact has one.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.engine.run import Run
from curate.engine.store import Artefact
from curate.report.asking import paid_table
from curate.report.blocks import Block, Code, Item, Lines, Report, Section, Table, to_markdown
from curate.report.evaluation import Metrics, evaluation_blocks, search_blocks
from curate.report.records import brief_drop, brief_pair, sample, sample_drop
from curate.report.text import number, one_line, seconds, size
from curate.shards import write_bytes
from curate.stage import DROPPED, MAIN, model_sort

METRICS = "metrics.json"
REPORT = "report.md"
_EXAMPLES = 5
_DROPS = 3
_REASONS = 3
_LIST = 10
_CELL_CHARS = 160
# A note under this name is a list of tables, each with title, columns (as of `blocks.Table`), rows of
# texts, and a line below it.
_TABLES = "tables"
_NOT_IN_SHORT = ("files", _TABLES)


def run_report(run: Run, seed: int = 0) -> Report:
    """Describe a run.

    :param seed: draws the example pairs and drops.
    """
    report = Report(f"Run {run.folder.name}")
    add = report.sections.append
    add(Section("What became of the records", [funnel(run)]))
    if (sources := source_funnel(run)) is not None:
        add(Section("Where the pairs come from", [sources]))
    if (paid := paid_table(run)) is not None:
        add(Section("Language models", [paid]))
    if notes := note_rows(run):
        add(Section("Notes", [Table(("stage", "note", "value"), notes)]))
    report.sections.extend(noted_tables(run))
    evaluations = list(_evaluations(run))
    for name, metrics in evaluations:
        add(Section(f"Evaluation: {name}", evaluation_blocks(metrics)))
    if pairs := _example_pairs(run, seed):
        add(pairs)
    if drops := example_drops(run, _DROPS, seed):
        add(Section("Dropped, for example", drops))
    for name, metrics in evaluations:
        if metrics.get("examples"):
            add(Section(f"A search: {name}", search_blocks(metrics)))
    add(_places(run))
    return report


def write_report(run: Run, report: Report) -> Path:
    """Write `report.md` into the run's folder."""
    path = run.folder / REPORT
    write_bytes(path, to_markdown(report).encode())
    return path


# -- funnel ----------------------------------------------------------------------------------


def funnel(run: Run) -> Table:
    """Return a row per stage: what went in, what came out, what was dropped and why."""
    columns = ("stage", "inputs>", "outputs>", "dropped>", "why", "time>", "memory>", "reused")
    entries = run.stage_rows()
    rows = [_funnel_row(entry, run.artefacts[entry["name"]]) for entry in entries]
    took = seconds(sum(entry["seconds"] for entry in entries))
    note = f"this run took {took}; a reused stage shows the time and memory of the run that made it"
    return Table(columns, rows, note)


def source_funnel(run: Run) -> Table | None:
    """Return a row per source of pairs: harvested, dropped by which stage, left at the end.

    None if there are not two sources, or if no stage leaves pairs.
    """
    last = last_of(run, "pairs")
    if last is None:
        return None
    harvested: Counter[str] = Counter()
    dropped: dict[str, dict[str, int]] = {}
    for name in _way_to(run, last):
        for source, counts in run.artefacts[name].account.by_source.items():
            if not _inputs_of(run, name):
                harvested[source] += counts.get(MAIN, 0)
            elif count := counts.get(DROPPED, 0):
                dropped.setdefault(source, {})[name] = count
    if len(+harvested) < 2:
        return None
    left = run.artefacts[last].account.by_source
    rows = []
    for source, count in sorted((+harvested).items()):
        kept = left.get(source, {}).get(MAIN, 0)
        why = top_reasons(dropped.get(source, {}))
        rows.append((source, f"{count:,}", why, f"{kept:,}", f"{kept / max(count, 1):.0%}"))
    columns = ("source", "harvested>", "dropped since by", "left>", "share>")
    return Table(columns, rows, f"left are the pairs of `{last}`")


def _way_to(run: Run, last: str) -> list[str]:
    """Return the stages whose main sides lead to a stage, itself among them."""
    way, todo = [], [last]
    while todo:
        name = todo.pop()
        if name not in way:
            way.append(name)
            todo += [given for given in _inputs_of(run, name) if "." not in given]
    return way


def _inputs_of(run: Run, name: str) -> list[str]:
    inputs: list[str] = run.artefacts[name].manifest.info["inputs"]["from"]
    return inputs


def _funnel_row(entry: dict[str, Any], artefact: Artefact) -> tuple[str, ...]:
    account, info = artefact.account, artefact.manifest.info
    dropped = sum(account.dropped.values())
    return (
        entry["name"],
        f"{account.inputs:,}",
        _outputs(artefact),
        f"{dropped:,}" if dropped else "",
        top_reasons(account.dropped),
        seconds(info["seconds"]),
        size(info["peak_bytes"]),
        "yes" if entry["reused"] else "",
    )


def _outputs(artefact: Artefact) -> str:
    outputs = dict(artefact.account.outputs)
    if not outputs:
        return artefact.kind
    main = [f"{outputs.pop(MAIN, 0):,}"]
    return " + ".join(main + [f"{count:,} {side}" for side, count in outputs.items()])


def top_reasons(dropped: dict[str, int], most: int = _REASONS) -> str:
    """Write the most frequent reasons with their counts."""
    ranked = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{reason} {count:,}" for reason, count in ranked[:most]]
    if len(ranked) > most:
        rest = sum(count for _, count in ranked[most:])
        shown.append(f"{len(ranked) - most} more {rest:,}")
    return ", ".join(shown)


# -- notes -----------------------------------------------------------------------------------


def note_rows(run: Run) -> list[tuple[str, str, str]]:
    """Return what the stages noted, in short; what is nested deeper is left to the manifest."""
    rows = []
    for name, artefact in run.artefacts.items():
        if artefact.kind == "metrics":  # shown as tables
            continue
        notes = artefact.manifest.info.get("notes") or {}
        plain = {k: number(v) for k, v in notes.items() if isinstance(v, str | int | float)}
        if plain:
            rows.append((name, "", ", ".join(f"{key} {value}" for key, value in plain.items())))
        for key, value in notes.items():
            if key not in plain and key not in _NOT_IN_SHORT and (text := _nested(value)):
                rows.append((name, key, text))
    return rows


def noted_tables(run: Run) -> list[Section]:
    """Return the tables that stages noted, each under its title."""
    sections = []
    for name, artefact in run.artefacts.items():
        for table in (artefact.manifest.info.get("notes") or {}).get(_TABLES, []):
            rows = [tuple(one_line(cell, _CELL_CHARS) for cell in row) for row in table["rows"]]
            block = Table(tuple(table["columns"]), rows, table["note"])
            sections.append(Section(f"{name}: {table['title']}", [block]))
    return sections


def _nested(value: Any) -> str:
    """Write a list of numbers, a curve, or a list of small tables; empty if it is none of these."""
    if isinstance(value, dict) and all(isinstance(v, str | int | float) for v in value.values()):
        return ", ".join(_shortened([f"{k}: {number(v)}" for k, v in value.items()]))
    if not isinstance(value, list):
        return ""
    if all(isinstance(v, str | int | float) for v in value):
        return ", ".join(_shortened([number(v) for v in value]))
    if all(isinstance(v, dict) for v in value):
        return "; ".join(_shortened([_nested(v).replace(": ", " ") for v in value]))
    return ""


def _shortened(parts: list[str]) -> list[str]:
    return parts if len(parts) <= _LIST else [*parts[: _LIST - 1], "…", parts[-1]]


# -- evaluation, examples --------------------------------------------------------------------


def _evaluations(run: Run) -> Iterator[tuple[str, Metrics]]:
    for name, artefact in run.artefacts.items():
        path = artefact.folder / METRICS
        if path.is_file():
            yield name, json.loads(path.read_bytes())


def last_of(run: Run, kind: str) -> str | None:
    """Return the last stage that left an artefact of a kind."""
    names = [name for name, artefact in run.artefacts.items() if artefact.kind == kind]
    return names[-1] if names else None


def _example_pairs(run: Run, seed: int) -> Section | None:
    name = last_of(run, "pairs")
    if name is None or not len(run.shards(name)):
        return None
    rows = sample(run.shards(name), _EXAMPLES, seed)
    items: list[Block] = [brief_pair(row, number) for number, row in enumerate(rows, 1)]
    return Section(f"Pairs of `{name}`, for example", items)


def example_drops(run: Run, count: int, seed: int) -> list[Item]:
    """Draw drops of different stages, spread over the recipe, and then of different reasons."""
    ranked = {
        name: sorted(artefact.account.dropped.items(), key=lambda item: (-item[1], item[0]))
        for name, artefact in run.artefacts.items()
        if artefact.account.dropped and DROPPED in artefact.manifest.sides
    }
    names = list(ranked)
    if len(names) > count:
        names = [names[i * (len(names) - 1) // (count - 1)] for i in range(count)]
    chosen = [
        (name, *ranked[name][place])
        for place in range(max((len(ranked[name]) for name in names), default=0))
        for name in names
        if place < len(ranked[name])
    ]
    items = []
    for name, reason, total in chosen[:count]:
        row = sample_drop(run.shards(name, DROPPED), reason, seed)
        if row is not None:
            items.append(brief_drop(row, name, total))
    return items


# -- places ----------------------------------------------------------------------------------


def short_path(path: Path) -> str:
    """Return a path as it is reached from the working folder, if that is above it."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)


def _places(run: Run) -> Section:
    folder = short_path(run.folder)
    places = [("run", f"{folder}/"), ("this report", f"{folder}/{REPORT}")]
    commands = [f"curate inspect {folder}"]
    pairs, model = last_of(run, "pairs"), last_of(run, "model")
    if pairs:
        places.append(("pairs", f"{folder}/stages/{pairs}/"))
        commands.append(f"curate inspect {folder}/stages/{pairs}")
    dropping = [
        n for n, a in run.artefacts.items() if DROPPED in a.manifest.sides and a.account.dropped
    ]
    if dropping:
        commands.append(f"curate inspect {folder}/stages/{dropping[-1]} --dropped")
    if model:
        places.append(("model", f"{folder}/stages/{model}/"))
        if model_sort(run.artefacts[model].folder) == "encoder":
            commands.append(f"curate evaluate {folder}/stages/{model} BEIR_FOLDER")
    lines = [f"{what:<12} {where}" for what, where in places]
    return Section("Where everything lies", [Code(lines), Lines(["To go on:"]), Code(commands)])
