"""The recorded answers of language models: a table, and a file for other programs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from curate.llm.answers import Answers, Group, Which
from curate.report.blocks import Report, Section, Table
from curate.report.text import size


def answers_report(path: Path, groups: Sequence[Group]) -> Report:
    """Show what is recorded, by model, kind of question and ending."""
    rows = [
        (
            group.model,
            group.kind,
            group.finish,
            f"{group.answers:,}",
            f"{group.prompt_tokens:,}",
            f"{group.completion_tokens:,}",
            _day(group.oldest),
            _day(group.newest),
        )
        for group in groups
    ]
    columns = ("model", "asked to", "ended", "answers>", "read>", "written>", "first", "last")
    answers = sum(group.answers for group in groups)
    note = f"{answers:,} answers; tokens read and written; {path}, {size(path.stat().st_size)}"
    return Report("Recorded answers", [Section("Answers", [Table(columns, rows, note)])])


def export_answers(answers: Answers, which: Which, path: Path) -> int:
    """Write answers as JSON lines, with what was asked; return how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for count, item in enumerate(answers.items(which), 1):  # noqa: B007
            line = {
                "model": item.model,
                "kind": item.kind,
                "request": item.request,
                "answer": asdict(item.answer),
                "created": item.created,
            }
            file.write(json.dumps(line) + "\n")
    return count


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
