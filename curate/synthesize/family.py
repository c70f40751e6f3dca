"""A family: what is drawn for each call, how a prompt is filled in, and what of the answers can be used.

Everything that makes one family another is in its prompt and the settings, so a user's own needs no
Python: the names of the prompt's variables and of the fields of its schema say what they are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import polars as pl
from pydantic import Field

from curate.llm.base import Generate, Generated, Sampling
from curate.schema import Pair
from curate.stage import Ask
from curate.synthesize.checks import Checks, Read, new_texts
from curate.synthesize.conditions import LANGUAGE, Vary, check_languages, draw
from curate.synthesize.pools import Pool, Tasks, read_pool, vary_values
from curate.synthesize.written import alike, read_answer, word_set
from curate.text.identifiers import split_identifiers
from curate.text.languages import language_name

if TYPE_CHECKING:
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded

TASK, QUERY, POSITIVE, NEGATIVES = "task", "query", "positive", "negatives"
_TEXTS = (TASK, QUERY, POSITIVE)
_FOREIGN = ("data", "line")
_OWN = ("text", "line")


class Call(NamedTuple):
    """One question: what it is about, and what was drawn for it.

    :param values: what prompts may show of the record, by the names of variables.
    :param number: counts the questions about a record.
    """

    record: str
    number: int
    values: dict[str, str]
    conditions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """What the model wrote, and what it was asked for."""

    query: str = ""
    task: str | None = None
    positive: str | None = None
    negatives: tuple[str, ...] = ()
    conditions: dict[str, str] = field(default_factory=dict)


class Family(Ask):
    """Base of the stages that have a language model write about records."""

    prompt_fields: ClassVar[tuple[str, ...]] = ("prompt",)
    shown: ClassVar[tuple[str, ...]] = ()
    """The variables that a record has a value for; the prompt must take the first."""
    quotable: ClassVar[int] = 0
    """A query of more words may not stand word for word in its passage."""

    prompt: str
    """The prompt file."""
    candidates: int = Field(4, ge=1)
    """Queries to draw for each record."""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=64)
    """How they are drawn."""
    seed: int = Field(0, ge=0)
    """Another seed draws other conditions, tasks and queries."""
    vary: Vary = Field({})
    """Conditions that are drawn for each query: values by name, or values with weights. The prompt takes
    them as variables of type `text`; values of `language` are tags (`en`) that it takes as names."""
    tasks: Pool | None = None
    """Tasks to draw from for each query: a list, or a file with one a line, as text or as JSON with
    `task` and the conditions that it is for. What is drawn is the pair's task."""
    min_words: int = Field(3, ge=1)
    """Words that a query must have; 1 for languages that write none apart."""
    max_words: int | None = Field(None, ge=1)
    """Words that a query may have. What small models write is wrong the more often the longer it is."""
    grounded: float = Field(0.0, ge=0, le=1)
    """Share of a query's words, without English stop words and endings, that must occur in the passage.
    Small models add details that are not there."""

    def check(self) -> None:
        """Refuse a prompt that asks for something else, or is given what it does not take."""
        super().check()
        check_languages(self.vary)
        self.loaded_tasks().check(self.conditions())
        prompt = self.prompt_of("prompt")
        written = (prompt.schema or {}).get("properties", {}).keys()
        if missing := [name for name in self.writes() if name not in written]:
            wanted = " and ".join(f"`{name}`" for name in (missing and self.writes()))
            raise ValueError(f"prompt: {self.prompt} has no schema with {wanted}")
        self._check_variables(prompt)

    def writes(self) -> tuple[str, ...]:
        """Return the fields that the prompt's schema must have."""
        return (QUERY,)

    def conditions(self) -> dict[str, list[str]]:
        """Return what each condition may be, by its name."""
        return vary_values(self.vary)

    def row_settings(self) -> dict[str, Any]:
        """Return the settings that are in the key: of the tasks what they are, not where they lie."""
        settings = super().row_settings()
        tasks = None if self.tasks is None else read_pool(self.tasks, TASK)
        return settings | {"tasks": tasks}

    def loaded_tasks(self) -> Tasks:
        """Read the tasks to draw from."""
        return Tasks([] if self.tasks is None else read_pool(self.tasks, TASK))

    def calls(self, record: str, values: dict[str, str]) -> list[Call]:
        """Draw the conditions of what is asked about a record.

        :param values: what prompts may show of it.
        """
        return [
            Call(record, number, values, draw(self.vary, self.seed, record, number))
            for number in range(self.candidates)
        ]

    def write(self, prompt: Prompt, calls: Sequence[Call], model: Recorded) -> list[Draft | str]:
        """Ask, and read the answers.

        :return: for each call a draft, or the reason why its answer cannot be used.
        """
        tasks = self.loaded_tasks()
        drawn = [tasks.draw(c.conditions, self.seed, c.record, c.number) for c in calls]
        requests = [
            self.request(prompt, self.filled(call, task), call)
            for call, task in zip(calls, drawn, strict=True)
        ]
        fields = (prompt.schema or {}).get("properties", {}).keys()
        return [
            read
            if isinstance(read := read_draft(answer, fields), str)
            else replace(read, task=task or read.task, conditions=call.conditions)
            for answer, call, task in zip(model.generate(requests), calls, drawn, strict=True)
        ]

    def filled(self, call: Call, task: str | None) -> dict[str, str]:
        """Return the values of all variables that a prompt may take."""
        values = call.values | call.conditions | ({TASK: task} if task else {})
        if tag := values.get(LANGUAGE):
            values[LANGUAGE] = language_name(tag)
        return values

    def request(
        self, prompt: Prompt, values: dict[str, Any], call: Call, schema: Any = None
    ) -> Generate:
        """Fill in a prompt with those of the values that it takes.

        :param schema: what the answer must follow; by default the prompt's schema.
        """
        text = prompt.render(**{name: values.get(name, "") for name in prompt.variables})
        seed = self.seed * self.candidates + call.number
        return Generate(text, self.sampling, json.dumps(schema or prompt.schema), seed=seed)

    def checks(self, prompt: Prompt) -> Checks:
        """Return the checks of queries."""
        examples = [word_set(str(e[QUERY])) for e in prompt.examples if QUERY in e]
        return Checks(self.min_words, self.max_words, self.grounded, self.quotable, tuple(examples))

    def usable(
        self, checks: Checks, passage: Read, drafts: Iterable[Draft | str]
    ) -> tuple[list[Draft], Counter[str]]:
        """Return the usable drafts about one record, and how many others there were by reason."""
        found: list[Draft] = []
        rejected: Counter[str] = Counter()
        for draft in drafts:
            if isinstance(draft, str):
                rejected[draft] += 1
            elif reason := checks.rejection(draft.query, draft.task or "", passage):
                rejected[reason] += 1
            elif any(alike(word_set(draft.query), word_set(other.query)) for other in found):
                rejected["repeated"] += 1
            else:
                found.append(draft)
        return found, rejected

    def origin(self, prompt: Prompt, draft: Draft, rejected: Counter[str]) -> dict[str, Any]:
        """Return what the `meta` of a pair says of how it was made."""
        made: dict[str, Any] = {"prompt": prompt.name, "rejected": dict(sorted(rejected.items()))}
        return made | ({"conditions": draft.conditions} if draft.conditions else {})

    def _check_variables(self, prompt: Prompt) -> None:
        """Refuse variables that have no value here, values without a variable, and wrong types."""
        own = {*self.conditions(), *([TASK] if self.tasks is not None else [])}
        must, *may = self.shown
        if must not in prompt.variables or not prompt.variables.keys() <= {*self.shown, *own}:
            more = ", ".join(f"`{name}`" for name in [*may, *sorted(own - {*self.shown})])
            raise ValueError(
                f"prompt: {self.prompt} takes {', '.join(prompt.variables)}; it must take `{must}`, "
                f"and may take {more}"
            )
        for name in self.vary:
            if name not in prompt.variables:
                raise ValueError(
                    f"vary.{name}: {self.prompt} does not take `{name}`, so it would change nothing: "
                    "add the variable to the prompt, or remove it here"
                )
        for name, kind in prompt.variables.items():
            types = _OWN if name in own else _FOREIGN
            if kind not in types:
                raise ValueError(
                    f"prompt: {self.prompt}: `{name}` is of type {kind}; here it is "
                    f"{'the own text of the recipe' if name in own else 'foreign text'}, of type "
                    f"{' or '.join(types)}"
                )


