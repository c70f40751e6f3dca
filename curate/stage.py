"""What a stage is: a pydantic model whose fields are its settings, in one of five shapes.

| shape    | sees                              | leaves                       | the engine runs it       |
|----------|-----------------------------------|------------------------------|--------------------------|
| `Source` | a block of an outside input       | records                      | block by block, workers  |
| `Map`    | one batch of records              | records                      | shard by shard, workers  |
| `Ask`    | one batch, and a language model   | records                      | `fit` once, then `ask`   |
| `Global` | all records, then each batch      | records                      | `fit` once, then `apply` |
| `Build`  | all records and models, or none   | a folder: model, metrics, .. | once                     |

No stage knows where it runs, where its input lies or how its output is stored. What a stage does not
keep it drops with a reason, so that inputs = kept + dropped always holds; the engine checks it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from curate.licenses import Licenses
from curate.llm.settings import LLM
from curate.schema import Kind, Record, drop_schema
from curate.shards import Shards, Side

if TYPE_CHECKING:
    from curate.llm.base import Ability
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded

MAIN = "main"
DROPPED = "dropped"


ModelSort = Literal["encoder", "n-gram model"]

MODEL_FILES: dict[ModelSort, str] = {"encoder": "modules.json", "n-gram model": "ngram.json"}
"""By which file in it the folder of a model is known."""


def model_sort(folder: Path) -> ModelSort | None:
    """Return which sort of model a folder holds; None if it holds none that is known."""
    return next((sort for sort, file in MODEL_FILES.items() if (folder / file).is_file()), None)


@dataclass(frozen=True)
class Ref:
    """Marks a field whose value is the name of another stage (or of one of its sides).

    :param kind: the kind of artefact that the field takes; None: what the stage's `takes` says.
    :param words: values that are not stages but have a meaning of their own (`bm25`).
    :param path: whether the value may also be a folder outside the recipe.
    :param model: which sort of model it takes, if the kind is `model`.
    """

    kind: Kind | None
    words: tuple[str, ...] = ()
    path: bool = False
    model: ModelSort = "encoder"


def execution(default: Any, **constraints: Any) -> Any:
    """Declare a setting of execution: it changes how fast, never which rows, and is not in the key."""
    return Field(default, json_schema_extra={"execution": True}, **constraints)


def is_execution(info: FieldInfo) -> bool:
    """Tell whether a field was declared by `execution`."""
    extra = info.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("execution"))


def ref_of(info: FieldInfo) -> Ref | None:
    """Return the `Ref` of a field, if it has one."""
    return next((m for m in info.metadata if isinstance(m, Ref)), None)


@dataclass(frozen=True, slots=True)
class Unit:
    """A file of an outside input, a package, or a block of one.

    :param name: says to a reader what it is; no two of a source have the same.
    :param fingerprint: changes when the content changes.
    :param payload: what the source needs to read it; picklable.
    :param size: bytes, as they lie there; 0 if unknown.
    """

    name: str
    fingerprint: str
    payload: Any = None
    size: int = 0


# Of these two there are millions, and frozen ones take three times as long to make.
@dataclass(slots=True)
class Drop:
    """An input that a source rejects.

    :param reason: one of few, snake_case, countable.
    :param detail: what is wrong here: file, position, quoted value.
    """

    reason: str
    detail: str
    source: str | None = None
    url: str | None = None
    text: str | None = None


@dataclass(slots=True)
class Piece:
    """What an input adds to pairs whose other half lies elsewhere in the source.

    :param key: what the halves have in common: a thread, the title of a page, the id of a paper.
    :param data: JSON data, as `json` reads it back.
    :param counts: whether it is an input itself, whose fate `join` decides; if not, it only helps.
    """

    key: str
    data: Any
    counts: bool = True


Found = list[Record] | Drop | Piece
"""What a source makes of an input: records, a reason not to, or a piece whose fate is still open."""


@dataclass(slots=True)
class Outcome:
    """What became of some inputs.

    :param kept: the records of the main side.
    :param dropped: rejected inputs, with `drop_reason` and `drop_detail` (`schema.drop_schema`).
    :param kept_inputs: how many inputs were kept; an input may leave several records.
    :param sides: records of other sides, by name.
    :param asked: what was asked of a language model; the engine counts it.
    """

    kept: pa.Table
    dropped: pa.Table
    kept_inputs: int
    sides: dict[str, pa.Table] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)


def decide(
    table: pa.Table,
    reasons: pa.Array | Sequence[str | None],
    details: pa.Array | Sequence[str | None] | None = None,
    kind: Kind = "pairs",
) -> Outcome:
    """Keep the rows whose reason is null; drop the others with their reason and detail.

    :param reasons: n strings or nulls for the n rows of `table`.
    """
    reasons = pa.array(reasons, pa.string()) if not isinstance(reasons, pa.Array) else reasons
    if details is None:
        details = pa.nulls(len(table), pa.string())
    elif not isinstance(details, pa.Array):
        details = pa.array(details, pa.string())
    keep = pc.is_null(reasons)
    kept = table.filter(keep)
    marked = table.append_column("drop_reason", reasons).append_column("drop_detail", details)
    dropped = marked.filter(pc.invert(keep)).cast(drop_schema(kind))
    return Outcome(kept, dropped, len(kept))


def keep_all(table: pa.Table, kind: Kind = "pairs") -> Outcome:
    """Keep every row."""
    return Outcome(table, drop_schema(kind).empty_table(), len(table))


@dataclass(slots=True)
class Inputs:
    """The artefacts that a stage was given.

    :param main: the records of the main input (`from`, or the stage above).
    :param records: the record artefacts named by fields, by field name.
    :param models: for each field that names models: (name in the recipe, folder) for each of them.
    """

    main: Shards
    records: dict[str, Shards] = field(default_factory=dict)
    models: dict[str, list[tuple[str, Path]]] = field(default_factory=dict)

    def model(self, field_name: str) -> Path:
        """Return the folder of the one model that a field names."""
        ((_, folder),) = self.models[field_name]
        return folder


T = TypeVar("T", np.ndarray, pa.Table)


class Context(Protocol):
    """What the engine lends to a stage that sees everything."""

    threads: int
    folder: Path
    """Scratch that survives a kill: same stage, same settings, same inputs, same folder."""
    vectors: Path | None
    """The file in which an encoder records vectors that cost money, for all runs: `load_encoder`."""

    def memo(self, name: str, compute: Callable[[], T]) -> T:
        """Return `compute()`, an array or a table, or what an earlier, killed run made of it."""
        ...

    def progress(self, done: int, total: int, unit: str = "rows") -> None:
        """Report how far the stage is."""
        ...

    def note(self, **facts: Any) -> None:
        """Remember facts (JSON) for the manifest and the report: a curve, chosen parameters."""
        ...


class Stage(BaseModel):
    """The base of all stages. The first line of a stage's docstring is its help text."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: ClassVar[str] = ""
    """As recipes write it: `filter.rules`. Empty for a class that is not to be used itself."""
    version: ClassVar[int] = 1
    """Raise it whenever the same input and settings would give other rows."""
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    """Kinds that fit as main input; empty for a source, and for what brings a model from outside."""
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: None}
    """What it leaves: kind by side; None means the kind of its main input."""
    drops: ClassVar[Kind | None] = None
    """The kind of what it drops; None means the kind of its main side."""

    from_: Annotated[str | list[str] | None, Ref(None)] = Field(None, alias="from")
    """The stages whose records it takes, joined if several; by default the stage above."""

    def check(self) -> None:
        """Refuse settings that cannot work here (a missing file) before anything runs.

        :raises ValueError: saying what is wrong and what to do.
        """

    def planned(self) -> dict[str, Any]:
        """Return facts (JSON) that follow from the settings and are worth to be known before a run."""
        return {}

    def material(self) -> dict[str, Any]:
        """Return what identifies the work: stage, version and the settings that change rows."""
        return {"stage": self.name, "version": self.version, "settings": self.row_settings()}

    def row_settings(self) -> dict[str, Any]:
        """Return the settings that are in the key: neither of execution nor references."""
        fields = type(self).model_fields
        skip = {n for n, info in fields.items() if is_execution(info) or ref_of(info)}
        return self.model_dump(mode="json", exclude=skip)

    @classmethod
    def refs(cls) -> dict[str, Ref]:
        """Return the fields, other than `from`, that name other stages."""
        fields = cls.model_fields.items()
        return {n: ref for n, info in fields if n != "from_" and (ref := ref_of(info))}

    def referred(self, field_name: str) -> list[str]:
        """Return the stage names that a field holds: none, one or several."""
        value = getattr(self, field_name)
        if value is None:
            return []
        return [value] if isinstance(value, str) else list(value)

    def gives(self, main: Kind | None) -> dict[str, Kind]:
        """Return the kinds of its sides for a main input of kind `main`."""
        kinds: dict[str, Kind] = {}
        for side, kind in self.sides.items():
            resolved = kind or main
            assert resolved is not None, f"{self.name} has no input to take its kind from"
            kinds[side] = resolved
        return kinds

    @classmethod
    def help(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0]


