"""Glossaries and dictionaries: each term asks for its definition.

| format | files                           | an input is                                           |
|--------|---------------------------------|-------------------------------------------------------|
| dictd  | `x.index` with `x.dict(.dz)`    | an entry of the index: aliases share their definition |
| tables | `x.tsv`, `x.csv`                | a row                                                 |

A `.dict.dz` is a gzip file, so it is read from front to end, in the order of its entries. While it is
cut, the index of one dictionary is held, about 250 bytes per entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from curate.harvest.base import FileSource
from curate.harvest.glossary.dictd import (
    META,
    Dictionary,
    Facts,
    Located,
    dictionary_unit,
    entry_blocks,
)
from curate.harvest.glossary.text import Entry, folded, read_entry
from curate.harvest.reading.charset import decoded
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File, fingerprint, plain_name
from curate.harvest.reading.rows_csv import Form, cut_quoted, form_of, read_records
from curate.harvest.reading.streams import Chunk, chunk_of, stream_blocks
from curate.harvest.reading.unpacking import unpacked
from curate.harvest.text.html import text_of
from curate.harvest.text.texts import shortened
from curate.schema import Doc, Pair
from curate.stage import Drop, Found, Unit

KIND = "term-definition"
_HEAD_BYTES = 1 << 16
_TERM_NAMES = ("term", "headword", "word", "lemma", "phrase", "name", "title")
_DEFINITION_NAMES = ("definition", "meaning", "gloss", "explanation", "description")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a table."""

    form: Form
    chunk: Chunk


_Block = tuple[Facts, list[Located] | _Rows | Drop]


class GlossaryHarvest(FileSource):
    """Read dictionaries (dictd) and tables of terms (TSV, CSV): each term with its definition."""

    name: ClassVar[str] = "harvest.glossary"
    patterns: ClassVar[tuple[str, ...]] = ("*.index", "*.tsv", "*.csv")

    term: str | None = None
    """The column of a table with the term; by default `term`, `word`, .., else the first."""
    definition: str | None = None
    """The column with the definition; by default `definition`, `meaning`, .., else the second."""
    min_chars: int = Field(20, ge=1)
    """A shorter definition is dropped."""
    max_chars: int = Field(8_000, ge=100)
    """A longer definition is cut at a paragraph."""

    def check(self) -> None:
        """Refuse a path where there is neither a dictionary nor a table."""
        if not self.units():
            raise ValueError(f"path: {self.path!r} is none of {' '.join(self.patterns)}")

    def units(self) -> list[Unit]:
        """List dictionaries and tables."""
        units = []
        for file in self.files():
            kind = Path(plain_name(file.name)).suffix.lower()
            if kind in (".tsv", ".csv"):
                units.append(
                    Unit(file.name, fingerprint(file.path), file, file.path.stat().st_size)
                )
            elif kind == ".index":
                units.append(dictionary_unit(file))
        return units

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut a file into runs of entries."""
        payload = unit.payload
        blocks: Iterator[_Block]
        if isinstance(payload, Dictionary):
            blocks = entry_blocks(payload, self.license)
        elif isinstance(payload, File):
            named = {self.term or "", self.definition or ""} - {""}
            blocks = _row_blocks(unit, self.license, {name.casefold() for name in named})
        else:
            blocks = iter([(Facts(unit.name, "glossary", self.license), payload)])
        for number, block in enumerate(blocks):
            yield Unit(f"{unit.name} @ {number}", unit.fingerprint, block)

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read a run of entries."""
        facts, content = block.payload
        if isinstance(content, Drop):
            yield content
        elif isinstance(content, _Rows):
            yield from self._rows(facts, content)
        else:
            for located in content:
                yield from self._entry(facts, located)

    # -- dictd -------------------------------------------------------------------------------------

    def _entry(self, facts: Facts, located: Located) -> Iterator[Found]:
        """Give each word that the index has for an entry its fate."""
        where = f"{facts.name}: byte {located.offset}"
        if isinstance(located.data, Drop):
            for word in located.words:
                yield Drop(located.data.reason, f"{where}: {word!r}: {located.data.detail}")
            return
        entry = read_entry(decoded(located.data), located.words)
        reason = self._reason(entry.definition, entry.reference)
        terms: set[str] = set()
        for word in located.words:
            term = _term(word, entry)
            if META.match(word):
                yield Drop("metadata", f"{where}: {word!r} tells of the dictionary itself")
            elif reason:
                yield Drop(reason, f"{where}: {word!r}: {entry.definition[:80]!r}", text=word)
            elif term in terms:
                yield Drop("same_term", f"{where}: {word!r} is {term!r} once more", text=term)
            else:
                terms.add(term)
                place = {"file": facts.name, "offset": located.offset, "fields": entry.fields}
                group = f"{facts.name}@{located.offset}"
                yield [self._pair(facts, term, entry.definition, group, place)]

    # -- tables ------------------------------------------------------------------------------------

    def _rows(self, facts: Facts, block: _Rows) -> Iterator[Found]:
        columns = _columns(block.form.names, self.term, self.definition)
        start = block.chunk.start
        try:
            data = block.chunk.read()
        except OSError as error:
            yield Drop("unreadable", f"{facts.name}: {error.strerror or error}")
            return
        for at, row in read_records(data, block.form, "utf-8", start == 0):
            where = f"{facts.name}: byte {start + at}"
            if isinstance(row, ValueError):
                yield Drop("damaged", f"{where}: {row}")
            elif columns is None or len(row) <= max(columns):
                yield Drop("missing_column", f"{where}: {len(row)} columns: {row[:2]!r:.100}")
            else:
                yield self._row(facts, start + at, row[columns[0]], row[columns[1]])

    def _row(self, facts: Facts, offset: int, term: str, definition: str) -> Found:
        term, definition = _cell(term), _cell(definition)
        where = f"{facts.name}: byte {offset}: {term!r:.100}"
        if not folded(term):
            return Drop("no_term", where)
        reason = self._reason(definition, read_entry(definition, ()).reference)
        if reason:
            return Drop(reason, f"{where}: {definition[:80]!r}", text=term)
        place = {"file": facts.name, "offset": offset}
        return [self._pair(facts, term, definition, f"{facts.name}:{folded(term)}", place)]

    def _reason(self, definition: str, reference: bool) -> str | None:
        if reference:
            return "only_reference"
        return "short_definition" if len(definition) < self.min_chars else None

    def _pair(
        self, facts: Facts, term: str, definition: str, group: str, place: dict[str, Any]
    ) -> Pair:
        text = shortened(definition, self.max_chars)
        return Pair(
            KIND,
            term,
            [Doc(text, language=self.language)],
            facts.source,
            group,
            language=self.language,
            license=facts.license,
            url=facts.url,
            meta=json.dumps(place, ensure_ascii=False),
        )


