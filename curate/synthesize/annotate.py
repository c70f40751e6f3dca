"""Grades for pairs that have none: how similar, or how relevant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.llm.base import Generate, Sampling
from curate.llm.grading import expected_grades
from curate.schema import (
    Kind,
    first_positive,
    with_first_positive_label,
    with_first_positive_score,
)
from curate.stage import Ask, Outcome, decide
from curate.synthesize.written import read_answer

if TYPE_CHECKING:
    from curate.llm.base import Ability
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded

GRADE = "grade"


class Annotate(Ask):
    """Have a language model grade how similar or relevant the first positive of each pair is.

    Li and Li 2024 (AnglE, UAE), arXiv:2309.12871, have unlabelled pairs annotated like this. A prompt
    with `labels` gives the expected grade by their probabilities, as relevance in `mine.rerank` (Zhuang
    et al. 2023, arXiv:2310.14122): finer, one token to read, and nothing to be misread. A prompt with a
    schema has the grade written as JSON, for servers that tell no probabilities. The grade becomes the
    `label` of the positive and its score `grade`. A pair without text or without a usable grade is
    dropped.
    """

    name: ClassVar[str] = "synthesize.annotate"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    prompt_fields: ClassVar[tuple[str, ...]] = ("prompt",)

    prompt: str = "similarity-text"
    """The prompt file: it takes `query` and `passage`, and has labels with grades, or a schema with a
    number `grade`. `similarity-text` and `similarity-json` grade from 0 to 5, `relevance-text` and
    `relevance-code` from 0 to 2."""
    min_grade: float | None = None
    """Pairs with a lower grade are dropped; by default none."""
    max_grade: float | None = None
    """Pairs with a higher grade are dropped; by default none."""
    symmetric: bool = False
    """Mark pairs as symmetric, so that training takes them for graded similarity (STS)."""
    sampling: Sampling = Sampling(max_tokens=32)
    """How a written grade is drawn."""
    seed: int = Field(0, ge=0)
    """Another seed draws another grade, if it is written and the temperature is not 0."""
    max_chars: int = Field(1_500, ge=1)
    """Characters of each text that are read: its beginning."""

    def check(self) -> None:
        """Refuse a prompt that gives no grade, and bounds that nothing is between."""
        super().check()
        prompt = self.prompt_of("prompt")
        if prompt.variables != {"query": "data", "passage": "data"}:
            raise ValueError(
                f"prompt: {self.prompt} takes {', '.join(prompt.variables)}; it must take `query` and "
                "`passage`, both of type data"
            )
        if not prompt.labels and GRADE not in (prompt.schema or {}).get("properties", {}):
            raise ValueError(f"prompt: {self.prompt} has neither labels nor a schema with `grade`")
        low, high = self.min_grade, self.max_grade
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_grade: {low} is more than max_grade: {high}")

    def needs(self) -> set[Ability]:
        """Return what the prompt needs."""
        return {"choose"} if self.prompt_of("prompt").labels else {"generate", "schema"}

    def ask(self, table: pa.Table, fitted: Any, model: Recorded) -> Outcome:
        """Grade a batch of pairs."""
        prompt = self.prompt_of("prompt")
        texts = [self._texts(table["query"]), self._texts(first_positive(table))]
        whole = [bool(query and passage) for query, passage in zip(*texts, strict=True)]
        asked = [
            {"query": query, "passage": passage}
            for query, passage in zip(*texts, strict=True)
            if query and passage
        ]
        found = self._grades(prompt, asked, model)
        grades = np.full(len(table), np.nan, np.float32)
        grades[np.array(whole, bool)] = [grade for grade, _ in found]
        table = with_first_positive_label(table, grades)
        table = with_first_positive_score(table, GRADE, grades)
        if self.symmetric:
            index = table.schema.get_field_index("symmetric")
            yes = pa.repeat(pa.scalar(value=True), len(table))
            table = table.set_column(index, table.schema.field(index), yes)
        whys = iter([why for _, why in found])
        details = [next(whys) if ok else None for ok in whole]
        return decide(table, self._fates(np.array(whole, bool), grades), details)

    def _texts(self, column: pa.ChunkedArray) -> list[str]:
        return (
            pl.Series(column)
            .cast(pl.String)
            .fill_null("")
            .str.slice(0, self.max_chars)
            .str.strip_chars()
            .to_list()
        )

    def _grades(
        self, prompt: Prompt, asked: list[dict[str, str]], model: Recorded
    ) -> list[tuple[float, str | None]]:
        """Return the grade of each, nan if it has none, and why."""
        if prompt.labels:
            return [(grade, None) for grade in expected_grades(prompt, asked, model)]
        schema = json.dumps(prompt.schema)
        requests = [
            Generate(prompt.render(**values), self.sampling, schema, self.seed) for values in asked
        ]
        return [_read(read_answer(answer, ())) for answer in model.generate(requests)]

    def _fates(self, whole: np.ndarray, grades: np.ndarray) -> list[str | None]:
        """Return why each pair is dropped; None where it is not."""
        low = -np.inf if self.min_grade is None else np.float32(self.min_grade)
        high = np.inf if self.max_grade is None else np.float32(self.max_grade)
        conditions = [~whole, np.isnan(grades), grades < low, grades > high]
        reasons = ["no_text", "no_grade", "grade_too_low", "grade_too_high"]
        chosen = np.select(conditions, range(1, len(reasons) + 1), 0)
        return [reasons[n - 1] if n else None for n in chosen]


def _read(answer: dict[str, Any] | str) -> tuple[float, str | None]:
    if isinstance(answer, str):
        return np.nan, answer
    grade = answer.get(GRADE)
    if isinstance(grade, bool) or not isinstance(grade, int | float):
        return np.nan, "not_of_schema"
    return float(grade), None
