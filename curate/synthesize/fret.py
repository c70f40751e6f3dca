"""FRet's first step: a language model reads a passage and writes queries that the passage answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.llm.base import Generate, Generated, Sampling
from curate.schema import Doc, Kind, Pair, Passage, from_table, to_table
from curate.stage import MAIN, Ask, Outcome, decide
from curate.synthesize.written import alike, plain, read_answer, word_set
from curate.text.bm25 import Terms
from curate.text.identifiers import split_identifiers
from curate.text.patterns import check_pattern

if TYPE_CHECKING:
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded

SOURCE = "fret"


class FRet(Ask):
    """Have a language model read passages and write (task, query) pairs that each answers.

    Lee et al. 2024 (Gecko), arXiv:2403.20327, section 3.1. Each usable query becomes a pair with its
    passage as the positive; a passage without one is dropped. Not usable is an answer that was cut
    off or is not of the prompt's schema, and a query that is too short or too long, copies the task or
    an example of the prompt, stands word for word in the passage, is not grounded in it, or repeats an
    earlier one; the pair's `meta` counts those. Small models err often: draw several `candidates`,
    then keep those that find their passage (`filter.consistency`) and that it makes likelier than
    other queries (`filter.likelihood`).
    """

    name: ClassVar[str] = "synthesize.fret"
    takes: ClassVar[tuple[Kind, ...]] = ("passages",)
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: "pairs"}
    drops: ClassVar[Kind | None] = "passages"
    prompt_fields: ClassVar[tuple[str, ...]] = ("prompt",)

    prompt: str = "fret-code"
    """The prompt file: it takes `passage` and may take `name`, the passage's title or, of code, the
    words of what it defines; its schema has `task` and `query`."""
    candidates: int = Field(4, ge=1)
    """Queries to draw for each passage."""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=64)
    """How they are drawn."""
    seed: int = Field(0, ge=0)
    """Another seed draws other queries."""
    match: str | None = None
    """A regular expression (Rust syntax) that a passage must match to be asked about."""
    min_chars: int = Field(200, ge=0)
    """Characters that a passage must have to be asked about."""
    max_chars: int = Field(1_500, ge=1)
    """Characters that a passage may have to be asked about."""
    min_words: int = Field(3, ge=1)
    """Words that a query must have."""
    max_words: int | None = Field(None, ge=1)
    """Words that a query may have. What small models write is wrong the more often the longer it is."""
    grounded: float = Field(0.0, ge=0, le=1)
    """Share of a query's words, without stop words and endings, that must occur in the passage. Small
    models add details that are not there."""

    def check(self) -> None:
        """Refuse a prompt that does not ask for a task and a query."""
        super().check()
        prompt = self.prompt_of("prompt")
        if not {"task", "query"} <= (prompt.schema or {}).get("properties", {}).keys():
            raise ValueError(f"prompt: {self.prompt} has no schema with `task` and `query`")
        if not {"passage"} <= prompt.variables.keys() <= {"passage", "name"}:
            raise ValueError(
                f"prompt: {self.prompt} takes {', '.join(prompt.variables)}; it must take `passage`, "
                "and may take `name`"
            )
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
        passages = [record for record in from_table(table) if isinstance(record, Passage)]
        fates = self._refusals(pl.Series("text", [p.text or "" for p in passages], pl.String))
        rows = [row for row, fate in enumerate(fates) if fate is None]
        answers = model.generate([r for row in rows for r in self._requests(prompt, passages[row])])
        pairs: list[Pair] = []
        details: list[str | None] = [None] * len(passages)
        for place, row in enumerate(rows):
            given = answers[place * self.candidates : (place + 1) * self.candidates]
            found, rejected = self._usable(prompt, passages[row], given)
            pairs += [_pair(passages[row], prompt, draft, rejected) for draft in found]
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

    def _requests(self, prompt: Prompt, passage: Passage) -> list[Generate]:
        values = {"passage": passage.text.strip(), "name": _name(passage)}
        text = prompt.render(**{name: values[name] for name in prompt.variables})
        schema = json.dumps(prompt.schema)
        first = self.seed * self.candidates
        return [
            Generate(text, self.sampling, schema, seed=first + draw)
            for draw in range(self.candidates)
        ]

    def _usable(
        self, prompt: Prompt, passage: Passage, answers: Sequence[Generated]
    ) -> tuple[list[_Draft], Counter[str]]:
        """Return the usable queries of one passage, and how many others there were by reason."""
        text = plain(passage.text)
        terms = self._terms(f"{_name(passage)} {passage.text}")
        examples = [word_set(str(example["query"])) for example in prompt.examples]
        found: list[_Draft] = []
        rejected: Counter[str] = Counter()
        for answer in answers:
            draft = _parse(answer)
            if isinstance(draft, str):
                rejected[draft] += 1
            elif reason := self._rejection(draft, text, terms, examples):
                rejected[reason] += 1
            elif any(alike(word_set(draft.query), word_set(other.query)) for other in found):
                rejected["repeated"] += 1
            else:
                found.append(draft)
        return found, rejected

    def _rejection(
        self, draft: _Draft, text: str, terms: frozenset[str], examples: list[frozenset[str]]
    ) -> str | None:
        """Return why a query cannot be used for a passage of this text and these terms."""
        its_words = word_set(draft.query)
        if len(its_words) < self.min_words:
            return "too_short"
        if self.max_words is not None and len(draft.query.split()) > self.max_words:
            return "too_long"
        if its_words <= word_set(draft.task):
            return "copied_task"
        if any(alike(its_words, example) for example in examples):
            return "copied_example"
        if plain(draft.query) in text:
            return "copied_passage"
        its_terms = self._terms(draft.query)
        if len(its_terms & terms) < self.grounded * len(its_terms):
            return "not_grounded"
        return None

    def _terms(self, text: str) -> frozenset[str]:
        """Return the stems of a text's words without stop words; none where they are not needed."""
        if not self.grounded:
            return frozenset()
        return frozenset(Terms([text], english=True).lists[0])


def _name(passage: Passage) -> str:
    """Return the title, or the words of the qualified name in `meta`: `set color (in traffic light)`."""
    try:
        name = str(json.loads(passage.meta)["qualname"])
    except (ValueError, KeyError, TypeError):
        return passage.title or ""
    *outer, last = split_identifiers(
        pl.Series(name.replace("_", " ").split("."))
    ).str.to_lowercase()
    return f"{last.strip()} (in {outer[-1].strip()})" if outer else str(last.strip())


class _Draft(NamedTuple):
    """What the model wrote."""

    task: str
    query: str


def _parse(answer: Generated) -> _Draft | str:
    """Read an answer; return the reason if it cannot be used."""
    read = read_answer(answer, _Draft._fields)
    return read if isinstance(read, str) else _Draft(read["task"], read["query"])


def _pair(passage: Passage, prompt: Prompt, draft: _Draft, rejected: Counter[str]) -> Pair:
    origin = {"prompt": prompt.name, "rejected": dict(sorted(rejected.items()))}
    return Pair(
        kind="synthetic",
        task=draft.task or None,
        query=draft.query,
        positives=[Doc(passage.text, passage.id, passage.language)],
        source=SOURCE,
        group=passage.group,
        language=passage.language,
        license=passage.license,
        url=passage.url,
        split=passage.split,
        parents=[passage.id],
        meta=json.dumps(origin),
    )
