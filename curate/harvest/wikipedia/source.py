"""Wikipedia and other wikis of MediaWiki, from their `pages-articles` dumps.

| kind            | query                                      | passage                           |
|-----------------|--------------------------------------------|-----------------------------------|
| title-lead      | the title of an article                    | what stands before its headings   |
| section-passage | title and heading (E5)                     | a passage of what is under it     |
| link-lead       | a sentence with a link (GTE: hyperlinks)   | the lead of the article linked to |

It reads 4 MB of XML a second and core, see `wiki_markup`.
"""

# ruff: noqa: RUF001  (words of all languages are what this is about)

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import xxhash
from pydantic import Field

from curate.harvest.base import FileSource
from curate.harvest.reading.streams import Chunk, stream_blocks, stream_units
from curate.harvest.wikipedia.dump import (
    PAGE_END,
    Page,
    Site,
    Streams,
    is_multistream,
    parse_page,
    read_site,
    split,
    split_streams,
    stream_groups,
)
from curate.harvest.wikipedia.markup import sections
from curate.harvest.wikipedia.prose import Prose, links_of, prose_of, sentences, text_of, unmarked
from curate.schema import Doc, Pair, Record
from curate.stage import Drop, Found, Joined, Piece, Unit

MIN_SENTENCE_CHARS, MAX_SENTENCE_CHARS = 50, 500
_MIN_LINK_CHARS = 3
_LISTS_TO_PROSE = 4
_PROSE_ENOUGH = 300
_CC_BY_SA_4 = "2023-06-07"
"""From this day on text is contributed to Wikimedia's wikis under version 4.0."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a dump, with what the header of the dump says."""

    site: Site
    part: Chunk | Streams | Drop


@dataclass(frozen=True, slots=True)
class Article:
    """What all pairs of a page share."""

    page: Page
    site: Site
    place: str
    license: str
    url: str | None
    language: str | None

    @property
    def group(self) -> str:
        """The page, of whatever title."""
        return f"{self.site.source}/{self.page.id or self.page.title}"

    def meta(self, **more: Any) -> dict[str, Any]:
        """Return where a pair comes from."""
        return {"page": self.page.id, "revision": self.page.revision, **more}

    def drop(self, reason: str, what: str) -> Drop:
        """Return the drop of a part of the page."""
        return Drop(reason, f"{self.place}: {what}", self.site.source, self.url)


