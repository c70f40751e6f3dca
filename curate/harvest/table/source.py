"""Pairs and passages of tables: files of any usual format, in layouts known by name or by naming columns.

The layouts are in `table_layouts`; a folder in BEIR's layout is read by `table_beir`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any, ClassVar, Literal

from pydantic import Field

from curate.harvest.reading.files import File
from curate.harvest.reading.rows import Row, RowSource, items_in, number_in, text_in
from curate.harvest.table import beir as table_beir
from curate.harvest.table.layouts import Columns, Layout, layout_of, value_at
from curate.harvest.text.html import text_of
from curate.harvest.text.markdown import plain_text
from curate.schema import Doc, Kind, Pair, Passage, Record, content_id
from curate.stage import MAIN, Drop, Found, Joined, Piece, Unit

_URLS = re.compile(r"(?:https?://\S{1,2000}+\s*)+$")
_GONE = frozenset(("[deleted]", "[removed]", "[deleted by user]"))
_WORD = re.compile(r"[^\W_]")
_SAMPLE_ROWS = 100


class TableHarvest(RowSource, Joined):
    """Read pairs or passages from JSON, CSV, Parquet and Arrow tables by the names of their columns.

    An input is a row. Layouts in common use are known (Tevatron, BERRI and DPR, MEDI, FlagEmbedding,
    sentence-transformers, MS MARCO triples, question and answer, title and text); of others, `columns`
    names what is needed. A row is one pair with all its positives and negatives: negatives that are also
    a positive, and what is empty, is left out. A text where a list may stand is one item, and a number
    may be written as a string.

    A folder with `corpus.jsonl`, `queries.jsonl` and judgements (`qrels.tsv`, or a folder `qrels`) is in
    BEIR's layout: an input is a judgement, and every one of at least `min_label` is a pair whose positive
    carries the grade. Documents come to their judgements on disk; the queries are held in memory by every
    worker, about 200 bytes and the text for each.
    """

    name: ClassVar[str] = "harvest.table"

    record: Literal["pairs", "passages"] = "pairs"
    """What a row is."""
    columns: Columns = Columns()
    """Which columns hold what; texts that are named here are not looked for by other names."""
    kind: str | None = None
    """The kind of the pairs; null says it by the layout: `query-passage`, `question-answer`, ..."""
    source: str = "table"
    """The name of the collection."""
    task: str | None = None
    """The instruction of what has none itself."""
    symmetric: bool = False
    """Whether query and positive may be exchanged."""
    group: Literal["query", "file"] = "query"
    """What holds records together that name no group: the same query, or the file."""
    markup: Literal["none", "entities", "html", "markdown"] = "none"
    """What to resolve in texts: nothing, character entities (`&gt;`), all of HTML, or Markdown with
    entities, as forums store it."""
    min_query_chars: int = Field(1, ge=1)
    """A pair whose query is shorter is dropped."""
    min_passage_chars: int = Field(1, ge=1)
    """A shorter positive does not count."""
    min_label: float | None = None
    """Drop pairs with a lower grade; null means 1 for the layouts whose grades say so (BEIR, BERRI)."""

    def gives(self, main: Kind | None) -> dict[str, Kind]:
        """Return the kind that `record` says."""
        return {MAIN: self.record}

    @property
    def is_beir(self) -> bool:
        """Tell whether the input is a folder in BEIR's layout."""
        return not self.dataset and table_beir.is_beir(self.path)

    def files(self) -> list[File]:
        """List the files to read, in a fixed order."""
        if not self.is_beir:
            return super().files()
        return table_beir.files(self.path, self.split, self.record)

    def check(self) -> None:
        """Refuse columns that are not there, and layouts that are not known."""
        if self.is_beir:
            self.files()
            return
        seen: tuple[str, ...] = ()
        for row in self.sample(_SAMPLE_ROWS):
            seen = tuple(row.values)
            if self._layout(seen) is not None:
                return
        if seen:
            have = ", ".join(seen[:20])
            raise ValueError(f"columns: say which hold query and positive; there are: {have}")

    def needs(self, names: list[str]) -> list[str]:
        """Return the columns of the layout."""
        layout = self._layout(tuple(names))
        if layout is None:
            return names[:1]
        wanted = [n for group in layout.columns.model_dump().values() for n in items_in(group)]
        wanted += [n for n in layout.scores if n]
        heads = {name if name in names else name.partition(".")[0] for name in wanted}
        return [name for name in names if name in heads]

    def _layout(self, names: tuple[str, ...]) -> Layout | None:
        return layout_of(names, self.columns, self.record)

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read the rows of one block."""
        read = table_beir.read if self.record == "pairs" and self.is_beir else self._record
        for row in self.rows(block):
            yield from (row,) if isinstance(row, Drop) else read(row)

    def _record(self, row: Row) -> Iterator[Found]:
        layout = self._layout(tuple(row.values))
        if layout is None:
            yield row.drop("no_layout", f"no layout has the columns {', '.join(row.values)[:200]}")
            return
        try:
            if self.record == "passages":
                yield self._passage(row, layout)
            else:
                yield self._pair(row, layout)
        except ValueError as error:
            yield row.drop("bad_value", str(error))

    # -- passages ----------------------------------------------------------------------------------

    def _passage(self, row: Row, layout: Layout) -> list[Record] | Drop:
        text = self._text(value_at(row.values, layout.columns.text))
        title = self._text(value_at(row.values, layout.columns.title)) or None
        if why := _emptiness(text):
            return row.drop(why, "the text says nothing")
        shared, score = self._shared(row, layout)
        group = shared.pop("group") or content_id(title, text)
        return [Passage(text, title=title, group=group, scores=score, **shared)]

    # -- pairs -------------------------------------------------------------------------------------

    def _pair(self, row: Row, layout: Layout) -> list[Record] | Drop:
        task, query, positives = self._ends(row, layout)
        if why := _emptiness(query):
            return row.drop(why, "the query says nothing")
        if len(query) < self.min_query_chars:
            return row.drop("short", f"a query of {len(query)} characters", text=query)
        label = number_in(value_at(row.values, layout.columns.label))
        least = layout.min_label if self.min_label is None else self.min_label
        if least is not None and label is not None and label < least:
            return row.drop("low_label", f"{label:g} is below {least:g}", text=query)
        docs, why = _usable(positives, query)
        if not docs:
            what = "no positive says anything that the query does not"
            return row.drop(why or "no_positive", what, text=query)
        docs = [doc for doc in docs if len(doc.text or "") >= self.min_passage_chars]
        if not docs:
            return row.drop(
                "short", f"passages below {self.min_passage_chars} characters", text=query
            )
        for doc in docs:
            doc.label = label
        negatives = self._docs(row, layout.negatives, layout.scores[1], "gold")
        kept, _ = _usable(negatives, query, *(doc.text for doc in docs))
        shared, score = self._shared(row, layout)
        group = shared.pop("group") or content_id("query", query)
        pair = Pair(
            self.kind or layout.kind,
            query,
            docs,
            group=group,
            task=task or self.task,
            symmetric=self.symmetric or layout.symmetric,
            negatives=kept,
            scores=score,
            **shared,
        )
        return [pair]

    def _ends(self, row: Row, layout: Layout) -> tuple[str | None, str, list[Doc]]:
        """Return instruction, query and positives."""
        columns = layout.columns
        if columns.query == "set":
            items = items_in(row.values.get("set"))
            return None, self._text(items[0] if items else ""), [self._doc(i) for i in items[1:]]
        value = value_at(row.values, columns.query or columns.title)
        task = self._text(value_at(row.values, columns.task)) or None
        if isinstance(value, list | tuple) and len(value) == 2:
            task, value = self._text(value[0]) or task, value[1]
        query = self._text(value)
        if layout.separator and layout.separator in query:
            task, query = (part.strip() for part in query.split(layout.separator, 1))
        if layout.positives:
            docs = self._docs(row, layout.positives, layout.scores[0])
        else:
            title = value_at(row.values, columns.title) if columns.query else None
            docs = [self._doc({"title": title, "text": value_at(row.values, columns.text)})]
        return task, query, docs

    def _docs(
        self, row: Row, names: tuple[str, ...], score_name: str | None, origin: str = "seed"
    ) -> list[Doc]:
        scores = items_in(row.values.get(score_name)) if score_name else []
        items: list[Any] = []
        for name in names:
            value = value_at(row.values, name)
            items += [value] if _is_instructed(row, value) else items_in(value)
        docs = [self._doc(item, origin) for item in items]
        if len(scores) == len(docs):
            for doc, value in zip(docs, scores, strict=True):
                if (number := number_in(value)) is not None:
                    doc.scores["teacher"] = number
        return docs

    def _doc(self, item: Any, origin: str = "seed") -> Doc:
        """Make a document of a text, an object with one, or an [instruction, text]."""
        if isinstance(item, dict):
            text = self._text(_first(item.get("text") or item.get("contents")))
            title = self._text(_first(item.get("title")))
            has_title = bool(title) and not text.startswith(title)
            return Doc(f"{title} {text}".strip() if has_title else text, origin=origin)
        if isinstance(item, list | tuple) and item:
            item = item[-1]
        return Doc(self._text(item), origin=origin)

    # -- both --------------------------------------------------------------------------------------

    def _text(self, value: Any) -> str:
        text = text_in(value)
        if self.markup == "entities" and "&" in text:
            return text_in(unescape(text))
        if self.markup == "markdown":
            return text_in(plain_text(unescape(text)))
        if self.markup == "html" and ("<" in text or "&" in text):
            return text_in(text_of(text))
        return text

    def _shared(self, row: Row, layout: Layout) -> tuple[dict[str, Any], dict[str, float]]:
        """Return what pairs and passages have in common, and the score."""
        columns, values = layout.columns, row.values
        part = _plain(value_at(values, columns.source))
        own_id = _plain(value_at(values, columns.id))
        group = _plain(value_at(values, columns.group))
        score = number_in(value_at(values, columns.score))
        shared = {
            "source": f"{self.source}/{part}" if part else self.source,
            "language": _plain(value_at(values, columns.language)) or self.language,
            "license": _plain(value_at(values, columns.license)) or self.license,
            "url": _plain(value_at(values, columns.url)),
            "group": group or (row.file if self.group == "file" else None),
            "meta": _meta(row.origin, own_id),
        }
        return shared, {} if score is None else {"score": score}

    # -- BEIR --------------------------------------------------------------------------------------

    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        """Bring the judgements of a document of a BEIR collection to it."""
        least = 1.0 if self.min_label is None else self.min_label
        for judged in table_beir.join(self.path, key, pieces, least):
            if isinstance(judged, Drop):
                yield judged
                continue
            doc = self._doc(judged.document)
            query = self._text(judged.query)
            if why := _emptiness(query) or _emptiness(doc.text or ""):
                yield Drop(why, f"{judged.where}: query or document say nothing")
                continue
            pair = Pair(
                self.kind or "query-passage",
                query,
                [replace(doc, label=judged.grade)],
                self.source,
                f"{self.source}/{judged.query_id}",
                task=self.task,
                symmetric=self.symmetric,
                language=self.language,
                license=self.license,
                meta=_meta(judged.origin, None),
            )
            yield [pair]


def _is_instructed(row: Row, value: Any) -> bool:
    """Tell whether a value is MEDI's [instruction, text] and not a list of texts."""
    query = row.values.get("query")
    plain = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    return plain and len(value) == 2 and isinstance(query, list | tuple) and len(query) == 2


def _first(value: Any) -> Any:
    return next(iter(value), None) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> str | None:
    """Return a name or an identifier, which may be a number."""
    if isinstance(value, bool | list | dict | tuple):
        return None
    return text_in(str(value)) or None if value is not None else None


def _emptiness(text: str) -> str | None:
    """Return why a text says nothing."""
    if not _WORD.search(text):
        return "empty"
    if text in _GONE:
        return "deleted"
    return "only_url" if text.startswith("http") and _URLS.match(text) else None


def _usable(docs: list[Doc], *known: str | None) -> tuple[list[Doc], str | None]:
    """Leave out documents that say nothing or nothing new; say why the last was left out."""
    usable, why = [], None
    seen = {(text or "").casefold() for text in known}
    for doc in docs:
        folded = (doc.text or "").casefold()
        reason = _emptiness(folded) or ("same_text" if folded in seen else None)
        if reason is None:
            usable.append(doc)
            seen.add(folded)
        why = reason or why
    return usable, why


def _meta(origin: dict[str, Any], own_id: str | None) -> str:
    return json.dumps({**origin, "id": own_id} if own_id else origin, ensure_ascii=False)
