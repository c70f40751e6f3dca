"""The filter on what belongs to somebody: addresses, numbers, keys."""

from __future__ import annotations

import re
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.schema import DOC, Kind, content_id, replace_docs, with_score
from curate.stage import Map, Outcome, decide
from curate.text.personal import PATTERNS, Pattern, mask, own_pattern

Find = Literal["email", "phone", "ip", "card", "iban", "secret"]
_DOC_COLUMNS = ("positives", "negatives", "candidates")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Texts(NamedTuple):
    """All texts of some records, end to end.

    :param texts: k strings.
    :param rows: int64 [k], the record that each belongs to.
    """

    texts: pl.Series
    rows: np.ndarray


class PiiFilter(Map):
    """Mask addresses, numbers of phones and accounts, and keys in all texts, or drop what has them.

    Sought are (`text.personal`) e-mail and public IP addresses, telephone numbers, payment cards and
    IBANs with right check digits, keys and passwords; not those that are nobody's, such as
    `you@example.org`, 127.0.0.1 or version numbers. A find becomes `<EMAIL>`, `<PHONE>`, and so on: in
    the query, in the texts of positives, negatives and candidates, and in title and text of passages. How
    many a record has are its scores `pii_email`, and so on. Url, group and meta stay as they are.

    What is masked gets the ids of its new texts, as if it had been harvested so; `parents` has the old
    id. An id cannot follow where the text is not there, so this stage belongs before mining, and a pair
    is dropped as `no_text` if a Doc of it is but an id. Dropped records keep their texts.
    """

    name: ClassVar[str] = "filter.pii"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")

    action: Literal["mask", "drop"] = "mask"
    """What becomes of a record with finds."""
    actions: dict[Find, Literal["mask", "drop", "keep"]] = Field({})
    """The same for some kinds of find: `{secret: drop, ip: keep}`; `keep` does not seek them."""
    patterns: dict[str, str] = Field({})
    """Regular expressions (Rust syntax) of your own by name: what `{ticket: "TCK-[0-9]{6}"}` finds
    becomes `<TICKET>`."""
    unread: Literal["drop", "keep"] = "drop"
    """What becomes of a pair with Docs that are but ids, whose texts nobody has looked at."""

    def check(self) -> None:
        """Refuse patterns that are none or match the empty text, and names that do not fit.

        :raises ValueError: naming the pattern.
        """
        for name, expression in self.patterns.items():
            if not _NAME.fullmatch(name) or name in PATTERNS:
                raise ValueError(
                    f"patterns: {name!r} must be lower-case letters, digits and underscores, and none of "
                    f"{', '.join(PATTERNS)}"
                )
            try:
                own_pattern(name, expression)
            except ValueError as error:
                raise ValueError(f"patterns: {name}: {error}") from None

    def map(self, table: pa.Table) -> Outcome:
        """Mask the finds of each record, or drop it."""
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        parts = _pair_texts(table) if kind == "pairs" else _passage_texts(table)
        patterns = self._patterns()
        masked, found = mask(pl.concat([part.texts for part in parts]), patterns)
        owners = np.concatenate([part.rows for part in parts])
        counts = {
            name: np.bincount(owners, weights=found[name], minlength=len(table))
            for name in dict.fromkeys(pattern.kind for pattern in patterns)
            if name in found
        }
        for name, count in counts.items():
            table = with_score(table, f"pii_{name}", np.where(count > 0, count, np.nan))
        docs = parts[1:] if kind == "pairs" else []
        reasons, details = self._judge(counts, len(table), docs)
        dropped = decide(table, reasons, details, kind).dropped
        if counts:
            write = _write_pairs if kind == "pairs" else _write_passages
            table = write(table, _cut(masked, parts))
        return Outcome(table.filter(pc.is_null(reasons)), dropped, len(table) - len(dropped))

    def _patterns(self) -> list[Pattern]:
        own = [own_pattern(name, expression) for name, expression in self.patterns.items()]
        sought = (kind for kind in PATTERNS if self._action(kind) != "keep")
        return [*own, *(pattern for kind in sought for pattern in PATTERNS[kind])]

    def _action(self, kind: str) -> str:
        by_kind: dict[str, str] = dict(self.actions.items())
        return by_kind.get(kind, self.action)

    def _judge(
        self, counts: dict[str, np.ndarray], rows: int, docs: list[Texts]
    ) -> tuple[pa.Array, pa.Array]:
        """Return for each record the reason to drop it and the detail, null where it is kept.

        :param counts: by kind of find the number in each record.
        :param docs: the texts of all Docs.
        """
        reasons, details = np.full(rows, None, object), np.full(rows, None, object)
        for name, count in reversed(counts.items()):
            if self._action(name) == "drop":
                some = count > 0
                reasons[some] = f"pii_{name}"
                details[some] = [f"{number:.0f} of kind {name}" for number in count[some]]
        for part in docs if self.unread == "drop" else ():
            unread = part.rows[part.texts.is_null().to_numpy()]
            reasons[unread] = "no_text"
            details[unread] = "a Doc is but an id: filter before mining, or set `unread: keep`"
        return pa.array(reasons, pa.string()), pa.array(details, pa.string())


