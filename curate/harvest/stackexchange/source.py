"""Questions, answers and duplicates of the Stack Exchange data dump."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import xxhash
from pydantic import Field

from curate.harvest.base import StreamSource
from curate.harvest.reading.files import File, fingerprint
from curate.harvest.reading.streams import Chunk, stream_blocks
from curate.harvest.reading.unpacking import members_of
from curate.harvest.stackexchange.links import DUPLICATE, Links, link_of, load_links
from curate.harvest.stackexchange.pairs import Link, Maker, Post
from curate.harvest.stackexchange.rows import BOUNDARY, Broken, Row, read_rows, whole
from curate.harvest.stackexchange.sites import (
    Site,
    is_links,
    language_of,
    license_of,
    site_of,
    source_of,
)
from curate.harvest.text.html import text_of
from curate.schema import Record
from curate.stage import Drop, Found, Joined, Piece, Unit

_TABLES = ("Posts.xml", "PostLinks.xml", "posts.xml", "postlinks.xml")
_QUESTION, _ANSWER = "1", "2"
_SHOWN = 40
_QUOTED = re.compile(
    r"\A<blockquote>\s*<p><strong>Possible Duplicates?:</strong>[\s\S]{0,5000}?</blockquote>"
)
_STATUS = re.compile(r" \[(?:closed|duplicate|on hold|migrated)\]$")


@dataclass(frozen=True, slots=True)
class _Table:
    """A file of rows, and the files of links of its site."""

    file: File
    site: Site
    links: tuple[File, ...]
    stamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows(Chunk):
    """A block of a table."""

    table: _Table

    def where(self, row: Row | Broken) -> str:
        return f"{self.file.name}: byte {self.start + row.start}"

    def drop(self, reason: str, row: Row | Broken, detail: str) -> Drop:
        return Drop(reason, f"{self.where(row)}: {detail}", self.table.site.source)


class StackExchangeHarvest(StreamSource, Joined):
    """Read questions, answers and duplicate questions from Stack Exchange's dumps, of one site or many.

    Reads Posts.xml and PostLinks.xml, plain, packed, or in `<site>.7z`; a site is named by its folder or
    archive. An input is a row of Posts.xml, or a duplicate link (links that merely mention are none).

    | kind               | query            | positive                                   |
    |--------------------|------------------|--------------------------------------------|
    | title-body         | title            | body of the question                       |
    | question-answer    | title and body   | an answer, accepted or of enough score     |
    | duplicate-question | title            | title of the duplicate; symmetric          |

    Duplicates are pairs of titles. Two titles are paraphrases by people who did not know of each other,
    and no other kind has short texts on both sides; the bodies differ in what the askers' cases happen
    to be. Comments are not read: of those with a score of 3, two thirds ask back, correct a detail, joke
    or moderate.

    The group of a pair is its thread, and that of the first question if duplicates connect threads: so
    no split parts two askings of one question. Each worker holds the duplicate links of a site, 48 bytes
    each (about 60 MB for Stack Overflow), four times that while it reads them.
    """

    name: ClassVar[str] = "harvest.stackexchange"
    patterns: ClassVar[tuple[str, ...]] = (*_TABLES, "*.7z", "*.zip")
    boundary: ClassVar[bytes] = BOUNDARY

    language: str | None = "en"
    """The language of the sites that are not known to be written in another: a BCP 47 tag."""
    min_score: int = 1
    """The score that an answer needs; the accepted one is always taken."""
    hosts: dict[str, str] = Field({})
    """Hosts of folders or archives whose names do not tell them, as `maths: math.stackexchange.com`."""

    def units(self) -> list[Unit]:
        """List the tables, each with the links of its site."""
        tables, units = [], []
        for file in self.files():
            try:
                tables += members_of(file, _TABLES)
            except ValueError as error:
                size = file.path.stat().st_size
                drop = Drop("damaged", str(error))
                units.append(Unit(file.name, fingerprint(file.path), drop, size))
        links: dict[str, list[File]] = {}
        sites = {file: site_of(file, self.hosts) for file in tables}
        for file, site in sites.items():
            if is_links(file):
                links.setdefault(site.place, []).append(file)
        stamps = {path: fingerprint(path) for path in {file.path for file in tables}}
        for file, site in sites.items():
            beside = tuple(links.get(site.place, ()))
            parts = (stamps[file.path], site.host, *(stamps[f.path] for f in beside))
            stamp = xxhash.xxh3_128("\0".join(parts).encode()).hexdigest()
            table = _Table(file, site, beside, stamp)
            units.append(Unit(file.name, stamp, table, file.path.stat().st_size))
        return units

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut a table into blocks of whole rows."""
        if isinstance(unit.payload, Drop):
            yield unit
            return
        table: _Table = unit.payload
        for block in stream_blocks(replace(unit, payload=table.file), self.boundary):
            if isinstance(block.payload, Chunk):
                chunk = block.payload
                rows = _Rows(chunk.file, chunk.start, chunk.end, chunk.data, table=table)
                block = replace(block, payload=rows)
            yield block

    def read(self, chunk: Chunk, data: bytes) -> Iterator[Found]:
        """Read the rows of a block."""
        assert isinstance(chunk, _Rows)
        links = load_links(chunk.table.links, chunk.table.stamp)
        of_links = is_links(chunk.table.file)
        for row in read_rows(data):
            if isinstance(row, Broken):
                yield chunk.drop("bad_row", row, row.fault)
            elif of_links:
                yield from _link(row, chunk)
            else:
                yield from self._post(row, chunk, links)

    def _post(self, row: Row, chunk: _Rows, links: Links) -> Iterator[Drop | Piece]:
        get, site = row.get, chunk.table.site
        kind = get("PostTypeId")
        if kind not in (_QUESTION, _ANSWER):
            reason = "bad_row" if whole(kind) is None else "other_post"
            yield chunk.drop(reason, row, f"no question or answer: {_shown(row, 'PostTypeId')}")
            return
        number, score = whole(get("Id")), whole(get("Score"))
        thread = number if kind == _QUESTION else whole(get("ParentId"))
        if number is None or thread is None or (score is None and get("Score") is not None):
            shown = _shown(row, "Id", "ParentId", "Score")
            yield chunk.drop("bad_row", row, f"not whole numbers: {shown}")
            return
        text = _text(get("Body") or "")
        spdx = license_of(get("ContentLicense"), get("CreationDate"), self.license)
        if kind == _ANSWER:
            yield _piece(Post("answer", number, text, score, spdx), site, thread)
            return
        title = " ".join((get("Title") or "").split())
        title = _STATUS.sub("", title) if title.endswith("]") else title
        group = f"{site.host}/{links.thread(number)}"
        accepted = whole(get("AcceptedAnswerId"))
        post = Post("question", number, text, score, spdx, title, group, accepted)
        yield _piece(post, site, number)
        for other in links.of(number):
            yield _end(post._replace(kind="title", text=""), site, (number, other))

    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        """Make the pairs of a thread, or of a duplicate link."""
        host = key.partition("/")[0]
        maker = Maker(key, host, language_of(host, self.language))
        if pieces[0].data[0] in ("link", "title"):
            yield from _duplicates(maker, pieces)
        else:
            yield from self._thread(maker, [Post(*piece.data) for piece in pieces])

    def _thread(self, maker: Maker, posts: list[Post]) -> Iterator[list[Record] | Drop]:
        question = next((post for post in posts if post.kind == "question"), None)
        for post in posts:
            if post.kind == "question":
                first = post is question
                yield (
                    maker.title_body(post) if first else maker.drop("repeated", post, "read before")
                )
            elif question is None:
                yield maker.drop("no_question", post, "its question is not there")
            elif post.number != question.accepted and not self._upvoted(post):
                yield maker.drop("low_score", post, f"score {post.score}, not accepted")
            else:
                yield maker.question_answer(question, post)

    def _upvoted(self, post: Post) -> bool:
        return post.score is not None and post.score >= self.min_score


