"""How many brainstormed tasks differ, and how far they are from what was asked for.

    python -m benchmarks.diversity --model NAME --url http://127.0.0.1:8000/v1 [--tasks 1000]

Asks once for each task (`rounds: 1`), then in rounds until each cell has its share (steered); the answers
of the first round are recorded and asked for once. Of both the share is told that a near-duplicate
removal of its own leaves: runs of five characters of which half are shared, where steering compares
words. For what was asked once it is the share of all answers, since what is lost is lost; steered, of the
tasks that are there in the end. `coverage_error` is the total variation distance, from 0 to 1, between
the shares of the cells (family, language, length, difficulty) asked for and those reached. The last line
is JSON. `--output` keeps the answers, so that a repetition asks nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from curate.engine.run import Run
from curate.recipe import Recipe

_COVERAGE = {"language": {"en": 43, "de": 19, "fr": 19, "zh": 19}}
_RECIPE = """
stages:
  once:         {{synthesize.tasks: {{count: {count}, rounds: 1, coverage: {coverage}}}}}
  once_left:    {{dedup.minhash: {{from: once, shingle: chars, shingle_size: 5, threshold: 0.5}}}}
  steered:      {{synthesize.tasks: {{count: {count}, rounds: {rounds}, coverage: {coverage}}}}}
  steered_left: {{dedup.minhash: {{from: steered, shingle: chars, shingle_size: 5, threshold: 0.5}}}}
"""


def figures(run: Run) -> dict[str, float]:
    """Return what is told of a run."""
    kept = {name: artefact.account.kept for name, artefact in run.artefacts.items()}
    notes = {name: run.artefacts[name].manifest.info["notes"] for name in ("once", "steered")}
    answers = {name: run.artefacts[name].account.inputs for name in ("once", "steered")}
    return {
        "distinct_share": round(kept["once_left"] / answers["once"], 4),
        "distinct_share_steered": round(kept["steered_left"] / kept["steered"], 4),
        "coverage_error": notes["once"]["coverage_error"],
        "coverage_error_steered": notes["steered"]["coverage_error"],
        "tasks": kept["once"],
        "tasks_steered": kept["steered"],
        "answers": answers["once"],
        "answers_steered": answers["steered"],
    }


def main() -> None:
    """Ask, count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default="smollm2", help="a model of the local backend, or a name"
    )
    parser.add_argument("--url", help="an OpenAI-compatible server")
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("output/diversity"))
    asked = parser.parse_args()
    served = {"backend": "openai", "url": asked.url} if asked.url else {"backend": "local"}
    llm = json.dumps({"llm": {"model": asked.model, **served}})[1:-1]
    stages = _RECIPE.format(count=asked.tasks, rounds=asked.rounds, coverage=json.dumps(_COVERAGE))
    run = Recipe.parse(f"{llm}\n{stages}", "diversity").run(asked.output)
    for name in ("once", "steered"):
        (table,) = run.artefacts[name].manifest.info["notes"]["tables"]
        print(
            f"\n{name}: {table['title']}\n\n{' | '.join(c.rstrip('>') for c in table['columns'])}"
        )
        print("\n".join(" | ".join(row) for row in table["rows"]))
    print(json.dumps(figures(run)))


if __name__ == "__main__":
    main()
