"""Records shown: samples that are the same each time, and what a reader wants to see of one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import CurateError
from curate.report.blocks import Item
from curate.report.text import clean, excerpt, one_line
from curate.shards import Shards

Row = dict[str, Any]


def sample(shards: Shards, count: int, seed: int, places: np.ndarray | None = None) -> list[Row]:
    """Draw different records, in their order; only the shards that hold them are opened.

    :param places: where the records stand that may be drawn; by default all.
    """
    among = np.arange(len(shards)) if places is None else places
    drawn = np.random.default_rng(seed).choice(among, min(count, len(among)), replace=False)
    return [_row(shards, int(place)) for place in np.sort(drawn)]


def places_of(shards: Shards, source: str) -> np.ndarray:
    """Return where the records of one source stand.

    :raises CurateError: if there are none.
    """
    column = shards.to_arrow(["source"])["source"]
    places = pc.indices_nonzero(pc.equal(column, source)).to_numpy()
    if not len(places):
        known = ", ".join(sorted(filter(None, pc.unique(column).to_pylist())))
        raise CurateError(f"no record here has the source {source!r}; there are {known or 'none'}")
    return np.asarray(places, np.int64)


def _row(shards: Shards, place: int) -> Row:
    for index, (_, info) in enumerate(shards.files):
        if place < info.rows:
            return row_at(shards.shard(index), place)
        place -= info.rows
    raise IndexError(place)


def row_at(table: pa.Table, place: int) -> Row:
    """Return one record as a dictionary."""
    row: Row = table.slice(place, 1).to_pylist()[0]
    return row


def sample_drop(drops: Shards, reason: str, seed: int) -> Row | None:
    """Draw one dropped record with that reason, or None; opens shards only until it finds one."""
    random = np.random.default_rng(seed)
    for index in random.permutation(drops.count).tolist():
        table = drops.shard(index)
        places = pc.indices_nonzero(pc.equal(table["drop_reason"], reason)).to_numpy()
        if len(places):
            return row_at(table, int(random.choice(places)))
    return None


def text_of(row: Row) -> str | None:
    """Return the text by which a reader knows the record: the query, or the passage."""
    text: str | None = row["query"] if "query" in row else row["text"]
    return text


def scores_of(holder: Row) -> str:
    """Write the scores of a record or Doc: `similarity 0.81, rank 3`."""
    return ", ".join(f"{s['name']} {s['value']:.4g}" for s in holder.get("scores") or [])


def doc_text(doc: Row, lines: int = 6, chars: int = 400) -> str:
    """Return the first lines of a Doc, or its id where its text is not filled in."""
    return excerpt(doc["text"], lines, chars) if doc["text"] is not None else f"({doc['id']})"


def brief_pair(row: Row, number: int) -> Item:
    """Show a pair by its query, the first lines of its positive, and one hard negative."""
    fields = [("query", excerpt(row["query"], 4, 400))]
    for column, label in (("positives", "positive"), ("negatives", "hard negative")):
        if docs := row[column]:
            fields.append((label, doc_text(docs[0])))
    return Item(f"{number}. {_about(row)}", fields)


def brief_drop(row: Row, stage: str, count: int) -> Item:
    """Show a dropped record with its reason."""
    fields = [("because", one_line(row["drop_detail"] or row["drop_reason"]))]
    fields += [(label, text) for label, text in _texts(row, docs=1, lines=5)]
    return Item(f"{stage}: {clean(row['drop_reason'])} ({count:,})", fields)


def full_record(row: Row, title: str) -> Item:
    """Show a record with its texts, scores and origin."""
    fields = [("id", row["id"] or "(none)")]
    if row.get("drop_reason"):
        detail = f": {row['drop_detail']}" if row["drop_detail"] else ""
        fields.append(("dropped", f"{row['drop_reason']}{detail}"))
    fields += _texts(row, docs=2, lines=8)
    fields += origin(row)
    if scores := scores_of(row):
        fields.append(("scores", scores))
    return Item(title, fields)


def origin(row: Row) -> list[tuple[str, str]]:
    """Return where a record came from: source, group, licence, address, and what `meta` says."""
    names = ("kind", "source", "group", "split", "language", "license", "url")
    known = [(name, one_line(str(row[name]))) for name in names if row.get(name)]
    if row.get("parents"):
        known.append(("parents", ", ".join(row["parents"])))
    return known + meta_of(row)


def meta_of(row: Row) -> list[tuple[str, str]]:
    """Return the facts in a record's `meta`: file, line, and whatever its source noted."""
    try:
        meta = json.loads(row.get("meta") or "{}")
    except ValueError:
        return [("meta", one_line(row["meta"]))]
    if not isinstance(meta, dict):
        return [("meta", one_line(str(meta)))]
    return [(str(key), one_line(_plain(value))) for key, value in meta.items()]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _about(row: Row) -> str:
    parts = [row["kind"], row["source"], row["group"]]
    return ", ".join(dict.fromkeys(one_line(part, 60) for part in parts if part)) or "pair"


def _texts(row: Row, docs: int, lines: int) -> list[tuple[str, str]]:
    if "query" not in row:
        title = [("title", one_line(row["title"]))] if row["title"] else []
        return [*title, ("text", excerpt(row["text"], lines))]
    label = "query" if row["positives"] else "text"  # what a source rejects has only one text
    texts = [("task", one_line(row["task"]))] if row["task"] else []
    texts.append((label, excerpt(row["query"], 4)))
    for column, label in (("positives", "positive"), ("negatives", "negative")):
        for doc in (row[column] or [])[:docs]:
            scores = scores_of(doc)
            texts.append((label, doc_text(doc, lines) + (f"\n({scores})" if scores else "")))
    return texts
