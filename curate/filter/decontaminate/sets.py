"""Evaluation sets as settings, and their texts: of BEIR folders, tables, MTEB tasks and recipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate.errors import MissingExtraError
from curate.shards import checksum
from curate.text.testsets import Beir, DatasetError, Document, json_rows, judgements, table_rows

Side = Literal["query", "passage"]
Role = Literal["query", "passage", "text"]
Corpus = Literal["all", "relevant", "none"]
SIDES: tuple[Side, ...] = get_args(Side)
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_COLUMNAR = (".parquet", ".arrow", ".feather", ".ipc")
_TABLES = (".jsonl", *_DELIMITERS, *_COLUMNAR)


class Item(NamedTuple):
    """A text of an evaluation set.

    :param forms: the text, and if it has a title, the title and the text.
    """

    role: Role
    id: str
    forms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """An evaluation set whose texts are read."""

    name: str
    items: list[Item]


class EvaluationSet(BaseModel):
    """What training data must not hold: a BEIR folder, a table, an MTEB task, or texts given here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = None
    """A BEIR folder, or a table: JSON lines, CSV, TSV (these also .gz), Parquet or Arrow."""
    mteb: str | None = None
    """The name of an MTEB task."""
    given: dict[Role, list[str]] = Field({})
    """The texts themselves: `{query: [...]}`."""
    name: str | None = None
    """What reports call it; by default the folder, the file or the task."""
    columns: dict[Role, str | list[str]] = Field({})
    """Of a table: which columns hold queries, passages, or texts that are neither."""
    id: str | None = None
    """Of a table: the column that names a row; by default its number."""
    splits: list[str] | None = None
    """Whose queries count: by default all splits but `train`, of an MTEB task those it evaluates."""
    corpus: Corpus = "all"
    """Which passages count: the whole corpus, those relevant to these queries, or none."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """Read `mteb:NAME` and a path."""
        if not isinstance(value, str):
            return value
        task = value.removeprefix("mteb:")
        return {"path": value} if task == value else {"mteb": task}

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        places = [name for name in ("path", "mteb", "given") if getattr(self, name)]
        if len(places) != 1:
            raise ValueError(
                f"an evaluation set needs one of path, mteb and given; it has {places or 'none'}"
            )
        return self

    @property
    def title(self) -> str:
        """Return what reports call it."""
        return self.name or self.mteb or (Path(self.path).name if self.path else "given")

    def check(self) -> None:
        """Refuse what is not there, or cannot be read.

        :raises ValueError: quoting the setting.
        """
        if self.mteb and find_spec("mteb") is None:
            raise MissingExtraError("mteb", "mteb")
        if not self.path:
            return
        place = Path(self.path).expanduser()
        if not place.exists():
            raise ValueError(f"against: {self.path!r} is neither a folder nor a file")
        if place.is_dir():
            self._splits_of(Beir(place))
        elif _suffix(place) not in _TABLES:
            raise ValueError(
                f"against: {self.path!r} is no table that can be read: {', '.join(_TABLES)}"
            )
        elif not self.columns:
            raise ValueError(
                f"against: {self.path!r} needs columns, such as {{query: question, passage: answer}}"
            )

    def fingerprint(self) -> dict[str, str]:
        """Return what changes when the texts change."""
        if self.mteb:
            from importlib.metadata import version

            return {
                f"mteb {self.mteb}": version("mteb")
            }  # each version names revisions of the data
        if not self.path:
            return {}
        place = Path(self.path).expanduser()
        files = Beir(place).files() if place.is_dir() else [place]
        root = place if place.is_dir() else place.parent
        return {file.relative_to(root).as_posix(): checksum(file) for file in files}

    def load(self) -> Loaded:
        """Read its texts.

        :raises DatasetError: if there are none, or a file does not fit.
        """
        if self.mteb:
            from curate.filter.decontaminate.tasks import task_items

            items = task_items(self.mteb, self.splits, self.corpus)
        elif not self.path:
            items = self._given()
        else:
            place = Path(self.path).expanduser()
            items = self._beir(Beir(place)) if place.is_dir() else self._table(place)
        found = [item for item in items if any(map(str.strip, item.forms))]
        if not found:
            raise DatasetError(f"{self.title}: an evaluation set without texts")
        return Loaded(self.title, found)

    def _given(self) -> Iterator[Item]:
        for role, texts in self.given.items():
            for number, text in enumerate(texts, 1):
                yield item(role, str(number), text)

    # -- BEIR ----------------------------------------------------------------------------

    def _splits_of(self, beir: Beir) -> list[Path]:
        """Return the judgements of the splits that count; none where all queries do.

        :raises DatasetError: if there is no such split.
        """
        found = beir.splits()
        if not found and self.splits is None:
            single = beir.folder / "qrels.tsv"
            return [single] if single.is_file() else []
        wanted = [s for s in found if s != "train"] if self.splits is None else self.splits
        missing = [split for split in wanted if split not in found]
        if missing or not wanted:
            what = f"no split {missing[0]!r}" if missing else "no split but train"
            raise DatasetError(f"{beir.folder}: {what}: name some of {sorted(found)} in `splits`")
        return [found[split] for split in wanted]

    def _beir(self, beir: Beir) -> Iterator[Item]:
        lines = [line for path in self._splits_of(beir) for line in judgements(path)]
        asked = {line.query_id for line in lines}
        for name, text in beir.queries().items():
            if not lines or name in asked:
                yield item("query", name, text)
        relevant = {line.passage_id for line in lines if line.grade > 0}
        yield from corpus_items(beir.corpus().items(), self.corpus, relevant)

    # -- tables --------------------------------------------------------------------------

    def _table(self, path: Path) -> Iterator[Item]:
        columns = [
            (role, column)
            for role, named in self.columns.items()
            for column in ([named] if isinstance(named, str) else named)
        ]
        wanted = [column for _, column in columns] + ([self.id] if self.id else [])
        for number, (where, row) in enumerate(_rows(path, wanted), 1):
            for column in wanted:
                if column not in row:
                    raise DatasetError(f"{where}: no column {column!r}; it has {sorted(row)}")
            name = str(row[self.id]) if self.id else str(number)
            for role, column in columns:
                for text in texts_in(row[column], where):
                    yield item(role, name, text)


def item(role: Role, name: str, text: str, title: str = "") -> Item:
    """Make an item of valid Unicode; JSON may hold lone surrogates."""
    whole = str(Document(title, text))
    forms = (text, whole) if title.strip() and text.strip() else (whole,)
    return Item(role, name, tuple(form.encode("utf-8", "replace").decode() for form in forms))


def corpus_items(
    corpus: Iterable[tuple[str, Document]], which: Corpus, relevant: set[str]
) -> Iterator[Item]:
    """Give the passages that count."""
    for name, document in corpus if which != "none" else ():
        if which == "all" or name in relevant:
            yield item("passage", name, document.text, document.title)


def texts_in(value: Any, where: str) -> list[str]:
    """Return the text or the texts of a cell; of none where it is null.

    :raises DatasetError: if it holds something else.
    """
    if value is None:
        return []
    if isinstance(value, list):
        return [text for part in value for text in texts_in(part, where)]
    if not isinstance(value, str):
        raise DatasetError(f"{where}: needs a text, got {value!r}")
    return [value]


def _suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _rows(path: Path, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the cells of each row of a table."""
    suffix = _suffix(path)
    if suffix == ".jsonl":
        return json_rows(path)
    if suffix in _DELIMITERS:
        return table_rows(path, _DELIMITERS[suffix])
    return _columnar_rows(path, columns)


def _columnar_rows(path: Path, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else _arrow_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None
    chosen = [name for name in table.column_names if name in columns]
    if set(columns) - set(chosen):  # the caller says which is missing
        yield str(path), dict.fromkeys(table.column_names)
    for number, row in enumerate(table.select(chosen).to_pylist(), 1):
        yield f"{path}, row {number}", row


def _arrow_table(path: Path) -> pa.Table:
    """Read an Arrow file, or a stream, which is what `datasets` keeps on disk."""
    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()
