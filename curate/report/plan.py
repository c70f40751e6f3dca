"""What a run would do, as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence

from curate.engine.local import Step
from curate.recipe import Node, Recipe
from curate.report.asking import asking_blocks
from curate.report.blocks import Report, Section, Table


def plan_report(recipe: Recipe, steps: Sequence[Step]) -> Report:
    """Show for each stage whether it would run, and on what; and what the licences would drop."""
    rows = []
    for step in steps:
        node = recipe.nodes[step.name]
        rows.append((step.name, _state(step), _inputs(node), f"{step.stage}: {node.stage.help()}"))
    running = sum(not step.reused for step in steps)
    note = f"{running} of {len(steps)} stages would run; {len(steps) - running} are reused"
    table = Table(("stage", "would", "inputs", "what it does"), rows, note)
    sections = [Section("Stages", [table])]
    if asking := asking_blocks(recipe, steps):
        sections.append(Section("Language models", asking))
    if waiting := _waiting(steps):
        sections.append(Section("Batches under way", [waiting]))
    if chosen := [row for step in steps for row in _chosen(recipe.nodes[step.name])]:
        sections.append(Section("Chosen", [Table(("stage", "what", "value"), chosen)]))
    if any(step.licenses for step in steps):
        sections.append(Section("Licences", [_licenses(steps)]))
    return Report(f"Plan of {recipe.name}", sections)


def _waiting(steps: Sequence[Step]) -> Table | None:
    """Show the batches that a server has not answered yet, or whose answers were not taken yet."""
    rows = [
        (
            batch.model,
            batch.id or "not submitted yet",
            f"{batch.requests:,}",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(batch.noted)),
            f"{batch.status}, {batch.done:,} treated" if batch.status else "",
        )
        for batch in dict.fromkeys(batch for step in steps for batch in step.batches)
    ]
    if not rows:
        return None
    note = "a run asks how far they are, and takes their answers; what waits in them is paid once"
    return Table(("model", "batch", "requests>", "since", "last seen"), rows, note)


def _licenses(steps: Sequence[Step]) -> Table:
    """Show what the recipe's licences would drop of each source."""
    rows = [
        (
            step.name if first == 0 else "",
            found.license,
            f"{found.share:.1%}",
            f"{found.records:,}" if first == 0 else "",
            f"dropped: {found.refusal}" if found.refusal else "kept",
        )
        for step in steps
        for first, found in enumerate(step.licenses)
    ]
    note = "shares of the records in a sample: the beginnings of some files of each source"
    return Table(("source", "license", "share>", "sampled>", "would be"), rows, note)


def _chosen(node: Node) -> list[tuple[str, str, str]]:
    """List what a stage has chosen by its settings, before anything runs."""
    facts = node.stage.planned().items()
    return [
        (node.name if first == 0 else "", name, str(value))
        for first, (name, value) in enumerate(facts)
    ]


def _state(step: Step) -> str:
    if step.reused:
        return "be reused"
    if step.parts is not None and step.parts_done:
        return f"go on: {step.parts_done:,} of {step.parts:,} parts are done"
    return "run" if step.parts is None else f"run: {step.parts:,} parts"


def _inputs(node: Node) -> str:
    named = [f"{name}: {', '.join(map(str, refs))}" for name, refs in node.refs.items() if refs]
    return "; ".join([", ".join(str(r) for r in node.main) or "outside", *named])