class Source(Stage):
    """Reads an outside input, block by block."""

    takes: ClassVar[tuple[Kind, ...]] = ()
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: "pairs"}

    licenses: Licenses = Licenses()
    """Which licences pass; by default the recipe's section `licenses`."""

    @abstractmethod
    def units(self) -> list[Unit]:
        """List the files of the input, in a fixed order, quickly: nothing is parsed here."""

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut a unit into blocks, in order, that can each be read without the others.

        Blocks are what workers read at the same time and what a killed run need not read again. The
        same unit is always cut in the same places. By default a unit is one block.
        """
        yield unit

    @abstractmethod
    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read one block: for each input the records it gave (pairs and passages), or a `Drop`.

        Records go to the side of their kind. Bad input is a `Drop`, never an exception. Only a
        `Joined` source may give a `Piece`.
        """


class Joined(Source):
    """A source some of whose pairs join what lies apart: a reply and its parent, a link and its target.

    The engine brings all pieces of a key together on disk, whatever files they come from, in memory
    bounded by the pieces of some keys.
    """

    @abstractmethod
    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        """Decide over all pieces of one key, in the order of the input.

        :return: one fate for each piece that counts; their order is that of the output.
        """


class Map(Stage):
    """A pure function of a batch of records: the same rows for any batch size."""

    @abstractmethod
    def map(self, table: pa.Table) -> Outcome:
        """Keep or drop each row of `table`, or turn it into others."""