class WikipediaHarvest(FileSource, Joined):
    """Read titles, sections and links of the articles of a MediaWiki dump as pairs.

    An article gives several inputs: its lead, each section that a heading begins (with the text up to
    the next heading of any level), and each link that is chosen. Any other page is one input, a drop:
    a redirect, a disambiguation, what is in no namespace of articles, what cannot be read.

    The query of a section is the title and the headings that lead to it, outermost first, because
    "Music" under "Culture" is not "Music" under "Education". A section has only the text of its own:
    that of its subsections is theirs, and a heading with nothing but subsections has none. A long
    section gives several passages, each with the same query. Lists, tables, templates, notes, formulas
    and files are left out, and with them the sentences that they leave incomplete. So "See also" and
    the like end as drops in whatever language: `no_prose`, or `list` where a list is several times as
    long as the little prose beside it.

    At most `links` links of a page are chosen, each the first mention of its target, from the first
    passages of its sections: those in sentences with few links, which are about what they link to, and
    never to dates. The group of such a pair is the target, whose lead it shares with other pairs. The
    lead is looked up by the title as it stands in the link: one to a redirect finds none, since to
    follow it would take a second round of joining.

    A text of Wikimedia is CC-BY-SA-4.0 if its revision is of June 2023 or later, else 3.0.
    """

    name: ClassVar[str] = "harvest.wikipedia"
    patterns: ClassVar[tuple[str, ...]] = ("*.xml",)

    max_chars: int = Field(1_000, ge=200)
    """Longer passages are cut at the end of a sentence."""
    passages: int = Field(8, ge=1)
    """Passages to make of one section, at most; each is a pair with the same query."""
    min_chars: int = Field(40, ge=1)
    """A passage of fewer bytes of UTF-8 is dropped; a letter of Chinese is three bytes and a syllable."""
    links: int = Field(3, ge=0)
    """Links to choose on each page, at most."""
    links_to_target: int = Field(4, ge=1)
    """Links to keep of all to one page, at most, so that no country is the passage of thousands."""

    def units(self) -> list[Unit]:
        """List the files."""
        return stream_units(self.files())

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut a file into blocks of pages; a multistream dump between its streams."""
        site = read_site(unit.payload)
        if is_multistream(unit.payload):
            for group in stream_groups(unit.payload):
                name = f"{unit.name} @ {group.start}"
                yield Unit(name, unit.fingerprint, Block(site, group), group.end - group.start)
        else:
            for block in stream_blocks(unit, PAGE_END):
                yield replace(block, payload=Block(site, block.payload))

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read the pages of one block."""
        site, part = block.payload.site, block.payload.part
        if isinstance(part, Drop):
            yield part
            return
        try:
            for raw in split_streams(part) if isinstance(part, Streams) else split(part):
                yield from (
                    [raw] if isinstance(raw, Drop) else self._read(site, part.file.name, *raw)
                )
        except OSError as error:
            yield Drop("unreadable", f"{part.file.name}: {error.strerror or error}")

    def _read(self, site: Site, file: str, place: str, raw: bytes) -> Iterator[Found]:
        page = parse_page(place, raw)
        if isinstance(page, Drop):
            yield page
            return
        article = self._article(site, page, f"{file}: page {page.id} {page.title!r}")
        reason = _refusal(page, site)
        if reason:
            yield article.drop(reason, _WHY[reason])
            return
        candidates: list[Link] = []
        for number, section in enumerate(sections(page.text, site.media)):
            prose = prose_of(section.wikitext, self.max_chars, self.passages)
            found = self._section(article, number, section.headings, prose)
            yield found if isinstance(found, Drop) else list[Record](found)
            if isinstance(found, Drop):
                continue
            if self.links:
                candidates += _candidates(article, number, prose)
            if not section.headings:
                yield _lead_piece(article, found[0].positives[0])
        for link in self._chosen(article, candidates):
            yield Piece(link.key, _link_data(article, link))

    def _article(self, site: Site, page: Page, place: str) -> Article:
        license_ = site.license or self.license
        if license_ == "CC-BY-SA":
            license_ = f"CC-BY-SA-{'4.0' if page.timestamp >= _CC_BY_SA_4 else '3.0'}"
        language = site.language or self.language
        return Article(page, site, place, license_, site.url(page.title), language)

    def _section(
        self, article: Article, number: int, headings: tuple[str, ...], prose: Prose
    ) -> list[Pair] | Drop:
        """Return the pairs of a section; of a lead only that with its first passage."""
        texts = [text_of(passage) for passage in prose.passages]
        sizes = [len(text.encode("utf-8", "replace")) for text in texts]
        enough = [text for text, size in zip(texts, sizes, strict=True) if size >= self.min_chars]
        reason = None
        if not enough:
            reason = "short" if texts else "no_prose"
        elif sum(sizes) < _PROSE_ENOUGH and prose.listed > _LISTS_TO_PROSE * sum(sizes):
            reason = "list"
        if reason:
            name = " > ".join(headings) or "the lead"
            return article.drop(reason, f"section {number}, {name}: {_WHY[reason]}")
        kept = enough if headings else enough[:1]
        return [_pair(article, number, i, headings, text) for i, text in enumerate(kept)]

    def _chosen(self, article: Article, candidates: list[Link]) -> list[Link]:
        """Choose links from different sentences: those with the fewest links first, then by hash."""
        first: dict[str, Link] = {}
        own = article.site.key(article.page.title)
        for link in candidates:
            first.setdefault(link.key, link)
        first.pop(own, None)
        chosen: dict[str, Link] = {}
        for link in sorted(first.values(), key=lambda link: (link.crowd, _rank(own, link.key))):
            if len(chosen) == self.links:
                break
            chosen.setdefault(link.sentence, link)
        return sorted(chosen.values(), key=lambda link: link.order)

    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        """Pair the sentences that link to a page with its lead."""
        leads = [piece.data for piece in pieces if not piece.counts]
        links = [piece.data for piece in pieces if piece.counts]
        ranks = sorted(_rank(key, link["sentence"], link["place"]) for link in links)
        last = ranks[: self.links_to_target][-1] if ranks else 0
        for link in links:
            source, title = link["source"], key.removeprefix(f"{link['source']}:")
            if not leads:
                detail = f"{link['place']}: links to {title!r}: {_WHY['no_target']}"
                yield Drop("no_target", detail, source, link["url"])
            elif _rank(key, link["sentence"], link["place"]) > last:
                detail = f"{link['place']}: links to {title!r}: {_WHY['popular_target']}"
                yield Drop("popular_target", detail, source, link["url"])
            else:
                yield [_link_pair(source, title, link, leads[0])]


# -- which pages -----------------------------------------------------------------------------------

