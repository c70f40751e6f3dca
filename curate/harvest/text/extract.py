"""What a web page says, from one parse of its HTML: title, main text, sections, links, licence, language.

The main text is found by trafilatura. On 181 news pages with a gold text, F1 of words and MB/s of a core:

| options                          | F1    | MB/s |
|----------------------------------|-------|------|
| all of its stages                | 0.955 | 10.5 |
| fast: without a second opinion   | 0.958 | 15.1 |
| fast, with tables (`balanced`)   | 0.961 | 15.2 |
| the same, in recall mode         | 0.964 | 16.8 |
| fast, with links                 | 0.913 | 14.9 |

So it is not asked for links: those of the page count whose paragraph is in the main text.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from curate.errors import MissingExtraError
from curate.harvest.text.texts import collapsed
from curate.harvest.text.titles import clean_title
from curate.licenses import NOASSERTION

if TYPE_CHECKING:
    from lxml.etree import _Element
    from lxml.html import HtmlElement

MAX_PAGE_CHARS = 4_000_000
"""A longer page is data rather than text."""
MAX_TAGS = 20_000
"""The time of an extraction grows faster than the number of tags; articles have some thousands."""
MAX_LINKS = 1_000
MAX_URL_CHARS = 2_000


class ExtractionError(Exception):
    """A page cannot be read.

    :param reason: the reason of the drop.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the text below it, up to the next heading."""

    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link in the main text of a page."""

    url: str
    anchor: str


@dataclass(slots=True)
class Page:
    """What a page says.

    :param text: the main text, a line for each paragraph.
    :param url: where it was found; else what it says itself.
    """

    title: str | None
    text: str
    url: str | None
    language: str | None
    license: str
    description: str | None = None
    sections: list[Section] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    shared_title: bool = False
    """Whether other pages of its site have its title too."""


def extract(html: str, url: str | None = None, *, recall: bool = False) -> Page:
    """Read a page.

    :param url: where it was found.
    :param recall: whether missing some of the text is worse than taking what does not belong to it,
        as with pages that are known to be articles.
    :raises ExtractionError: if it is no page, or too long or odd a one.
    """
    tree = _tree(html)
    body = _main_body(tree, recall)
    sections = list(_sections(body))
    text = "\n".join(part for s in sections for part in (s.heading, s.text) if part)
    metas = _metas(tree)
    url = url or _own_url(tree, metas)
    return Page(
        title=_title(tree, metas, url),
        text=text,
        url=url,
        language=_language(tree, metas),
        license=_license(tree, metas),
        description=metas.get("og:description") or metas.get("description"),
        sections=[s for s in sections if s.heading and s.text],
        links=list(_links(tree, text, url)),
    )


# -- the main text ---------------------------------------------------------------------------------


@cache
def _trafilatura() -> Any:
    try:
        import trafilatura
    except ImportError:
        raise MissingExtraError("trafilatura", "harvest") from None
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    return trafilatura


def _tree(html: str) -> HtmlElement:
    if len(html) > MAX_PAGE_CHARS or html.count("<") > MAX_TAGS:
        raise ExtractionError("too_long", f"{len(html):,} characters, {html.count('<'):,} tags")
    try:
        tree: HtmlElement | None = _trafilatura().load_html(html)
    except Exception as error:  # parsers have many, without a common base
        raise ExtractionError("not_html", f"{type(error).__name__}: {error}") from None
    if tree is None:
        raise ExtractionError("not_html", "no element in it")
    for cell in tree.iter("td", "th"):  # the extractor makes as many cells as these say
        cell.attrib.pop("colspan", None)
        cell.attrib.pop("rowspan", None)
    return tree


def _main_body(tree: HtmlElement, recall: bool) -> _Element:
    try:
        found = _trafilatura().bare_extraction(
            tree,
            output_format="txt",  # leaves the tree alone, which is read here
            fast=True,
            favor_recall=recall,
            include_comments=False,
            with_metadata=False,
        )
    except Exception as error:  # on odd pages, of any kind
        detail = f"the extractor failed: {type(error).__name__}: {error}"
        raise ExtractionError("unreadable", detail) from None
    if found is None or found.body is None:
        raise ExtractionError("no_text", "no main text")
    body: _Element = found.body
    return body


_BREAKS = ("p", "item", "row", "lb", "quote", "list", "head", "code", "table", "div")
_CELLS = re.compile(r"(?:\s*\|\s*)+")


def _sections(body: _Element) -> Iterator[Section]:
    """Cut the main text at its headings; what stands before the first has none."""
    heading, lines = "", list[str]()
    for child in body:
        found = _lines(child)
        if child.tag == "head":
            if heading or lines:
                yield Section(heading, "\n".join(lines))
            heading, lines = " ".join(found), []
        else:
            lines += found
    if heading or lines:
        yield Section(heading, "\n".join(lines))


def _lines(block: _Element) -> list[str]:
    if block.tag == "code":
        return ["".join(block.itertext()).strip("\n"), *_clean_lines(block.tail or "")]
    from lxml.etree import iterwalk

    parts: list[str] = []
    for event, node in iterwalk(block, events=("start", "end")):
        if node.tag in _BREAKS and (event == "start" or node.tag != "lb"):
            parts.append("\n")
        elif node.tag == "cell":
            parts.append(" | ")
        text = node.text if event == "start" else node.tail
        if text:
            parts.append(text)
    return _clean_lines("".join(parts))


