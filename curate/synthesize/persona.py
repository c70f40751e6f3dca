"""Queries in the words of somebody who would look for a passage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from curate.synthesize.conditions import Vary, pick_some
from curate.synthesize.family import Call, Draft
from curate.synthesize.passages import FromPassages
from curate.synthesize.pools import Pool, read_pool, texts_of
from curate.synthesize.written import read_answer

if TYPE_CHECKING:
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded

PERSONA, PERSONAS = "persona", "personas"


class Persona(FromPassages):
    """Have a language model say who would look for a passage, then write the query as that person would.

    Zhang et al. 2025 (Qwen3 Embedding), arXiv:2506.05176, section 3.3. Two questions for each query.
    The first shows the passage and some personas drawn from a pool; the model chooses one of them, and
    what kind of query and how difficult a one that person would ask. The second, with these and what
    `vary` draws, asks for the query. What was chosen and drawn is in the pair's `meta`.
    """

    name: ClassVar[str] = "synthesize.persona"
    prompt_fields: ClassVar[tuple[str, ...]] = ("choice", "prompt")
    quotable: ClassVar[int] = 3

    choice: str = "persona-choice"
    """The prompt file of the first question: it takes `passage` and `personas`, and may take `name`; its
    schema has `persona`, and other fields with an `enum`, each of which is a condition of the second."""
    prompt: str = "persona-query"
    """The prompt file of the second question: it takes `passage`, and may take `persona`, what else was
    chosen, and what is drawn; its schema has `query`."""
    candidates: int = Field(2, ge=1)
    """Queries to draw for each passage."""
    personas: Pool | None = None
    """Personas to draw from: a list, or a file with one a line, as text or as JSON with `persona`; by
    default about a hundred that come with curate."""
    offered: int = Field(4, ge=1)
    """Personas that the model may choose from."""
    vary: Vary = Field(
        {
            "length": {"of two to five words": 1.0, "of six to fifteen words": 2.0},
        }
    )
    """Conditions that are drawn for each query: values by name, or values with weights. The prompt takes
    them as variables of type `text`; values of `language` are tags (`en`) that it takes as names."""
    tasks: Pool | None = Field(
        [
            {"type": "question", "task": "Given a question, find a passage that answers it"},
            {
                "type": "yes-no question",
                "task": "Given a yes-no question, find a passage that answers it",
            },
            {"type": "keywords", "task": "Given keywords, find a passage about them"},
            {"type": "topic", "task": "Given a topic, find a passage about it"},
        ]
    )
    """Tasks to draw from for each query: a list, or a file with one a line, as text or as JSON with
    `task` and the conditions that it is for. What is drawn is the pair's task; null leaves it to the
    prompt."""
    min_words: int = Field(2, ge=1)
    """Words that a query must have; 1 for languages that write none apart."""

    def check(self) -> None:
        """Refuse a first prompt that does not let a persona be chosen."""
        choice = self.prompt_of("choice")
        if PERSONA not in (choice.schema or {}).get("properties", {}):
            raise ValueError(f"choice: {self.choice} has no schema with `persona`")
        wanted = {"passage": "data", PERSONAS: "list"}
        if any(choice.variables.get(name) != kind for name, kind in wanted.items()) or (
            not choice.variables.keys() <= {*wanted, "name"}
        ):
            raise ValueError(
                f"choice: {self.choice} must take `passage` as data and `personas` as list, and may "
                f"take `name`; it takes {', '.join(choice.variables)}"
            )
        self._personas()
        super().check()

    def row_settings(self) -> dict[str, Any]:
        """Return the settings that are in the key: of the personas who they are."""
        return super().row_settings() | {PERSONAS: self._personas()}

    def conditions(self) -> dict[str, list[str]]:
        """Return what each condition may be: what is drawn, and what the model chooses."""
        properties = (self.prompt_of("choice").schema or {})["properties"]
        chosen = {name: part["enum"] for name, part in properties.items() if "enum" in part}
        return super().conditions() | chosen | {PERSONA: self._personas()}

    def write(self, prompt: Prompt, calls: Sequence[Call], model: Recorded) -> list[Draft | str]:
        """Ask who would look for it, then for the query."""
        drafts: list[Draft | str] = []
        asked: dict[int, Call] = {}
        for n, (call, found) in enumerate(zip(calls, self._choose(calls, model), strict=True)):
            drafts.append(found if isinstance(found, str) else "")
            if not isinstance(found, str):
                asked[n] = call._replace(conditions=call.conditions | found)
        written = super().write(prompt, list(asked.values()), model)
        for n, draft in zip(asked, written, strict=True):
            drafts[n] = draft
        return drafts

    def _choose(self, calls: Sequence[Call], model: Recorded) -> list[dict[str, str] | str]:
        """Return for each call what the model chose, or why its answer cannot be used."""
        prompt = self.prompt_of("choice")
        schema = prompt.schema or {}
        pool = self._personas()
        requests = []
        for call in calls:
            offered = pick_some(pool, self.offered, PERSONA, self.seed, call.record, call.number)
            properties = schema["properties"] | {PERSONA: {"type": "string", "enum": offered}}
            values = call.values | {PERSONAS: offered}
            requests.append(self.request(prompt, values, call, schema | {"properties": properties}))
        names = [name for name in self.conditions() if name in schema["properties"]]
        read = [read_answer(answer, names) for answer in model.generate(requests)]
        return [r if isinstance(r, str) else {name: r[name] for name in names} for r in read]

    def _personas(self) -> list[str]:
        """Return the pool."""
        if self.personas is None:
            return list(_built_in())
        return texts_of(read_pool(self.personas, PERSONA), PERSONA)


@cache
def _built_in() -> tuple[str, ...]:
    text = files("curate").joinpath("prompts", "personas.txt").read_text("utf-8")
    return tuple(text.split("\n")[:-1])
