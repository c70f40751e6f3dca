"""Runs any registered stage by the engine on the records of `tests.contracts.records`."""

import hashlib
import importlib
import json
import pkgutil
import sys
import textwrap
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from curate.engine.local import LocalContext, run
from curate.engine.progress import PlainReporter
from curate.engine.store import Artefact
from curate.recipe import Recipe
from curate.registry import registry
from curate.schema import Kind, Record, from_table, to_table
from curate.shards import Manifest, Shards, Side, write_manifest, write_shard
from curate.stage import MAIN, Ask, Build, Global, Inputs, Stage, ref_of
from tests.contracts.records import Nulls, Records, make_pairs, ngram_model, static_model
from tests.harvest import made
from tests.llm.made import MadeModel

STAGES: dict[str, type[Stage]] = {
    name: cls for name, cls in registry().items() if not cls.__module__.startswith("tests")
}
"""Every stage that `curate` registers, so that a new one is tested as soon as it exists."""
CASES: list[tuple[str, Kind | None]] = [
    (name, kind) for name, cls in STAGES.items() for kind in cls.takes or (None,)
]
"""Each of them with each kind of record that it takes; None for a source."""
Maker = Callable[[Path], dict[str, object]]
WORDS = ["reporting", "resolving", "rendering", "reading", "releasing", "repeating", "refusing"]


def python_package(folder: Path) -> dict[str, object]:
    """Install a package made here, for `harvest.python` to read."""
    functions = [
        f'''
        def {word}(table, rows={number}):
            """Do the {word} of {"" if number % 2 else "all the"} rows of a table.

            Details: \u00e9 \u202e.
            """
            for row in range(rows):
                table.append(row * {number})
            return table


        def plain_{word}(value):
            {"; ".join(f"value += {i}" for i in range(number))}
            return value


        class {word.title()}:
            """{word}"""

            def method(self):
                "Return what the {word} gave the last time."
                return {number}
        '''
        for number, word in enumerate(WORDS, 1)
    ]
    (folder / "made.py").write_text("".join(map(textwrap.dedent, functions)), "utf-8")
    (folder / "broken.py").write_text("def f(:\n", "utf-8")
    (folder / "latin.py").write_bytes(b"# \xe9\xff\n")
    info = folder / "made_pkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: made-pkg\nVersion: 1.0\nSummary: A package made for a test\n"
        "\nIt holds functions about tables and says so at a length that is worth to be read.\n"
    )
    files = ["made.py", "broken.py", "latin.py", "gone.py"]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    sys.path.insert(0, str(folder))
    return {"packages": ["made-pkg"], "stdlib": False, "topics": False}


def shards_of_pairs(folder: Path) -> dict[str, object]:
    """Write two shards, for `harvest.shards` to read."""
    table = to_table(make_pairs(7, 300), "pairs")
    halves = {"a.arrow": table.slice(0, 150), "b.arrow": table.slice(150)}
    side = Side("pairs", [write_shard(folder, name, half) for name, half in halves.items()])
    write_manifest(folder, Manifest({MAIN: side}))
    return {"path": str(folder)}


def packaged_model(folder: Path) -> dict[str, object]:
    """Install a package that carries a model, made here."""
    static_model(folder / "made_encoder" / "model")
    info = folder / "made_encoder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-encoder\nVersion: 1.0\n")
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in sorted(files)))
    sys.path.insert(0, str(folder))
    return {"model": "made-encoder"}


def endpoint(folder: Path) -> dict[str, object]:
    """Name an endpoint; nothing is asked of it."""
    return {"model": "made", "dimension": 16}


def made_tasks(folder: Path) -> dict[str, object]:
    """Ask the made model for tasks."""
    coverage = {"language": ["en", "de"], "length": {"short": 1}}
    return {"llm": {"model": "made"}, "count": 60, "rounds": 2, "coverage": coverage}


