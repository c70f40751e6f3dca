"""curate run, curate plan, curate train: recipes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.options import DEFAULT_OUTPUT, Output, Overrides, RecipeFile, parse_count

if TYPE_CHECKING:
    from curate.recipe import Recipe


class Engine(StrEnum):
    """What runs the stages."""

    LOCAL = "local"


Workers = Annotated[
    int | None, typer.Option(help="Processes; by default one a core.", min=1, show_default=False)
]
Batch = Annotated[
    int | None,
    typer.Option(help="Records a process holds at a time.", min=1, show_default=False),
]
Wait = Annotated[
    bool,
    typer.Option("--wait/--no-wait", help="Wait for another run that computes the same, or stop."),
]
MaxCost = Annotated[
    float | None,
    typer.Option(help="USD that language models may cost.", min=0, show_default=False),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        help="Tokens that language models may read and write; 0 ends where the first is asked.",
        show_default=False,
        parser=parse_count,
        metavar="INTEGER",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=_RUN_EXAMPLES)(run)
    app.command(epilog=_PLAN_EXAMPLES)(plan)
    app.command(epilog=_TRAIN_EXAMPLES)(train)


_RUN_EXAMPLES = "\n\n".join(
    [
        "[bold]Examples[/bold]",
        "curate run pipelines/quickstart.yaml",
        "curate run pipelines/quickstart.yaml --set params.k=5 --set final.epochs=4",
        "curate run pipelines/quickstart.yaml --workers 1 --batch 2000",
        "curate run pipelines/quickstart.yaml --max-cost 5 --max-tokens 2_000_000",
    ]
)


def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    engine: Annotated[Engine, typer.Option(help="What runs the stages.")] = Engine.LOCAL,
    workers: Workers = None,
    batch: Batch = None,
    output: Output = DEFAULT_OUTPUT,
    wait: Wait = True,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Run a recipe and report what came out.

    Stages that are finished are reused, and a run that was stopped or killed goes on from its last
    finished part. The report is printed, and written into the run's folder as report.md. A run that
    may cost no more stops with exit code 4: every answer is recorded, and a higher limit goes on.
    """
    from curate.recipe import Recipe

    caps = {"max_cost": max_cost, "max_tokens": max_tokens}
    _run(Recipe.load(recipe, overrides or ()), output, workers, batch, wait, **caps)


def _run(
    recipe: Recipe,
    output: Path,
    workers: int | None,
    batch: int | None,
    wait: bool,
    **more: Any,
) -> None:
    from curate.report.blocks import output_console, show
    from curate.report.run import run_report, write_report

    options = more if batch is None else {"batch": batch, **more}
    finished = recipe.run(output, workers=workers, wait=wait, **options)
    report = run_report(finished)
    write_report(finished, report)
    show(report, output_console())


_PLAN_EXAMPLES = "\n\n".join(
    [
        "[bold]Examples[/bold]",
        "curate plan pipelines/quickstart.yaml",
        "curate plan pipelines/quickstart.yaml --set trusted.k=5",
        "curate plan pipelines/quickstart.yaml --probe 100    ask a little, to know what the rest takes",
    ]
)


def plan(
    recipe: RecipeFile,
    overrides: Overrides = None,
    output: Output = DEFAULT_OUTPUT,
    probe: Annotated[
        int,
        typer.Option(
            help="Ask language models about so many requests of each stage, to measure the answers.",
            min=0,
        ),
    ] = 0,
) -> None:
    """Show what a run would do: which stages run, which are reused, what language models would cost.

    Runs nothing, and writes nothing but the answers to a probe, which the run does not ask again.
    """
    from curate.engine.local import plan as plan_steps
    from curate.recipe import Recipe
    from curate.report.blocks import output_console, show
    from curate.report.plan import plan_report

    loaded = Recipe.load(recipe, overrides or ())
    show(plan_report(loaded, plan_steps(loaded, output, probe=probe)), output_console())


_TRAIN_EXAMPLES = "\n\n".join(
    [
        "[bold]A configuration[/bold], with the settings of `curate stages train.contrastive`:",
        "pairs: output/runs/NAME/stages/shards",
        "output: output",
        "dimension: 512",
        "epochs: 3",
    ]
)


def train(
    config: Annotated[
        Path,
        typer.Argument(
            help="A YAML file: `pairs`, `output`, and settings of train.contrastive.",
            metavar="CONFIG",
            show_default=False,
        ),
    ],
    workers: Workers = None,
    wait: Wait = True,
) -> None:
    """Train a model on a folder of shards.

    It is a run of two stages, harvest.shards and train.contrastive: it resumes, and it is reused.
    """
    from curate.cli.training import load_training

    training = load_training(config)
    _run(training.recipe, training.output, workers, None, wait)
