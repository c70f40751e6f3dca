"""Families that start from passages: which are asked about, and the pairs that come of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.schema import Doc, Kind, Pair, Passage, from_table, to_table
from curate.stage import MAIN, Outcome, decide
from curate.synthesize.checks import Checks, new_texts
from curate.synthesize.conditions import LANGUAGE
from curate.synthesize.family import Draft, Family, name_of
from curate.text.patterns import check_pattern

if TYPE_CHECKING:
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded


class FromPassages(Family):
    """Base of the families that write queries for passages.

    Each usable query becomes a pair with its passage as the positive, or with the positive that the
    model wrote; a passage without one is dropped.
    """

    takes: ClassVar[tuple[Kind, ...]] = ("passages",)
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: "pairs"}
    drops: ClassVar[Kind | None] = "passages"
    shown: ClassVar[tuple[str, ...]] = ("passage", "name", "language")

    match: str | None = None
    """A regular expression (Rust syntax) that a passage must match to be asked about."""
    min_chars: int = Field(200, ge=0)
    """Characters that a passage must have to be asked about."""
    max_chars: int = Field(1_500, ge=1)
    """Characters that a passage may have to be asked about."""

    def check(self) -> None:
        """Refuse patterns and bounds that cannot work."""
        super().check()
        if self.match is not None:
            try:
                check_pattern(self.match)
            except ValueError as error:
                raise ValueError(f"match: {error}") from None
        if self.min_chars > self.max_chars:
            raise ValueError(
                f"min_chars: {self.min_chars} is more than max_chars: {self.max_chars}"
            )

    def ask(self, table: pa.Table, fitted: Any, model: Recorded) -> Outcome:
        """Ask for the queries of a batch of passages."""
        prompt = self.prompt_of("prompt")
        checks = self.checks(prompt)
        passages = [record for record in from_table(table) if isinstance(record, Passage)]
        fates = self._refusals(pl.Series("text", [p.text or "" for p in passages], pl.String))
        rows = [row for row, fate in enumerate(fates) if fate is None]
        calls = [c for row in rows for c in self.calls(passages[row].id, _shown(passages[row]))]
        drafts = self.write(prompt, calls, model)
        pairs: list[Pair] = []
        details: list[str | None] = [None] * len(passages)
        for place, row in enumerate(rows):
            given = drafts[place * self.candidates : (place + 1) * self.candidates]
            found, rejected = self._usable(checks, passages[row], given)
            pairs += [self._pair(passages[row], prompt, draft, rejected) for draft in found]
            if not found:
                fates[row] = "no_usable_query"
                details[row] = ", ".join(f"{n} {why}" for why, n in sorted(rejected.items()))
        decided = decide(table, fates, details, "passages")
        return Outcome(to_table(pairs, "pairs"), decided.dropped, decided.kept_inputs)

    def _refusals(self, texts: pl.Series) -> list[str | None]:
        """Return why each passage is not asked about; None where it is."""
        length = texts.str.strip_chars().str.len_chars()
        matches = texts.str.contains(self.match or "")
        reason = (
            pl.when(length < self.min_chars)
            .then(pl.lit("passage_too_short"))
            .when(length > self.max_chars)
            .then(pl.lit("passage_too_long"))
            .when(~matches)
            .then(pl.lit("no_match"))
        )
        return pl.select(reason=reason)["reason"].to_list()

    def _usable(
        self, checks: Checks, passage: Passage, drafts: list[Draft | str]
    ) -> tuple[list[Draft], Counter[str]]:
        read = checks.read(name_of(passage.meta, passage.title), passage.text)
        return self.usable(checks, read, drafts)

    def _pair(self, passage: Passage, prompt: Prompt, draft: Draft, rejected: Counter[str]) -> Pair:
        language = draft.conditions.get(LANGUAGE, passage.language)
        positive = (
            Doc(passage.text, passage.id, passage.language)
            if draft.positive is None
            else Doc(draft.positive, language=language, origin="llm")
        )
        negatives = new_texts(draft.negatives, [positive.text or ""], 1)
        return Pair(
            kind="synthetic",
            task=draft.task or None,
            query=draft.query,
            positives=[positive],
            negatives=[Doc(text, language=language, origin="llm") for text in negatives],
            source=self.name.rpartition(".")[2],
            group=passage.group,
            language=language,
            license=passage.license,
            url=passage.url,
            split=passage.split,
            parents=[passage.id],
            meta=json.dumps(self.origin(prompt, draft, rejected)),
        )


def _shown(passage: Passage) -> dict[str, str]:
    return {
        "passage": passage.text.strip(),
        "name": name_of(passage.meta, passage.title),
        LANGUAGE: passage.language or "",
    }