def read_draft(answer: Generated, fields: Iterable[str]) -> Draft | str:
    """Read an answer.

    :param fields: the fields of its schema; those that are not a draft's are left out.
    :return: a draft, or the reason why it cannot be used.
    """
    wanted = [name for name in _TEXTS if name in fields]
    read = read_answer(answer, wanted)
    if isinstance(read, str):
        return read
    texts = {name: read[name] for name in wanted}
    if "positive" in texts and not new_texts([texts[POSITIVE]], [texts.get(QUERY, "")], 1):
        return "copied_query"
    if NEGATIVES not in fields:
        return Draft(**texts)
    given = read.get(NEGATIVES)
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        return "not_of_schema"
    return Draft(**texts, negatives=tuple(" ".join(text.split()) for text in given))


def name_of(meta: str, title: str | None) -> str:
    """Return the title, or the words of the qualified name in `meta`: `set color (in traffic light)`."""
    try:
        name = str(json.loads(meta)["qualname"])
    except (ValueError, KeyError, TypeError):
        return title or ""
    *outer, last = split_identifiers(
        pl.Series(name.replace("_", " ").split("."))
    ).str.to_lowercase()
    return f"{last.strip()} (in {outer[-1].strip()})" if outer else str(last.strip())


def positive_text(pair: Pair) -> str:
    """Return the text of the first positive; empty if there is none."""
    return (pair.positives[0].text or "") if pair.positives else ""
