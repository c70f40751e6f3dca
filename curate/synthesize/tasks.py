"""Brainstormed tasks: what E5-Mistral's examples are written for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pyarrow as pa
from pydantic import Field

from curate.llm.base import Generate, Generated, Sampling
from curate.llm.prompts import FOLDER
from curate.schema import Kind, Passage, drop_schema, to_table
from curate.stage import MAIN, Ask, Outcome
from curate.synthesize.conditions import Vary, draw, place
from curate.synthesize.coverage import Cell, Coverage, coverage_notes
from curate.synthesize.distinct import Distinct, Signed
from curate.synthesize.pools import read_pool, texts_of
from curate.synthesize.steering import Steering
from curate.synthesize.written import alike, read_answer, word_set
from curate.text.languages import language_name

if TYPE_CHECKING:
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded

TASK = "task"
_MIN_WORDS = 4


@cache
def _packaged(name: str) -> list[str]:
    """Return the lines of a list that comes with curate."""
    return texts_of(read_pool(str(FOLDER / f"{name}.txt"), name), name)


def drawn() -> Vary:
    """Return what is drawn by default: subjects and kinds of text."""
    return {"domain": _packaged("domains"), "form": _packaged("forms")}


class _Question(NamedTuple):
    """What a task is asked for with.

    :param round: counts the rounds from 0.
    """

    cell: Cell
    number: int
    round: int
    conditions: dict[str, str]


class Tasks(Ask):
    """Have a language model think of tasks for which texts are embedded, each unlike the others.

    Wang et al. 2024 (E5-Mistral), arXiv:2401.00368, section 3.1, first step; for every family, so that
    a symmetric one has subjects of its own too. A task is a passage whose text is the task, for
    `dedup.semantic` and then `synthesize.taxonomy`; its cell of the coverage is in its `meta`. What is
    drawn for each question, a subject and a kind of text, makes the tasks differ.

    Asks in rounds: a task that repeats an earlier one (Jaccard similarity of their words of 0.7 or more),
    copies an example of the prompt or is cut off is dropped, and the cells that came short are asked
    again, until each has what `count` and `coverage` give it. Each answer is an input. The report shows
    the shares asked for, those after the first round and those reached. Holds about 4 kB for each task.
    """

    name: ClassVar[str] = "synthesize.tasks"
    takes: ClassVar[tuple[Kind, ...]] = ()
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: "passages"}
    prompt_fields: ClassVar[tuple[str, ...]] = ("prompt",)

    prompt: str = "tasks"
    """The prompt file: it may take `family`, `language`, `length`, `difficulty` and what `vary` draws;
    its schema has `task`."""
    count: int = Field(ge=1, examples=[60])
    """Tasks that are wanted."""
    coverage: Coverage = Coverage()
    """How they are shared out."""
    vary: Vary = Field(default_factory=drawn)
    """What is drawn for each question: values by name, or values with weights; by default subjects and
    kinds of text that come with curate."""
    rounds: int = Field(5, ge=1)
    """Rounds that are asked at most; with 1 nothing is asked again."""
    sampling: Sampling = Sampling(temperature=0.8, top_p=0.95, max_tokens=64)
    """How answers are drawn."""
    seed: int = Field(0, ge=0)
    """Another seed draws other conditions and answers."""

    def check(self) -> None:
        """Refuse a prompt that asks for something else, or is given what it does not take."""
        super().check()
        prompt = self.prompt_of("prompt")
        if TASK not in (prompt.schema or {}).get("properties", {}):
            raise ValueError(f"prompt: {self.prompt} has no schema with `{TASK}`")
        check_variables(self.vary, {self.prompt: prompt}, Cell._fields)

    def ask(self, table: pa.Table, fitted: Any, model: Recorded) -> Outcome:
        """Ask round after round until each cell has its tasks."""
        prompt = self.prompt_of("prompt")
        steering = Steering(self.coverage.apportion(self.count))
        judge = _Judge(prompt, steering)
        for number in range(self.rounds):
            asked = [self._question(cell, n, number) for cell, n in steering.calls()]
            if not asked:
                break
            answers = model.generate([self._request(prompt, question) for question in asked])
            judge.take(asked, answers)
        return judge.outcome()

    def _question(self, cell: Cell, number: int, round_: int) -> _Question:
        conditions = draw(self.vary, self.seed, " ".join(cell), number)
        return _Question(cell, number, round_, conditions)

    def _request(self, prompt: Prompt, question: _Question) -> Generate:
        values = question.cell._asdict() | question.conditions
        values["language"] = language_name(values["language"])
        text = prompt.render(**{name: values[name] for name in prompt.variables})
        # Of cells that share a prompt each has draws of its own; servers take seeds of 31 bits.
        seed = place("answer", self.seed, " ".join(question.cell), question.number) >> 33
        return Generate(text, self.sampling, json.dumps(prompt.schema), seed=seed)

    def sum_up(self, made: Iterable[pa.Table]) -> dict[str, Any]:
        """Report the coverage."""
        return coverage_notes(self.coverage.apportion(self.count), made)


class _Judge:
    """Decides over the answers, in the order in which they were asked for."""

    def __init__(self, prompt: Prompt, steering: Steering) -> None:
        self._prompt = prompt.name
        self._steering = steering
        self._examples = [word_set(str(e[TASK])) for e in prompt.examples if TASK in e]
        self._distinct = Distinct()
        self._kept: list[Passage] = []
        self._dropped: list[Passage] = []
        self._reasons: list[tuple[str, str | None]] = []

    def take(self, asked: Sequence[_Question], answers: Sequence[Generated]) -> None:
        """Keep or drop the answers of one round."""
        read = [read_answer(answer, [TASK]) for answer in answers]
        texts = ["" if isinstance(found, str) else found[TASK] for found in read]
        signed = self._distinct.sign(texts)
        for question, found, one in zip(asked, read, signed, strict=True):
            refusal = (found, None) if isinstance(found, str) else self._refusal(question.cell, one)
            passage = self._passage(question, one.text)
            if refusal:
                self._dropped.append(passage)
                self._reasons.append(refusal)
            else:
                self._distinct.add(one)
                self._steering.count(question.cell)
                self._kept.append(passage)

    def _refusal(self, cell: Cell, task: Signed) -> tuple[str, str | None] | None:
        """Return why a task is not kept, and what of it."""
        if len(task.words) < _MIN_WORDS:
            return "too_short", None
        if any(alike(task.words, example) for example in self._examples):
            return "copied_example", None
        if like := self._distinct.repeated(task):
            return "repeated", like
        return None if self._steering.wants(cell) else ("surplus", None)

    def _passage(self, question: _Question, text: str) -> Passage:
        made = {"prompt": self._prompt, "round": question.round, "conditions": question.conditions}
        passage = Passage(
            text, "tasks", "", meta=json.dumps({"cell": question.cell._asdict(), **made})
        )
        passage.group = passage.id
        return passage

    def outcome(self) -> Outcome:
        """Return all tasks, and what was dropped."""
        dropped = to_table(self._dropped, "passages")
        for part, name in enumerate(("drop_reason", "drop_detail")):
            values = pa.array([reason[part] for reason in self._reasons], pa.string())
            dropped = dropped.append_column(name, values)
        kept = to_table(self._kept, "passages")
        return Outcome(kept, dropped.cast(drop_schema("passages")), len(kept))


def check_variables(vary: Vary, prompts: dict[str, Prompt], known: Iterable[str]) -> None:
    """Refuse variables without a value, and values that no prompt takes.

    :param known: the variables that have a value whatever is drawn.
    :raises ValueError: naming the first.
    """
    names = {*known, *vary}
    for file, prompt in prompts.items():
        if unknown := prompt.variables.keys() - names:
            raise ValueError(
                f"prompt: {file} takes {', '.join(sorted(unknown))}, which has no value here: it may "
                f"take {', '.join(sorted(names))}"
            )
    taken = {name for prompt in prompts.values() for name in prompt.variables}
    for name in vary:
        if name not in taken:
            raise ValueError(
                f"vary.{name}: {', '.join(prompts)} does not take `{name}`, so it would change "
                "nothing: add the variable to a prompt, or remove it here"
            )
