"""XML and HTML of strangers: parsed without entities, DTDs, a network, or depths beyond reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from curate.errors import MissingExtraError


@cache
def etree() -> Any:
    """Return the module `lxml.etree`.

    :raises MissingExtraError: if it is not installed.
    """
    try:
        from lxml import etree
    except ImportError:
        raise MissingExtraError("lxml", "harvest") from None
    return etree


def xml_parser(**options: Any) -> Any:
    """Make a parser.

    :param options: of `lxml.etree.XMLParser`, for what is harmless: `encoding`, `recover`, `remove_pis`.
    """
    return etree().XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, **options
    )


def xml_reader(**options: Any) -> tuple[Callable[[bytes], Any], tuple[type[Exception], ...]]:
    """Return a function that parses an element, and what it raises at bad ones.

    :param options: as of `xml_parser`.
    """
    fromstring, parser = etree().fromstring, xml_parser(**options)
    return lambda data: fromstring(data, parser), (etree().LxmlError, ValueError)


@cache
def lxml_html() -> Any:
    """Return the module `lxml.html`.

    :raises MissingExtraError: if it is not installed.
    """
    etree()
    import lxml.html

    return lxml.html


def html_tree(html: str) -> Any:
    """Parse a page of HTML, however broken.

    :raises ValueError: if there is no element in it.
    """
    library = lxml_html()
    parser = library.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False)
    try:
        data = html.replace("\0", "").encode("utf-8", "replace")
        return library.document_fromstring(data, parser=parser)
    except Exception as error:  # parsers have many, without a common base
        raise ValueError(f"{type(error).__name__}: {error}") from None
