"""Texts and their translations, each way, with the pair of languages in the task.

| format                | files                              | an input is                              |
|-----------------------|------------------------------------|------------------------------------------|
| gettext               | `.po`                              | a message                                |
| TMX                   | `.tmx`                             | a unit                                   |
| Moses                 | `x.de` and `x.en`, also in a zip   | a line of all files                      |
| TSV                   | `.tsv`                             | a line                                   |
| parallel HTML         | `de/x.html` and `en/x.html`        | a paragraph that is not in the source    |
| Debian's descriptions | `Translation-de`, `Translation-en` | a description                            |

Moses files are read side by side while they are cut. What lies in several files otherwise is joined: a
paragraph by its page and its place, a description by the hash of the English one. Descriptions also give
their summary and text as a pair, in each language.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

from pydantic import Field

from curate.harvest.base import FileSource
from curate.harvest.bitext.debian import read_description
from curate.harvest.bitext.html import read_page
from curate.harvest.bitext.lines import (
    Aligned,
    LineBlock,
    aligned_files,
    aligned_unit,
    first_line,
    line_blocks,
    pair_in_name,
)
from curate.harvest.bitext.po import charset_of, read_catalogue
from curate.harvest.bitext.text import Text, both_ways, refusal, without_number
from curate.harvest.bitext.tmx import END, read_units, source_language
from curate.harvest.reading.charset import decoded, decoded_html
from curate.harvest.reading.documents import (
    Document,
    document_blocks,
    document_units,
    documents,
    is_archive,
)
from curate.harvest.reading.files import File, plain_name
from curate.harvest.reading.streams import Chunk, chunk_of, stream_blocks, stream_units
from curate.harvest.text.extract import language_tag
from curate.harvest.text.languages import known_tag, split_language, written
from curate.harvest.text.texts import collapsed, says_little
from curate.schema import Doc, Pair, Record
from curate.stage import Drop, Found, Joined, Piece, Unit

_DESCRIPTIONS = re.compile(r"(?:\A|[/_])Translation-[A-Za-z_@]{2,12}\Z")
_HTML = (".html", ".htm", ".xhtml")
_MIN_DESCRIPTION_CHARS = 40


@dataclass(frozen=True, slots=True)
class _Columns:
    """The languages of the columns of a TSV file, and whether its first line names them."""

    languages: tuple[str, str]
    header: bool


class BitextHarvest(FileSource, Joined):
    """Read translations (gettext, TMX, Moses, TSV, parallel HTML, Debian's descriptions), each way.

    The language of a file is what it states, else what its path does (`de/x.html`, `x.de.po`). All
    translations of a document are one group; a line of a corpus, or a unit of a memory, is one by itself.
    """

    name: ClassVar[str] = "harvest.bitext"

    source_language: str = "en"
    """The language of the messages, pages and descriptions that the others translate."""
    languages: tuple[str, str] | None = None
    """The languages of the two columns of TSV files where neither header nor name says so."""
    columns: tuple[int, int] = (0, 1)
    """The two columns of TSV files, counted from 0."""
    score: int | None = None
    """The column of TSV files that tells how well the two go together."""
    max_ratio: float = Field(3.0, ge=1)
    """Texts are dropped if one is longer than so many times the other."""

    # -- units -------------------------------------------------------------------------------------

    def check(self) -> None:
        """Refuse a path where no file is of a known format."""
        if not self.units():
            raise ValueError(f"path: {self.path!r} holds no bitext of a known format")

    def units(self) -> list[Unit]:
        """List the files: streams, files that are read side by side, and documents in groups."""
        files = self.files()
        aligned = aligned_files(files)
        for file in files:
            aligned += _aligned_in_zip(file)
        taken = {file.path for group in aligned for file in group.files}
        rest = [file for file in files if file.path not in taken]
        streams = [file for file in rest if _is_stream(file)]
        documents_ = [file for file in rest if _is_document(file)]
        return [
            *stream_units(streams),
            *(aligned_unit(group) for group in aligned),
            *document_units(documents_),
        ]

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut streams behind records, files side by side behind lines, archives between members."""
        if isinstance(unit.payload, Aligned):
            for block in line_blocks(unit.payload):
                at = block.start if isinstance(block, LineBlock) else block.detail
                yield Unit(f"{unit.name} @ {at}", unit.fingerprint, block)
        elif isinstance(unit.payload, File):
            yield from self._stream_blocks(unit)
        else:
            yield from document_blocks(unit)

    def _stream_blocks(self, unit: Unit) -> Iterator[Unit]:
        file: File = unit.payload
        kind = _suffix(file.name)
        facts: Any = None
        if kind == ".tmx":
            facts = source_language(file)
        elif kind == ".tsv":
            facts = self._columns_of(file)
        boundary = {".tmx": END, ".tsv": b"\n"}.get(kind, b"\n\n")
        for block in stream_blocks(unit, boundary):
            yield Unit(block.name, block.fingerprint, (kind, facts, chunk_of(block)))

    def _columns_of(self, file: File) -> _Columns | None:
        """Return the languages of a TSV file: as its header says, its name, or the settings."""
        cells = first_line(file).split("\t")
        if len(cells) > max(self.columns):
            one, other = (known_tag(cells[column].strip()) for column in self.columns)
            if one and other:
                return _Columns((one, other), True)
        languages = pair_in_name(file.name) or self.languages
        return _Columns(languages, False) if languages else None

    # -- reading -----------------------------------------------------------------------------------

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read one block of whatever format it is."""
        payload = block.payload
        if isinstance(payload, Drop):
            yield payload
        elif isinstance(payload, LineBlock):
            yield from self._rows(payload)
        elif isinstance(payload, tuple):
            yield from self._chunk(*payload)
        else:
            for document in documents(block):
                yield from [document] if isinstance(document, Drop) else self._document(document)

    def _chunk(self, kind: str, facts: Any, chunk: Chunk | Drop) -> Iterator[Found]:
        if isinstance(chunk, Drop):
            yield chunk
            return
        try:
            data = chunk.read()
        except OSError as error:
            yield Drop("unreadable", f"{chunk.file.name}: {error.strerror or error}")
            return
        if kind == ".tmx":
            yield from self._memory(facts, chunk, data)
        elif kind == ".tsv":
            yield from self._table(facts, chunk, data)
        else:
            yield from self._descriptions(chunk, data)

    def _document(self, document: Document) -> Iterator[Found]:
        suffix = PurePosixPath(document.name).suffix.lower()
        if suffix == ".po":
            yield from self._catalogue(document)
        elif suffix in _HTML:
            yield from self._page(document)
        else:
            yield Drop("unknown_format", f"{document.name}: {suffix or 'no suffix'}")

    def _either(
        self, one: Text, other: Text, where: str, shared: dict[str, Any]
    ) -> list[Record] | Drop:
        """Return the pairs of two texts, or why they give none."""
        reason = refusal(one, other, self.max_ratio)
        if reason:
            detail = f"{where}: {one.text[:80]!r}, {other.text[:80]!r}"
            return Drop(reason, detail, shared["source"], shared.get("url"), one.text)
        return [*both_ways(one, other, {"license": self.license, **shared})]

    # -- gettext -----------------------------------------------------------------------------------

    def _catalogue(self, document: Document) -> Iterator[Found]:
        catalogue = read_catalogue(decoded(document.data, charset_of(document.data)))
        in_path, group = split_language(document.name)
        stated = known_tag(catalogue.language or "") or in_path or self.language
        if stated is None:
            yield Drop("unknown_language", f"{document.name}: neither its header nor its path says")
            return
        for message in catalogue.messages:
            where = f"{document.name}:{message.line}"
            if message.state:
                yield Drop(message.state, f"{where}: {message.detail[:80]!r}", "bitext/po")
                continue
            place = {"document": document.name, "line": message.line}
            shared = {"source": "bitext/po", "group": group, "meta": _json(place)}
            yield self._first_kept(
                self._either(self._source(text), Text(other, written(stated)), where, shared)
                for text, other in message.forms
            )

    def _source(self, text: str) -> Text:
        return Text(text, written(self.source_language))

    @staticmethod
    def _first_kept(fates: Iterator[list[Record] | Drop]) -> list[Record] | Drop:
        """Return the records of all parts of an input; if there are none, why the first has none."""
        held = list(fates)
        kept = [record for fate in held if isinstance(fate, list) for record in fate]
        return kept or held[0]

    # -- memories, lines ---------------------------------------------------------------------------

    def _memory(self, source: str | None, chunk: Chunk, data: bytes) -> Iterator[Found]:
        name = chunk.file.name
        for unit in read_units(data, chunk.start):
            if isinstance(unit, tuple):
                yield Drop("damaged", f"{name}: byte {unit[0]}: {unit[1]}", "bitext/tmx")
                continue
            where = f"{name}: byte {unit.offset}"
            texts = [
                Text(v.text, written(tag))
                for v in unit.variants
                if (tag := language_tag(v.language))
            ]
            place = {"file": name, "offset": unit.offset}
            shared = {"source": "bitext/tmx", "group": where, "url": unit.url, "meta": _json(place)}
            yield self._star(texts, source or self.source_language, where, shared)

    def _star(
        self, texts: list[Text], source: str, where: str, shared: dict[str, Any]
    ) -> list[Record] | Drop:
        """Pair the text in the source language, or the first, with all others."""
        if len(texts) < 2:
            return Drop("no_counterpart", f"{where}: {len(texts)} texts", shared["source"])
        primary = source.partition("-")[0].lower()
        first = next((t for t in texts if t.language.partition("-")[0] == primary), texts[0])
        others = (text for text in texts if text is not first)
        return self._first_kept(self._either(first, other, where, shared) for other in others)

    def _rows(self, block: LineBlock) -> Iterator[Found]:
        aligned = block.aligned
        for number, row in enumerate(block.rows, block.start):
            where = f"{aligned.stem}:{number}"
            if None in row:
                missing = [
                    tag for tag, line in zip(aligned.languages, row, strict=True) if line is None
                ]
                yield Drop("no_counterpart", f"{where}: no line in {missing}", "bitext/moses")
                continue
            texts = [
                Text(collapsed(decoded(line or b"").replace("\0", "")), written(tag))
                for tag, line in zip(aligned.languages, row, strict=True)
            ]
            place = {"file": aligned.stem, "line": number}
            shared = {"source": "bitext/moses", "group": where, "meta": _json(place)}
            yield self._star(texts, self.source_language, where, shared)

    def _table(self, columns: _Columns | None, chunk: Chunk, data: bytes) -> Iterator[Found]:
        name, at = chunk.file.name, chunk.start
        if columns is None:
            yield Drop("unknown_language", f"{name}: set `languages`", "bitext/tsv")
            return
        for line in data.split(b"\n"):
            offset, at = at, at + len(line) + 1
            if not line.strip() or (offset == 0 and columns.header):
                continue
            cells = decoded(line).strip("\r").replace("\0", "").split("\t")
            where = f"{name}: byte {offset}"
            if len(cells) <= max(self.columns):
                yield Drop("no_counterpart", f"{where}: {len(cells)} columns", "bitext/tsv")
                continue
            one, other = (
                Text(collapsed(cells[column]), written(tag))
                for column, tag in zip(self.columns, columns.languages, strict=True)
            )
            place = {"file": name, "offset": offset}
            shared = {"source": "bitext/tsv", "group": where, "meta": _json(place)}
            yield self._either(one, other, where, shared | self._scores(cells))

    def _scores(self, cells: list[str]) -> dict[str, Any]:
        if self.score is None or self.score >= len(cells):
            return {}
        try:
            return {"scores": {"alignment": float(cells[self.score])}}
        except ValueError:
            return {}

    # -- parallel pages ----------------------------------------------------------------------------

    def _page(self, document: Document) -> Iterator[Found]:
        try:
            page = read_page(decoded_html(document.data))
        except ValueError as error:
            yield Drop("not_html", f"{document.name}: {error}", "bitext/html")
            return
        in_path, shared = split_language(document.name)
        language = page.language or in_path or self.language
        if language is None:
            yield Drop("unknown_language", f"{document.name}: neither it nor its path says")
            return
        language = written(language)
        if not page.blocks:
            yield Drop("no_text", f"{document.name}: no paragraph", "bitext/html")
        for block in page.blocks:
            data = {
                "text": block.text,
                "language": language,
                "length": page.lengths[block.series],
                "document": document.name,
                "url": page.url,
            }
            key = f"html {shared}#{block.series} {block.number}"
            yield Piece(key, data, counts=not self._is_source(language))

    def _is_source(self, language: str) -> bool:
        return language.partition("-")[0] == self.source_language.partition("-")[0].lower()

    def _join_pages(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        shared_name, _, number = key.removeprefix("html ").rpartition(" ")
        group, _, series = shared_name.rpartition("#")
        source = next((p.data for p in pieces if not p.counts), None)
        for data in (piece.data for piece in pieces if piece.counts):
            where = f"{data['document']}: {series} {number}"
            if source is None:
                yield Drop(
                    "no_source", f"{where}: {data['text'][:80]!r}", "bitext/html", data["url"]
                )
            elif source["length"] != data["length"]:
                detail = f"{where}: {data['length']} of them, {source['length']} in the source"
                yield Drop("unaligned", detail, "bitext/html", data["url"])
            else:
                place = {"document": data["document"], "series": series, "number": int(number)}
                one, other = without_number(source["text"], data["text"])
                yield self._either(
                    Text(one, source["language"]),
                    Text(other, data["language"]),
                    where,
                    {
                        "source": "bitext/html",
                        "group": group,
                        "url": data["url"] or source["url"],
                        "meta": _json(place),
                    },
                )

    # -- descriptions ------------------------------------------------------------------------------

    def _descriptions(self, chunk: Chunk, data: bytes) -> Iterator[Found]:
        at = chunk.start
        for stanza in data.split(b"\n\n"):
            offset, at = at, at + len(stanza) + 2
            if not stanza.strip():
                continue
            found = read_description(decoded(stanza).replace("\0", ""))
            if found is None:
                detail = f"{chunk.file.name}: byte {offset}: {stanza[:60]!r}"
                yield Drop("damaged", detail, "bitext/descriptions")
                continue
            content = {
                "package": found.package,
                "language": written(found.language),
                "short": found.short,
                "long": found.long,
                "at": f"{chunk.file.name}: byte {offset}",
            }
            yield Piece(f"md5 {found.key}", content)

    def _join_descriptions(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        found = (p.data for p in pieces if self._is_source(p.data["language"]))
        source = next(found, None)
        for piece in pieces:
            data = piece.data
            shared = {
                "source": "bitext/descriptions",
                "group": f"package {(source or data)['package']}",
                "license": self.license,
                "meta": _json({"package": data["package"], "md5": key.removeprefix("md5 ")}),
            }
            if self._is_source(data["language"]):
                yield _described(data, shared) or _undescribed(data)
            else:
                yield self._translated(source, data, shared)

    def _translated(
        self, source: dict[str, Any] | None, data: dict[str, Any], shared: dict[str, Any]
    ) -> list[Record] | Drop:
        """Pair a description with the source's: summaries, and paragraphs if there are as many."""
        if source is None:
            return _described(data, shared) or _undescribed(data)
        parts = [(source["short"], data["short"])]
        if len(source["long"]) == len(data["long"]):
            parts += zip(source["long"], data["long"], strict=True)
        else:
            parts.append(("\n\n".join(source["long"]), "\n\n".join(data["long"])))
        fates = [
            self._either(
                Text(one, source["language"]), Text(other, data["language"]), data["at"], shared
            )
            for one, other in parts
        ]
        whole = not any(isinstance(f, Drop) and f.reason == "not_translated" for f in fates)
        fate = self._first_kept(iter(fates))
        if isinstance(fate, list) and isinstance(fates[0], list) and whole:
            fate += _described(data, shared)
        return fate

    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        """Pair a paragraph or a description with its translations."""
        if key.startswith("html "):
            yield from self._join_pages(key, pieces)
        else:
            yield from self._join_descriptions(key, pieces)


def _described(data: dict[str, Any], shared: dict[str, Any]) -> list[Record]:
    """Return the pair of a description's summary and text, if they say enough."""
    text = "\n\n".join(data["long"])
    if says_little(data["short"]) or len(text) < _MIN_DESCRIPTION_CHARS:
        return []
    language = data["language"]
    passage = Doc(text, language=language)
    return [Pair("summary-description", data["short"], [passage], language=language, **shared)]


def _undescribed(data: dict[str, Any]) -> Drop:
    return Drop("short_text", f"{data['at']}: {data['short'][:80]!r}", "bitext/descriptions")


def _json(place: dict[str, Any]) -> str:
    return json.dumps(place, ensure_ascii=False)


def _suffix(name: str) -> str:
    return PurePosixPath(plain_name(name)).suffix.lower()


def _is_stream(file: File) -> bool:
    return _suffix(file.name) in (".tmx", ".tsv") or bool(
        _DESCRIPTIONS.search(plain_name(file.name))
    )


def _is_document(file: File) -> bool:
    return _suffix(file.name) in (".po", *_HTML) or is_archive(file)


def _aligned_in_zip(file: File) -> list[Aligned]:
    """Return the aligned files of a zip archive, as OPUS packs them."""
    if not plain_name(file.name).lower().endswith(".zip") or not zipfile.is_zipfile(file.path):
        return []
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return []
    return aligned_files(File(file.path, f"{file.name}/{name}", name) for name in names)
