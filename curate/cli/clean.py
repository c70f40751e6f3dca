"""curate clean: the store."""

from __future__ import annotations

from typing import Annotated

import typer

from curate.cli.options import DEFAULT_OUTPUT, Output, parse_age


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=_EXAMPLES)(clean)


_EXAMPLES = "\n\n".join(
    [
        "[bold]Examples[/bold]",
        "curate clean --dry-run                     what no run refers to, by age and size",
        "curate clean --older-than 7d --yes",
        "curate clean --keep-runs 3                 forget all but the three newest runs",
    ]
)


def clean(
    output: Output = DEFAULT_OUTPUT,
    older_than: Annotated[
        float | None,
        typer.Option(
            help="Leave what is younger: 90s, 30m, 12h, 7d, 2w.",
            parser=parse_age,
            metavar="AGE",
            show_default=False,
        ),
    ] = None,
    keep_runs: Annotated[
        int | None,
        typer.Option(
            help="Forget all but the newest N runs.", metavar="N", min=1, show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List only.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove from the store what no run refers to. Asks first.

    Everything it removes can be made again by running the recipe. It does not work while a run does.
    """
    from curate.report.blocks import output_console, show
    from curate.report.clean import find_rubbish, remove, rubbish_report
    from curate.report.text import size

    age = older_than or 0.0
    rubbish = find_rubbish(output, age, keep_runs)
    show(rubbish_report(output, rubbish), output_console())
    if dry_run or not rubbish:
        return
    if not yes:
        typer.confirm("\nRemove all of it?", abort=True)
    removed = remove(output, age, keep_runs)
    typer.echo(f"removed {len(removed):,} folders, {size(sum(r.bytes for r in removed))}")
