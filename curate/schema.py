"""The two kinds of record, as Arrow schemas and as Python objects, and the ids that name them.

A table of records always has exactly the columns of `PASSAGE` or `PAIR`, in that order. Only plain
types are used (no map, view or dictionary types), so `datasets` and `polars` open shards as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["pairs", "passages", "model", "index", "metrics"]

SCORE = pa.struct([("name", pa.string()), ("value", pa.float32())])

DOC = pa.struct(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("label", pa.float32()),
        ("origin", pa.string()),
        ("scores", pa.list_(SCORE)),
    ]
)

PASSAGE = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("title", pa.string()),
        ("language", pa.string()),
        ("source", pa.string()),
        ("license", pa.string()),
        ("url", pa.string()),
        ("group", pa.string()),
        ("split", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("scores", pa.list_(SCORE)),
        ("meta", pa.string()),
    ]
)

PAIR = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("task", pa.string()),
        ("symmetric", pa.bool_()),
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("language", pa.string()),
        ("positives", pa.list_(DOC)),
        ("negatives", pa.list_(DOC)),
        ("candidates", pa.list_(DOC)),
        ("source", pa.string()),
        ("license", pa.string()),
        ("url", pa.string()),
        ("group", pa.string()),
        ("split", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("scores", pa.list_(SCORE)),
        ("meta", pa.string()),
    ]
)

SCHEMAS: dict[Kind, pa.Schema] = {"pairs": PAIR, "passages": PASSAGE}

_DROP_FIELDS = [pa.field("drop_reason", pa.string()), pa.field("drop_detail", pa.string())]


def drop_schema(kind: Kind) -> pa.Schema:
    """Return the schema of dropped records: the record's own columns, the reason and the detail."""
    return pa.schema([*SCHEMAS[kind], *_DROP_FIELDS])


def content_id(*parts: str | None) -> str:
    """Hash texts to 32 hexadecimal digits. `None` and `""` differ; so do ("ab", "c") and ("a", "bc")."""
    pieces = []
    for part in parts:
        if part is None:
            pieces.append(b"-1:")
        else:
            data = part.encode("utf-8", "surrogatepass")
            pieces += (b"%d:" % len(data), data)
    return hashlib.blake2b(b"".join(pieces), digest_size=16).hexdigest()


@dataclass(slots=True)
class Doc:
    """A passage inside a `Pair`: a positive, a negative or a candidate.

    `text` may be `None` between stages; `label` is a gold grade; `origin` says where it came from
    (`seed`, `mined`, `llm`, `gold`); `scores` maps the name of a score to its value.
    """

    text: str | None
    id: str = ""
    language: str | None = None
    label: float | None = None
    origin: str = "seed"
    scores: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            if self.text is None:
                raise ValueError("a Doc needs a text or an id, got neither")
            self.id = content_id("passage", None, self.text)


@dataclass(slots=True)
class Passage:
    """One piece of text to be found. `id` is the hash of title and text."""

    text: str
    source: str
    group: str
    title: str | None = None
    language: str | None = None
    license: str | None = None
    url: str | None = None
    split: str | None = None
    parents: list[str] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    meta: str = "{}"
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or content_id("passage", self.title, self.text)


@dataclass(slots=True)
class Pair:
    """A query with passages that answer it and, later, passages that do not.

    `id` is the hash of kind, task, query and the ids of the seed positives, so it stays the same
    while stages add candidates, negatives and scores. `group` is the unit that no split may cut.
    """

    kind: str
    query: str
    positives: list[Doc]
    source: str
    group: str
    task: str | None = None
    symmetric: bool = False
    language: str | None = None
    negatives: list[Doc] = field(default_factory=list)
    candidates: list[Doc] = field(default_factory=list)
    license: str | None = None
    url: str | None = None
    split: str | None = None
    parents: list[str] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    meta: str = "{}"
    query_id: str = ""
    id: str = ""

    def __post_init__(self) -> None:
        self.query_id = self.query_id or content_id("query", self.task, self.query)
        self.id = self.id or content_id(
            "pair", self.kind, self.task, self.query, *(doc.id for doc in self.positives)
        )


Record = Passage | Pair

_DOC_COLUMNS = {"positives", "negatives", "candidates"}


def _score_lists(many: list[dict[str, float]]) -> pa.ListArray:
    offsets = np.cumsum([0, *(len(scores) for scores in many)], dtype=np.int32)
    names = [name for scores in many for name in scores]
    values = [value for scores in many for value in scores.values()]
    flat = pa.StructArray.from_arrays(
        [pa.array(names, pa.string()), pa.array(values, pa.float32())], fields=list(SCORE)
    )
    return pa.ListArray.from_arrays(pa.array(offsets), flat).cast(pa.list_(SCORE))


