"""Units of a translation memory (TMX), each read by itself, so that no entity of the file is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File
from curate.harvest.reading.unpacking import unpacked
from curate.harvest.reading.xml import etree, xml_reader
from curate.harvest.text.texts import collapsed

END = b"</tu>"
_BEGIN = re.compile(rb"<tu[\s>]")
_SOURCE = re.compile(rb"<header\b[^<>]{0,4000}?\bsrclang\s{0,5}=\s{0,5}[\"']([\w*-]{1,40})[\"']")
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_CODES = frozenset(("bpt", "ept", "it", "ph", "ut"))
"""Elements that hold the codes of a word processor."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A text of a unit in one language, as the file names it."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class TranslationUnit:
    """A unit: its variants, and the address of the page that it is from."""

    offset: int
    variants: list[Variant]
    url: str | None = None


def source_language(file: File) -> str | None:
    """Return the language that a memory names as that of its sources."""
    try:
        head = next(unpacked(file), b"")
    except (DamagedError, OSError):
        return None
    match = _SOURCE.search(head[: 1 << 16])
    return match[1].decode("ascii") if match and match[1] != b"*all*" else None


def read_units(data: bytes, start: int) -> Iterator[TranslationUnit | tuple[int, str]]:
    """Read the units of a block: a unit, or where one cannot be read and why.

    :param start: where the block begins in the file.
    """
    at = 0
    while at < len(data):
        end = data.find(END, at)
        stop = len(data) if end < 0 else end + len(END)
        begin = _BEGIN.search(data, at, stop)
        if begin is not None:
            offset = start + begin.start()
            yield _unit(data[begin.start() : stop], offset) if end >= 0 else (offset, "not closed")
        elif end >= 0:
            yield start + at, "an end without a beginning"
        at = stop


@cache
def _parser() -> tuple[Callable[[bytes], Any], tuple[type[Exception], ...]]:
    """Return a function that parses a unit, and what it raises at bad ones."""
    return xml_reader(encoding="utf-8")


def _unit(data: bytes, offset: int) -> TranslationUnit | tuple[int, str]:
    parse, faults = _parser()
    try:
        unit = parse(data)
    except faults as error:
        return offset, str(error)
    variants = []
    for variant in unit.iter("tuv"):
        segment = variant.find("seg")
        language = variant.get(_XML_LANG) or variant.get("lang") or ""
        if segment is not None:
            variants.append(Variant(language, collapsed("".join(_shown(segment)))))
    urls = (p.text.strip() for p in unit.iter("prop") if p.text and _names_page(p.get("type")))
    url = next((u for u in urls if u.startswith(("http://", "https://"))), None)
    return TranslationUnit(offset, variants, url)


def _names_page(kind: str | None) -> bool:
    return (kind or "").lower() in ("source-document", "url", "source", "file")


def _shown(segment: Any) -> Iterator[str]:
    """Give the text of a segment, without the codes in it."""
    within = 0
    for event, element in etree().iterwalk(segment, events=("start", "end")):
        code = element.tag in _CODES
        if event == "start":
            within += code
            if not within:
                yield element.text or ""
            continue
        within -= code
        if not within and element is not segment:
            yield element.tail or ""
