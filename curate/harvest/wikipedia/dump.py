"""A MediaWiki dump: what its header says of the site, where to cut it, and its pages one by one.

A `-multistream.xml.bz2` dump is many bz2 streams end to end. Each begins with the same ten bytes, which
are found without unpacking, so workers unpack groups of streams at the same time. The groups follow the
rule by which any splittable file is read: a page belongs to the group that it begins in; a group is read
on behind its end where a page goes on there, and its beginning is passed over up to the first page. In
real multistream dumps no page goes across streams; in what pbzip2 packs most groups begin within one.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File
from curate.harvest.reading.streams import Chunk
from curate.harvest.reading.unpacking import unpacked
from curate.harvest.reading.xml import xml_reader
from curate.stage import Drop

PAGE, PAGE_END = b"<page>", b"</page>"
MAX_PAGE_BYTES = 4 << 20
"""A longer page, in XML, is dropped; MediaWiki lets nobody save more than 2 MiB of text."""
GROUP_BYTES = 2 << 20
"""Packed bytes of the streams that one worker reads; about 10 MB of pages."""
_HEADER_BYTES = 1 << 18
_PROBE_BYTES = 4 << 20
_READ_BYTES = 1 << 20
_FEED_BYTES = 1 << 10
_BLOCK_MAGIC = b"1AY&SY"  # behind "BZh" and a digit: the first block of a bz2 stream


# -- the site --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Site:
    """What the header of a dump says.

    :param source: `wikipedia/en`; the host of a wiki that is not of Wikimedia.
    :param language: as `xml:lang` says.
    :param articles: the URL of a page without its title.
    :param license: of its texts, where that is known: `CC-BY-SA` stands for the version of the day.
    :param media: names of the namespaces of files, media and categories, in lower case.
    :param namespaces: names of all namespaces but that of articles, in lower case.
    :param folds: whether the first letter of a title is always a capital.
    """

    source: str = "mediawiki"
    language: str | None = None
    articles: str | None = None
    license: str | None = None
    media: frozenset[str] = frozenset({"file", "image", "media", "category"})
    namespaces: frozenset[str] = frozenset()
    folds: bool = True

    def url(self, title: str) -> str | None:
        """Return the address of a page."""
        if self.articles is None:
            return None
        return self.articles + quote(title.replace(" ", "_"), safe="/:@!$*,;()'~", errors="replace")

    def key(self, title: str) -> str:
        """Return the name that a page has in links, of whatever site: `source:Title`."""
        words = " ".join(title.replace("_", " ").split())
        first = words[:1].upper()
        folded = first + words[1:] if self.folds and len(first) == 1 else words
        return f"{self.source}:{folded}"


_BASE = re.compile(r"<base>\s{0,20}([^<\s]{1,500})\s{0,20}</base>")
_DBNAME = re.compile(r"<dbname>([\w-]{1,100})</dbname>")
_LANGUAGE = re.compile(r'\bxml:lang="([A-Za-z0-9-]{2,35})"')
_NAMESPACE = re.compile(r'<namespace key="(-?\d{1,9})"[^>]{0,100}>([^<]{1,200})</namespace>')
_FOLDS_NOT = re.compile(r"<case>case-sensitive</case>")
_WIKIMEDIA = re.compile(
    r"(?:https?:)?//(?P<code>[a-z0-9-]{1,40})\.(?:m\.)?(?P<project>wikipedia|wiktionary|wikibooks"
    r"|wikiquote|wikisource|wikivoyage|wikiversity|wikinews)\.org/"
)
_MEDIA_KEYS = {"-2", "6", "14"}


def read_site(file: File) -> Site:
    """Read the header of a dump; what it does not say, or cannot be read, stays at its default."""
    head = b""
    try:
        for piece in unpacked(file):
            head += piece
            if len(head) >= _HEADER_BYTES or PAGE in head:
                break
    except (DamagedError, OSError):
        pass  # who reads the pages says so
    head = head[:_HEADER_BYTES]
    end = head.find(PAGE)
    return site_of(head[: end if end >= 0 else len(head)].decode("utf-8", "replace"))


def site_of(header: str) -> Site:
    """Read the header of a dump: all before its first page."""
    language, dbname = _first(_LANGUAGE, header), _first(_DBNAME, header)
    base = _first(_BASE, header)
    names = [(key, name.strip().lower()) for key, name in _NAMESPACE.findall(header)]
    known = _WIKIMEDIA.match(base or "")
    host = re.sub(r"^(?:https?:)?//|/.*$", "", base or "")
    source = f"{known['project']}/{known['code']}" if known else host or dbname or Site().source
    return Site(
        source=source,
        language=language,
        articles=_articles(base, known is not None),
        license=None if not known else _LICENSES.get(known["project"], "CC-BY-SA"),
        media=Site().media | {name for key, name in names if key in _MEDIA_KEYS},
        namespaces=frozenset(name for _, name in names),
        folds=not _FOLDS_NOT.search(header),
    )


_LICENSES = {"wikinews": "CC-BY-2.5"}


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def _articles(base: str | None, wikimedia: bool) -> str | None:
    """Return a base without the name of the main page; Wikimedia's are reached by https today."""
    if base is None or "//" not in base:
        return None
    before, wiki, _ = base.partition("/wiki/")
    articles = before + wiki if wiki else base.rpartition("/")[0] + "/"
    return re.sub(r"^(?:https?:)?//", "https://", articles) if wikimedia else articles