def _doc_lists(many: list[list[Doc]]) -> pa.ListArray:
    offsets = np.cumsum([0, *(len(docs) for docs in many)], dtype=np.int32)
    flat = [doc for docs in many for doc in docs]
    parts = [_column(field.name, field.type, flat) for field in DOC]
    structs = pa.StructArray.from_arrays(parts, fields=list(DOC))
    return pa.ListArray.from_arrays(pa.array(offsets), structs).cast(pa.list_(DOC))


def _column(name: str, dtype: pa.DataType, records: Sequence[Record | Doc]) -> pa.Array:
    values = list(map(attrgetter(name), records))
    if name == "scores":
        return _score_lists(values)
    if name in _DOC_COLUMNS:
        return _doc_lists(values)
    return pa.array(values, dtype)


def to_table(records: Iterable[Record], kind: Kind) -> pa.Table:
    """Turn records of one kind into a table with the schema of that kind."""
    rows = list(records)
    schema = SCHEMAS[kind]
    return pa.table([_column(column.name, column.type, rows) for column in schema], schema)


def from_table(table: pa.Table) -> list[Record]:
    """Turn a table of pairs or passages back into `Pair` or `Passage` objects."""
    cls = Pair if "query" in table.column_names else Passage
    names = [f.name for f in fields(cls)]
    return [cls(**_rich_row({name: row[name] for name in names})) for row in table.to_pylist()]


def _rich_row(row: dict[str, Any]) -> dict[str, Any]:
    row["scores"] = {score["name"]: score["value"] for score in row["scores"] or []}
    row["parents"] = row["parents"] or []
    for name in _DOC_COLUMNS & row.keys():
        row[name] = [
            Doc(**{**doc, "scores": {s["name"]: s["value"] for s in doc["scores"] or []}})
            for doc in row[name] or []
        ]
    return row


def first_positive(table: pa.Table, part: str = "text") -> pa.ChunkedArray:
    """Return `part` (a field of `Doc`) of each pair's first positive; null where there is none.

    :param table: a table of pairs, n rows, with the column `positives`.
    :return: n values.
    """
    lists = table["positives"]
    return pa.chunked_array(
        [_first_of_each(chunk, part) for chunk in lists.chunks], DOC.field(part).type
    )


def _first_of_each(lists: pa.ListArray, part: str) -> pa.Array:
    values = pc.struct_field(lists.values, part)
    starts = lists.offsets[:-1]
    has_one = pc.greater(pc.fill_null(pc.list_value_length(lists), 0), 0)
    return values.take(pc.if_else(has_one, starts, None))


def with_score(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    """Append the score `name` to the column `scores` of every row.

    :param values: n numbers, one for each of the n rows; NaN means that the row has no such score.
    """
    if values.shape != (len(table),):
        raise ValueError(f"score {name!r} needs shape ({len(table)},), got {values.shape}")
    index = table.schema.get_field_index("scores")
    column = table.column(index).combine_chunks()
    grown = append_scores(_single(column, pa.list_(SCORE)), name, values)
    return table.set_column(index, SCORE_LIST_FIELD, grown)


SCORE_LIST_FIELD = pa.field("scores", pa.list_(SCORE))


def append_scores(lists: pa.ListArray, name: str, values: np.ndarray) -> pa.ListArray:
    """Append `{name, value}` to each list of scores, except where the value is NaN.

    :param lists: n lists of `SCORE`.
    :param values: n numbers.
    """
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    present = ~np.isnan(values)
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum(lengths + present, out=offsets[1:])
    new = pa.StructArray.from_arrays(
        [pa.repeat(name, int(present.sum())), pa.array(values[present], pa.float32())],
        fields=list(SCORE),
    )
    flat = lists.flatten()
    order = np.empty(len(flat) + len(new), np.int64)
    is_new = np.zeros(len(order), bool)
    is_new[offsets[1:][present] - 1] = True
    order[~is_new] = np.arange(len(flat))
    order[is_new] = len(flat) + np.arange(len(new))
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.concat_arrays([flat, new]).take(pa.array(order)), type=lists.type
    )


def score(table: pa.Table, name: str) -> np.ndarray:
    """Read the score `name` of each row: n float32 values, NaN where a row has none."""
    return read_scores(_single(table["scores"], pa.list_(SCORE)), name)


