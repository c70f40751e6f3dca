"""What of the evaluation sets was met: the report of decontamination."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curate.filter.decontaminate.index import METHODS, MOST
from curate.filter.decontaminate.sets import SIDES, Item, Loaded, Role, Side
from curate.schema import DOC
from curate.shards import Shards
from curate.text.normalise import words

_SAYS = {
    "exact": "the same text",
    "ngram": "{:.1%} of its n-grams",
    "minhash": "Jaccard similarity {:.2f}",
    "embedding": "cosine {:.3f}",
}
_ROLES: tuple[Role, ...] = ("query", "passage", "text")
_EXCERPT = 200
_READ_WORDS = 5_000


class Met:
    """The hits of all records, in order: by row, the query first, then by method, the likest first."""

    def __init__(self, sets: list[Loaded], hits: np.ndarray) -> None:
        """:param hits: see `index.HIT`; items are numbered over all sets."""
        self.sets, self.hits = sets, hits
        self._items = [item for one in sets for item in one.items]
        sizes = [len(one.items) for one in sets]
        self._set_of = np.repeat(np.arange(len(sets)), sizes)

    def detail(self, hit: np.void) -> str:
        """Say what a hit is: the set, the item, the measure."""
        item = self._items[hit["item"]]
        name = self.sets[self._set_of[hit["item"]]].name
        method = METHODS[hit["method"]]
        measure = _SAYS[method].format(float(hit["measure"]))
        return f"{name}: {item.role} {item.id}: {method}, {measure}"

    def notes(self, records: Shards) -> dict[str, Any]:
        """Return facts for manifest and report, bounded whatever the number of hits."""
        tables = [self._met(), self._by_method(), self._examples(records)]
        return {
            "records_met": len(np.unique(self.hits["row"])),
            "tables": [table for table in tables if table["rows"]],
        }

    def _met(self) -> dict[str, Any]:
        """Count for each set how many of its texts were met."""
        met = np.zeros(len(self._items), bool)
        met[self.hits["item"]] = True
        roles = np.array([_ROLES.index(item.role) for item in self._items], np.int64)
        rows = []
        for number, one in enumerate(self.sets):
            for place, role in enumerate(_ROLES):
                here = (self._set_of == number) & (roles == place)
                if total := int(here.sum()):
                    count = int(met[here].sum())
                    rows.append(
                        [one.name, role, f"{total:,}", f"{count:,}", f"{count / total:.2%}"]
                    )
        return {
            "title": "evaluation sets met",
            "columns": ["set", "of", "texts>", "met>", "share>"],
            "rows": rows,
            "note": f"of a record, {MOST} texts of these sets count at most",
        }

    def _by_method(self) -> dict[str, Any]:
        """Count the records that met each set, by side and method."""
        hits = self.hits
        rows = []
        for number, one in enumerate(self.sets):
            of_set = self._set_of[hits["item"]] == number
            for place, side in enumerate(SIDES):
                here = hits[of_set & (hits["side"] == place)]
                by = [here["row"][here["method"] == method] for method in range(len(METHODS))]
                counts = [len(np.unique(found)) for found in [*by, here["row"]]]
                if counts[-1]:
                    rows.append([one.name, side, *(f"{count:,}" for count in counts)])
        return {
            "title": "records that met them",
            "columns": ["set", "side", *(f"{method}>" for method in METHODS), "any>"],
            "rows": rows,
            "note": "a record may have met several sets, by several methods",
        }

    def _examples(self, records: Shards) -> dict[str, Any]:
        """Show of each set, side and method the hit with the least measure, where it may be wrong."""
        return {
            "title": "the least similar of them",
            "columns": ["met", "by", "words in a row", "here", "there"],
            "rows": [self._example(hit, records) for hit in self._edges()],
            "note": "",
        }

    def _edges(self) -> np.ndarray:
        """Choose of each set, side and method the hit with the least measure."""
        hits = self.hits
        keys = (hits["method"], hits["side"], self._set_of[hits["item"]])
        order = np.lexsort((hits["row"], hits["measure"], *keys))
        firsts = np.ones(len(order), bool)
        changed = [key[order][1:] != key[order][:-1] for key in keys]
        firsts[1:] = np.logical_or.reduce(changed)
        edges: np.ndarray = hits[order[firsts]]
        return edges

    def _example(self, hit: np.void, records: Shards) -> list[str]:
        item = self._items[hit["item"]]
        table = _row(records, int(hit["row"]))
        side = SIDES[hit["side"]]
        texts = texts_of(table, side)[0].to_pylist()
        text, shared = max(((t, _shared(t, item)) for t in texts), key=lambda both: len(both[1]))
        by = f"a {side} of {table['source'][0].as_py()}"
        return [self.detail(hit), by, *(t[:_EXCERPT] for t in (shared, text, item.forms[-1]))]


def texts_of(table: pa.Table, side: Side) -> tuple[pa.Array, np.ndarray]:
    """Return the texts of some records to compare, without nulls, and the row of each, int64.

    The query; every positive; or a passage, and again with its title if it has one.
    """
    if "text" in table.column_names:
        if side == "query":
            return pa.array([], pa.string()), np.zeros(0, np.int64)
        texts = _single(table["text"])
        titled = pc.binary_join_element_wise(table["title"], table["text"], " ")
        titled = pc.if_else(pc.equal(pc.utf8_trim_whitespace(table["title"]), ""), None, titled)
        texts = pa.concat_arrays([texts, _single(titled)])
        rows = np.tile(np.arange(len(table)), 2)
    elif side == "query":
        texts, rows = _single(table["query"]), np.arange(len(table))
    else:
        lists = pa.concat_arrays([*table["positives"].chunks, pa.array([], pa.list_(DOC))])
        texts = pc.struct_field(lists.flatten(), "text")
        rows = pc.list_parent_indices(lists).to_numpy()
    present = texts.is_valid()
    return texts.filter(present), rows[present.to_numpy(zero_copy_only=False)]


def _single(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays([*column.chunks, pa.array([], pa.string())])


def _row(records: Shards, row: int) -> pa.Table:
    for table in records.tables():
        if row < len(table):
            return table.slice(row, 1)
        row -= len(table)
    raise AssertionError(f"{row} rows too far")


def _shared(text: str, item: Item) -> str:
    """Return the longest run of words that a text shares with an item, or rather with its beginning."""
    left, right = (
        found.split(" ")[:_READ_WORDS]
        for found in words(pl.Series([text, item.forms[-1]])).to_list()
    )
    match = SequenceMatcher(None, left, right, autojunk=False).find_longest_match()
    return " ".join(left[match.a : match.a + match.size])
