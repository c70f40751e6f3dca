"""Marked prose into passages: whole sentences, without what the removal of markup left behind.

Nothing here depends on a language: sentences end at full stops of any script, and what was cut out of one
(`wiki_markup.HOLE`) takes it, or the bracket that it stood in, along.
"""

# ruff: noqa: RUF001  (punctuation of all scripts is what this is about)

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from curate.harvest.wikipedia.markup import (
    FIRST_LINK,
    HOLE,
    LINK,
    LINK_END,
    Renderer,
    paragraphs_of,
)

_STOP = re.compile(
    r"[.!?…؟۔።]{1,3}[\"'”’»)\]\ufdd2]{0,4}(?=\s)|[。！？।॥]{1,3}[」』”’）\ufdd2]{0,3}"
)
_NO_STOP = re.compile(
    r"(?:^|[\s(\"'«“.\ufdd1\U000f0000-\U000ffffd-])(?:[^\W\d_]|Dr|Mr|Mrs|Ms|St|Sts|No|Nr|vs|cf|Prof|Jr|Sr|Fig|ca"
    r"|approx|cfr|art|pag|ecc|bzw|ul|gen|hl|tzv|pl|им|ул|св|рр?|гг?|млн|тыс|др|пр)$"
)
_ABBREVIATION_CHARS = 8


def sentences(text: str) -> Iterator[str]:
    """Cut a paragraph behind its sentences; the spaces between them stay with the one before."""
    start = 0
    for stop in _STOP.finditer(text):
        end = stop.end()
        if text[stop.start()] == "." and not _is_stop(text, start, stop.start(), end):
            continue
        while end < len(text) and text[end].isspace():
            end += 1
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _is_stop(text: str, start: int, dot: int, end: int) -> bool:
    """Tell whether a dot ends a sentence: not behind an initial, nor before a small letter."""
    following = text[end : end + 6].lstrip(" \xa0\"'“«(\ufdd1")
    while following and ord(following[0]) >= FIRST_LINK:
        following = following[1:]
    if following[:1].islower():
        return False
    return not _NO_STOP.search(text, max(start, dot - _ABBREVIATION_CHARS), dot)


_BRACKETED_HOLE = re.compile(
    rf"[ \xa0]?(?:\([^()]{{0,300}}?{HOLE}[^()]{{0,300}}\)|\[[^][]{{0,100}}?{HOLE}[^][]{{0,100}}\]"
    rf"|（[^（）]{{0,300}}?{HOLE}[^（）]{{0,300}}）)"
)
_EMPTY = ("()", "[]", "（）", "(–", "(/", "(-", "[ ]")
_EMPTY_BRACKETS = re.compile(r"[ \xa0]?(?:\([\s,;:/–-]{0,20}\)|\[\s{0,9}\]|（[\s、，；：]{0,20}）)")
_OPENING = re.compile(r"([(（])[\s,;:、，；]{1,9}")
_CLOSING = re.compile(r"[\s,;:、，；]{1,9}([)）])")
_LOOSE = re.compile(r" ([,.،。，、])(?= |$)")
_UNTIDY = ("( ", "(,", "(;", "(:", " )", ",)", ";)", ":)", "（ ", " ）", "（，", "（；")
_DEBRIS = re.compile(
    rf"[{HOLE}{{}}|\ufffd]|\[\[|\]\]|==|</?[a-zA-Z]|https?:/|__|~~~|\[//|\bthumb\b\W|&[a-z]{{2,8}};"
)
_SUSPICIOUS = (HOLE, "\ufffd", *"{}|<&", "[[", "]]", "==", "://", "__", "~~~", "[//", "thumb")
_MARKS = re.compile(rf"[{HOLE}{LINK}{LINK_END}\U000f0000-\U000ffffd]")
_ENDS = tuple(".!?…؟۔።。！？।॥\"'”’»)）」』")
_PROSE_CHARS = 120


def unmarked(text: str) -> str:
    """Return a text without the marks of links."""
    return _MARKS.sub("", text)


