"""What a report is made of, shown on a terminal or written as Markdown.

Blocks hold plain text; how it is escaped is known only here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from curate.report.text import clean, markdown

PIPE_WIDTH = 120
"""Columns of a report that is not shown on a terminal."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of short texts.

    :param columns: their names; one that ends in `>` is of numbers and aligned to the right.
    :param note: a line below it.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""

    def names(self) -> list[tuple[str, bool]]:
        """Return each column's name and whether it is of numbers."""
        return [(name.removesuffix(">"), name.endswith(">")) for name in self.columns]


@dataclass(frozen=True, slots=True)
class Lines:
    """Sentences, one a line."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to copy: commands and paths."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Item:
    """A record: a title, and texts of one or several lines with their labels."""

    title: str
    fields: Sequence[tuple[str, str]]


Block = Table | Lines | Code | Item


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Report:
    """Sections under a title."""

    title: str
    sections: list[Section] = field(default_factory=list)


# -- terminal --------------------------------------------------------------------------------


def output_console() -> Console:
    """Return the console of standard output, wide enough for tables where it is no terminal."""
    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(width=fixed, highlight=False)


def show(report: Report, console: Console) -> None:
    """Print a report; where it is no terminal, without the spaces that fill its lines up."""
    if console.is_terminal:
        _show(report, console)
        return
    with console.capture() as captured:
        _show(report, console)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")


def _show(report: Report, console: Console) -> None:
    console.print(Text(clean(report.title), style="bold"))
    for section in report.sections:
        console.print()
        console.print(Text(clean(section.title), style="bold cyan"))
        for block in section.blocks:
            _show_block(block, console)


def _show_block(block: Block, console: Console) -> None:
    match block:
        case Table():
            console.print(_rich_table(block))
            if block.note:
                console.print(Padding(Text(clean(block.note), style="dim"), (0, 1)))
        case Lines():
            for line in block.lines:
                console.print(Padding(Text(clean(line)), (0, 1)))
        case Code():  # never folded, so that it can be copied
            for line in block.lines:
                console.print(Text(f"   {clean(line)}"), soft_wrap=True)
        case Item():
            console.print(Text(f" {clean(block.title)}", style="bold"))
            console.print(_rich_fields(block))


def _rich_table(table: Table) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    for name, right in table.names():
        rich.add_column(
            Text(name), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in table.rows:
        rich.add_row(*(Text(clean(cell)) for cell in row))
    return rich


def _rich_fields(item: Item) -> RichTable:
    grid = RichTable.grid(padding=(0, 1))
    grid.add_column(justify="right", no_wrap=True, style="dim", min_width=10)
    grid.add_column(overflow="fold")
    for label, text in item.fields:
        grid.add_row(Text(clean(label)), Text(clean(text)))
    return grid


# -- Markdown --------------------------------------------------------------------------------


def to_markdown(report: Report) -> str:
    """Write a report as Markdown; texts of records stand in indented code, which has no markup."""
    parts = [f"# {markdown(report.title)}"]
    for section in report.sections:
        parts.append(f"## {markdown(section.title)}")
        parts += [_markdown_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _markdown_block(block: Block) -> str:
    match block:
        case Table():
            return _markdown_table(block)
        case Lines():
            return "\n".join(f"- {markdown(line)}" for line in block.lines)
        case Code():
            return _indented("\n".join(block.lines))
        case Item():
            fields = [f"{markdown(label)}:\n\n{_indented(text)}" for label, text in block.fields]
            return "\n\n".join([f"**{markdown(block.title)}**", *fields])


def _markdown_table(table: Table) -> str:
    lines = [
        _markdown_row([markdown(name) for name, _ in table.names()]),
        _markdown_row(["---:" if right else "---" for _, right in table.names()]),
        *(_markdown_row([markdown(cell) for cell in row]) for row in table.rows),
    ]
    return "\n".join(lines) + (f"\n\n{markdown(table.note)}" if table.note else "")


def _markdown_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in clean(text).split("\n"))
