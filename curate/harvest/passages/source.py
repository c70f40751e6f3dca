"""Passages of a folder of documents: text, Markdown, HTML and PDF, cut at headings and sentence ends."""

from __future__ import annotations

import io
import json
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar

from pydantic import Field

from curate.errors import MissingExtraError
from curate.harvest.base import FileSource
from curate.harvest.passages.pdf import PdfError, PdfText, read_pdf
from curate.harvest.passages.sections import (
    Section,
    Sectioned,
    html_sections,
    markdown_sections,
    unwrapped,
)
from curate.harvest.passages.split import Count, count_tokens, passages
from curate.harvest.reading import bounds
from curate.harvest.reading.charset import decoded, decoded_html
from curate.harvest.reading.documents import (
    Document,
    document_blocks,
    document_units,
    is_archive,
    read_document,
)
from curate.harvest.reading.files import File, fingerprint, plain_name
from curate.harvest.reading.rows import text_in
from curate.harvest.reading.streams import Chunk, stream_blocks, stream_units
from curate.harvest.text.extract import ExtractionError, extract
from curate.licenses import NOASSERTION
from curate.schema import Kind, Passage, Record
from curate.stage import MAIN, Drop, Found, Unit

_TEXT = (".txt", ".text")
_MARKDOWN = (".md", ".markdown", ".mdown")
_HTML = (".html", ".htm", ".xhtml")
_ARCHIVES = (".zip", ".tar", ".tgz")
_PDF = b"%PDF-"
_MAX_TITLE_CHARS = 300
_BINARY_SHARE = 0.05
_ENDS = (".", "!", "?", "。")


