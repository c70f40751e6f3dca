"""ScisummNet: papers of the ACL Anthology, each in a folder with the sentences that cite it.

A00-1043/Reference_XML/A00-1043.xml     the paper: title, abstract, sections
A00-1043/citing_sentences.json          who cites it, in which words
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import orjson

from curate.harvest.papers.ids import SCISUMMNET, key, keys
from curate.harvest.papers.model import (
    Paper,
    Reading,
    backward_reference,
    objects,
    paper_found,
    sentence_found,
    string,
)
from curate.harvest.papers.text import one_line, title_of, whole_sentences
from curate.harvest.papers.xml import parsed
from curate.stage import Drop, Found

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

SOURCE = "papers/scisummnet"
MAX_ABSTRACT_CHARS = 2_000
"""A longer abstract runs on into the paper: the PDFs were cut by a program."""


def paper_folder(name: str) -> str:
    """Return the folder of a paper by the name of one of its two documents."""
    path = PurePosixPath(name)
    return str(path.parent.parent if path.parent.name == "Reference_XML" else path.parent)


def is_paper(name: str) -> bool:
    """Tell whether a document is the paper itself, which its citing sentences follow."""
    return PurePosixPath(name).parent.name == "Reference_XML"


def read_scisumm(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read one document, a paper or what cites it."""
    if data.lstrip()[:1] == b"<":
        yield from _read_paper(data, reading)
    else:
        yield from _read_sentences(data, reading)


def _paper(name: str | None, title: str, abstract: str, reading: Reading) -> Paper:
    language = reading.language or "en"
    return Paper(keys(acl=name), title, abstract, SOURCE, SCISUMMNET, language, reading.file)


# -- the paper -------------------------------------------------------------------------------------


def _read_paper(data: bytes, reading: Reading) -> Iterator[Found]:
    name = PurePosixPath(reading.file).stem
    try:
        root = parsed(data)
    except ValueError as error:
        yield Drop("bad_xml", f"{reading.file}: {error}", SOURCE)
        return
    # Where no abstract was marked, the title runs on into the authors and their addresses.
    element = root.find("ABSTRACT")
    title = "" if element is None else one_line(unescape(root.findtext("S") or ""))
    abstract = _unmarked(root) if element is None else " ".join(_sentences(element))
    if _NOT_ABSTRACT.match(abstract) or len(_ENTRY.findall(abstract)) > 1:
        abstract = ""
    if len(abstract) > MAX_ABSTRACT_CHARS:
        abstract = _beginning(abstract)
    paper = _paper(name, title, abstract, reading)
    reading.titles[paper_folder(reading.file)] = title_of(title)
    yield from paper_found(paper, reading.cited)


_HYPHEN = re.compile(r"(?<=[a-z])- (?=[a-z])(?!(?:and|or|to|nor|but|versus|vs)\b)")


def _sentences(element: Element) -> list[str]:
    """Return the sentences of an element; words that the end of a line had cut are whole again."""
    texts = (one_line(unescape(sentence.text or "")) for sentence in element.iter("S"))
    return [_HYPHEN.sub("", text) for text in texts]


# Where the abstract was not found, the program took a figure, a bibliography or the thanks instead.
_NOT_ABSTRACT = re.compile(
    r"(?:Figure|Fig\.|Table) \d|\d{1,4}\)?[.:)] |\d+ \d|(?:We|I) (?:would like|wish|want) to thank\b"
)
_ENTRY = re.compile(r"[.,] (?:19|20)\d\d[a-z]?\.(?: |$)")
"""The year in an entry of a bibliography."""

_SPEAKS = re.compile(
    r"\b(?:we|this (?:paper|article|report)|(?:is|are) (?:described|presented))\b", re.I
)
_SPEAKS_WITHIN = 500
_TABLE = re.compile(r"[A-Z]{2}[A-Z\d]*\s")


def _beginning(text: str) -> str:
    """Return the abstract that runs on into the paper; "" if it is all of it something else."""
    speaks = _SPEAKS.search(text, 0, _SPEAKS_WITHIN) and not _TABLE.match(text)
    return whole_sentences(text, MAX_ABSTRACT_CHARS) if speaks else ""


# These pages were scanned: letters of a heading may stand apart.
_INTRODUCTION = re.compile(r"(?:1|I)?\.?\s?I\s?n\s?t\s?r\s?o\s?d\s?u\s?c|\d\.?\s[A-Z]")
_HEADING = re.compile(r".{0,300}?\bA\s?b\s?s\s?t\s?r\s?a\s?c\s?t\b[.:\s]*", re.IGNORECASE)
_MISREAD_WORD = re.compile(r"[a-z][^\w\s'\u2019.,;:/-]+[a-z]|^[b-hj-zB-HJ-Z]$")
_MAX_MISREAD_SHARE = 0.03
_ABSTRACT_SENTENCES = 24


def _unmarked(root: Element) -> str:
    """Return what stands between the title and the introduction, if it could be read well enough."""
    sentences = _sentences(root)[1 : _ABSTRACT_SENTENCES + 1]
    end = next((i for i, text in enumerate(sentences) if _INTRODUCTION.match(text)), 0)
    text = " ".join(sentences[:end])
    heading = _HEADING.match(text)
    words = text[heading.end() if heading else 0 :].split()
    misread = sum(bool(_MISREAD_WORD.search(word)) for word in words)
    return " ".join(words) if misread < _MAX_MISREAD_SHARE * len(words) else ""


# -- what cites it ---------------------------------------------------------------------------------

_APOSTROPHE = re.compile(r"(?<=[a-z])\? (?=(?:s|t|re|ve|ll)\b)")
_SPLIT_ENTITY = re.compile(r"& (?=(?:amp|quot|gt|lt|apos);)")


def _read_sentences(data: bytes, reading: Reading) -> Iterator[Found]:
    folder = paper_folder(reading.file)
    name = key("acl", PurePosixPath(folder).name)
    try:
        rows = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        yield Drop("bad_json", f"{reading.file}: {error}", SOURCE)
        return
    if name is None or not isinstance(rows, list):
        yield Drop("no_id" if name is None else "bad_json", reading.file, SOURCE)
        return
    for number, row in enumerate(rows):
        yield _sentence(row, f"{reading.file}: item {number}", name, reading)
    cited = _paper(PurePosixPath(folder).name, "", "", reading)
    citing = [key("acl", row.get("citing_paper_id")) for row in objects(rows)]
    for other in dict.fromkeys(filter(None, citing)):
        title = reading.titles.get(folder, "")
        yield backward_reference(other, cited, title, f"{reading.file}: {other}")


def _sentence(row: Any, at: str, name: str, reading: Reading) -> Found:
    if not isinstance(row, dict):
        return Drop("bad_json", f"{at}: no object", SOURCE)
    # What the annotators' program could not clean is often a sentence all the same.
    text = string(row.get("clean_text")).strip() or string(row.get("raw_text"))
    text = _APOSTROPHE.sub("'", unescape(_SPLIT_ENTITY.sub("&", text)))
    citing = _paper(string(row.get("citing_paper_id")), "", "", reading)
    return sentence_found(one_line(text), name, citing, at)
