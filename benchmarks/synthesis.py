"""What do the families of synthesis write about real passages? A blind sheet, and its verdicts.

    python -m benchmarks.synthesis --family NAME --output FOLDER [--count 50] [--model PATH_OR_URL]
    python -m benchmarks.synthesis --family NAME --output FOLDER --verdicts FILE

Passages are those of real pairs below CURATE_DATA: sections of Wikipedia, answers of Stack Exchange, news
and abstracts of papers. The model is a packaged one, a folder with a checkpoint, or the URL of a server
with the model's name behind `#`. Answers are recorded in FOLDER, so repeats cost nothing.

`sheet-NAME.jsonl` holds in an order that the seed draws what the family wrote, half as many real pairs,
and half as many real queries with the passage of another; a line says nothing of its origin, which
only `key-NAME.jsonl` tells. A judge who sees the sheet alone writes for each line JSON with `number` and
what was asked: `answered` (the passage answers the query, or belongs to it), `task` (the query is what
the task says), `language` (the texts are in the language told); true or false.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.blind import MISMATCHED, REAL, SYNTHETIC, wilson
from curate.engine.local import run
from curate.llm.answers import Answers
from curate.llm.base import Sampling
from curate.llm.recorded import Recorded
from curate.llm.settings import LLM
from curate.recipe import Recipe
from curate.schema import Pair, Passage, from_table, to_table
from curate.stage import MAIN, Ask
from curate.synthesize.annotate import GRADE, Annotate
from curate.synthesize.coverage import FAMILIES as TAXONOMY
from curate.synthesize.coverage import Coverage, FamilyName
from curate.synthesize.fret import FRet
from curate.synthesize.persona import Persona
from curate.synthesize.queries import Queries
from curate.synthesize.rewrite import Rewrite
from curate.synthesize.tasks import Tasks
from curate.synthesize.taxonomy import Taxonomy

_HARVEST = """
stages:
  stackexchange: {{harvest.stackexchange: {{path: "{data}/stackexchange"}}}}
  wikipedia: {{harvest.wikipedia: {{path: "{data}/wikipedia/enwiki-pages-articles1-shortened.xml.bz2"}}}}
  papers: {{harvest.papers: {{path: "{data}/science/acl-anthology-2022.acl.xml.gz"}}}}
  abc: {{harvest.news: {{path: "{data}/news/abc_2006.zip", source: news/abc, language: en}}}}
