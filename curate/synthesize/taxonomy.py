"""E5-Mistral's examples: pairs that a language model writes for tasks alone, without any passage."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.llm.base import Generate, Sampling
from curate.schema import Doc, Kind, Pair, Passage, from_table, to_table
from curate.stage import MAIN, Ask, Context, Inputs, Outcome, decide
from curate.synthesize.conditions import Vary, draw, pick, place
from curate.synthesize.coverage import FAMILIES, Cell, Coverage, FamilyName, cell_of, coverage_notes
from curate.synthesize.distinct import Distinct, Signed
from curate.synthesize.family import NEGATIVES, POSITIVE, QUERY, Draft, read_draft
from curate.synthesize.steering import Steering
from curate.synthesize.tasks import TASK, check_variables
from curate.synthesize.written import alike, plain, word_set
from curate.text.identify import identified_as, identifier, identify
from curate.text.languages import language_name
from curate.text.normalise import count_words

if TYPE_CHECKING:
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded

SOURCE = "taxonomy"
SYMMETRIC = ("sts", "bitext")
_LONG = {"short": (30, 80), "medium": (80, 200), "long": (200, 500)}
_SENTENCES = {"short": (4, 10), "medium": (10, 25), "long": (25, 80)}
WORDS: dict[str, dict[str, tuple[int, int]]] = {
    "short-long": _LONG,
    "long-short": {"short": (30, 50), "medium": (50, 120), "long": (120, 300)},
    "short-short": {"short": (3, 6), "medium": (6, 12), "long": (12, 25)},
    "long-long": _LONG,
    "sts": _SENTENCES,
    "bitext": _SENTENCES,
}
"""The words that are asked for, by family and length: of both texts, or of the long one."""
_TOLERANCE = 1.5  # by how much a text may miss them
_OTHER = "other"
_FIXED = (TASK, *Cell._fields, "words", _OTHER)
_VARY: Vary = {
    "query_type": ["common", "seldom asked", "very seldom asked"],
    "query_length": ["less than 5 words", "5 to 15 words", "at least 10 words"],
    "clarity": ["clear", "needs some thought", "ambiguous"],
    "high": ["4", "4.5", "5"],
    "low": ["2.5", "3", "3.5"],
}

Plan = dict[str, list[tuple[Cell, int]]]
"""By the id of each task the cells that it is asked for, each with how many pairs are wanted."""


class _Question(NamedTuple):
    """What a pair is asked for with."""

    cell: Cell
    task: Passage
    round: int
    conditions: dict[str, str]
    seed: int


@dataclass(slots=True)
class _Book:
    """What became of the tasks of a batch.

    :param rejected: by task, how many answers could not be used, by reason.
    """

    steering: Steering
    distinct: Distinct = field(default_factory=Distinct)
    pairs: list[tuple[_Question, Draft]] = field(default_factory=list)
    rejected: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


class Taxonomy(Ask):
    """Have a language model write examples of tasks: a query, its positive and a hard negative.

    Wang et al. 2024 (E5-Mistral), arXiv:2401.00368, section 3.1, second step, and appendix C. Four
    families are asymmetric (short-long, long-short, short-short, long-long), two symmetric: `sts`, whose
    texts carry the grade that was asked for, and `bitext`, in two languages. Tasks come from
    `synthesize.tasks`, or are passages of your own whose `meta` tells a cell:
    `{"cell": {"family": "sts", "language": "en", "length": "short", "difficulty": "college"}}`.

    Not usable is an answer that is cut off or not of the prompt's schema, that is surely in another
    language or of another length than asked, copies the task, an example or itself, or whose query
    repeats an earlier one. Cells that come short are asked again, round after round, so that `coverage`
    holds of what is left; this works within 1,024 tasks at a time. A cell that has no task borrows those
    of its family. The report shows the shares asked for, those after the first round and those reached.
    Holds some 200 bytes for each task and each pair that is wanted.
    """

    name: ClassVar[str] = "synthesize.taxonomy"
    takes: ClassVar[tuple[Kind, ...]] = ("passages",)
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: "pairs"}
    drops: ClassVar[Kind | None] = "passages"

    prompts: dict[FamilyName, str] = Field(default_factory=dict)
    """The prompt files of some families; by default `taxonomy-FAMILY`, which come with curate. Each may
    take `task`, `family`, `language`, `length`, `words`, `difficulty`, `other` (the second language of a
    bitext) and what `vary` draws; its schema has `query`, `positive` and `negatives`."""
    count: int = Field(ge=1, examples=[60])
    """Pairs that are wanted."""
    coverage: Coverage = Coverage()
    """How they are shared out."""
    vary: Vary = Field(_VARY)
    """What else is drawn for each question: values by name, or values with weights. `high` and `low` are
    the grades of the two texts of `sts`."""
    languages: Literal["check", "trust"] = "check"
    """Whether texts that are surely in another language than asked are refused."""
    rounds: int = Field(4, ge=1)
    """Rounds that are asked at most; with 1 nothing is asked again."""
    sampling: Sampling = Sampling(temperature=0.8, top_p=0.95, max_tokens=2_000)
    """How answers are drawn."""
    seed: int = Field(0, ge=0)
    """Another seed draws other conditions and answers."""

    # -- settings ----------------------------------------------------------------------------------

    def check(self) -> None:
        """Refuse prompts that ask for something else, or are given what they do not take."""
        super().check()
        prompts = {name: self.prompt_for(name) for name in self.coverage.family}
        for family, prompt in prompts.items():
            written = (prompt.schema or {}).get("properties", {}).keys()
            if not {QUERY, POSITIVE, NEGATIVES} <= written:
                raise ValueError(
                    f"prompts.{family}: {prompt.name} has no schema with `query`, `positive` and "
                    "`negatives`"
                )
        every = {name: self.prompt_for(name) for name in FAMILIES}
        check_variables(self.vary, {p.name: p for p in every.values()}, _FIXED)
        if self.languages == "check":
            identifier()

    def prompt_for(self, family: FamilyName) -> Prompt:
        """Load the prompt of a family.

        :raises ValueError: if there is no such prompt, or it is not one.
        """
        from curate.llm.prompts import Prompt

        return Prompt.load(self.prompts.get(family, f"{SOURCE}-{family}"))

    def material(self) -> dict[str, Any]:
        """Return what identifies the work; the identifier too, if languages are checked."""
        texts: dict[str, str] = {name: self.prompt_for(name).text for name in self.coverage.family}
        made = super().material() | {"prompts": texts}
        return made | ({"identifier": identifier()} if self.languages == "check" else {})

    def row_settings(self) -> dict[str, Any]:
        """Return the settings that are in the key by their values: the prompts are by their texts."""
        return {k: v for k, v in super().row_settings().items() if k != "prompts"}

    # -- what is asked -----------------------------------------------------------------------------

    def fit(self, inputs: Inputs, context: Context) -> Plan:
        """Share out the pairs that are wanted over the tasks."""
        return self.share_out(inputs.main.tables())

    def share_out(self, tasks: Iterable[pa.Table]) -> Plan:
        """Share out the pairs that are wanted over the tasks; see `Plan`."""
        by_cell: defaultdict[Cell, list[str]] = defaultdict(list)
        by_family: defaultdict[str, list[str]] = defaultdict(list)
        for table in tasks:
            columns = (table[name].to_pylist() for name in ("id", "text", "meta"))
            for id_, text, meta in zip(*columns, strict=True):
                if text and (cell := cell_of(meta)):
                    by_cell[cell].append(id_)
                    by_family[cell.family].append(id_)
        plan: defaultdict[str, list[tuple[Cell, int]]] = defaultdict(list)
        for cell, wanted in self.coverage.apportion(self.count).items():
            ids = list(dict.fromkeys(by_cell[cell] or by_family[cell.family]))
            for id_, count in _shared_out(ids, wanted, " ".join(cell)).items():
                plan[id_].append((cell, count))
        return dict(plan)

    def ask(self, table: pa.Table, fitted: Plan, model: Recorded) -> Outcome:
        """Ask for the pairs of a batch of tasks, until each cell has what falls to the batch."""
        tasks = [record for record in from_table(table) if isinstance(record, Passage)]
        slots = _slots(tasks, fitted)
        prompts = {name: self.prompt_for(name) for name in self.coverage.family}
        book = _Book(Steering({cell: len(places) for cell, places in slots.items()}))
        for number in range(self.rounds):
            asked = [
                self._question(cell, n, number, slots[cell]) for cell, n in book.steering.calls()
            ]
            if not asked:
                break
            requests = [self._request(prompts, question) for question in asked]
            read = [read_draft(a, (QUERY, POSITIVE, NEGATIVES)) for a in model.generate(requests)]
            self._judge(prompts, asked, read, book)
        return self._outcome(table, tasks, prompts, fitted, book)

    def _question(self, cell: Cell, number: int, round_: int, slots: list[Passage]) -> _Question:
        task = slots[number % len(slots)]
        record = " ".join((task.id, *cell))
        conditions = draw(self.vary, self.seed, record, number)
        if cell.family == "bitext":
            others = [tag for tag in self.coverage.languages() if tag != cell.language]
            conditions[_OTHER] = pick(others, _OTHER, self.seed, record, number)
        seed = place("answer", self.seed, record, number) >> 33  # servers take seeds of 31 bits
        return _Question(cell, task, round_, conditions, seed)

    def _request(self, prompts: Mapping[Any, Prompt], question: _Question) -> Generate:
        prompt, cell = prompts[question.cell.family], question.cell
        low, high = WORDS[cell.family][cell.length]
        values = question.conditions | cell._asdict()
        values |= {TASK: question.task.text, "words": f"{low} to {high}"}
        values["language"] = language_name(cell.language)
        values[_OTHER] = language_name(values.get(_OTHER, ""))
        text = prompt.render(**{name: values[name] for name in prompt.variables})
        return Generate(text, self.sampling, json.dumps(prompt.schema), seed=question.seed)

    # -- what can be used --------------------------------------------------------------------------

    def _judge(
        self,
        prompts: Mapping[Any, Prompt],
        asked: Sequence[_Question],
        read: Sequence[Draft | str],
        book: _Book,
    ) -> None:
        """Keep what can be used of the answers of one round."""
        drafts = [Draft() if isinstance(found, str) else found for found in read]
        facts = self._facts(asked, drafts)
        examples = {
            family: [word_set(str(e.get(QUERY, ""))) for e in prompt.examples]
            for family, prompt in prompts.items()
        }
        signed = book.distinct.sign([draft.query for draft in drafts])
        for question, found, fact, one in zip(asked, read, facts, signed, strict=True):
            reason = found if isinstance(found, str) else fact
            reason = reason or _copied(question, found, one, examples[question.cell.family])
            if not reason and book.distinct.repeated(one) is not None:
                reason = "repeated"
            if not reason and not book.steering.wants(question.cell):
                reason = "surplus"
            if reason:
                book.rejected[question.task.id][reason] += 1
            elif isinstance(found, Draft):
                book.distinct.add(one)
                book.steering.count(question.cell)
                book.pairs.append((question, found))

    def _facts(self, asked: Sequence[_Question], drafts: Sequence[Draft]) -> list[str | None]:
        """Return of each draft whether it has another length or another language than asked."""
        measured = [
            draft.query if question.cell.family == "long-short" else draft.positive or ""
            for question, draft in zip(asked, drafts, strict=True)
        ]
        counts = count_words(pl.Series("text", measured, pl.String)).to_list()
        queries = self._foreign([d.query for d in drafts], [q.cell.language for q in asked])
        others = [q.conditions.get(_OTHER, q.cell.language) for q in asked]
        texts = [" ".join((d.positive or "", *d.negatives)) for d in drafts]
        foreign = self._foreign(texts, others)
        return [
            "wrong_language" if first or second else _wrong_length(question.cell, words)
            for question, words, first, second in zip(asked, counts, queries, foreign, strict=True)
        ]

    def _foreign(self, texts: list[str], tags: list[str]) -> list[bool]:
        """Tell of each text whether it is surely in another language than that of its tag."""
        if self.languages == "trust":
            return [False] * len(texts)
        found = identify(pl.Series("text", texts, pl.String))
        rows = zip(found["language"], found["confidence"], tags, strict=True)
        return [
            bool(known := identified_as(tag))
            and language is not None
            and language not in known
            and confidence >= _SURE
            for language, confidence, tag in rows
        ]

    # -- records -----------------------------------------------------------------------------------

    def _outcome(
        self,
        table: pa.Table,
        tasks: list[Passage],
        prompts: Mapping[Any, Prompt],
        fitted: Plan,
        book: _Book,
    ) -> Outcome:
        used = {question.task.id for question, _ in book.pairs}
        reasons: list[str | None] = []
        details: list[str | None] = [None] * len(tasks)
        for row, task in enumerate(tasks):
            reasons.append(_fate(task, used, fitted))
            if reasons[row] == "no_usable_pair":
                counts = sorted(book.rejected[task.id].items())
                details[row] = ", ".join(f"{n} {why}" for why, n in counts)
        decided = decide(table, reasons, details, "passages")
        pairs = [
            _pair(question, draft, prompts[question.cell.family].name, book)
            for question, draft in book.pairs
        ]
        return Outcome(to_table(pairs, "pairs"), decided.dropped, decided.kept_inputs)

    def sum_up(self, made: Iterable[pa.Table]) -> dict[str, Any]:
        """Report the coverage."""
        return coverage_notes(self.coverage.apportion(self.count), made)


_SURE = 0.8  # how sure it must be that a text is in another language


def _shared_out(tasks: Sequence[str], count: int, name: str) -> Counter[str]:
    """Give each task an equal part of a number of pairs, beginning anywhere."""
    if not tasks:
        return Counter()
    start = place("first", 0, name, 0) % len(tasks)
    return Counter(
        tasks[(start + n * max(1, len(tasks) // count)) % len(tasks)] for n in range(count)
    )


def _slots(tasks: Iterable[Passage], plan: Plan) -> dict[Cell, list[Passage]]:
    """Return by cell the tasks of a batch, each as often as a pair is wanted of it."""
    slots: defaultdict[Cell, list[Passage]] = defaultdict(list)
    for task in {task.id: task for task in tasks}.values():
        for cell, count in plan.get(task.id, ()):
            slots[cell] += [task] * count
    return dict(slots)


def _fate(task: Passage, used: set[str], plan: Plan) -> str | None:
    if task.id in used:
        return None
    if not task.text or cell_of(task.meta) is None:
        return "no_cell"
    return "no_usable_pair" if task.id in plan else "not_needed"


def _wrong_length(cell: Cell, words: int) -> str | None:
    low, high = WORDS[cell.family][cell.length]
    return None if low / _TOLERANCE <= words <= high * _TOLERANCE else "wrong_length"


def _copied(
    question: _Question, draft: Draft | str, query: Signed, examples: list[frozenset[str]]
) -> str | None:
    """Return what a draft copies, if anything: the task, an example of the prompt, or itself."""
    assert isinstance(draft, Draft)
    if not query.words or query.words <= word_set(question.task.text):
        return "copied_task"
    if any(alike(query.words, example) for example in examples):
        return "copied_example"
    texts = [plain(text) for text in (draft.query, draft.positive or "", *draft.negatives)]
    if len(set(texts)) < len(texts) or not all(texts):
        return "copied_itself"
    _, positive, *negatives = map(word_set, texts)
    # A word makes the difference between short texts, and between two that say nearly the same.
    far = WORDS[question.cell.family] is _LONG
    return "copied_itself" if far and any(alike(positive, n) for n in negatives) else None


def _pair(question: _Question, draft: Draft, prompt: str, book: _Book) -> Pair:
    cell, task, conditions = question.cell, question.task, question.conditions
    graded = cell.family == "sts"
    other = conditions.get(_OTHER, cell.language)
    made = {
        "cell": cell._asdict(),
        "prompt": prompt,
        "round": question.round,
        "conditions": conditions,
        "rejected": dict(sorted(book.rejected[task.id].items())),
    }

    def doc(text: str, grade: str) -> Doc:
        label = _grade(conditions.get(grade)) if graded else None
        return Doc(text, language=other, label=label, origin="llm")

    return Pair(
        kind="synthetic",
        task=task.text,
        query=draft.query,
        positives=[doc(draft.positive or "", "high")],
        negatives=[doc(text, "low") for text in draft.negatives],
        symmetric=cell.family in SYMMETRIC,
        source=SOURCE,
        group=task.group or task.id,
        language=cell.language,
        license=task.license,
        split=task.split,
        parents=[task.id],
        meta=json.dumps(made),
    )


def _grade(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