def read_scores(lists: pa.ListArray, name: str) -> np.ndarray:
    """Read the score `name` from n lists of `SCORE`; the last one counts, NaN where there is none."""
    result = np.full(len(lists), np.nan, np.float32)
    flat = lists.flatten()
    wanted = pc.equal(pc.struct_field(flat, "name"), name).to_numpy(zero_copy_only=False)
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    values = pc.struct_field(flat, "value").to_numpy(zero_copy_only=False)
    wanted = wanted.astype(bool)
    result[rows[wanted]] = values[wanted]
    return result


def with_meta(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """Append a text under `name` to the JSON object `meta` of every row.

    :param name: a key that no row has yet; plain letters, digits and underscores.
    :param values: n strings without quotes, backslashes, control characters; null leaves a row alone.
    """
    index = table.schema.get_field_index("meta")
    meta = _single(table.column(index), pa.string())
    body = pc.utf8_rtrim_whitespace(pc.coalesce(meta, "{}"))
    body = pc.utf8_rtrim_whitespace(pc.utf8_slice_codeunits(body, 0, -1))
    comma = pc.if_else(pc.equal(body, "{"), "", ", ")
    entry = pc.binary_join_element_wise(f'"{name}": "', values, '"}', "")
    grown = pc.binary_join_element_wise(body, comma, entry, "")
    return table.set_column(index, table.schema.field(index), pc.coalesce(grown, meta))


def with_first_positive_score(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    """Append the score `name` to the first positive of every pair.

    :param values: n numbers, one for each of the n pairs; NaN means that there is no such score.
    """
    flat, counts, firsts = _first_positives(table)
    spread = np.full(len(flat), np.nan, np.float32)
    spread[firsts] = values[counts > 0]
    grown = append_scores(pc.struct_field(flat, "scores"), name, spread)
    return replace_docs(table, "positives", _with_part(flat, "scores", grown), counts)


def with_first_positive_label(table: pa.Table, values: np.ndarray) -> pa.Table:
    """Set the label, a grade, of the first positive of every pair.

    :param values: n numbers, one for each of the n pairs; NaN leaves the label as it is.
    """
    flat, counts, firsts = _first_positives(table)
    spread = np.full(len(flat), np.nan, np.float32)
    spread[firsts] = values[counts > 0]
    labels = pc.if_else(np.isnan(spread), pc.struct_field(flat, "label"), pa.array(spread))
    return replace_docs(table, "positives", _with_part(flat, "label", labels), counts)


def _first_positives(table: pa.Table) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Return the positives of all rows end to end, how many belong to each, where each's first is."""
    lists = _single(table["positives"], pa.list_(DOC))
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return lists.flatten(), counts, (np.cumsum(counts) - counts)[counts > 0]


def _with_part(flat: pa.Array, name: str, values: pa.Array) -> pa.StructArray:
    """Return Docs with one of their fields replaced."""
    parts = [values if f.name == name else pc.struct_field(flat, f.name) for f in DOC]
    return pa.StructArray.from_arrays(parts, fields=list(DOC))


def docs(ids: pa.Array, origin: str, scores: dict[str, np.ndarray]) -> pa.StructArray:
    """Make Docs without text, all of one origin.

    :param ids: n ids.
    :param scores: by name, n numbers each.
    """
    lists = pa.ListArray.from_arrays(np.zeros(len(ids) + 1, np.int32), pa.array([], SCORE))
    for name, values in scores.items():
        lists = append_scores(lists.cast(pa.list_(SCORE)), name, values)
    known = {"id": ids, "origin": pa.repeat(pa.scalar(origin), len(ids)), "scores": lists}
    parts = [known[f.name] if f.name in known else pa.nulls(len(ids), f.type) for f in DOC]
    return pa.StructArray.from_arrays(parts, fields=list(DOC))


def replace_docs(table: pa.Table, column: str, flat: pa.Array, counts: np.ndarray) -> pa.Table:
    """Replace a column of Doc lists.

    :param flat: the Docs of all n rows, end to end.
    :param counts: int [n], how many belong to each row.
    """
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), flat).cast(pa.list_(DOC))
    index = table.schema.get_field_index(column)
    return table.set_column(index, table.schema.field(index), lists)


def _single(column: pa.ChunkedArray | pa.Array, dtype: pa.DataType) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if isinstance(column, pa.ChunkedArray):  # zero chunks combine to a chunked array
            column = pa.array([], dtype)
    return column
