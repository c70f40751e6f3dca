"""curate evaluate: one model on one set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from curate.evaluate.datasets import RetrievalSet


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=_EXAMPLES)(evaluate)


_EXAMPLES = "\n\n".join(
    [
        "[bold]Examples[/bold]",
        "curate evaluate output/runs/latest/stages/final data/scifact",
        "curate evaluate output/runs/latest/stages/final sts-test.tsv --json",
    ]
)


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(help="A model folder.", file_okay=False, exists=True, show_default=False),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="A BEIR folder, a folder of shards of pairs, or an STS table.", show_default=False
        ),
    ],
    bm25: Annotated[
        bool, typer.Option("--bm25/--no-bm25", help="Compare with BM25, untuned (retrieval).")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Evaluate a model: nDCG@10, MRR@10 and recall@100 with intervals, or Spearman's rho for STS."""
    from curate.evaluate.datasets import RetrievalSet, load_evaluation_set
    from curate.report.blocks import Report, Section, output_console, show
    from curate.report.evaluation import evaluation_blocks

    loaded = load_evaluation_set(data)
    if isinstance(loaded, RetrievalSet):
        metrics = _retrieval(model, loaded, bm25)
    else:
        from curate.encode import load_encoder
        from curate.evaluate.sts import evaluate_sts

        metrics = evaluate_sts(load_encoder(model), loaded).to_dict()
    if as_json:
        typer.echo(json.dumps(metrics, indent=1, ensure_ascii=False))
        return
    section = Section(f"{model} on {data}", evaluation_blocks(metrics))
    show(Report("Evaluation", [section]), output_console())


def _retrieval(model: Path, data: RetrievalSet, bm25: bool) -> dict[str, Any]:
    from curate.evaluate.retrieval import bm25_system, encoder_system, evaluate_retrieval

    name = model.name if model.name not in ("", "bm25") else "model"
    systems = [bm25_system()] if bm25 else []
    return evaluate_retrieval([*systems, encoder_system(name, model)], data).to_dict()