def _term(word: str, entry: Entry) -> str:
    """Return a term as its entry writes it: the index has it in lower case."""
    fold = folded(word)
    exact = (head for head in entry.heads if head.casefold() == word.casefold())
    close = (head for head in entry.heads if folded(head) == fold)
    return next(chain(exact, close), word.strip())


def _row_blocks(unit: Unit, license_: str, named: set[str]) -> Iterator[_Block]:
    """Cut a table behind rows."""
    file: File = unit.payload
    facts = Facts(file.name, f"glossary/{Path(plain_name(file.name)).stem}", license_)
    try:
        form = _form(file, named)
        if form.quoted:
            blocks: Iterator[Chunk | Drop] = cut_quoted(file, form)
        else:
            blocks = (chunk_of(block) for block in stream_blocks(unit))
        for block in blocks:
            yield facts, block if isinstance(block, Drop) else _Rows(form, block)
    except OSError as error:
        yield facts, Drop("unreadable", f"{file.name}: {error.strerror or error}")


def _form(file: File, named: set[str]) -> Form:
    """Tell how a table is written from its beginning."""
    try:
        head = next(unpacked(file), b"")[:_HEAD_BYTES]
    except DamagedError:
        head = b""
    tabs = plain_name(file.name).lower().endswith(".tsv")
    form = form_of(decoded(head), "\t" if tabs else None, None)
    first = decoded(head.partition(b"\n")[0].strip(b"\r")).split(form.delimiter)
    names = tuple(name.strip().strip('"').casefold() for name in first)
    header = _is_header(set(names), named)
    return replace(form, names=names if header else (), header=header)


def _is_header(cells: set[str], named: set[str]) -> bool:
    if named:
        return named <= cells
    return not cells.isdisjoint(_TERM_NAMES) and not cells.isdisjoint(_DEFINITION_NAMES)


def _columns(
    names: tuple[str, ...], term: str | None, definition: str | None
) -> tuple[int, int] | None:
    """Return the columns of term and definition; None if the table has none so named."""
    if not names:
        return (0, 1) if term is None and definition is None else None
    terms = (term.casefold(),) if term else _TERM_NAMES
    definitions = (definition.casefold(),) if definition else _DEFINITION_NAMES
    first = next((names.index(name) for name in terms if name in names), None)
    second = next((names.index(name) for name in definitions if name in names), None)
    return None if first is None or second is None else (first, second)


def _cell(text: str) -> str:
    """Clean a cell of a table: one line, or paragraphs if it is HTML."""
    text = text.strip().strip("\0")
    if "<" in text and ">" in text:
        return text_of(text)
    return " ".join(text.split())