# -- pages -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A page in its last revision.

    :param namespace: 0 for articles; None if the dump does not say (before 2012).
    :param timestamp: of the revision: `2014-10-26T04:50:23Z`.
    """

    title: str
    namespace: int | None
    id: str
    revision: str
    timestamp: str
    redirect: bool
    model: str
    text: str


Raw = tuple[str, bytes]
"""Where a page begins, for the reader of a message, and its XML."""


@cache
def _parser() -> tuple[Callable[[bytes], Any], tuple[type[Exception], ...]]:
    """Return a function that parses a page, and what it raises at bad ones."""
    return xml_reader(remove_pis=True)


def parse_page(place: str, raw: bytes) -> Page | Drop:
    """Read the XML of one page. Nothing stands before it that could declare an entity."""
    parse, faults = _parser()
    try:
        root = parse(raw)
    except faults as error:
        return Drop("damaged", f"{place}: {error}")
    revisions = root.findall("revision")
    title, revision = (root.findtext("title") or "").strip(), revisions[-1] if revisions else None
    if not title or revision is None:
        return Drop("damaged", f"{place}: a page without a title or a revision")
    namespace = (root.findtext("ns") or "").strip()
    return Page(
        title=title,
        namespace=int(namespace) if re.fullmatch(r"-?[0-9]{1,9}", namespace) else None,
        id=(root.findtext("id") or "").strip(),
        revision=(revision.findtext("id") or "").strip(),
        timestamp=(revision.findtext("timestamp") or "").strip(),
        redirect=root.find("redirect") is not None,
        model=(revision.findtext("model") or "wikitext").strip(),
        text=revision.findtext("text") or "",
    )


@dataclass(slots=True)
class _Splitter:
    """Finds the pages in the content of a dump, which comes piece by piece.

    :param start: where the first piece lies in the content.
    :param inside: whether the content may begin in the middle of a page, which another reads.
    """

    place: str
    start: int
    inside: bool = False
    held: bytearray = field(default_factory=bytearray)
    searched: int = 0
    skipped: int = 0

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[Raw | Drop]:
        """Give the pages that end in `data`; what is neither a page nor a header is damaged.

        :param last: whether only the page that has begun is wanted; then nothing is held any more.
        """
        self.held += data
        begin, at = 0, self.searched
        while (end := self.held.find(PAGE_END, at)) >= 0:
            at = end + len(PAGE_END)
            yield from self._span(begin, at)
            begin = len(self.held) if last else at
            if last:
                break
        self._forget(begin)
        if len(self.held) > bounds.MAX_RECORD_BYTES:
            self.skipped += len(self.held) - len(PAGE_END)
            self._forget(len(self.held) - len(PAGE_END))
        self.searched = max(0, len(self.held) - len(PAGE_END))

    def _span(self, begin: int, end: int) -> Iterator[Raw | Drop]:
        """Give what one `</page>` ends: a page, and before it perhaps what is none."""
        place = f"{self.place} at byte {self.start + begin} of its content"
        first = self.held.rfind(PAGE, begin, end)
        first, found = (first, True) if first >= 0 else (end, False)
        before = bytes(self.held[begin:first])
        inside, self.inside = self.inside, False
        if self.skipped or end - first > MAX_PAGE_BYTES:
            self.skipped = 0
            yield Drop("too_long", f"{place}: a page of more than {MAX_PAGE_BYTES:,} bytes")
            return
        if not inside and not _is_frame(before):
            yield Drop("damaged", f"{place}: {len(before):,} bytes that are no page")
        if found:
            yield place, bytes(self.held[first:end])

    def _forget(self, count: int) -> None:
        del self.held[:count]
        self.start += count

    @property
    def complete(self) -> bool:
        """Tell whether no page has begun."""
        return not self.skipped and (self.inside or _is_frame(bytes(self.held)))

    def end(self) -> Iterator[Drop]:
        """Give a drop if the content ends within a page."""
        if not self.complete:
            place = f"{self.place} at byte {self.start} of its content"
            yield Drop("truncated", f"{place}: ends within a page")


def _is_frame(data: bytes) -> bool:
    """Tell whether bytes outside of pages are the header or the end of a dump."""
    text = data.strip()
    if text in (b"", b"</mediawiki>"):
        return True
    return b"<mediawiki" in text[:200] and b"<title>" not in text


def split(chunk: Chunk) -> Iterator[Raw | Drop]:
    """Give the pages of a chunk as XML.

    :raises OSError: if the file has gone since it was cut.
    """
    splitter = _Splitter(chunk.file.name, chunk.start)
    yield from splitter.feed(chunk.read())
    yield from splitter.end()


# -- many streams ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Streams:
    """The bz2 streams that begin in a range of a file."""

    file: File
    start: int
    end: int


def stream_starts(path: Path, at: int = 0, stop: int | None = None) -> Iterator[int]:
    """Give the positions from `at` where bz2 streams with content begin, without unpacking."""
    size = path.stat().st_size if stop is None else stop
    overlap = len(_BLOCK_MAGIC) + 3
    with path.open("rb") as opened:
        while at < size:
            opened.seek(at)
            data = opened.read(_READ_BYTES)
            found = data.find(_BLOCK_MAGIC)
            while found >= 0:
                head = data[max(0, found - 4) : found]
                if head[:3] == b"BZh" and head[3:4] in b"123456789" and at + found - 4 < size:
                    yield at + found - 4
                found = data.find(_BLOCK_MAGIC, found + 1)
            if len(data) < _READ_BYTES:
                return
            at += len(data) - overlap


def is_multistream(file: File) -> bool:
    """Tell whether a file is many bz2 streams, the first of which begins with XML."""
    try:
        with file.path.open("rb") as opened:
            head = opened.read(_READ_BYTES)
        if file.member is not None or not head.startswith(b"BZh"):
            return False
        starts = list(stream_starts(file.path, 0, _PROBE_BYTES))
        if len(starts) < 2 or starts[0] != 0:
            return False
        return bz2.BZ2Decompressor().decompress(head, 1 << 10).lstrip().startswith(b"<")
    except OSError:
        return False  # who reads the pages says so


def stream_groups(file: File) -> Iterator[Streams]:
    """Cut a file at its streams into groups of about `GROUP_BYTES`."""
    start = 0
    for position in stream_starts(file.path):
        if position - start >= GROUP_BYTES:
            yield Streams(file, start, position)
            start = position
    yield Streams(file, start, file.path.stat().st_size)


def split_streams(group: Streams) -> Iterator[Raw | Drop]:
    """Give the pages that begin in a group of streams.

    A stream that is damaged is one drop; reading goes on with the next one.
    """
    at = group.start
    while at < group.end:
        place = f"{group.file.name}: streams from byte {at}"
        splitter = _Splitter(place, 0, inside=at > 0)
        reader = _Reader(group.file.path, at, group.end)
        try:
            for data, behind in reader.read(splitter):
                yield from splitter.feed(data, last=behind)
            yield from splitter.end()
            return
        except DamagedError as error:
            yield Drop(error.reason, f"{place}: {error}")
        at = next(stream_starts(group.file.path, reader.stream + 1, group.end), group.end)


@dataclass(slots=True)
class _Reader:
    """Unpacks the streams from `start` to `end`, and behind it as long as a page goes on."""

    path: Path
    start: int
    end: int
    stream: int = 0

    def read(self, splitter: _Splitter) -> Iterator[tuple[bytes, bool]]:
        """Give unpacked bytes, and whether they lie behind the end."""
        machine, fed, self.stream = bz2.BZ2Decompressor(), b"", self.start
        silent = 0
        with self.path.open("rb") as opened:
            opened.seek(self.start)
            while fed := fed or opened.read(_FEED_BYTES):
                if machine.eof:
                    self.stream = opened.tell() - len(fed)
                    if self.stream >= self.end and splitter.complete:
                        return
                    machine = bz2.BZ2Decompressor()
                try:
                    data = machine.decompress(fed)
                except OSError as error:
                    raise DamagedError("damaged", f"cannot be unpacked: {error}") from None
                fed = machine.unused_data if machine.eof else b""
                silent = 0 if PAGE_END in data else silent + len(data)
                if silent > bounds.MAX_SILENCE_BYTES:
                    raise DamagedError("bomb", f"no page in {silent:,} bytes")
                if data:
                    yield data, self.stream >= self.end
                if self.stream >= self.end and splitter.complete:
                    return
        if not machine.eof:
            raise DamagedError("truncated", "ends within a compressed stream")
