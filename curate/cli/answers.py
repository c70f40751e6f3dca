"""curate answers: what language models answered, and what is still worth to be kept of it."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from curate.cli.options import DEFAULT_OUTPUT, Output, parse_age
from curate.llm.base import Finish

Ending = StrEnum("Ending", {name: name for name in get_args(Finish)})  # type: ignore[misc]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=_EXAMPLES)(answers)


_EXAMPLES = "\n\n".join(
    [
        "[bold]Examples[/bold]",
        "curate answers                                     what there is, by model and ending",
        "curate answers --model smollm2 --export out.jsonl  a line of JSON for each answer",
        "curate answers --finish failed --prune             have failed requests sent again",
        "curate answers --older-than 8w --prune --yes",
    ]
)


def answers(
    output: Output = DEFAULT_OUTPUT,
    model: Annotated[
        str | None, typer.Option(help="Only those of this model, as listed.", show_default=False)
    ] = None,
    finish: Annotated[
        Ending | None, typer.Option(help="Only those that ended so.", show_default=False)
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(
            help="Only older ones: 90s, 30m, 12h, 7d, 2w.",
            parser=parse_age,
            metavar="AGE",
            show_default=False,
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write them to this file, JSON lines.", dir_okay=False, show_default=False
        ),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Forget them. Asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """List, export or forget the recorded answers of language models.

    What is forgotten is asked for, and paid for, again when it is needed again; what was made of it
    stays. It also works while a run does.
    """
    from curate.engine.store import Store
    from curate.errors import CurateError
    from curate.llm.answers import Answers, Which
    from curate.report.answers import answers_report, export_answers
    from curate.report.blocks import output_console, show

    path = Store(output / "store", create=False).answers
    if not path.exists():
        raise CurateError(f"{path}: no answers are recorded here; give the folder by --output")
    before = None if older_than is None else time.time() - older_than
    which = Which(model, None if finish is None else cast(Finish, finish.value), before)
    recorded = Answers(path)
    groups = recorded.groups(which)
    show(answers_report(path, groups), output_console())
    if export is not None:
        typer.echo(f"wrote {export_answers(recorded, which, export):,} answers to {export}")
    if prune and groups:
        if not yes:
            typer.confirm("\nForget all of these?", abort=True)
        typer.echo(f"forgot {recorded.prune(which):,} answers")