def clean(text: str) -> str:
    """Return a paragraph without the sentences, brackets and spaces that markup left broken."""
    if HOLE in text:
        text = _BRACKETED_HOLE.sub("", text)
    if any(map(text.__contains__, _UNTIDY)):
        text = _CLOSING.sub(r"\1", _OPENING.sub(r"\1", text))
    if any(map(text.__contains__, _EMPTY)):
        text = _EMPTY_BRACKETS.sub("", text)
    text = _LOOSE.sub(r"\1", text)
    if any(map(text.__contains__, _SUSPICIOUS)) and _DEBRIS.search(text):
        text = "".join(filter(_is_whole, sentences(text)))
    return text.strip()


def _is_whole(sentence: str) -> bool:
    """Tell whether a sentence beside broken ones is none of their pieces."""
    plain = unmarked(sentence)
    if _DEBRIS.search(sentence) or plain.count("(") != plain.count(")"):
        return False
    return not plain[:1].islower()


def is_prose(text: str) -> bool:
    """Tell whether a paragraph is more than a caption, a label or the end of a list.

    It ends as a sentence and begins as one, or is long, which speaks for it in languages that write no
    full stops.
    """
    begun = not unmarked(text[:3])[:1].islower()
    if begun and text.rstrip(LINK_END).endswith(_ENDS):
        return True
    return len(unmarked(text).encode("utf-8", "replace")) >= _PROSE_CHARS


def _without_announcement(text: str) -> str:
    """Leave out the last sentence if it ends in a colon: what it announces is no prose."""
    if not text.rstrip(LINK_END).endswith((":", "：")):
        return text
    return "".join(list(sentences(text))[:-1]).rstrip()


@dataclass(frozen=True, slots=True)
class Prose:
    """What is left of a section.

    :param passages: of each its paragraphs, marked texts.
    :param targets: of the links, by the numbers of their marks.
    :param listed: characters of lists that were left out.
    """

    passages: list[list[str]]
    targets: list[str]
    listed: int


def text_of(paragraphs: list[str]) -> str:
    """Return the text of a passage."""
    return "\n\n".join(map(unmarked, paragraphs))


def prose_of(wikitext: str, max_chars: int, passages: int) -> Prose:
    """Read a section until there are `passages` of at most `max_chars` characters.

    Paragraphs stay together as long as they fit; a longer one is cut behind a sentence.
    """
    paragraphs, listed = paragraphs_of(wikitext)
    renderer = Renderer()
    found: list[list[str]] = []
    room = 0
    for part in _parts(paragraphs, renderer, max_chars):
        size = len(unmarked(part)) + 2
        if size > room:
            if len(found) == passages:
                break
            found.append([])
            room = max_chars + 2
        found[-1].append(part)
        room -= size
    return Prose(found, renderer.targets, listed)


def _parts(paragraphs: list[str], renderer: Renderer, max_chars: int) -> Iterator[str]:
    """Give the clean paragraphs of a section, in parts that fit into a passage."""
    for raw in paragraphs:
        text = _without_announcement(clean(renderer.render(raw)))
        while text and is_prose(text):
            part = cut(text, max_chars) or _cut_anywhere(text, max_chars)
            yield part
            text = "" if len(part) == len(text) else text[len(part) :].lstrip()


def cut(text: str, limit: int) -> str:
    """Return the sentences of a paragraph that fit into `limit` characters, marks not counted."""
    if len(text) <= limit or len(unmarked(text)) <= limit:
        return text
    held, size = list[str](), 0
    for sentence in sentences(text):
        size += len(unmarked(sentence))
        if size > limit:
            break
        held.append(sentence)
    return "".join(held).rstrip()


def _cut_anywhere(text: str, limit: int) -> str:
    """Return the words that fit into `limit` characters, where not one sentence does."""
    space = text.rfind(" ", limit // 2, limit)
    return text[: space if space > 0 else limit]


_LINK = re.compile(rf"{LINK}([\U000f0000-\U000ffffd])([^{LINK}{LINK_END}]*){LINK_END}")


def links_of(sentence: str) -> list[tuple[int, str]]:
    """Return the links of a marked sentence that are not in brackets: number and text.

    What is in brackets is often the language of a name.
    """
    found = []
    for link in _LINK.finditer(sentence):
        if sentence.count("(", 0, link.start()) <= sentence.count(")", 0, link.start()):
            found.append((ord(link[1]) - FIRST_LINK, link[2]))
    return found
