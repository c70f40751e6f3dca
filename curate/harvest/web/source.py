"""Web pages: their titles, headings, and what links to them say, each with the text that it announces.

| kind            | query                                     | passage                         |
|-----------------|-------------------------------------------|---------------------------------|
| title-text      | title, without the name of the site       | main text                       |
| heading-section | heading, under the title where it is short | text up to the next heading     |
| anchor-target   | text of a link in another page's main text | main text of the page it leads to |
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from curate.harvest.text.extract import Link, Page, host_of
from curate.harvest.text.texts import (
    collapsed,
    is_prose,
    prose_share,
    same_words,
    says_little,
    shortened,
    weight,
    without_title,
    words_of,
)
from curate.harvest.text.titles import clean_title, names_nothing
from curate.harvest.web.pages import FoundPage, PageSource, Place
from curate.harvest.web.warc import ArchiveRecord
from curate.licenses import NOASSERTION
from curate.schema import Doc, Pair, Record
from curate.stage import Drop, Found, Joined, Piece, Unit

PairKind = Literal["title-text", "heading-section", "anchor-target"]

MAX_ANCHOR_CHARS = 150
MAX_HEADING_CHARS = 200
WET_CHARS = 100
MIN_PROSE = 0.6

# Links of these words alone say nothing of where they lead.
_POINTERS = re.compile(
    r"please|click|tap|press|go|look|see|read|find|learn|view|show|get|download|watch|continue|full|here"
    r"|more|details?|info|information|about|on|in|at|the|this|that|these|our|my|your|his|her|its|a|an|and"
    r"|or|of|to|for|it|now|all|next|previous|prev|back|home|top|up|pages?|site|website|web|links?"
    r"|articles?|story|posts?|reading|out|whole|entire|original|source|version|list|text|report|document"
    r"|file|pdf|html|online|video|image|photos?|gallery|comments?|reply|blog|another|other|one|some|few"
    r"|first|last|new|old|same|via|by|from|with|as|is|are|was|said|says"
)
_ADDRESS = re.compile(
    r"(?:https?:|www\.|mailto:)\S*|\S+@\S+|\S+\.(?:com|org|net|edu|gov|html?)/?\S*"
)
_NO_PAGE = re.compile(
    r"\.(?:jpe?g|png|gif|svg|webp|pdf|docx?|xlsx?|pptx?|zip|gz|mp[34]|avi|mov|exe)$", re.IGNORECASE
)
_INDEX = re.compile(r"/(?:index|default)\.(?:[xs]?html?|php|aspx?|jsp)$", re.IGNORECASE)
_NUMBER = re.compile(r"^(?:\d{1,3}[.)]|[ivx]{1,4}\.|q[.:])\s+", re.IGNORECASE)
_NO_HEADING = re.compile(
    r"(?:see also|references|sources|notes|footnotes|bibliography|further reading|external links"
    r"|related.{0,60}|similar.{0,60}|more (?:from|in|on|like|news|stories|posts).{0,60}|share.{0,40}"
    r"|(?:\d+ )?(?:comments?|responses?|replies|thoughts on).{0,80}|leave a.{0,40}|post a.{0,40}"
    r"|reader.{0,40}|subscribe.{0,60}|newsletter.{0,40}|sign up.{0,60}|follow (?:us|me).{0,40}"
    r"|advertis.{0,40}|recent (?:posts|comments|news).{0,40}|popular.{0,40}|trending.{0,40}|tags?"
    r"|categor(?:y|ies)|navigation|menu|contents|table of contents|you (?:may|might) also.{0,40}"
    r"|recommended.{0,40}|about the author.{0,40}|author.{0,20}|written by.{0,60}|contact.{0,40}"
    r"|links?|disclaimer|copyright.{0,60}|credits?|quick links|latest.{0,40}|topics|search.{0,40})",
    re.IGNORECASE,
)


class WebHarvest(PageSource, Joined):
    """Read web archives (WARC, WET, ARC) and HTML files as pairs of titles, headings or links with texts.

    An input is a record of a web archive, or a file; where two have the address of one page, only the
    first is kept. Links are no inputs: they add to what the page gives that they lead to, if it is in
    the input. Of a WET record, the first line is the title, and the lines that are long are the text:
    the short ones are mostly menus.

    The group is the host, as pages of a site share their frame and much of what they say; where no
    address is known, it is the file.
    """

    name: ClassVar[str] = "harvest.web"

    kinds: tuple[PairKind, ...] = ("title-text", "heading-section", "anchor-target")
    """The kinds of pairs to make."""
    min_chars: int = Field(200, ge=1)
    """A page with less main text is dropped, and a section left out; wide characters count double."""
    max_chars: int = Field(8_000, ge=100)
    """Longer texts are cut at the end of a paragraph."""
    max_sections: int = Field(10, ge=0)
    """Most sections of a page that become pairs."""
    max_links: int = Field(10, ge=0)
    """Most links of a page that are followed, and most that become pairs of the page they lead to."""

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Give pages and their links to those who look for them; judge those without address."""
        for found in self.pages(block):
            yield from [found] if isinstance(found, Drop) else self._offered(*found)

    def record(self, record: ArchiveRecord, place: Place) -> FoundPage | Drop:
        """Read a record of a web archive."""
        if record.type == "conversion" and record.media == "text/plain":
            return FoundPage(_page_of_text(record), place)
        return super().record(record, place)

    def _offered(self, page: Page, place: Place) -> Iterator[Found]:
        if weight(page.text) < self.min_chars:
            yield place.drop("short_text", f"{len(page.text)} characters of main text")
            return
        if prose_share(page.text) < MIN_PROSE:
            yield place.drop(
                "no_prose", f"{prose_share(page.text):.0%} of the text is in paragraphs"
            )
            return
        key, data = url_key(page.url), self._data(page, place)
        if page.title and names_nothing(page.title):
            yield place.drop("weak_title", repr(page.title))
            return
        if key is None:
            yield self._judged(data, [])
            return
        yield Piece(key, data)
        for link in self._followed(page, key):
            yield Piece(url_key(link.url) or "", {"anchor": link.anchor, "from": page.url}, False)

    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        """Keep the first page of an address, with the links that lead there."""
        links = [piece.data for piece in pieces if not piece.counts]
        pages = [piece.data for piece in pieces if piece.counts]
        for number, page in enumerate(pages):
            if number:
                first = _place(pages[0])
                yield _place(page).drop(
                    "duplicate_url", f"the same page as {first.file} {first.position}"
                )
            else:
                yield self._judged(page, links)

    def _data(self, page: Page, place: Place) -> dict[str, Any]:
        weak = not page.title or page.shared_title or _is_weak(page.title)
        sections = [
            [
                _NUMBER.sub("", section.heading).rstrip(" :\uff1a"),
                shortened(section.text, self.max_chars),
            ]
            for section in page.sections
            if self._is_good_section(section.heading, section.text, page)
        ]
        return {
            "title": None if weak else page.title,
            "stated_title": page.title,
            "text": shortened(without_title(page.text, page.title), self.max_chars),
            "url": page.url,
            "language": page.language or self.language,
            "license": self.license if page.license == NOASSERTION else page.license,
            "sections": sections[: self.max_sections],
            "file": place.file,
            "position": place.position,
        }

    def _is_good_section(self, heading: str, text: str, page: Page) -> bool:
        return not (
            weight(text) < self.min_chars
            or prose_share(text) < MIN_PROSE
            or len(text) > 0.9 * len(page.text)
            or len(heading) > MAX_HEADING_CHARS
            or names_nothing(heading)
            or _NO_HEADING.fullmatch(heading)
            or says_little(heading, 1, 4)
            or same_words(heading, page.title or "")
        )

    def _followed(self, page: Page, key: str) -> Iterator[Link]:
        if "anchor-target" not in self.kinds:
            return
        seen = {key}
        for link in page.links:
            target = url_key(link.url)
            if target is None or target in seen or not _is_good_link(link):
                continue
            seen.add(target)
            if len(seen) > self.max_links + 1:
                return
            yield link

    def _judged(self, page: dict[str, Any], links: list[dict[str, str]]) -> list[Record] | Drop:
        records: list[Record] = []
        if page["title"] and "title-text" in self.kinds:
            records.append(_pair("title-text", page["title"], page["text"], page))
        if "heading-section" in self.kinds:
            records += _sections(page)
        records += self._anchors(page, links)
        if records:
            return records
        stated = page["stated_title"]
        reason = "weak_title" if stated else "no_title"
        return _place(page).drop(reason, repr(stated) if stated else "no title")

    def _anchors(self, page: dict[str, Any], links: list[dict[str, str]]) -> Iterator[Record]:
        seen = [page["stated_title"] or ""]
        for link in links:
            anchor = link["anchor"]
            if len(seen) <= self.max_links and not any(same_words(anchor, known) for known in seen):
                seen.append(anchor)
                yield _pair("anchor-target", anchor, page["text"], page, {"from": link["from"]})


