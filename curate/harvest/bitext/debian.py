"""Descriptions of packages in many languages: the files `Translation-de` of a Debian archive."""

from __future__ import annotations

import re
from dataclasses import dataclass

from curate.harvest.text.extract import language_tag

_FIELD = re.compile(r"([\w-]{1,60}):[ \t]*(.*)")
_ITEM = re.compile(r"(?:[*+o\u2022-]|\d{1,2}[.)])\s")
_DENSE = re.compile(r"[\u3001-\u30ff\u3400-\u9fff\uff00-\uffef]")
_AND = frozenset(
    ("and", "or", "und", "oder", "bzw.", "y", "o", "e", "et", "ou", "i", "lub", "и", "или")
)


@dataclass(frozen=True, slots=True)
class Description:
    """A package's description in one language.

    :param key: the hash of the English text, which all translations of it share.
    """

    package: str
    key: str
    language: str
    short: str
    long: list[str]


def read_description(stanza: str) -> Description | None:
    """Read a stanza; None if it is none of a description."""
    fields: dict[str, list[str]] = {}
    held: list[str] = []
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t"):
            held.append(line[1:])
        elif match := _FIELD.fullmatch(line.rstrip()):
            held = fields.setdefault(match[1].lower(), [])
            held.append(match[2])
    described = next(
        (n for n in fields if n.startswith("description-") and n != "description-md5"), ""
    )
    language = language_tag(described.removeprefix("description-"))
    key = " ".join(fields.get("description-md5", ()))
    if language is None or not key:
        return None
    short, *rest = fields[described]
    return Description(
        " ".join(fields.get("package", ())), key, language, short.strip(), paragraphs(rest)
    )


def paragraphs(lines: list[str]) -> list[str]:
    """Join the lines of paragraphs, which a line with a dot parts; indented ones and items stay lines."""
    found: list[str] = []
    parts: list[str] = []
    for line in [*lines, "."]:
        if line.strip() == ".":
            found.append("".join(parts))
            parts = []
            continue
        text = line.strip()
        if not parts:
            parts.append(text)
        elif line[:1] == " " or _ITEM.match(text):
            parts.append("\n" + text)
        else:
            parts.append(_between(parts[-1], text) + " ".join(text.split()))
    return [paragraph for paragraph in found if paragraph]


def _between(line: str, following: str) -> str:
    """Return what stood between two lines before they were broken.

    That is nothing in scripts without spaces, and within a word with a hyphen, unless it is one left
    open: "pre- and post-".
    """
    hyphened = line.endswith("-") and line[-2:-1].isalpha() and following[:1].isalpha()
    within = hyphened and following.partition(" ")[0] not in _AND
    dense = _DENSE.match(line[-1:]) and _DENSE.match(following)
    return "" if within or dense else " "
