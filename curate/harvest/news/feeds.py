"""Feeds of news: RSS 0.9 to 2.0, RDF and Atom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from curate.harvest.news.articles import Article, readable
from curate.harvest.reading.xml import etree, xml_parser
from curate.harvest.text.extract import spdx
from curate.harvest.text.texts import collapsed
from curate.licenses import NOASSERTION

if TYPE_CHECKING:
    from lxml.etree import _Element

_FEEDS = ("rss", "rdf", "feed", "channel")
_ITEMS = ("item", "entry")
_BODIES = ("encoded", "content", "body")
_SUMMARIES = ("description", "summary", "subtitle")


def articles_of_feed(data: bytes) -> Iterator[Article | ValueError]:
    """Read the items of a feed; those that can be read of one that is damaged, too.

    :raises ValueError: if it is no feed, or, behind the last item, if it is damaged.
    """
    parser = xml_parser(recover=True, remove_comments=True, remove_pis=True)
    try:
        root = etree().fromstring(data, parser)
    except (etree().LxmlError, ValueError) as error:
        raise ValueError(f"not well-formed: {error}") from None
    if root is None or _name(root) not in _FEEDS:
        raise ValueError(
            f"a feed begins with rss or feed, not {_name(root) if root is not None else 'nothing'}"
        )
    shared = _shared(root)
    for element in root.iter():
        if _name(element) in _ITEMS:
            yield _article(element, *shared)
    fatal = parser.error_log.filter_from_fatals()
    if fatal:
        what = collapsed(fatal[0].message)[:200]
        raise ValueError(f"not well-formed in line {fatal[0].line}: {what}")


def _name(element: _Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


_XML = "{http://www.w3.org/XML/1998/namespace}"


def _shared(root: _Element) -> tuple[str | None, str]:
    """Return language and licence of the whole feed."""
    language, license_ = root.get(f"{_XML}lang"), NOASSERTION
    for element in root.iter():
        name = _name(element)
        if name in _ITEMS:
            break
        if name == "language" and element.text:
            language = element.text.strip()
        elif name == "license":
            license_ = _license(element)
    return language, license_


def _license(element: _Element) -> str:
    resource = next((v for k, v in element.attrib.items() if k.endswith("resource")), None)
    return spdx(resource or element.text or "")


def _article(item: _Element, language: str | None, license_: str) -> Article | ValueError:
    article = Article(language=item.get(f"{_XML}lang") or language, license=license_)
    try:
        for element in item:
            _read(article, element)
    except ValueError as error:
        return error
    return article


def _read(article: Article, element: _Element) -> None:
    """Take one element of an item into the article; the first of each counts."""
    name = _name(element)
    if name == "title":
        article.title = article.title or collapsed(_text(element))
    elif name in _BODIES:
        article.body = article.body or _text(element)
    elif name in _SUMMARIES:
        article.summary = article.summary or _text(element)
    elif name == "link" and element.get("rel", "alternate") == "alternate":
        article.url = article.url or element.get("href") or (element.text or "").strip() or None
    elif name == "license":
        article.license = _license(element)
    elif name == "language" and element.text:
        article.language = element.text.strip()


def _text(element: _Element) -> str:
    """Return the text of an element whose content is markup: escaped, or its own."""
    if len(element):
        from lxml import etree

        return readable(etree.tostring(element, encoding="unicode", with_tail=False))
    return readable("".join(element.itertext()))