def _text(body: str) -> str:
    """Return the text of a post, without the note on top that names the question it repeats."""
    if body.startswith("<blockquote>"):
        body = _QUOTED.sub("", body, count=1)
    return text_of(body)


def _link(row: Row, chunk: _Rows) -> Iterator[Drop | Piece]:
    """Read a row of links; what is no duplicate link is no input."""
    ends = link_of(row)
    if ends is not None:
        link = Link("link", *ends, chunk.where(row))
        yield _end(link, chunk.table.site, ends)
    elif row.get("LinkTypeId") in (None, DUPLICATE):
        shown = _shown(row, "PostId", "RelatedPostId", "LinkTypeId")
        yield chunk.drop("bad_row", row, f"not a link: {shown}")


def _shown(row: Row, *names: str) -> str:
    return ", ".join(f"{name} {(row.get(name) or '')[:_SHOWN]!r}" for name in names)


def _piece(post: Post, site: Site, thread: int) -> Piece:
    """Send a post to its thread."""
    return Piece(f"{site.host}/{site.place}/{thread}", list(post))


def _end(what: Post | Link, site: Site, ends: tuple[int, int]) -> Piece:
    """Send a link, or one of its questions, to where the link's pair is made."""
    key = f"{site.host}/{site.place}/{min(ends)}={max(ends)}"
    return Piece(key, list(what), counts=what.kind == "link")


def _duplicates(maker: Maker, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
    """Decide on the links between two questions, of which one is enough."""
    source = source_of(maker.host)
    links = [Link(*piece.data) for piece in pieces if piece.counts]
    posts = {piece.data[1]: Post(*piece.data) for piece in pieces if not piece.counts}
    for number, link in enumerate(links):
        post, original = posts.get(link.duplicate), posts.get(link.original)
        if number:
            yield Drop("repeated", f"{link.where}: the two are linked before", source)
        elif post is None or original is None:
            missing = link.duplicate if post is None else link.original
            yield Drop("no_question", f"{link.where}: there is no question {missing}", source)
        else:
            yield maker.duplicate(post, original)