def _sections(page: dict[str, Any]) -> Iterator[Record]:
    for number, (heading, text) in enumerate(page["sections"]):
        alone = not says_little(heading, 5, 20) or heading.endswith(("?", "\uff1f"))
        if alone or page["title"]:
            query = heading if alone else f"{page['title']}: {heading}"
            yield _pair("heading-section", query, text, page, {"section": number})


def _pair(
    kind: PairKind, query: str, text: str, page: dict[str, Any], more: dict[str, Any] | None = None
) -> Pair:
    meta = {"file": page["file"], "position": page["position"], **(more or {})}
    return Pair(
        kind=kind,
        query=query,
        positives=[Doc(text, language=page["language"])],
        source="web",
        group=host_of(page["url"]) or page["file"],
        language=page["language"],
        license=page["license"],
        url=page["url"],
        meta=json.dumps({k: v for k, v in meta.items() if v is not None}, ensure_ascii=False),
    )


def _place(page: dict[str, Any]) -> Place:
    return Place(page["file"], page["position"], page["url"])


def _is_weak(title: str) -> bool:
    return says_little(title) or _ADDRESS.fullmatch(title) is not None


def _page_of_text(record: ArchiveRecord) -> Page:
    first, _, rest = record.body.decode("utf-8", "replace").strip().partition("\n")
    lines = [
        line
        for line in map(collapsed, rest.split("\n"))
        if weight(line) >= WET_CHARS and is_prose(line)
    ]
    title = clean_title(first, [], None, host_of(record.url)) or None
    return Page(title, "\n".join(lines), record.url, None, NOASSERTION)


def _is_good_link(link: Link) -> bool:
    anchor = link.anchor
    return not (
        len(anchor) > MAX_ANCHOR_CHARS
        or says_little(anchor, 2, 10)
        or all(map(_POINTERS.fullmatch, words_of(anchor.lower())))
        or _ADDRESS.fullmatch(anchor)
        or _NO_PAGE.search(link.url)
        or names_nothing(anchor)
    )


def url_key(url: str | None) -> str | None:
    """Write the addresses of one page in one way: without scheme, `www.`, `index.html` and fragment.

    None for what is no address.
    """
    host = host_of(url)
    if host is None or url is None:
        return None
    parts = urlsplit(url.strip())
    path = _INDEX.sub("/", parts.path).rstrip("/")
    return f"{host}{path}?{parts.query}" if parts.query else f"{host}{path}"