_REDIRECT = re.compile(r"\s{0,50}#\s?\w{2,30}\s{0,9}:?\s{0,9}\[\[")
_DISAMBIGUATION = re.compile(
    r"""__DISAMBIG__ | \{\{\s{0,9}(?:template:)?(?:
      disambig\w{0,20} | dab | hndis | geodis | [\w ]{1,20}\ disambiguation | desambigua\w{0,10} | dp
      | homonymie | begriffsklärung | doorverwijspagina | ujednoznacznienie | förgrening | flertydig
      | täsmennyssivu | egyért\w{0,10} | rozcestník | неоднозначность | многозначность | пояснение
      | багатозначність | вишезначна\ одредница | anlamayrımı | anlam\ ayrımı | định\ hướng | aimai
      | 曖昧さ回避 | 消歧义 | 消歧義 | 동음이의 | توضيح | ابهام‌زدایی | פירושונים | αποσαφήνιση
      | dezambiguizare | razločitev | nozīmju\ atdalīšana | nuozīmu\ škiršona | zeimeibu\ škiršona
      | cytys\ zeimeibys
    )\s{0,9}(?:\||\}\})""",
    re.VERBOSE | re.IGNORECASE,
)
_WHY = {
    "not_article": "not in the namespace of articles",
    "redirect": "a redirect",
    "disambiguation": "lists what its title may mean",
    "no_text": "a page without a text",
    "no_prose": "nothing but lists, tables, templates, notes or other sections",
    "short": "fewer bytes than min_chars",
    "list": "a list, and little prose about it",
    "no_target": "no article of the dump with a lead, or a redirect",
    "popular_target": "links_to_target others do too",
}


def _refusal(page: Page, site: Site) -> str | None:
    """Return why nothing is read of a page, if so."""
    prefix, colon, _ = page.title.partition(":")
    apart = page.namespace is None and colon and prefix.strip().lower() in site.namespaces
    if page.namespace or apart or page.model != "wikitext":
        return "not_article"
    if page.redirect or _REDIRECT.match(page.text):
        return "redirect"
    if not page.text.strip():
        return "no_text"
    return "disambiguation" if _DISAMBIGUATION.search(page.text) else None


# -- pairs -----------------------------------------------------------------------------------------


def _pair(article: Article, number: int, part: int, headings: tuple[str, ...], text: str) -> Pair:
    return Pair(
        "section-passage" if headings else "title-lead",
        " ".join([article.page.title, *headings]),
        [Doc(text, language=article.language)],
        article.site.source,
        article.group,
        language=article.language,
        license=article.license,
        url=article.url,
        meta=json.dumps(article.meta(section=number, part=part)),
    )


def _lead_piece(article: Article, lead: Doc) -> Piece:
    data = {
        "text": lead.text,
        "url": article.url,
        "license": article.license,
        "language": article.language,
        "group": article.group,
    }
    return Piece(article.site.key(article.page.title), data, counts=False)


def _link_pair(source: str, title: str, link: dict[str, Any], lead: dict[str, Any]) -> Pair:
    licenses = sorted({link["license"], lead["license"]})
    return Pair(
        "link-lead",
        link["sentence"],
        [Doc(lead["text"], language=lead["language"])],
        source,
        lead["group"],
        language=lead["language"],
        license=" AND ".join(licenses),
        url=lead["url"],
        meta=json.dumps({**link["meta"], "from": link["url"], "target": title}),
    )


# -- links -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """A link that may be chosen.

    :param key: of the page that it points at.
    :param crowd: how many links its sentence has.
    :param order: its place in the page.
    """

    key: str
    sentence: str
    crowd: int
    order: tuple[int, int]


def _candidates(article: Article, number: int, prose: Prose) -> Iterator[Link]:
    """Give the links of a section's first passage whose sentences say something."""
    for paragraph in prose.passages[0]:
        for marked in sentences(paragraph):
            found = links_of(marked)
            sentence = unmarked(marked).strip()
            if not found or not _says_something(sentence):
                continue
            for index, text in found:
                title = _target(prose.targets[index], article.site)
                if title and len(text) >= _MIN_LINK_CHARS:
                    yield Link(article.site.key(title), sentence, len(found), (number, index))


def _says_something(sentence: str) -> bool:
    size = len(sentence.encode("utf-8", "replace"))
    return size >= MIN_SENTENCE_CHARS and len(sentence) <= MAX_SENTENCE_CHARS


def _target(target: str, site: Site) -> str | None:
    """Return the title that a link points at; None for another site or namespace, a date or a year."""
    title = target.partition("#")[0].removeprefix(":").strip()
    prefix, colon, _ = title.partition(":")
    apart = colon and (prefix.strip().lower() in site.namespaces or _INTERWIKI.fullmatch(prefix))
    dated = any(map(str.isdigit, title)) and len(title.split()) <= _DATE_WORDS
    return None if apart or dated or not title else title


_INTERWIKI = re.compile(r"[a-z][a-z-]{1,15}")
_DATE_WORDS = 4


def _link_data(article: Article, link: Link) -> dict[str, Any]:
    return {
        "sentence": link.sentence,
        "source": article.site.source,
        "place": article.place,
        "url": article.url,
        "license": article.license,
        "meta": article.meta(section=link.order[0]),
    }


def _rank(*texts: str) -> int:
    """Return an order that has nothing to do with the texts, and is the same everywhere."""
    return xxhash.xxh3_64_intdigest("\0".join(texts).encode("utf-8", "replace"))