def click_and_tqdm(folder: Path) -> dict[str, object]:
    """Name two packages that are installed wherever the tests run."""
    return {"packages": ["click", "tqdm"], "stdlib": False, "topics": False}


def made_sources() -> dict[str, Maker]:
    """Return the makers of `tests.harvest.made`: one module a source, with a function `make`."""
    found = {}
    for module in pkgutil.iter_modules(made.__path__, f"{made.__name__}."):
        source = f"harvest.{module.name.rpartition('.')[2]}"
        found[source] = importlib.import_module(module.name).make
    return found


SOURCES: dict[str, Maker] = {
    "harvest.python": python_package,
    "harvest.shards": shards_of_pairs,
    "encode.model": packaged_model,
    "encode.endpoint": endpoint,
    "synthesize.tasks": made_tasks,
    **made_sources(),
}
"""For each stage without input: makes what it reads in an empty folder and returns its settings."""
REAL_SOURCES: dict[str, Maker] = SOURCES | {"harvest.python": click_and_tqdm}
"""The same with more than 100 inputs of the kind that users have."""


def settings_of(cls: type[Stage], references: Mapping[str, str]) -> dict[str, object]:
    """Return settings that a stage can run with: the defaults, and what has none by examples.

    :param references: the name or folder of an artefact, by kind, and of models by sort.
    """
    settings: dict[str, object] = {"llm": {"model": "made"}} if issubclass(cls, Ask) else {}
    for name, info in cls.model_fields.items():
        if name == "from_" or not info.is_required():
            continue
        ref = ref_of(info)
        if ref is not None:
            value = references[ref.model if ref.kind == "model" else str(ref.kind)]
            many = typing.get_origin(info.annotation) in (list, tuple)
            settings[name] = [value] if many else value
        elif info.examples:
            settings[name] = info.examples[0]
        else:
            raise AssertionError(_no_example(cls, f"the setting {name!r} has neither"))
    try:
        cls.model_validate(settings).check()
    except ValueError as error:
        fields = cls.model_fields.items()
        examples = {name: info.examples[0] for name, info in fields if info.examples}
        if not examples:
            raise AssertionError(
                _no_example(cls, f"check() refuses the defaults: {error}")
            ) from None
        settings |= examples
        cls.model_validate(settings).check()
    return settings


def _no_example(cls: type[Stage], why: str) -> str:
    return (
        f"{cls.name} cannot be tested by itself, as it needs defaults or examples and {why}: add "
        f"`Field(..., examples=[value])` to the setting in {cls.__module__}"
    )


def recipe_for(
    name: str, kind: Kind | None, model: Path, *, nulls: bool = False, **records: object
) -> Recipe:
    """Return a recipe that runs one stage, under the name `tested`, on test records.

    :param nulls: make some of the records' lists null first.
    """
    cls = STAGES[name]
    references = {
        "encoder": str(model),
        "n-gram model": str(ngram_model(model.with_name("ngram"))),
        "pairs": "records",
        "passages": "records.passages",
    }
    stages: dict[str, Stage] = {"records": Records.model_validate(records)}
    given = "records.passages" if kind == "passages" else "records"
    if nulls:
        stages["nulls"] = Nulls(from_=given)
        given = "nulls"
    stages["tested"] = cls.model_validate(settings_of(cls, references) | {"from": given})
    return Recipe(stages)


def source_recipe(name: str, settings: dict[str, object]) -> Recipe:
    """Return a recipe of one source, under the name `tested`."""
    return Recipe({"tested": STAGES[name].model_validate(settings)})


class Quiet(PlainReporter):
    """Says nothing."""

    def say(self, message: str) -> None:
        """Drop the message."""


def execute(
    recipe: Recipe, output: Path, workers: int = 1, batch: int = 8192
) -> dict[str, Artefact]:
    """Run a recipe and return its artefacts by name; the language model is one made for tests."""
    options = {"workers": workers, "batch": batch, "open_model": lambda _: MadeModel()}
    return run(recipe, output, reporter=Quiet(), **options).artefacts


