"""Messages of gettext and their translations, without the markup of the program or manual they are of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curate.errors import MissingExtraError
from curate.harvest.text.html import text_of
from curate.harvest.text.texts import collapsed

_BLANK = re.compile(r"\n[ \t\r]*\n")
_PLAIN_CHARSET = re.compile(rb'"Content-Type:[^"\n]{0,80}charset=([\w.:-]{1,40})', re.IGNORECASE)

# reStructuredText, as the manuals made with Sphinx have it.
_ROLE = re.compile(r":[a-zA-Z][\w:+-]{0,40}:\s?`([^`]{1,400})`")
_LINK = re.compile(r"`([^`<>]{1,400}?)\s{0,3}<[^`<>]{1,1000}>`_{0,2}")
_LITERAL = re.compile(r"``([^`]{1,1000}(?:`[^`]{1,1000})?)``")
_INTERPRETED = re.compile(r"`([^`]{1,400})`_{0,2}")
_STRONG = re.compile(r"(?<![\w*])\*\*(?=\S)([^*]{1,1000})(?<=\S)\*\*(?![\w*])")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]{1,1000})(?<=\S)\*(?![\w*])")
_FOOTNOTE = re.compile(r"\s?\[(?:\d{1,3}|#\w{0,20}|\*)\]_")
_ESCAPE = re.compile(r"\\([ \\*`_|]|$)")
_LITERAL_BLOCK = re.compile(r"(?:\s+:|(:)):\Z")
_CODE = re.compile(r"^(?: {4}|\t|>>> |\$ )", re.MULTILINE)
_TAG = re.compile(r"</[a-zA-Z][^<>]{0,100}>|<[a-zA-Z][^<>]{0,300}/>")
_ACCELERATOR = re.compile(r"(?<![\w&])[_&](?=\w)")
_MARKED_KEY = re.compile(r"\s?\([_&]\w\)")


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a catalogue, its forms beside theirs.

    :param state: why it gives no pair: `untranslated`, `fuzzy`, `obsolete`, `code`, `damaged`;
        None if it does.
    :param forms: (text, translation): one, or two if it has a plural.
    """

    line: int
    state: str | None
    forms: tuple[tuple[str, str], ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a `.po` file holds, and the language it says it is in."""

    language: str | None
    messages: list[Message]


def charset_of(data: bytes) -> str | None:
    """Return the encoding that a catalogue states."""
    match = _PLAIN_CHARSET.search(data, 0, 1 << 16)
    return match[1].decode("ascii") if match else None


def read_catalogue(text: str) -> Catalogue:
    """Read a catalogue; entries that cannot be read cost no others."""
    try:
        whole = _parsed(text)
    except _DamagedEntry:
        messages = list(_one_by_one(text))
        return Catalogue(_header_language(text), messages)
    language = str(whole.metadata.get("Language") or "").strip() or None
    return Catalogue(language, [_message(entry, 0) for entry in whole])


class _DamagedEntry(Exception):  # noqa: N818  (what it is, not what it does)
    pass


def _parsed(text: str) -> Any:
    try:
        import polib
    except ImportError:
        raise MissingExtraError("polib", "harvest") from None
    try:
        return polib.pofile(text + "\n\n")  # which is the name of no file
    except Exception as error:  # what it raises for damaged text depends on the damage
        raise _DamagedEntry(str(error)) from None


def _one_by_one(text: str) -> Iterator[Message]:
    line = 1
    for part in _BLANK.split(text):
        lines = part.count("\n") + 2
        if part.strip():
            try:
                yield from (_message(entry, line - 1) for entry in _parsed(part))
            except _DamagedEntry as error:
                yield Message(line, "damaged", detail=str(error)[:200])
        line += lines


def _header_language(text: str) -> str | None:
    match = re.search(r'^"Language: ?([\w@-]{2,20})\\n"', text[: 1 << 16], re.MULTILINE)
    return match[1] if match else None


def _message(entry: Any, above: int) -> Message:
    """Return an entry; where a language has more than two forms, the last is that of the plural."""
    line = above + (entry.linenum or 0)
    if entry.obsolete:
        return Message(line, "obsolete", detail=entry.msgid)
    if "fuzzy" in entry.flags:
        return Message(line, "fuzzy", detail=entry.msgid)
    forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)]
    pairs: tuple[tuple[str, str], ...]
    if not entry.msgid_plural:
        pairs = ((entry.msgid, entry.msgstr),)
    elif len(forms) > 1:
        pairs = ((entry.msgid, forms[0]), (entry.msgid_plural, forms[-1]))
    else:
        pairs = ((entry.msgid_plural, "".join(forms)),)
    if not all(translation.strip() for _, translation in pairs):
        return Message(line, "untranslated", detail=entry.msgid)
    if _CODE.search(entry.msgid):
        return Message(line, "code", detail=entry.msgid)
    return Message(line, None, tuple(_plain_pair(*pair) for pair in pairs), entry.msgid)


def _plain_pair(text: str, translation: str) -> tuple[str, str]:
    """Clean a message and its translation alike; keys to press (`_File`) are told by both having one."""
    one, other = plain_message(text), plain_message(translation)
    if len(one) <= 60 and len(_ACCELERATOR.findall(one)) == 1:
        if _MARKED_KEY.search(other):
            return _ACCELERATOR.sub("", _MARKED_KEY.sub("", one)), _MARKED_KEY.sub("", other)
        if len(_ACCELERATOR.findall(other)) == 1:
            return _ACCELERATOR.sub("", one), _ACCELERATOR.sub("", other)
    return one, other


def plain_message(text: str) -> str:
    """Return a message as its reader sees it: without reStructuredText and tags.

    What a program fills in (`%s`, `{name}`) stays.
    """
    if "`" in text:
        text = _LINK.sub(r"\1", _ROLE.sub(_role, text))
        text = _INTERPRETED.sub(r"\1", _LITERAL.sub(r"\1", text))
    if "*" in text:
        text = _EMPHASIS.sub(r"\1", _STRONG.sub(r"\1", text))
    if "]_" in text:
        text = _FOOTNOTE.sub("", text)
    if "\\" in text:
        text = _ESCAPE.sub(lambda match: match[1].strip(), text)
    if _TAG.search(text):
        text = text_of(text)
    text = "\n".join(filter(None, map(collapsed, text.split("\n"))))
    return _LITERAL_BLOCK.sub(r"\1", text)


def _role(match: re.Match[str]) -> str:
    """Return what a role of Sphinx shows: `~a.b.c` is `c`, `text <target>` is `text`."""
    text = match[1]
    label, bracket, _ = text.partition("<")
    if bracket and label.strip():
        return label.strip()
    if text.startswith("~"):
        return text.rpartition(".")[2].removeprefix("~")
    return text.removeprefix("!")
