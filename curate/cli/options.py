"""Options and arguments that several commands have, and what completes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[
    Path, typer.Option(help="Folder of the store and the runs.", file_okay=False, metavar="DIR")
]
DEFAULT_OUTPUT = Path("output")

RecipeFile = Annotated[
    Path, typer.Argument(help="A recipe: a YAML file.", metavar="RECIPE", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Another value: params.NAME=VALUE or STAGE.FIELD=VALUE, in YAML. May be repeated.",
        metavar="NAME=VALUE",
    ),
]
Seed = Annotated[int, typer.Option(help="Draws the records that are shown.", min=0)]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_count(text: str) -> int:
    """Turn `2000000` or `2_000_000` into a number."""
    if not re.fullmatch(r"\d+(_\d+)*", text):
        raise typer.BadParameter(f"write a whole number such as 2_000_000; got {text!r}")
    return int(text)


def parse_age(text: str) -> float:
    """Turn `90s`, `30m`, `12h`, `7d` or `2w` into seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if match is None:
        raise typer.BadParameter(f"write a number and s, m, h, d or w, such as 7d; got {text!r}")
    return float(match.group(1)) * _UNITS[match.group(2)]


def complete_stage(incomplete: str) -> Iterator[tuple[str, str]]:
    """Offer the names of stages, with their help."""
    from curate.registry import registry

    for name, cls in registry().items():
        if name.startswith(incomplete):
            yield name, cls.help()