def _clean_lines(text: str) -> list[str]:
    if "|" in text:
        text = "\n".join(_CELLS.sub(" | ", line.strip(" |")) for line in text.split("\n"))
    return [line for line in map(collapsed, text.split("\n")) if line]


# -- what the page says of itself ------------------------------------------------------------------

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")


def _metas(tree: HtmlElement) -> dict[str, str]:
    found: dict[str, str] = {}
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("http-equiv")
        content = meta.get("content")
        if name and content:
            found.setdefault(name.strip().lower(), collapsed(content))
    return found


def _title(tree: HtmlElement, metas: dict[str, str], url: str | None) -> str | None:
    element = next(tree.iter("title"), None)
    headings = [text for h in tree.iter("h1", "h2") if (text := collapsed(h.text_content()))][:30]
    first = next(tree.iter("h1"), None)
    given = [
        metas.get("og:title"),
        element.text_content() if element is not None else None,
        first.text_content() if first is not None else None,
    ]
    title = next((text for text in given if text and text.strip()), None)
    if title is None:
        return None
    return clean_title(title, headings, metas.get("og:site_name"), host_of(url)) or None


def _own_url(tree: HtmlElement, metas: dict[str, str]) -> str | None:
    links = (e.get("href") for e in tree.iter("link") if e.get("rel") == "canonical")
    bases = (e.get("href") for e in tree.iter("base"))
    for url in (*links, metas.get("og:url"), *bases):
        if url and host_of(url) and len(url) <= MAX_URL_CHARS:
            return str(url).strip()
    return None


def _language(tree: HtmlElement, metas: dict[str, str]) -> str | None:
    root = next(tree.iter("html"), tree)
    given = (
        root.get("lang"),
        root.get("xml:lang"),
        metas.get("content-language"),
        metas.get("og:locale"),
    )
    return next((tag for text in given if text and (tag := language_tag(text))), None)


def language_tag(text: str) -> str | None:
    """Write a language as BCP 47 has it: `pt_br` as `pt-BR`. None for what is no tag: `Japanese`."""
    text = text.strip()
    if not _LANGUAGE.fullmatch(text):
        return None
    first, *rest = re.split("[-_]", text)
    return "-".join([first.lower(), *(_subtag(part) for part in rest)])


def _subtag(part: str) -> str:
    return {2: part.upper(), 4: part.title()}.get(len(part), part.lower())


_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licen[cs]es/(by(?:-nc)?(?:-nd|-sa)?|by-nd-nc)/(\d\.\d)"
    r"|publicdomain/(zero|mark)/1\.0)",
    re.IGNORECASE,
)
_OPEN_GOVERNMENT = re.compile(r"open-government-licence(?:/version/(\d))?", re.IGNORECASE)
_FREE_DOCUMENTATION = re.compile(r"gnu\.org/(?:copyleft|licenses)/fdl", re.IGNORECASE)
_RIGHTS = ("dc.rights", "dcterms.rights", "dcterms.license", "dc.rights.license", "license")


def _license(tree: HtmlElement, metas: dict[str, str]) -> str:
    for element in tree.iter("link", "a"):
        if "license" in (element.get("rel") or "").lower().split():
            stated = spdx(element.get("href") or "")
            if stated != NOASSERTION:
                return stated
    found = (spdx(metas[name]) for name in _RIGHTS if name in metas)
    return next((stated for stated in found if stated != NOASSERTION), NOASSERTION)


def spdx(url: str) -> str:
    """Return the SPDX identifier of the licence that a URL stands for; NOASSERTION if it is not known."""
    if match := _CREATIVE_COMMONS.search(url):
        if match[3]:
            return "CC0-1.0" if match[3].lower() == "zero" else "CC-PDM-1.0"
        terms = match[1].upper().replace("ND-NC", "NC-ND")
        return f"CC-{terms}-{match[2]}"
    if match := _OPEN_GOVERNMENT.search(url):
        return f"OGL-UK-{match[1] or 3}.0"
    return "GFDL-1.3-or-later" if _FREE_DOCUMENTATION.search(url) else NOASSERTION


# -- links -----------------------------------------------------------------------------------------

_BLOCKS = ("p", "li", "td", "dd", "blockquote", "div", "body")


def _links(tree: HtmlElement, text: str, url: str | None) -> Iterator[Link]:
    """Give the links in the main text: those in a paragraph of it, of which they are a part only."""
    lines = set(text.split("\n"))
    base = next((b.get("href") for b in tree.iter("base")), None) or url or ""
    last, paragraph = None, ""
    for number, element in enumerate(tree.iter("a")):
        if number >= MAX_LINKS:
            return
        href = element.get("href")
        block = next(element.iterancestors(_BLOCKS), None)
        if not href or href.startswith("#") or block is None:
            continue
        if block is not last:
            last, paragraph = block, collapsed(block.text_content())
        if paragraph not in lines:
            continue
        anchor, target = collapsed(element.text_content()), _absolute(base, href)
        if anchor and target and len(paragraph) > 2 * len(anchor):
            yield Link(target, anchor)


def _absolute(base: str, href: str) -> str | None:
    if len(href) > MAX_URL_CHARS:
        return None
    try:
        url = urljoin(base, href.strip())
    except ValueError:
        return None
    return url if host_of(url) else None


def host_of(url: str | None) -> str | None:
    """Return the host of a web address, in lower case, without `www.`; None if it is none."""
    try:
        parts = urlsplit((url or "").strip())
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    return host.removeprefix("www.") or None
