"""The base of the sources that read web pages: web archives, HTML files, and archives of such files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from curate.harvest.base import FileSource
from curate.harvest.reading.charset import decoded_html
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.documents import Document, document_blocks, document_units, documents
from curate.harvest.reading.files import File
from curate.harvest.reading.streams import Chunk, stream_units
from curate.harvest.reading.unpacking import unpacked
from curate.harvest.text.extract import ExtractionError, Page, extract
from curate.harvest.text.frames import Frames
from curate.harvest.web.warc import (
    ArchiveRecord,
    archive_blocks,
    archive_records,
    http_response,
    media_type,
)
from curate.stage import Drop, Unit

_ARCHIVE_NAME = re.compile(r"\.(?:warc|wet|arc)(?:\.|$)", re.IGNORECASE)
_OTHER_NAME = re.compile(r"\.[a-z]\w{1,6}(?:\.(?:gz|bz2|xz|zst))?$", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w:.-]+)", re.IGNORECASE)
_HTML_MEDIA = ("text/html", "application/xhtml+xml")
_UNSAID_MEDIA = ("", "application/octet-stream", "unknown/unknown", "unk", "no-type")
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|meta|title|div|p|h1)\b", re.IGNORECASE)
_LOOK_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was found: file, byte, address on the web, number among others of its file."""

    file: str
    position: int | None = None
    url: str | None = None
    item: int | None = None

    def __str__(self) -> str:
        at = "" if self.position is None else f": at byte {self.position}"
        number = "" if self.item is None else f": item {self.item}"
        return f"{self.file}{at}{number}" + (f": {self.url}" if self.url else "")

    @property
    def meta(self) -> dict[str, str | int]:
        """Return file and place in it, for `meta`."""
        parts = {"file": self.file, "position": self.position, "item": self.item}
        return {name: value for name, value in parts.items() if value is not None}

    def drop(self, reason: str, detail: str) -> Drop:
        """Return a drop of what was found here."""
        return Drop(reason, f"{self}: {detail}", url=self.url)


class FoundPage(NamedTuple):
    """A page, and where it was found."""

    page: Page
    place: Place


class PageSource(FileSource):
    """Reads web pages: records of web archives, files, members of archives of files."""

    patterns: ClassVar[tuple[str, ...]] = (
        *("*.warc", "*.wet", "*.arc"),
        *("*.html", "*.htm", "*.xhtml", "*.shtml", "*.HTML", "*.HTM"),
        *("*.zip", "*.tar", "*.tgz"),
    )
    recall: ClassVar[bool] = False
    """Whether pages are known to be articles; see `extract`."""

    def units(self) -> list[Unit]:
        """List the files, small ones in groups."""
        files = self.files()
        archives = [file for file in files if is_web_archive(file)]
        known = set(archives)
        return [*stream_units(archives), *document_units(f for f in files if f not in known)]

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut web archives between records, other archives between members."""
        return archive_blocks(unit) if isinstance(unit.payload, File) else document_blocks(unit)

    def pages(self, block: Unit) -> Iterator[FoundPage | Drop]:
        """Read the pages of a block, without the frames of their sites."""
        yield from without_frames(list(self._pages(block)))

    def _pages(self, block: Unit) -> Iterator[FoundPage | Drop]:
        if isinstance(block.payload, Drop):
            yield block.payload
        elif isinstance(block.payload, Chunk):
            chunk = block.payload
            for record in archive_records(chunk.read(), chunk.start):
                yield self.record(record, Place(chunk.file.name, record.position, record.url))
        else:
            for found in documents(block):
                yield found if isinstance(found, Drop) else self.document(found)

    def record(self, record: ArchiveRecord, place: Place) -> FoundPage | Drop:
        """Read a record of a web archive."""
        html = _html_of(record, place)
        return html if isinstance(html, Drop) else self._extracted(html, place)

    def document(self, document: Document) -> FoundPage | Drop:
        """Read a whole file."""
        place = Place(document.name)
        if looks_like_html(document.data):
            return self._extracted(decoded_html(document.data), place)
        return place.drop("not_html", "no markup at its beginning")

    def _extracted(self, html: str, place: Place) -> FoundPage | Drop:
        try:
            return FoundPage(extract(html, place.url, recall=self.recall), place)
        except ExtractionError as error:
            return place.drop(error.reason, str(error))


def without_frames(found: list[Any]) -> list[Any]:
    """Take off the frames of the pages among what was found in a block."""
    pages = [item.page for item in found if isinstance(item, FoundPage)]
    frames = Frames(pages)
    for page in pages:
        frames.take_off(page)
    return found


def is_web_archive(file: File) -> bool:
    """Tell a web archive by its name, or by its beginning if the name says nothing."""
    if _ARCHIVE_NAME.search(file.path.name):
        return True
    if _OTHER_NAME.search(file.path.name):
        return False
    try:
        head = next(unpacked(file), b"")
    except (OSError, DamagedError):
        return False
    return head.startswith((b"WARC/", b"filedesc:"))


def looks_like_html(data: bytes) -> bool:
    """Tell whether there is HTML at the beginning of a file, in any encoding."""
    head = data[:_LOOK_BYTES]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.replace(b"\0", b"")
    return b"\0" not in head and _HTML.search(head) is not None


def _html_of(record: ArchiveRecord, place: Place) -> str | Drop:
    """Return the page that a server answered with."""
    if record.type not in ("response", "resource"):
        return place.drop("not_response", f"a record of type {record.type or 'unknown'}")
    body, media, charset = record.body, record.media, None
    if media == "application/http" or body.startswith(b"HTTP/"):
        try:
            response = http_response(body)
        except DamagedError as error:
            return place.drop(error.reason, str(error))
        if response is None:
            return place.drop("not_html", "no HTTP")
        if response.status != 200:
            return place.drop("http_status", str(response.status))
        content_type = response.headers.get("content-type", "")
        body, media = response.body, media_type(content_type)
        said = _CHARSET.search(content_type)
        charset = said[1] if said else None
    if media not in _HTML_MEDIA and not (media in _UNSAID_MEDIA and looks_like_html(body)):
        return place.drop("not_html", media or "no content type")
    return decoded_html(body, charset)
