"""Papers in XML: arXiv's records as OAI-PMH gives them, and collections of the ACL Anthology."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from curate.harvest.papers.ids import ARXIV_METADATA, key, keys, license_of_acl
from curate.harvest.papers.model import Paper, Reading, paper_found
from curate.harvest.reading.xml import xml_reader
from curate.stage import Drop, Found

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

OAI_END = b"</record>"
ACL_END = b"</paper>"
_OAI_START = re.compile(rb"<record[\s>]")
_ACL_START = re.compile(rb"<paper[\s>]")
# A record stands alone here, without the element that names its namespaces.
_HEAD = (
    b'<r xmlns:dc="http://purl.org/dc/elements/1.1/"'
    b' xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/"'
    b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
)
_TAIL = b"</r>"


@cache
def _parser() -> tuple[Callable[..., Any], tuple[type[Exception], ...]]:
    """Return a function that parses one element, and what it raises at bad ones."""
    return xml_reader(remove_comments=True, remove_pis=True)


def parsed(data: bytes) -> Element:
    """Parse one element.

    :raises ValueError: if it is not well formed.
    """
    parse, errors = _parser()
    try:
        root: Element = parse(data)
    except errors as error:
        raise ValueError(str(error)) from None
    return root


def _elements(
    data: bytes, reading: Reading, start: re.Pattern[bytes], end: bytes
) -> Iterator[tuple[Element, str] | Drop]:
    """Give the records of a block, and their places; what stands between them is passed over."""
    offset = 0
    *records, rest = data.split(end)
    for record in records:
        at, offset = offset, offset + len(record) + len(end)
        if (first := start.search(record)) is None:
            yield Drop("bad_xml", f"{reading.at(at)}: {end.decode()} without a beginning")
            continue
        place = reading.at(at + first.start())
        try:
            yield parsed(_HEAD + record[first.start() :] + end + _TAIL)[0], place
        except (ValueError, IndexError) as error:
            yield Drop("bad_xml", f"{place}: {error}")
    if (first := start.search(rest)) is not None:
        yield Drop("truncated", f"{reading.at(offset + first.start())}: no {end.decode()}")


def _local(element: Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


# -- arXiv -----------------------------------------------------------------------------------------


def read_oai(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read records in any of the forms `oai_dc`, `arXiv` and `arXivRaw`."""
    for found in _elements(data, reading, _OAI_START, OAI_END):
        if isinstance(found, Drop):
            yield found
            continue
        record, at = found
        if any(child.get("status") == "deleted" for child in record if _local(child) == "header"):
            yield Drop("deleted", at)
        else:
            yield from paper_found(_oai_paper(record, at, reading), reading.cited)


def _oai_paper(record: Element, at: str, reading: Reading) -> Paper:
    texts: dict[str, list[str]] = {}
    for element in record.iter():
        if element.text:
            texts.setdefault(_local(element), []).append(element.text.strip())
    names = [*texts.get("identifier", ()), *texts.get("id", ()), *texts.get("doi", ())]
    arxiv = next((name for name in names if key("arxiv", name)), None)
    doi = next((name for name in names if key("doi", name)), None)
    described = texts.get("abstract") or texts.get("description") or []
    # A second description holds the comments: pages, figures, the journal.
    abstract = next((text for text in described if not text.startswith("Comment:")), "")
    return Paper(
        keys=keys(arxiv=arxiv, doi=doi),
        title=next(iter(texts.get("title", ())), ""),
        abstract=abstract,
        source="papers/arxiv" if arxiv else "papers/oai",
        license=ARXIV_METADATA if arxiv else reading.license,
        language=reading.language or ("en" if arxiv else None),
        at=at,
    )


# -- ACL Anthology ---------------------------------------------------------------------------------

_LANGUAGES = {
    "eng": "en",
    "fra": "fr",
    "deu": "de",
    "spa": "es",
    "por": "pt",
    "zho": "zh",
    "jpn": "ja",
    "rus": "ru",
    "ita": "it",
    "cat": "ca",
    "eus": "eu",
    "ara": "ar",
    "hin": "hi",
    "kor": "ko",
}


def read_acl(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read the papers of collections."""
    for found in _elements(data, reading, _ACL_START, ACL_END):
        if isinstance(found, Drop):
            yield found
        else:
            yield from paper_found(_acl_paper(*found, reading), reading.cited)


def _acl_paper(record: Element, at: str, reading: Reading) -> Paper:
    texts = {_local(child): _text(child).strip() for child in record}
    names = keys(acl=texts.get("url"), doi=texts.get("doi"))
    told = texts.get("language", "")
    bibkey = f"acl:{texts['bibkey']}" if texts.get("bibkey") else ""
    year = re.search(r"-(\d{4})-", bibkey)
    return Paper(
        keys=names or ((bibkey,) if bibkey else ()),
        title=texts.get("title", ""),
        abstract=texts.get("abstract", ""),
        source="papers/acl",
        license=license_of_acl(names[0] if names else "", int(year[1]) if year else None),
        language=_LANGUAGES.get(told, told) or reading.language or "en",
        at=at,
    )


def _text(element: Element) -> str:
    """Return the text of an element without its markup; formulas get the dollars they were typed in."""
    parts = [element.text or ""]
    for child in element:
        inner = _text(child) if len(child) else child.text or ""
        parts += [f"${inner}$" if _local(child) == "tex-math" else inner, child.tail or ""]
    return "".join(parts)
