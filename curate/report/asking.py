"""What language models are asked: before a run, what it is expected to cost; after it, what it did."""

from __future__ import annotations

from collections.abc import Sequence

from curate.engine.expect import Expected
from curate.engine.local import Step
from curate.engine.run import Run
from curate.llm.prices import dollars
from curate.llm.recorded import unusable_counts
from curate.recipe import Recipe
from curate.report.blocks import Block, Lines, Table
from curate.report.text import seconds
from curate.stage import Ask

_UNKNOWN = "unknown"
_SURE = 0.01  # a range that is narrower is shown as one number


def asking_blocks(recipe: Recipe, steps: Sequence[Step]) -> list[Block]:
    """Show what the stages that would run ask of language models, and what they would take."""
    asking = [s for s in steps if not s.reused and isinstance(recipe.nodes[s.name].stage, Ask)]
    if not asking:
        return []
    known = {step.name: step.asks for step in asking if step.asks is not None}
    rows = [_row(step.name, known.get(step.name)) for step in asking]
    if len(rows) > 1 and known:
        rows.append(_total(list(known.values()), whole=len(known) == len(asking)))
    columns = ("stage", "calls>", "prompt tokens>", "completion tokens>", "money>", "time>")
    note = "what is answered already is not counted; a money of 0 is of models on this machine"
    lines = [
        f"{step.name}: {_rests_on(step.asks) if step.asks is not None else step.unknown}"
        for step in asking
    ]
    if len(known) < len(asking):
        lines.append("`curate run .. --max-tokens 0` runs what comes before the first request")
    return [Table(columns, rows, note), Lines(lines)]


def _row(name: str, asks: Expected | None) -> tuple[str, ...]:
    if asks is None:
        return name, *[_UNKNOWN] * 5
    takes = asks.takes
    return (
        name,
        f"{takes.calls:,.0f}",
        f"{takes.prompt_tokens:,.0f}",
        _range(*takes.completion_tokens),
        _money(asks.cost),
        _UNKNOWN if takes.seconds is None else seconds(takes.seconds),
    )


def _total(known: Sequence[Expected], whole: bool) -> tuple[str, ...]:
    """Sum up.

    :param whole: whether nothing is missing.
    """
    takes = [asks.takes for asks in known]
    least, most = (sum(t.completion_tokens[end] for t in takes) for end in (0, 1))
    costs = [asks.cost for asks in known]
    told = [cost for cost in costs if cost is not None]
    cost = (sum(low for low, _ in told), sum(high for _, high in told))
    times = [t.seconds for t in takes]
    duration = sum(time for time in times if time is not None)
    return (
        "in total" if whole else "in total, at least",
        f"{sum(t.calls for t in takes):,.0f}",
        f"{sum(t.prompt_tokens for t in takes):,.0f}",
        _range(least, most),
        _money(cost if len(told) == len(costs) else None),
        _UNKNOWN if None in times else seconds(duration),
    )


def _range(low: float, high: float) -> str:
    if high - low <= _SURE * high:
        return f"{(low + high) / 2:,.0f}"
    return f"{low:,.0f} to {high:,.0f}"


def _money(cost: tuple[float, float] | None) -> str:
    if cost is None:
        return _UNKNOWN
    low, high = cost
    return dollars(high) if high - low <= _SURE * high else f"{dollars(low)} to {dollars(high)}"


def _rests_on(asks: Expected) -> str:
    """Say what an estimate rests on."""
    takes = asks.takes
    sample = f"all {asks.rows:,} records" if asks.rows else "the first round"
    if asks.sampled < asks.rows:
        sample = f"{asks.sampled:,} of {asks.rows:,} records, standard error {asks.error:.1%}"
    parts = [f"{asks.model}; seen {sample}"]
    if asks.recorded >= 1:
        parts.append(f"{asks.recorded:,.0f} questions are answered already")
    if not takes.calls:
        return "; ".join(parts)
    parts.append(f"prompts by {takes.counted_by}")
    low, high = takes.completion_tokens
    if takes.answers:
        parts.append(f"answers as {takes.answers:,} recorded ones")
        if takes.again:
            parts.append(f"{takes.again:.1%} of them unusable")
    elif high > low:
        parts.append("no answer is recorded, so between the shortest and `max_tokens`; see --probe")
    if asks.price is None:
        parts.append("its price is not known: set `llm.price`")
    return "; ".join(parts)


def paid_table(run: Run) -> Table | None:
    """Show what the rows of a run rest on, and what was asked in this run; None if nothing was."""
    rows = []
    for entry in run.stage_rows():
        artefact = run.artefacts[entry["name"]]
        asked, info = artefact.account.asked, artefact.manifest.info
        if not asked:
            continue
        paid = entry.get("llm") or {}
        rows.append(
            (
                entry["name"],
                str(info.get("llm", "")),
                f"{asked.get('calls', 0):,}",
                f"{asked.get('prompt_tokens', 0):,}",
                f"{asked.get('completion_tokens', 0):,}",
                _told(info.get("cost")),
                f"{paid.get('asked', 0):,}",
                _told(paid.get("cost", 0.0 if not paid else None)),
                ", ".join(unusable_counts(asked)),
            )
        )
    if not rows:
        return None
    columns = (
        "stage",
        "model",
        "calls>",
        "read>",
        "written>",
        "money>",
        "now>",
        "paid now>",
        "not usable",
    )
    note = (
        "calls, tokens and money of all that the rows rest on; now: what was not answered before;"
        " money by the prices of the day"
    )
    return Table(columns, rows, note)


def _told(cost: float | None) -> str:
    return _UNKNOWN if cost is None else dollars(cost)