# -- reading and writing texts ---------------------------------------------------------------------


def _pair_texts(table: pa.Table) -> list[Texts]:
    """Return the queries, and the texts of each column of Docs."""
    rows = np.arange(len(table))
    parts = [Texts(_strings(table["query"]), rows)]
    for column in _DOC_COLUMNS:
        flat, counts = _docs(table, column)
        parts.append(Texts(_strings(pc.struct_field(flat, "text")), np.repeat(rows, counts)))
    return parts


def _passage_texts(table: pa.Table) -> list[Texts]:
    rows = np.arange(len(table))
    return [Texts(_strings(table["title"]), rows), Texts(_strings(table["text"]), rows)]


def _cut(joined: pl.Series, parts: list[Texts]) -> list[pl.Series]:
    """Cut a series of texts into those of the parts that it was joined from."""
    ends = np.cumsum([len(part.texts) for part in parts]).tolist()
    return [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _write_passages(table: pa.Table, texts: list[pl.Series]) -> pa.Table:
    title, text = texts
    changed = _changed(table["title"], title) | _changed(table["text"], text)
    table = _set(_set(table, "title", title), "text", text)
    rows = np.flatnonzero(changed)
    made = zip(title.gather(rows), text.gather(rows), strict=True)
    return _renamed(table, rows, [content_id("passage", *pair) for pair in made])


def _write_pairs(table: pa.Table, texts: list[pl.Series]) -> pa.Table:
    """Write queries and Docs, with the ids that `Pair` and `Doc` would give them."""
    queries = texts[0]
    asked = np.flatnonzero(_changed(table["query"], queries))
    changed = np.zeros(len(table), bool)
    changed[asked] = True
    for column, some in zip(_DOC_COLUMNS, texts[1:], strict=True):
        table, answered = _with_docs(table, column, some)
        if column == "positives":
            changed[answered] = True
    table = _set(table, "query", queries)
    tasks = table["task"].take(pa.array(asked)).to_pylist()
    made = zip(tasks, queries.gather(asked), strict=True)
    query_ids = _replaced(table["query_id"], asked, [content_id("query", *pair) for pair in made])
    table = _set(table, "query_id", query_ids)
    rows = np.flatnonzero(changed)
    pairs = table.select(["kind", "task", "query", "positives"]).take(pa.array(rows)).to_pylist()
    return _renamed(table, rows, [_pair_id(**pair) for pair in pairs])


def _pair_id(
    kind: str, task: str | None, query: str, positives: list[dict[str, str]] | None
) -> str:
    return content_id("pair", kind, task, query, *(doc["id"] for doc in positives or ()))


def _with_docs(table: pa.Table, column: str, texts: pl.Series) -> tuple[pa.Table, np.ndarray]:
    """Write the texts of a column of Docs, and return the rows of the records that they change."""
    flat, counts = _docs(table, column)
    changed = np.flatnonzero(_changed(pc.struct_field(flat, "text"), texts))
    ids = [content_id("passage", None, text) for text in texts.gather(changed)]
    known = {
        "text": _arrow(texts),
        "id": _arrow(_replaced(pc.struct_field(flat, "id"), changed, ids)),
    }
    parts = [known.get(f.name, pc.struct_field(flat, f.name)) for f in DOC]
    filled = pa.StructArray.from_arrays(parts, fields=list(DOC))
    rows = np.repeat(np.arange(len(table)), counts)[changed]
    return replace_docs(table, column, filled, counts), rows


def _docs(table: pa.Table, column: str) -> tuple[pa.StructArray, np.ndarray]:
    """Return the Docs of all records, end to end, and how many each has."""
    lists = pa.concat_arrays([*table[column].chunks, pa.array([], pa.list_(DOC))])
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return lists.flatten(), counts


def _renamed(table: pa.Table, rows: np.ndarray, ids: list[str]) -> pa.Table:
    """Give some records new ids; the old ones become their last parents."""
    old = _strings(table["id"])
    new = _replaced(table["id"], rows, ids)
    parents = pl.Series(table["parents"], dtype=pl.List(pl.String))
    grown = pl.select(
        pl.when(old.ne_missing(new))
        .then(pl.concat_list(parents.fill_null([]), old))
        .otherwise(parents)
    ).to_series()
    table = _set(table, "id", new)
    index = table.schema.get_field_index("parents")
    field = table.schema.field(index)
    return table.set_column(index, field, grown.to_arrow().cast(field.type))


def _changed(before: pa.ChunkedArray | pa.Array, after: pl.Series) -> np.ndarray:
    return _strings(before).ne_missing(after).to_numpy()


def _replaced(values: pa.ChunkedArray | pa.Array, rows: np.ndarray, new: list[str]) -> pl.Series:
    """Return some strings with others in some rows."""
    return _strings(values).scatter(rows, pl.Series(new, dtype=pl.String))


def _set(table: pa.Table, column: str, values: pl.Series) -> pa.Table:
    index = table.schema.get_field_index(column)
    return table.set_column(index, table.schema.field(index), _arrow(values))


def _strings(values: pa.ChunkedArray | pa.Array) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


def _arrow(values: pl.Series) -> pa.Array:
    return values.to_arrow().cast(pa.string())