class PassagesHarvest(FileSource):
    """Read text, Markdown, HTML and PDF files as passages, cut at headings and sentence ends.

    An input is a document; of plain text above 8 MB or packed, which is read in blocks whatever its
    length, an input is such a block; and a page of a PDF that cannot be read is one of its own.
    Stubs of fewer than `min_tokens` are left out. The title of a passage is the path of its
    headings, the document's own title first. A document is a `group`.

    Running heads of PDF are removed; pages without a text layer have none, as nothing is recognised in
    pictures. Of HTML the main text is read, without navigation.
    """

    name: ClassVar[str] = "harvest.passages"
    sides: ClassVar[dict[str, Kind | None]] = {MAIN: "passages"}
    patterns: ClassVar[tuple[str, ...]] = tuple(
        f"*{suffix}" for suffix in (*_TEXT, *_MARKDOWN, *_HTML, ".pdf", *_ARCHIVES)
    )

    max_tokens: int = Field(256, ge=8)
    """How many tokens a passage has at most."""
    min_tokens: int = Field(16, ge=1)
    """How many it has at least; a quarter of `max_tokens` if that is fewer."""
    overlap: int = Field(0, ge=0)
    """How many sentences a passage has in common with the one before it."""
    tokenizer: Path | None = None
    """A `tokenizer.json` to count with; null estimates: every 10 letters of a word, and every mark."""
    encoding: str | None = None
    """Of text and Markdown; null means UTF-8, or Windows-1252 where a file is not UTF-8."""
    source: str = "passages"
    """The name of the collection."""

    def check(self) -> None:
        """Refuse a path where nothing is to be read, and a file that is no tokenizer."""
        self.files()
        if self.tokenizer is not None:
            _tokenizer(self.tokenizer)

    def row_settings(self) -> dict[str, Any]:
        """Return the tokenizer by its content."""
        settings = super().row_settings()
        if self.tokenizer is not None:
            settings["tokenizer"] = fingerprint(self.tokenizer)
        return settings

    def units(self) -> list[Unit]:
        """List long texts, and the other files in groups."""
        files = self.files()
        streams = [file for file in files if _is_stream(file)]
        return stream_units(streams) + document_units(f for f in files if f not in set(streams))

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut long texts at lines, and archives between members."""
        yield from (
            stream_blocks(unit) if isinstance(unit.payload, File) else document_blocks(unit)
        )

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read a block of a long text, or some documents."""
        if isinstance(block.payload, Drop):
            yield block.payload
        elif isinstance(block.payload, Chunk):
            yield self._block(block.payload)
        else:
            for item in block.payload:
                yield from (item,) if isinstance(item, Drop) else self._document(item)

    # -- kinds of documents ------------------------------------------------------------------------

    def _block(self, chunk: Chunk) -> list[Record] | Drop:
        name = plain_name(chunk.file.name)
        where = f"{name}: from byte {chunk.start}"
        try:
            data = chunk.read()
        except OSError as error:
            return Drop("unreadable", f"{where}: {error.strerror or error}")
        if _is_binary(data):
            return Drop("not_text", f"{where}: control characters")
        sections = [Section((), unwrapped(self._decoded(data)))]
        return self._passages(name, Sectioned(None, sections), where, {"byte": chunk.start})

    def _document(self, item: File | Document) -> Iterator[list[Record] | Drop]:
        if isinstance(item, File) and _is_pdf(item):
            with item.path.open("rb") as opened:
                yield from self._pdf(item.name, opened)
            return
        document = read_document(item) if isinstance(item, File) else item
        if isinstance(document, Drop):
            yield document
        elif document.data.startswith(_PDF):
            yield from self._pdf(document.name, io.BytesIO(document.data))
        else:
            yield self._text(plain_name(document.name), document.data)

    def _text(self, name: str, data: bytes) -> list[Record] | Drop:
        suffix = PurePosixPath(name).suffix.lower()
        if _is_binary(data):
            return Drop("not_text", f"{name}: control characters")
        if suffix in _HTML:
            try:
                html = decoded_html(data)
                found = html_sections(html, extract(html, recall=True))
            except ExtractionError as error:
                return Drop(error.reason, f"{name}: {error}")
        elif suffix in _MARKDOWN:
            found = markdown_sections(self._decoded(data))
        else:
            found = Sectioned(None, [Section((), unwrapped(self._decoded(data)))])
        return self._passages(name, found, name)

    def _pdf(self, name: str, opened: BinaryIO) -> Iterator[list[Record] | Drop]:
        try:
            found = read_pdf(opened)
        except PdfError as error:
            yield Drop(error.reason, f"{name}: {error}")
            return
        for number, fault in found.damaged:
            yield Drop(fault.reason, f"{name}: page {number}: {fault}")
        if found.pages:
            yield self._pages(name, found)

    def _pages(self, name: str, found: PdfText) -> list[Record] | Drop:
        """Make passages of all pages together: a sentence may go on behind a page."""
        texts = [unwrapped(text) for _, text in found.pages]
        texts = [text + ("\n\n" if text.endswith(_ENDS) else " ") for text in texts]
        starts = [0, *accumulate(map(len, texts))]
        numbers = [number for number, _ in found.pages]
        sectioned = Sectioned(found.title, [Section((), "".join(texts))])
        return self._passages(name, sectioned, name, pages=(starts, numbers))

    def _decoded(self, data: bytes) -> str:
        return decoded(data, self.encoding)

    # -- passages ----------------------------------------------------------------------------------

    def _passages(
        self,
        name: str,
        found: Sectioned,
        where: str,
        origin: dict[str, Any] | None = None,
        pages: tuple[list[int], list[int]] | None = None,
    ) -> list[Record] | Drop:
        count = _counter(self.tokenizer)
        least = min(self.min_tokens, self.max_tokens // 4)
        title = text_in(found.title) or _title_of(name)
        records: list[Record] = []
        stated = found.license if found.license != NOASSERTION else None
        for section in found.sections:
            text = _cleaned(section.text)
            heading = _heading(title, section.headings)
            for start, end in passages(text, count, self.max_tokens, least, self.overlap):
                page = {"page": pages[1][bisect_right(pages[0], start) - 1]} if pages else {}
                meta = {"file": name, **(origin or {}), **page, "number": len(records)}
                passage = Passage(
                    text[start:end],
                    self.source,
                    f"{self.source}/{name}",
                    title=heading,
                    language=found.language or self.language,
                    license=stated or self.license,
                    url=found.url,
                    meta=json.dumps(meta, ensure_ascii=False),
                )
                records.append(passage)
        return records or Drop("too_short", f"{where}: no section of {least} tokens")


def _is_stream(file: File) -> bool:
    name = plain_name(file.name)
    if not name.lower().endswith(_TEXT) or is_archive(file):
        return False
    return name != file.name or file.path.stat().st_size > bounds.BLOCK_BYTES


def _is_pdf(file: File) -> bool:
    with file.path.open("rb") as opened:
        return opened.read(len(_PDF)) == _PDF


def _is_binary(data: bytes) -> bool:
    """Tell whether data has more control characters than any text has."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    head = data[:65536]
    strange = len(head) - len(head.translate(None, bytes({*range(32)} - {*b"\t\n\r\f\x1b"})))
    return strange > _BINARY_SHARE * len(head)


def _title_of(name: str) -> str:
    return " ".join(PurePosixPath(name).stem.replace("_", " ").replace("-", " ").split()) or name


def _heading(title: str, headings: tuple[str, ...]) -> str:
    path = [title, *(text_in(" ".join(h.split())) for h in headings)]
    kept = [h for i, h in enumerate(path) if h and (i == 0 or h.casefold() != title.casefold())]
    return " > ".join(kept)[:_MAX_TITLE_CHARS].strip()


def _cleaned(text: str) -> str:
    """Return a text that Arrow takes: without NUL and lone surrogates."""
    text = text.replace("\0", " ")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@lru_cache(maxsize=2)
def _counter(tokenizer: Path | None) -> Count:
    if tokenizer is None:
        return count_tokens
    loaded = _tokenizer(tokenizer)
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def _tokenizer(path: Path) -> Any:
    """Load a tokenizer.

    :raises ValueError: if it is none.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError("tokenizers", "train") from None
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # of the library's own
        raise ValueError(f"tokenizer: {str(path)!r} is none: {error}") from None
