"""The text of dictionary entries: terms and plain definitions, without the marks of the `dictd` format.

An entry is one or more lines with its terms, a line of grammar or pronunciation in some dictionaries, and
indented paragraphs. Cross-references stand in braces, with their target in parentheses where it differs:
`{right parentheses (right parenthesis)}`, `{home page (http://example.org/)}`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_REFERENCE = re.compile(r"\{([^{}]{0,500})\}")
_TARGET = re.compile(r"(?:\A|\s)\((?=\S)[^\n]*\)\Z")
_ADDRESS = re.compile(
    r"(?:(?:https?|ftp|news|mailto|gopher|telnet):[^\s<>{}\"]+|[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+)"
)
_CONTACT = re.compile(
    r"(?:Tel|Telephone|Phone|Fax|E-?mail|Address|Home(?: page)?|URL)\b[^.:]{0,20}:"
)
_MAIL = re.compile(
    r"\s?\bE-?mail:\s?<[^<>\s@]{1,64}@[^<>\s@]{1,255}>\.?|\s?<[^<>\s@]{1,64}@[^<>\s@]{1,255}>"
)
_EMPHASIS = re.compile(r"\b__(\w[^_\n]{0,200})__\b")
_ASKED = re.compile(r"\s?\[[^\[\]]{1,60}\?\]")
_FIELD = re.compile(r"\A((?:\d{1,2}\.\s)?)<([A-Za-z][\w ,./&'+-]{0,80})>\s?")
_DATE = re.compile(r"\(\d{4}-\d\d-\d\d\)\.?")
_SOURCE = re.compile(
    r"\[[^\[\]]{0,2000}\]\.?|\[?\"[^\"]{10,300},?\",? .{0,500}\b(?:19|20)\d\d\b.{0,40}"
)
_PRONOUNCED = re.compile(r"\s+[/\\\[<].{0,100}\Z")
_WORD = re.compile(r"\w+")
_TAGS = re.compile(r"\A(?:\[[^][]{1,40}\]\s*){1,5}")
_SEE = re.compile(
    r"(?:(?:\(?[\w ,;-]{1,30}\)[.,;]?\s|\d\.\s)?"
    r"(?:see(?: also| under)?|compare|cf\.?|syn(?:onym)?\.?(?: for| of| with)?|same as|equivalent to"
    r"|variant of|plural of|alternative (?:form|spelling) of|abbrev(?:iation)?\.? (?:for|of))\b"
    r"[\s:]{0,3}[^.;]{1,120}(?:[.;]\s?|\Z)){1,4}",
    re.IGNORECASE,
)
_CLOSED = tuple("/\u201c\u2018({[")
"""What a line ends with where the next goes on without a space."""
_OPEN = tuple(")\u201d\u2019,;]}")
"""What a line begins with where the one before goes on without a space."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a dictionary, cleaned.

    :param heads: its terms as it writes them.
    :param fields: the subjects that it names (`<language, humour>`).
    :param definition: paragraphs, with a blank line between them.
    :param reference: whether it only points to other entries.
    """

    heads: tuple[str, ...]
    fields: tuple[str, ...]
    definition: str
    reference: bool


def folded(term: str) -> str:
    """Reduce a term to what an index of `dictd` keeps of it: letters and digits in lower case."""
    form = unicodedata.normalize("NFKD", term).casefold()
    return "".join(c for c in form if c.isalnum()) or "".join(form.split())


def read_entry(text: str, words: Iterable[str]) -> Entry:
    """Split an entry into its terms and its definition.

    :param words: what the index calls it.
    """
    lines = text.replace("\t", " " * 8).splitlines()
    while lines and not lines[0].strip():
        del lines[0]
    heads = _heads(lines, {folded(word) for word in words})
    body = lines[len(heads) :]
    if heads and len(body) > 2 and body[0].strip() and body[0][0] == " " and not body[1].strip():
        body = body[1:]  # pronunciation and grammar
    fields: list[str] = []
    paragraphs = []
    for paragraph in _paragraphs(body):
        tag = _FIELD.match(paragraph)
        if tag:
            fields += [field.strip() for field in tag[2].split(",")]
            paragraph = tag[1] + paragraph[tag.end() :]
        paragraphs.append(paragraph)
    told = _without_sources(paragraphs)
    definition = "\n\n".join(filter(None, map(_plain, told)))
    heads = [_PRONOUNCED.sub("", head).strip() or head.strip() for head in heads]
    names = tuple(dict.fromkeys(filter(None, fields)))
    return Entry(tuple(heads), names, definition, _is_reference(told, definition))


def _heads(lines: list[str], wanted: set[str]) -> list[str]:
    """Return the first lines, as far as the index has them as terms."""
    heads: list[str] = []
    for line in lines:
        if not line.strip() or line[0] == " ":
            break
        if folded(line) not in wanted and folded(_PRONOUNCED.sub("", line)) not in wanted:
            break
        heads.append(line)
    return heads


def _paragraphs(lines: list[str]) -> list[str]:
    """Join the lines of paragraphs; lines indented deeper than most, or set in columns, stay lines."""
    depths = [len(line) - len(line.lstrip()) for line in lines]
    usual = Counter(d for d, line in zip(depths, lines, strict=True) if line.strip())
    base = usual.most_common(1)[0][0] if usual else 0
    paragraphs: list[str] = []
    parts: list[str] = []
    kept = False
    for depth, line in zip(depths, lines, strict=True):
        stripped = line.strip()
        if not stripped:
            paragraphs.append("".join(parts))
            parts, kept = [], False
            continue
        keep = depth > base + 1 or "   " in stripped
        if parts:
            parts.append("\n" if keep or kept else _between(parts[-1], stripped))
        parts.append(stripped if keep else " ".join(stripped.split()))
        kept = keep
    paragraphs.append("".join(parts))
    return [paragraph for paragraph in paragraphs if paragraph]


def _between(line: str, following: str) -> str:
    """Return what stood between two lines before they were broken."""
    hyphened = line.endswith("-") and line[-2:-1].isalpha() and following[:1].islower()
    return "" if hyphened or line.endswith(_CLOSED) or following.startswith(_OPEN) else " "


def _without_sources(paragraphs: list[str]) -> list[str]:
    """Leave out dates, addresses, and the sources and lone letters that end an entry."""
    told = [p for p in paragraphs if not _DATE.fullmatch(p) and not _is_address(p)]
    while len(told) > 1 and (_SOURCE.fullmatch(told[-1]) or len(told[-1]) == 1):
        del told[-1]
    return told


def _is_address(paragraph: str) -> bool:
    """Tell whether a paragraph says hardly more than where to find or write to something."""
    bare = _REFERENCE.sub(_shown_word, paragraph) if "{" in paragraph else paragraph
    rest, found = _ADDRESS.subn(" ", bare)
    few = len(_WORD.findall(rest.replace("\1", " ")))
    return few <= (15 if _CONTACT.match(bare) else 6 if found or "\1" in bare else 0)


def _shown_word(match: re.Match[str]) -> str:
    """Mark what links to an address, whatever words the link has."""
    return "\1" if "://" in match[1] else match[1]


def _plain(paragraph: str) -> str:
    text = _REFERENCE.sub(lambda match: shown(match[1]), paragraph)
    text = _EMPHASIS.sub(r"\1", _ASKED.sub("", _MAIL.sub("", text)))
    return text.strip()


def shown(reference: str) -> str:
    """Return what a cross-reference shows: its text without its target; the address if it has no text."""
    inner = reference.strip()
    text = _TARGET.sub("", inner).rstrip()
    return text or inner.removeprefix("(").removesuffix(")")


def _is_reference(paragraphs: list[str], definition: str) -> bool:
    """Tell whether an entry only points to others: "See x.", or nothing but references."""
    if len(paragraphs) != 1:
        return False
    outside = _REFERENCE.sub(" ", paragraphs[0])
    if outside != paragraphs[0] and not _WORD.search(outside):
        return True
    return bool(_SOURCE.fullmatch(definition) or _SEE.fullmatch(_TAGS.sub("", definition)))
