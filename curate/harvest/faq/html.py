"""Questions and answers of web pages: stated for machines (JSON-LD), or as headings with text below.

Sections are told by marks. Each heading, term, summary or line of bold type is replaced by a mark,
another one is put where the element ends that holds it, and the text of the page is split at the marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from curate.harvest.faq.jsonld import read_jsonld
from curate.harvest.faq.text import INLINE_LEVEL, Faq, Section, asks, paired
from curate.harvest.reading.xml import html_tree, lxml_html
from curate.harvest.text.boilerplate import is_boilerplate
from curate.harvest.text.extract import language_tag, spdx
from curate.harvest.text.html import text_of
from curate.harvest.text.texts import collapsed
from curate.licenses import NOASSERTION

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_HEADINGS = 20_000
_OPEN, _CLOSE = "\uf8f0", "\uf8f1"
_MARK = re.compile(f"{_OPEN}(/?)([0-9]{{1,6}}){_CLOSE}")
_NO_MARKS = {ord(_OPEN): None, ord(_CLOSE): None}
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_CLIMB, _SIBLINGS = 6, 50
_WRAPPING = re.compile(
    r"\A\s*(?:<!--|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/|<!\[CDATA\[)|(?://\s*|/\*\s*)?(?:-->|\]\]>)(?:\s*\*/)?\s*\Z"
)


def read_html(html: str) -> Faq:
    """Read the questions of a page; those that it states as JSON-LD are all that it has.

    :raises ValueError: if there is no element in it.
    """
    tree: HtmlElement = html_tree(html.translate(_NO_MARKS))
    faq = Faq()
    for script in list(tree.iter("script")):
        if "ld+json" in (script.get("type") or "").lower():
            _join(faq, read_jsonld(_WRAPPING.sub("", script.text or "")))
    faq.url, faq.language, faq.license = (
        _url(tree) or faq.url,
        faq.language or _language(tree),
        faq.license or _license(tree),
    )
    if not faq.questions:
        faq.questions, faq.others = paired(_sections(tree))
    return faq


def _join(faq: Faq, other: Faq) -> None:
    faq.questions += other.questions
    faq.faults += other.faults
    faq.url = faq.url or other.url
    faq.language = faq.language or other.language
    faq.license = faq.license or other.license


# -- what a page states of itself ------------------------------------------------------------------


def _url(tree: HtmlElement) -> str | None:
    links = (
        e.get("href") for e in tree.iter("link") if (e.get("rel") or "").lower() == "canonical"
    )
    metas = (e.get("content") for e in tree.iter("meta") if e.get("property") == "og:url")
    for url in (*links, *metas):
        if url and url.strip().startswith(("http://", "https://")):
            return str(url).strip()[:2_000]
    return None


def _language(tree: HtmlElement) -> str | None:
    stated = tree.get("lang") or tree.get("xml:lang") or ""
    return language_tag(stated)


def _license(tree: HtmlElement) -> str | None:
    for element in tree.iter("link", "a"):
        if "license" in (element.get("rel") or "").lower().split():
            name = spdx(element.get("href") or "")
            return None if name == NOASSERTION else name
    return None


# -- sections --------------------------------------------------------------------------------------


def _sections(tree: HtmlElement) -> list[Section]:
    for element in list(tree.iter()):
        if isinstance(element.tag, str) and is_boilerplate(element):
            _remove(element)
    sections: list[Section] = []
    for element, level in list(_headed(tree))[:MAX_HEADINGS]:
        heading = collapsed(
            text_of(lxml_html().tostring(element, encoding="unicode", with_tail=False))
        )
        if heading:
            _mark(element, len(sections))
            sections.append(Section(level, heading, "", _anchor(element)))
    body = tree.find("body")
    text = text_of(lxml_html().tostring(tree if body is None else body, encoding="unicode"))
    _fill(sections, text)
    return sections


def _remove(element: HtmlElement) -> None:
    if element.getparent() is not None:
        element.drop_tree()


def _headed(tree: HtmlElement) -> Iterator[tuple[HtmlElement, int]]:
    """Give what begins a section, with its level."""
    for element in tree.iter(*_HEADINGS, *_INLINE):
        tag = element.tag
        if tag in _HEADINGS:
            yield element, int(tag[1])
        elif _INLINE[tag](element):
            yield element, INLINE_LEVEL


def _is_asked(term: HtmlElement) -> bool:
    """Tell whether the first terms of a list are questions, most of them."""
    parent = term.getparent()
    if parent is None:
        return False
    terms = [child for child in parent[:_SIBLINGS] if child.tag == "dt"]
    return 2 * sum(asks(child.text_content()) for child in terms) > len(terms)


def _is_bold_question(paragraph: HtmlElement) -> bool:
    """Tell whether a paragraph is nothing but a question in bold type."""
    if (
        len(paragraph) != 1
        or paragraph[0].tag not in ("b", "strong")
        or (paragraph.text or "").strip()
    ):
        return False
    return not (paragraph[0].tail or "").strip() and asks(paragraph.text_content())


_INLINE = {"dt": _is_asked, "summary": lambda _: True, "p": _is_bold_question}
"""What may begin a section without being a heading, and when it does."""


def _anchor(element: HtmlElement) -> str | None:
    inner = (e.get("id") or e.get("name") for e in element.iter("a"))
    return element.get("id") or next(filter(None, inner), None)


def _mark(element: HtmlElement, number: int) -> None:
    """Put marks in the place of a heading, and where the element that holds its section ends."""
    holder = element
    for _ in range(_CLIMB):
        parent = holder.getparent()
        if parent is None or parent.tag in ("body", "html"):
            break
        alone = _is_alone(holder, parent)
        holder = parent
        if not alone:
            break
    anchor = _anchor(element)
    tail = element.tail
    element.clear()
    element.tail = tail
    element.text = f"{_OPEN}{number}{_CLOSE}"
    if anchor:
        element.set("id", anchor)
    if holder is not element:
        end = lxml_html().Element("p")
        end.text = f"{_OPEN}/{number}{_CLOSE}"
        holder.append(end)


def _is_alone(element: HtmlElement, parent: HtmlElement) -> bool:
    """Tell whether an element is all that its parent shows."""
    if (parent.text or "").strip() or (element.tail or "").strip():
        return False
    for number, sibling in enumerate(parent):
        if number >= _SIBLINGS:
            return False
        if sibling is not element and next((t for t in sibling.itertext() if t.strip()), None):
            return False
    return True


def _fill(sections: list[Section], text: str) -> None:
    """Give each section the text behind its mark, up to the next mark."""
    parts = _MARK.split(text)
    open_: int | None = None
    for closes, digits, part in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        number = int(digits)
        if not closes:
            open_ = number
        elif open_ is not None and open_ >= number:
            open_ = None
        if open_ is not None and open_ < len(sections):
            section = sections[open_]
            section.text = "\n\n".join(filter(None, (section.text, part.strip())))