class Global(Stage):
    """Decides over all records, then treats them batch by batch."""

    @abstractmethod
    def fit(self, inputs: Inputs, context: Context) -> Any:
        """See everything and return what `apply` needs. Costly steps go through `context.memo`."""

    @abstractmethod
    def apply(self, table: pa.Table, start: int, fitted: Any) -> Outcome:
        """Treat the rows `start` to `start + len(table)` of the main input."""


class Ask(Stage):
    """Asks a language model about each batch: pure, given the answers, which the engine records.

    The same question is never asked twice, so `ask` may be repeated after a kill. In the key are the
    model, how often it is asked, and the text of each prompt rather than its name.
    """

    prompt_fields: ClassVar[tuple[str, ...]] = ()
    """The fields that name prompt files."""

    llm: LLM = LLM()
    """The language model; by default the recipe's section `llm`."""

    def prompt_of(self, field_name: str) -> Prompt:
        """Load the prompt that a field names.

        :raises ValueError: if there is no such prompt, or it is not one.
        """
        from curate.llm.prompts import Prompt

        return Prompt.load(getattr(self, field_name))

    def check(self) -> None:
        """Refuse prompts and models that are not there."""
        for name in self.prompt_fields:
            if getattr(self, name) is not None:
                self.prompt_of(name)
        self.llm.check()

    def needs(self) -> set[Ability]:
        """Return what its language model must be able to do."""
        return {"generate", "schema"}

    def material(self) -> dict[str, Any]:
        """Return what identifies the work: besides the settings the model and the prompts' texts."""
        named = {name for name in self.prompt_fields if getattr(self, name) is not None}
        texts = {name: self.prompt_of(name).text for name in sorted(named)}
        return super().material() | {
            "llm": self.llm.identity(),
            "asking": self.llm.row_settings(),
            "prompts": texts,
        }

    def row_settings(self) -> dict[str, Any]:
        """Return the settings that are in the key by their values."""
        settings = super().row_settings()
        return {k: v for k, v in settings.items() if k != "llm" and k not in self.prompt_fields}

    def fit(self, inputs: Inputs, context: Context) -> Any:
        """Collect from all inputs what `ask` needs besides its batch; by default nothing."""
        return None

    @abstractmethod
    def ask(self, table: pa.Table, fitted: Any, model: Recorded) -> Outcome:
        """Treat one batch with the answers that the model gives.

        A stage that takes no records is called once, with an empty table; its inputs are what the model
        answered.
        """

    def sum_up(self, made: Iterable[pa.Table]) -> dict[str, Any]:
        """Return facts (JSON) about all that it left, for the manifest and the report; by default none.

        :param made: the records of its main side, some at a time.
        """
        return {}


@dataclass(slots=True)
class Built:
    """What a `Build` made: how many inputs it used, and its shards by side if it made records."""

    inputs: int
    kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    sides: dict[str, Side] = field(default_factory=dict)


class Build(Stage):
    """Makes a folder out of everything: a model, an index, metrics, or published shards.

    One that `takes` nothing brings a model from outside. Its folder says how the model is run, so a
    change of settings of execution makes the folder anew, but nothing that was computed with it.
    """

    sides: ClassVar[dict[str, Kind | None]] = {MAIN: "model"}
    makes: ClassVar[ModelSort] = "encoder"
    """Which sort of model it leaves, if it leaves one."""

    @abstractmethod
    def build(self, inputs: Inputs, folder: Path, context: Context) -> Built:
        """Fill `folder`, which is empty. Checkpoints go to `context.folder`."""
