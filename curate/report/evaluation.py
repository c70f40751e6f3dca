"""Evaluations as tables: every system with its intervals, and the last one against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.report.blocks import Block, Item, Lines, Table
from curate.report.text import clean, excerpt, number, one_line

Metrics = Mapping[str, Any]
_FOUND = 3


def evaluation_blocks(metrics: Metrics) -> list[Block]:
    """Return the tables of a `metrics.json`, whichever evaluation wrote it."""
    if "systems" not in metrics:
        facts = [(clean(key), number(value)) for key, value in metrics.items() if _scalar(value)]
        return [Table(("measure", "value>"), facts)]
    blocks: list[Block] = [_systems(metrics)]
    if metrics.get("differences"):
        blocks.append(_differences(metrics))
    return blocks


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _systems(metrics: Metrics) -> Table:
    names = list(dict.fromkeys(name for s in metrics["systems"] for name in s["metrics"]))
    rows = []
    for system in metrics["systems"]:
        settings = ", ".join(f"{k} {number(v)}" for k, v in (system.get("settings") or {}).items())
        values = [_interval(system["metrics"].get(name)) for name in names]
        rows.append((system["name"] + (f" ({settings})" if settings else ""), *values))
    note = (
        f"{metrics['queries']:,} queries, {metrics['passages']:,} passages; "
        "means with 95% bootstrap intervals"
    )
    return Table(("system", *(f"{name}>" for name in names)), rows, note)


def _differences(metrics: Metrics) -> Table:
    rows = []
    for entry in metrics["differences"]:
        ratio = entry.get("ratio")
        rows.append(
            (
                f"{entry['system']} - {entry['baseline']}",
                entry["metric"],
                _interval(entry["difference"], sign="+"),
                f"{ratio:.2f}" if ratio is not None else "",
            )
        )
    note = "taken query by query; where 0 is outside the interval, the two differ (at 5%)"
    return Table(("difference", "of", "mean [95% interval]>", "ratio of means>"), rows, note)


def _interval(value: Mapping[str, float] | None, sign: str = "") -> str:
    if value is None:
        return ""
    mean, low, high = (format(value[key], f"{sign}.3f") for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def search_blocks(metrics: Metrics) -> list[Block]:
    """Return the searches that an evaluation kept, each with the first passages found."""
    blocks: list[Block] = []
    for example in metrics.get("examples") or []:
        fields = [("query", excerpt(example["query"], 4, 400))]
        for rank, found in enumerate(example["found"][:_FOUND], 1):
            relevant = {True: ", relevant", False: "", None: ""}[found.get("relevant")]
            label = f"{rank}. ({found['score']:.3f}{relevant})"
            fields.append((label, excerpt(found["text"], 4, 300)))
        blocks.append(Item(f"found by {one_line(metrics['systems'][-1]['name'])}", fields))
    return blocks or [Lines(["no searches were kept"])]
