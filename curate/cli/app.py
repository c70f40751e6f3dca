"""The command `curate`: what it offers, and how errors end it.

Exit codes: 0 done; 1 something the user can mend; 2 a wrong recipe, setting or use; 3 another run
holds what is needed; 4 the budget is spent; 5 batches of requests are not answered yet; 130
interrupted. A traceback is a bug.
"""

from __future__ import annotations

import errno
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from curate import __version__
from curate.cli import answers, clean, evaluate, inspect, run
from curate.errors import CurateError
from curate.report.text import clean as clean_text

INTERRUPTED = 130
# Of the machine, not of the program: no permission, disk full, read-only, quota.
_MENDABLE = {errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS, errno.EDQUOT}


class _Commands(TyperGroup):
    """Turns errors that the user can mend into lines and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CurateError as error:
            _say(str(error))
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            if error.errno not in _MENDABLE:
                raise
            _say(f"{error.filename or ctx.info_name}: {error.strerror}")
            raise typer.Exit(CurateError.exit_code) from None
        except KeyboardInterrupt:
            _say("interrupted; what is finished is kept, and the same command goes on from there")
            raise typer.Exit(INTERRUPTED) from None


def _say(message: str) -> None:
    for line in message.splitlines():
        sys.stderr.write(f"error: {clean_text(line)}\n")


app = typer.Typer(
    name="curate",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Raw text in, training data for text-embedding models out, and the proof that it helped.",
    epilog="\n\n".join(
        [
            "[bold]To begin[/bold]",
            "curate run pipelines/quickstart.yaml    run a recipe, or go on with it",
            "curate plan pipelines/quickstart.yaml   what would run, what is reused",
            "curate inspect output/runs/latest       what became of the records",
            "curate stages filter.consistency        the settings of a stage",
            "[bold]Exit codes[/bold]  0 done, 1 an error to mend, 2 a wrong recipe or setting, "
            "3 busy, 4 the budget is spent, 5 batches are not answered yet, 130 interrupted",
        ]
    ),
)
run.add_to(app)
inspect.add_to(app)
evaluate.add_to(app)
clean.add_to(app)
answers.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"curate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Stand above the commands."""


def main() -> None:
    """Run the command line; the entry point of the package."""
    app(prog_name="curate")
