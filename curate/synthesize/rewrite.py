"""Pairs rewritten: better queries, and hard negatives that no corpus has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.llm.base import Sampling
from curate.schema import Doc, Kind, Pair, from_table, to_table
from curate.stage import Outcome, decide
from curate.synthesize.checks import Checks, new_texts
from curate.synthesize.conditions import LANGUAGE
from curate.synthesize.family import (
    NEGATIVES,
    QUERY,
    TASK,
    Draft,
    Family,
    name_of,
    positive_text,
)
from curate.synthesize.written import alike, word_set

if TYPE_CHECKING:
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded

_NEGATIVE_WORDS = 5  # that a written negative must have


class Rewrite(Family):
    """Have a language model rewrite the queries of pairs, or write hard negatives for them.

    What is written is what the schema of the prompt has. A `query` takes the place of the pair's own
    (titles and long questions become what people type), or makes a pair beside it; not usable is what
    `synthesize.queries` would not use, and what says the same in the same words. `negatives` are added
    to the pair's own, with the origin `llm` (Wang et al. 2024, arXiv:2401.00368, have them written
    with their queries); not usable are those that copy the positive, another negative or the query.
    """

    name: ClassVar[str] = "synthesize.rewrite"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    shown: ClassVar[tuple[str, ...]] = ("query", "passage", "name", "language", "task")
    quotable: ClassVar[int] = 3

    prompt: str = "rewrite-query"
    """The prompt file: it takes `query`, and may take `passage` (the first positive), `name`, `language`
    and `task` of the pair, and what is drawn; its schema has `query` or `negatives`. `rewrite-query`
    and `hard-negatives` come with curate."""
    original: Literal["keep", "replace"] = "keep"
    """What becomes of the pair as it was: `keep` leaves it beside the rewritten ones, and as it was if
    nothing usable was written; `replace` drops it."""
    candidates: int = Field(1, ge=1)
    """Queries to draw for each pair, or times that its negatives are drawn."""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=128)
    """How they are drawn."""
    max_chars: int = Field(1_500, ge=1)
    """Characters of a query and of a passage that are read: their beginnings."""
    min_words: int = Field(2, ge=1)
    """Words that a query must have; 1 for languages that write none apart."""

    def writes(self) -> tuple[str, ...]:
        """Return the fields that the prompt's schema must have."""
        written = (self.prompt_of("prompt").schema or {}).get("properties", {})
        return (NEGATIVES,) if NEGATIVES in written and QUERY not in written else (QUERY,)

    def ask(self, table: pa.Table, fitted: Any, model: Recorded) -> Outcome:
        """Rewrite a batch of pairs."""
        prompt = self.prompt_of("prompt")
        pairs = [record for record in from_table(table) if isinstance(record, Pair)]
        rows = [n for n, p in enumerate(pairs) if (p.query or "").strip() and positive_text(p)]
        calls = [call for n in rows for call in self.calls(pairs[n].id, self._values(pairs[n]))]
        drafts = self.write(prompt, calls, model)
        given = {n: drafts[i * self.candidates :][: self.candidates] for i, n in enumerate(rows)}
        checks = self.checks(prompt)
        kept: list[Pair] = []
        fates: list[str | None] = [None] * len(pairs)
        details: list[str | None] = [None] * len(pairs)
        for n, pair in enumerate(pairs):
            made, rejected = self._rewritten(prompt, checks, pair, given.get(n, []))
            kept += made
            if not made:
                fates[n] = "nothing_usable" if n in given else "no_text"
                details[n] = ", ".join(f"{c} {why}" for why, c in sorted(rejected.items()))
        decided = decide(table, fates, details)
        return Outcome(to_table(kept, "pairs"), decided.dropped, decided.kept_inputs)

    def _values(self, pair: Pair) -> dict[str, str]:
        return {
            QUERY: pair.query[: self.max_chars].strip(),
            "passage": positive_text(pair)[: self.max_chars].strip(),
            "name": name_of(pair.meta, None),
            LANGUAGE: pair.language or "",
            TASK: pair.task or "",
        }

    def _rewritten(
        self, prompt: Prompt, checks: Checks, pair: Pair, drafts: Sequence[Draft | str]
    ) -> tuple[list[Pair], Counter[str]]:
        """Return the pairs that come of one, and how many drafts were not usable, by reason."""
        original = [pair] if self.original == "keep" else []
        if not drafts:
            return original, Counter()
        if QUERY not in self.writes():
            found, rejected = self._negatives(pair, drafts)
            return (
                [replace(pair, negatives=pair.negatives + found)] if found else original
            ), rejected
        words = word_set(pair.query)
        fresh = ["copied_query" if _query_is(draft, words) else draft for draft in drafts]
        read = checks.read(pair.query, positive_text(pair))
        usable, rejected = self.usable(checks, read, fresh)
        return [*original, *(self._pair(prompt, pair, d, rejected) for d in usable)], rejected

    def _negatives(
        self, pair: Pair, drafts: Sequence[Draft | str]
    ) -> tuple[list[Doc], Counter[str]]:
        """Return the usable negatives of all drafts."""
        rejected = Counter(draft for draft in drafts if isinstance(draft, str))
        texts = [text for d in drafts if isinstance(d, Draft) for text in d.negatives]
        known = [pair.query, *(doc.text or "" for doc in (*pair.positives, *pair.negatives))]
        found = new_texts(texts, known, _NEGATIVE_WORDS)
        if len(found) < len(texts):
            rejected["copied_or_too_short"] += len(texts) - len(found)
        return [Doc(text, language=pair.language, origin="llm") for text in found], rejected

    def _pair(self, prompt: Prompt, pair: Pair, draft: Draft, rejected: Counter[str]) -> Pair:
        """Return a pair with the written query: what was computed for the other query is left out."""
        language = draft.conditions.get(LANGUAGE, pair.language)
        written = [Doc(text, language=language, origin="llm") for text in draft.negatives]
        return replace(
            pair,
            kind="rewritten",
            task=draft.task or pair.task,
            query=draft.query,
            language=language,
            positives=[replace(doc, scores={}) for doc in pair.positives],
            negatives=[*(replace(doc, scores={}) for doc in pair.negatives), *written],
            candidates=[],
            parents=[*pair.parents, pair.id],
            scores={},
            meta=json.dumps(self.origin(prompt, draft, rejected)),
            query_id="",
            id="",
        )


def _query_is(draft: Draft | str, words: frozenset[str]) -> bool:
    return isinstance(draft, Draft) and alike(word_set(draft.query), words)