"""
_TASKS = {
    "question-answer": "Given a question, find a passage that answers it",
    "section-passage": "Given the name of a topic and a section, find its text",
    "title-abstract": "Given the title of a paper, find its abstract",
    "title-body": "Given a headline, find the article",
}
"""The kinds of real pairs that are used, and their tasks."""
_CHARS = (200, 900)
_SAMPLING = Sampling(temperature=0.3, top_p=0.95, max_tokens=64)
"""Small models err the less the nearer they stay to what they think most probable."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a sheet.

    :param shown: what else the judge sees: the language, for example.
    :param hidden: what only the key tells.
    """

    origin: str
    query: str
    passage: str
    task: str | None = None
    shown: dict[str, Any] = field(default_factory=dict)
    hidden: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Given:
    """What a family is given.

    :param pairs: real pairs, shuffled, more than are needed.
    :param count: how many items it should write.
    """

    pairs: Sequence[Pair]
    count: int
    seed: int
    model: Recorded

    def ask(self, stage: Ask, records: Sequence[Pair] | Sequence[Passage]) -> list[Pair]:
        """Run a stage over some records and return its pairs; tell what it did not keep."""
        stage.check()
        kind = "passages" if isinstance(records[0], Passage) else "pairs"
        outcome = stage.ask(to_table(records, kind), None, self.model)
        made = [pair for pair in from_table(outcome.kept) if isinstance(pair, Pair)]
        reasons = Counter(outcome.dropped["drop_detail"].to_pylist())
        print(
            f"{stage.name}: {len(records)} {kind}, {len(made)} pairs, dropped: {dict(reasons)}",
            file=sys.stderr,
        )
        return made


def passages(pairs: Iterable[Pair]) -> list[Passage]:
    """Return the passages of pairs; a title is one, a question is not told."""
    return [
        Passage(
            pair.positives[0].text or "",
            pair.source,
            pair.group,
            title=None if pair.kind == "question-answer" else pair.query,
            language=pair.language,
        )
        for pair in pairs
    ]


def from_passages(stage: Ask) -> Callable[[Given], list[Item]]:
    """Let a stage write about passages, and take one of the pairs of each."""

    def make(given: Given) -> list[Item]:
        made = given.ask(stage, passages(given.pairs[: 2 * given.count]))
        rng = np.random.default_rng(given.seed)
        first: dict[str, Pair] = {}
        for place in rng.permutation(len(made)):
            first.setdefault(made[place].positives[0].id, made[place])
        return [_written(pair) for pair in list(first.values())[: given.count]]

    return make


def rewritten(given: Given) -> list[Item]:
    """Let titles and questions be rewritten."""
    made = given.ask(Rewrite(original="replace", candidates=2), given.pairs[: 2 * given.count])
    first = {pair.parents[-1]: pair for pair in reversed(made)}
    return [_written(pair) for pair in list(first.values())[: given.count]]


def negatives(given: Given) -> list[Item]:
    """Let hard negatives be written: the judge should say that they answer nothing."""
    stage = Rewrite(prompt="hard-negatives", original="replace")
    made = given.ask(stage, given.pairs[: 2 * given.count])
    return [
        replace(_written(pair), passage=pair.negatives[0].text or "", task=_TASKS[pair.kind])
        for pair in made[: given.count]
    ]


def annotated(given: Given) -> list[Item]:
    """Let real and mismatched pairs be graded; the grade is in the key."""
    half = given.count // 2
    matched, others = given.pairs[:half], given.pairs[half : given.count]
    asked = [*matched, *(mismatch(a, b) for a, b in _turned(others))]
    made = given.ask(Annotate(prompt="relevance-text"), asked)
    return [
        Item(
            SYNTHETIC,
            pair.query,
            pair.positives[0].text or "",
            _TASKS[pair.kind],
            hidden={GRADE: pair.positives[0].label, "real": n < half},
        )
        for n, pair in enumerate(made)
    ]


def of_taxonomy(family: FamilyName, side: str = "positives") -> Callable[[Given], list[Item]]:
    """Let tasks of a family be thought of, and examples be written; no passage is shown.

    :param side: which text of a pair the judge sees: its positive or its hard negative.
    """
    # A bitext needs two languages; the others are written in both too.
    coverage = Coverage(
        family={family: 1.0}, language={"en": 2.0, "de": 1.0}, length={"short": 1.0}
    )

    def make(given: Given) -> list[Item]:
        thought = Tasks(count=given.count, coverage=coverage, seed=given.seed)
        tasks = thought.ask(to_table([], "passages"), None, given.model).kept
        stage = Taxonomy(
            count=given.count,
            coverage=coverage,
            seed=given.seed,
            sampling=Sampling(temperature=0.7, top_p=0.95, max_tokens=400),
        )
        stage.check()
        kept = stage.ask(tasks, stage.share_out([tasks]), given.model).kept
        pairs = [pair for pair in from_table(kept) if isinstance(pair, Pair)]
        return [
            replace(_written(pair), passage=getattr(pair, side)[0].text or "") for pair in pairs
        ]

    return make


FAMILIES: dict[str, Callable[[Given], list[Item]]] = {
    "fret": from_passages(FRet(prompt="fret-text", grounded=0.5)),
    "fret-task": from_passages(FRet(prompt="fret-task", tasks=sorted(_TASKS.values()))),
    "queries": from_passages(Queries(sampling=_SAMPLING)),
    "persona": from_passages(Persona(sampling=_SAMPLING, grounded=0.5)),
    "rewrite": rewritten,
    "negatives": negatives,
    "annotate": annotated,
    **{f"taxonomy-{name}": of_taxonomy(name) for name in TAXONOMY},
    **{f"taxonomy-{name}-negatives": of_taxonomy(name, "negatives") for name in TAXONOMY},
}
"""What writes the items of each family."""


def _written(pair: Pair) -> Item:
    made = json.loads(pair.meta)
    hidden = {"conditions": made.get("conditions"), "rejected": made.get("rejected")}
    shown = {"language": pair.language}
    return Item(SYNTHETIC, pair.query, pair.positives[0].text or "", pair.task, shown, hidden)


def mismatch(pair: Pair, other: Pair) -> Pair:
    """Return a pair with the passage of another."""
    return replace(pair, positives=other.positives, id="")


def _turned(pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Pair]]:
    return zip(pairs, [*pairs[1:], *pairs[:1]], strict=True)


def real_pairs(data: str, output: Path, seed: int) -> list[Pair]:
    """Harvest real pairs, as many of each source as of the rarest, and shuffle them."""
    recipe = Recipe.parse(_HARVEST.format(data=data))
    artefacts = run(recipe, output / "harvest").artefacts
    rng = np.random.default_rng(seed)
    by_source = []
    for artefact in artefacts.values():
        pairs = [p for p in from_table(artefact.shards(MAIN).to_arrow()) if isinstance(p, Pair)]
        fitting = [p for p in pairs if _fits(p)]
        by_source.append([fitting[n] for n in rng.permutation(len(fitting))])
    size = min(map(len, by_source))
    together = [pair for source in by_source for pair in source[:size]]
    return [together[n] for n in rng.permutation(len(together))]


def _fits(pair: Pair) -> bool:
    text = (pair.positives[0].text or "") if pair.positives else ""
    return pair.kind in _TASKS and _CHARS[0] <= len(text) <= _CHARS[1]


def sheet(written: list[Item], rest: Sequence[Pair], seed: int) -> list[Item]:
    """Shuffle what was written among real and mismatched pairs.

    :param rest: pairs that the family did not see.
    """
    half = (len(written) + 1) // 2
    others = rest[half : 2 * half]
    found = [*written, *(_real(REAL, pair) for pair in rest[:half])]
    found += [_real(MISMATCHED, mismatch(a, b)) for a, b in _turned(others)]
    return [found[place] for place in np.random.default_rng(seed).permutation(len(found))]


def _real(origin: str, pair: Pair) -> Item:
    shown = {"language": pair.language}
    return Item(origin, pair.query, pair.positives[0].text or "", _TASKS[pair.kind], shown)


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def table(key: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> str:
    """Join verdicts and origins: the share of yes for each question, by origin."""
    by_number = {int(row["number"]): row for row in verdicts}
    if missing := [row["number"] for row in key if row["number"] not in by_number]:
        sys.exit(f"no verdict on {missing}")
    asked = [name for name in verdicts[0] if isinstance(verdicts[0][name], bool)]
    lines = ["| origin | items | " + " | ".join(asked) + " |", "|---" * (len(asked) + 2) + "|"]
    for origin in (SYNTHETIC, REAL, MISMATCHED):
        rows = [by_number[row["number"]] for row in key if row["origin"] == origin]
        cells = [_share([bool(row[name]) for row in rows]) for name in asked]
        lines.append(f"| {origin} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _share(answers: list[bool]) -> str:
    if not answers:
        return "none"
    low, high = wilson(sum(answers), len(answers))
    return f"{sum(answers) / len(answers):.0%} ({low:.0%} to {high:.0%})"


def language_model(name: str) -> LLM:
    """Return the settings of a model: a package, a folder, or URL#NAME."""
    url, _, served = name.partition("#")
    if url.startswith(("http://", "https://")):
        return LLM(backend="openai", url=url, model=served or "served", concurrency=4)
    return LLM(model=name)


