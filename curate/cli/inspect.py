"""curate inspect, curate stages: look at what there is."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated

import typer

from curate.cli.options import DEFAULT_OUTPUT, Output, Seed, complete_stage

_ID = re.compile(r"[0-9a-f]{6,32}")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=_INSPECT_EXAMPLES)(inspect)
    app.command(epilog=_STAGES_EXAMPLES)(stages)


_INSPECT_EXAMPLES = "\n\n".join(
    [
        "[bold]Examples[/bold]",
        "curate inspect output/runs/latest                    the stages of a run",
        "curate inspect output/runs/latest/stages/shards      records, drawn at random",
        "curate inspect output/runs/latest --dropped          what was dropped, and why",
        "curate inspect 3344c31b953b                          the way of one record",
    ]
)


def inspect(
    target: Annotated[
        str,
        typer.Argument(
            help="A run, an artefact or another folder of shards; or the id of a record, or its "
            "first 6 or more digits.",
            show_default=False,
        ),
    ],
    stage: Annotated[
        str | None, typer.Option(help="A stage of the run folder.", show_default=False)
    ] = None,
    side: Annotated[str, typer.Option(help="Which side to look at.")] = "main",
    dropped: Annotated[
        bool, typer.Option("--dropped", help="Show what was dropped, by reason.")
    ] = False,
    source: Annotated[
        str | None, typer.Option(help="Only the records of this source.", show_default=False)
    ] = None,
    rows: Annotated[int, typer.Option(help="Records to show (of each reason).", min=0)] = 3,
    seed: Seed = 0,
    run: Annotated[
        Path | None,
        typer.Option(
            help="The run to look an id up in; by default the latest.", show_default=False
        ),
    ] = None,
    output: Output = DEFAULT_OUTPUT,
) -> None:
    """Look at shards, at drops, or at the way of one record."""
    from curate.engine.run import open_run
    from curate.errors import CurateError
    from curate.report.blocks import output_console, show
    from curate.report.inspect import describe, describe_drops, folder_of, walk

    path = Path(target)
    if path.is_dir():
        folder = folder_of(path, stage)
        report = (
            describe_drops(folder, rows, seed)
            if dropped
            else describe(folder, side, rows, seed, source)
        )
    elif _ID.fullmatch(target):
        report = walk(open_run(run or output / "runs" / "latest"), target)
    else:
        raise CurateError(
            f"{target}: neither a folder nor an id; an id is 32 digits (0-9, a-f), of which the "
            "first 6 are enough"
        )
    show(report, output_console())


_STAGES_EXAMPLES = "\n\n".join(
    ["[bold]Examples[/bold]", "curate stages", "curate stages dedup.minhash"]
)


def stages(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A stage, to see all its settings.",
            show_default=False,
            autocompletion=complete_stage,
        ),
    ] = None,
) -> None:
    """List the stages that a recipe can use, or the settings of one."""
    from curate.errors import RecipeError
    from curate.registry import registry
    from curate.report.blocks import output_console, show
    from curate.report.stages import describe_stage, list_stages

    known = registry()
    if name is not None and name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "; see `curate stages`"
        raise RecipeError(f"no stage is called {name!r}{hint}")
    report = list_stages(known) if name is None else describe_stage(known[name])
    show(report, output_console())