def rows(artefact: Artefact) -> dict[str, list[dict[str, object]]]:
    """Return all rows of an artefact by side, in order."""
    sides = artefact.manifest.sides
    return {side: artefact.shards(side).to_arrow().to_pylist() for side in sides}


def files(artefact: Artefact) -> dict[str, list[tuple[int, str]]]:
    """Return rows and checksum of every shard by side, in order."""
    sides = artefact.manifest.sides.items()
    return {name: [(info.rows, info.checksum) for info in side.shards] for name, side in sides}


def decisions(artefact: Artefact, stage: Stage) -> object:
    """Return what a stage decided, as JSON data that is the same on every machine.

    Of records the ids, the fates, the names of their documents and scores to two decimals; of a
    model what it was made of; of metrics the figures to two decimals.
    """
    account = artefact.account
    counts = [account.inputs, account.kept, account.dropped, account.outputs]
    if isinstance(stage, Build) and artefact.kind == "model":
        notes = artefact.manifest.info["notes"]
        plain = {k: v for k, v in notes.items() if isinstance(v, int | str)}
        if not stage.takes:  # what it writes is copied, not trained
            plain["files"] = notes["files"]
        return [counts, plain]
    if artefact.kind == "metrics":
        metrics = json.loads((artefact.folder / "metrics.json").read_bytes())
        return [counts, [_figures(system["metrics"]) for system in metrics["systems"]]]
    return [
        counts,
        {side: [_decision(row) for row in found] for side, found in rows(artefact).items()},
    ]


def _figures(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: round(value["mean"], 2) for name, value in metrics.items()}


def _decision(row: dict[str, object]) -> list[object]:
    reason = [row["drop_reason"]] if "drop_reason" in row else []
    return [row["id"], row["split"], *reason, _scores(row), *(_docs(row, c) for c in _DOCS)]


_DOCS = ("positives", "negatives", "candidates")


def _docs(row: dict[str, typing.Any], column: str) -> list[object]:
    return [[doc["id"], doc["origin"], _scores(doc)] for doc in row.get(column) or []]


def _scores(row: dict[str, typing.Any]) -> list[object]:
    return [[score["name"], round(score["value"], 2)] for score in row["scores"] or []]


def digest(data: object) -> str:
    """Hash JSON data."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def is_source(name: str) -> bool:
    """Tell whether a stage takes no records: a source, or what brings a model from outside."""
    return not STAGES[name].takes


def shards_of(records: list[Record], kind: Kind, folder: Path, cuts: int = 2) -> Shards:
    """Write records to some shards of a folder and open them."""
    table = to_table(records, kind)
    size, listed = max(1, -(-len(table) // cuts)), []
    for start in range(0, len(table), size):
        name = f"{kind}-{len(list(folder.iterdir()))}.arrow"
        info = write_shard(folder, name, table.slice(start, size))
        listed.append((str(folder / name), info))
    return Shards(kind, listed)


@dataclass
class Treated:
    """What a global stage made of some pairs."""

    kept: list[Record]
    dropped: list[dict[str, typing.Any]]
    notes: dict[str, typing.Any]


def treat(stage: Global, inputs: Inputs, folder: Path, batch: int = 7) -> Treated:
    """Run a global stage over its main input, batch by batch."""
    folder.mkdir()
    context = LocalContext(folder, 1, Quiet())
    fitted = stage.fit(inputs, context)
    kept, dropped, start = [], [], 0
    for rows in inputs.main.batches(batch):
        outcome = stage.apply(rows, start, fitted)
        assert outcome.kept_inputs + len(outcome.dropped) == len(rows)
        kept += from_table(outcome.kept)
        dropped += outcome.dropped.to_pylist()
        start += len(rows)
    return Treated(kept, dropped, context.notes)
