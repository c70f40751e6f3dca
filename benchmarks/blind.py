"""Are synthetic queries answered by their passages? A blind sheet, and the table of its verdicts.

    python -m benchmarks.blind sheet RUN > sheet.md          # 100 items, shuffled; says nothing of origin
    python -m benchmarks.blind table RUN VERDICTS > table.md # lines of `NUMBER yes` or `NUMBER no`

The sheet holds 50 synthetic queries with the passages they were written for, 25 docstring queries
with their code, and 25 docstring queries with the code of another one, in an order that the seed draws.
A judge who sees the sheet alone says of each whether the passage answers the query. The real ones and
the mismatched ones tell how far to trust the judge.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np

from curate.engine.run import Run, open_run
from curate.schema import Pair, from_table

SYNTHETIC, REAL, MISMATCHED = "synthetic", "real", "mismatched"
_COUNTS = {SYNTHETIC: 50, REAL: 25, MISMATCHED: 25}
_LINES = 30


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the sheet."""

    origin: str
    query: str
    passage: str
    pair: str


def items(run: Run, synthetic: str, real: str, seed: int) -> list[Item]:
    """Draw and shuffle the items.

    :param synthetic: the stage whose pairs hold kept synthetic queries.
    :param real: the stage whose pairs hold real queries.
    """
    rng = np.random.default_rng(seed)
    written = _draw(run, synthetic, _COUNTS[SYNTHETIC], rng)
    docstrings = _draw(run, real, _COUNTS[REAL] + _COUNTS[MISMATCHED], rng)
    found = [Item(SYNTHETIC, p.query, _passage(p), p.id) for p in written]
    matched, others = docstrings[: _COUNTS[REAL]], docstrings[_COUNTS[REAL] :]
    found += [Item(REAL, p.query, _passage(p), p.id) for p in matched]
    found += [
        Item(MISMATCHED, pair.query, _passage(other), pair.id)
        for pair, other in zip(others, [*others[1:], others[0]], strict=True)
    ]
    return [found[place] for place in rng.permutation(len(found))]


def _draw(run: Run, stage: str, count: int, rng: np.random.Generator) -> list[Pair]:
    table = run.shards(stage).to_arrow()
    if len(table) < count:
        sys.exit(f"{stage} holds {len(table)} pairs, {count} are needed")
    rows = np.sort(rng.choice(len(table), count, replace=False))
    return [record for record in from_table(table.take(rows)) if isinstance(record, Pair)]


def _passage(pair: Pair) -> str:
    return pair.positives[0].text or ""


def sheet(found: Sequence[Item]) -> str:
    """Write the sheet for a judge."""
    parts = []
    for number, item in enumerate(found, 1):
        lines = item.passage.strip().splitlines()
        more = [f"... ({len(lines) - _LINES} more lines)"] if len(lines) > _LINES else []
        parts += [f"## {number}", f"Query: {item.query}", "````python"]
        parts += [*lines[:_LINES], *more, "````", ""]
    return "\n".join(parts)


def table(found: Sequence[Item], verdicts: dict[int, bool]) -> tuple[str, dict[str, float]]:
    """Join verdicts and origins: the table, and the share answered by origin."""
    shares: dict[str, float] = {}
    lines = ["| origin | items | answered | share | 95% interval |", "|---|---|---|---|---|"]
    for origin in _COUNTS:
        answered = [verdicts[n] for n, item in enumerate(found, 1) if item.origin == origin]
        shares[origin] = sum(answered) / len(answered)
        low, high = wilson(sum(answered), len(answered))
        lines.append(
            f"| {origin} | {len(answered)} | {sum(answered)} | {shares[origin]:.0%} | "
            f"{low:.0%} to {high:.0%} |"
        )
    lines += ["", "| | origin | answered | query | passage |", "|---|---|---|---|---|"]
    for number, item in enumerate(found, 1):
        verdict = "yes" if verdicts[number] else "no"
        first = next((x for x in item.passage.splitlines() if "def " in x), item.passage)
        cells = (item.query, f"`{first.strip()[:70]}`")
        shown = " | ".join(cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| {number} | {item.origin} | {verdict} | {shown} |")
    return "\n".join(lines), shares


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the score interval of a share (Wilson 1927)."""
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def read_verdicts(path: Path, count: int) -> dict[int, bool]:
    """Read `NUMBER yes` or `NUMBER no` for each item."""
    words = [line.split() for line in path.read_text().splitlines() if line.strip()]
    verdicts = {int(number): {"yes": True, "no": False}[word] for number, word, *_ in words}
    if missing := set(range(1, count + 1)) - verdicts.keys():
        sys.exit(f"{path}: no verdict on {sorted(missing)}")
    return verdicts


def main() -> None:
    """Write a sheet, or the table of its verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["sheet", "table"])
    parser.add_argument("run", type=Path)
    parser.add_argument("verdicts", type=Path, nargs="?")
    parser.add_argument("--synthetic", default="one")
    parser.add_argument("--real", default="trusted")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = items(open_run(given.run), given.synthetic, given.real, given.seed)
    if given.what == "sheet":
        print(sheet(found))
        return
    text, shares = table(found, read_verdicts(given.verdicts, len(found)))
    print(text)
    print(json.dumps(shares), file=sys.stderr)


if __name__ == "__main__":
    main()