def main() -> None:
    """Write a sheet and its key, or the table of its verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=sorted(FAMILIES), required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verdicts", type=Path)
    asked = parser.parse_args()
    paths = [asked.output / f"{what}-{asked.family}.jsonl" for what in ("sheet", "key")]
    if asked.verdicts is not None:
        print(table(read(paths[1]), read(asked.verdicts)))
        return
    data = os.environ.get("CURATE_DATA")
    if data is None:
        sys.exit("set CURATE_DATA to the folder of the development data")
    asked.output.mkdir(parents=True, exist_ok=True)
    pairs = real_pairs(data, asked.output, asked.seed)
    llm = language_model(asked.model)
    answers = Answers(asked.output / "answers.sqlite")
    model = Recorded(llm.identity(), llm.open, answers)
    shown = 2 * asked.count
    written = FAMILIES[asked.family](Given(pairs[:shown], asked.count, asked.seed, model))
    found = sheet(written, pairs[shown:], asked.seed)
    names = ("query", "passage", "task")
    rows = [{name: getattr(item, name) for name in names} | item.shown for item in found]
    write(paths[0], ({"number": n} | row for n, row in enumerate(rows, 1)))
    keys = ({"origin": item.origin} | item.hidden for item in found)
    write(paths[1], ({"number": n} | row for n, row in enumerate(keys, 1)))
    usage = model.usage
    figures = {
        "items": len(written),
        "asked": usage.asked,
        "recorded": usage.recorded,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "seconds": round(usage.seconds, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
