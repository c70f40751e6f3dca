"""The paragraphs of web pages in the order in which their translations have them, too.

Elements of one name and class are a series: the fifth `div.para` of a page is the translation of the
fifth of the same page in another language, as long as both have as many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curate.harvest.reading.xml import etree, html_tree
from curate.harvest.text.boilerplate import is_boilerplate
from curate.harvest.text.extract import language_tag
from curate.harvest.text.texts import collapsed

_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
_HIDDEN = frozenset(
    [
        "head",
        "script",
        "style",
        "noscript",
        "template",
        "pre",
        "textarea",
        "select",
        "button",
        "svg",
        "math",
    ]
)
_BREAKS = frozenset(("br", "img"))


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading, item or cell, without the blocks in it.

    :param series: name and class of the element.
    :param number: which of its series it is, from 0.
    """

    series: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class ParallelPage:
    """The blocks of a page that have text, and the length of each series."""

    language: str | None
    url: str | None
    blocks: list[Block]
    lengths: dict[str, int]


def read_page(html: str) -> ParallelPage:
    """Read the blocks of a page.

    :raises ValueError: if there is no element in it.
    """
    tree = html_tree(html)
    lengths: Counter[str] = Counter()
    blocks = []
    for series, text in _texts(tree):
        if text:
            blocks.append(Block(series, lengths[series], text))
        lengths[series] += 1
    stated = language_tag(tree.get("lang") or tree.get("xml:lang") or "")
    links = (e.get("href") for e in tree.iter("link") if e.get("rel") == "canonical")
    url = next((u for u in links if u and u.startswith(("http://", "https://"))), None)
    return ParallelPage(stated, url, blocks, dict(lengths))


def _texts(tree: Any) -> Iterator[tuple[str, str]]:
    """Give (series, own text) of each block, in the order of their ends; nothing of what is hidden."""
    open_: list[tuple[str, list[str]]] = [("", [])]
    hidden: Any = None
    for event, element in etree().iterwalk(tree, events=("start", "end")):
        tag = element.tag
        if event == "start":
            if (
                hidden is None
                and isinstance(tag, str)
                and (tag in _HIDDEN or is_boilerplate(element))
            ):
                hidden = element
            if hidden is None and tag in _BLOCKS:
                open_.append((f"{tag}.{element.get('class') or ''}"[:200], []))
            if hidden is None and isinstance(tag, str):
                open_[-1][1].append(" " if tag in _BREAKS else element.text or "")
            continue
        if hidden is None and tag in _BLOCKS and len(open_) > 1:
            series, parts = open_.pop()
            yield series, collapsed("".join(parts))
            open_[-1][1].append(" ")
        if hidden is element:
            hidden = None
        if hidden is None:
            open_[-1][1].append(element.tail or "")
