"""Wikitext into sections of marked prose: what is no prose is cut out first, the rest is parsed.

`mwparserfromhell` reads whole pages at 2 MB/s a core, most of it spent on references, tables and
templates that are thrown away. So these are found first, by scanners that look at each bracket once:
nesting is counted on a stack, what is never closed stays as it is, and the time is linear in the text,
whatever it is. Only what prose is made of, links, tags and entities, is parsed, paragraph by paragraph,
until the passages asked for are full. The parser is quadratic on tags and brackets that are never closed:
such a paragraph is no prose and is not parsed.

Marks, characters that Unicode sets aside for such uses, stand in the result for what the next step must
know.
"""

# ruff: noqa: RUF001  (punctuation of all scripts is what this is about)

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, ClassVar

from curate.errors import MissingExtraError

HOLE = "\ufdd0"
"""Stands where something was cut out of a sentence: a formula, a template that shows text."""
LINK, LINK_END = "\ufdd1", "\ufdd2"
"""Stand around the text of a link; behind the first, a character from `FIRST_LINK` on is its number."""
FIRST_LINK = 0xF0000
MAX_LINKS = 0xFFFD
_MARKS = re.compile("[\ufdd0-\ufdef\U000f0000-\U000ffffd]")
MAX_PARAGRAPH_CHARS = 10_000
"""A longer paragraph of wikitext is no prose."""
_MAX_UNCLOSED = 8


# -- what is opaque: comments, references, formulas ------------------------------------------------

_IN_SENTENCES = {"math", "chem", "ce", "hiero", "score", "nowiki", "syntaxhighlight"}
_TAGS = (
    "ref|references|math|chem|ce|hiero|score|nowiki|pre|source|syntaxhighlight|gallery|timeline|imagemap"
    "|graph|mapframe|maplink|poem|templatedata|inputbox|categorytree|templatestyles|table|style|script"
)
_OPENER = re.compile(rf"<!--|<({_TAGS})\b([^<>]{{0,2000}})>", re.IGNORECASE)


def without_extensions(text: str) -> str:
    """Cut out comments and the tags whose content is no wikitext, up to the nearest end tag."""
    parts, at = [], 0
    endless: set[str] = set()
    while opener := _OPENER.search(text, at):
        parts.append(text[at : opener.start()])
        at = opener.end()
        name = (opener[1] or "!--").lower()
        if (opener[2] or "").endswith("/"):
            continue
        end = None if name in endless else _closer(name).search(text, at)
        if end is None:
            endless.add(name)
            continue
        if name in _IN_SENTENCES:
            parts.append(HOLE)
        elif name not in ("!--", "ref"):
            parts.append("\n")
        at = end.end()
    return "".join([*parts, text[at:]])


@cache
def _closer(name: str) -> re.Pattern[str]:
    if name == "!--":
        return re.compile("-->")
    return re.compile(rf"</{name}\s{{0,20}}>", re.IGNORECASE)


# -- what is bracketed: templates, tables, files ---------------------------------------------------

_BRACKET = re.compile(r"\{\{|\}\}|\[\[|\]\]|^[ \t:]{0,20}\{\||^[ \t]{0,20}\|\}(?!\})", re.MULTILINE)
_CLOSES = {"}}": "{{", "]]": "[[", "|}": "{|"}
_FILE_NAME = re.compile(
    r"\.(?:jpe?g|png|svg|gif|tiff?|og[gvax]|webm|webp|pdf|djvu|mp[34]|wav|flac|mid|xcf|stl)\s{0,9}$",
    re.IGNORECASE,
)
_INTERWIKI = re.compile(r"[a-z][a-z-]{1,15}:\S")
_TARGET_CHARS = 300


def without_brackets(text: str, media: frozenset[str]) -> str:
    """Cut out templates, tables, files, categories and links to other languages, however nested.

    :param media: names of the namespaces whose links show no text, in lower case.
    """
    open_: list[tuple[str, int]] = []
    counts = {"{{": 0, "[[": 0, "{|": 0}
    cuts: list[tuple[int, int, str]] = []
    for found in _BRACKET.finditer(text):
        token = found[0].lstrip(" \t:") if len(found[0]) > 2 else found[0]
        wanted = _CLOSES.get(token)
        if wanted is None:
            open_.append((token, found.start()))
            counts[token] += 1
            continue
        if not counts[wanted]:
            continue
        while True:
            opened, start = open_.pop()
            counts[opened] -= 1
            if opened == wanted:
                break
        shown = _shown(text, wanted, start, found.end(), media)
        if shown is not None:
            while cuts and cuts[-1][0] >= start:
                cuts.pop()
            cuts.append((start, found.end(), shown))
    parts, at = [], 0
    for start, end, shown in cuts:
        parts += [text[at:start], shown]
        at = end
    return "".join([*parts, text[at:]])


def _shown(text: str, kind: str, start: int, end: int, media: frozenset[str]) -> str | None:
    """Return what to put in the place of something bracketed; None leaves it as it is."""
    if kind == "{|":
        return "\n"
    if kind == "{{":
        return _template(text, start, end)
    target = text[start + 2 : min(end - 2, start + _TARGET_CHARS)].partition("|")[0]
    prefix, colon, _ = target.partition(":")
    if not colon:
        return None
    if prefix.strip().lower() in media or _FILE_NAME.search(target):
        return ""
    return "" if _INTERWIKI.match(target) and "|" not in text[start:end] else None


_SHOWN_TEMPLATES = re.compile(
    r"""(?P<two>convert|cvt)
    | (?P<first>nihongo|abbr)
    | (?P<last>lang|lang-[a-z-]{2,10}|nowrap|nobr|nobold|transl|transliteration|small|smaller|sc|smallcaps
        |maiuscoletto|unicode|polytonic|angbr|citazione\ necessaria)
    | (?P<space>nbsp|spaces?)
    | (?P<dash>mdash|ndash|snd|spnd|spndash|spaced\ ndash|mdashb|ndashb)
    | (?P<genitive>'s)
    | formatnum:\s?(?P<number>[\d.,]{1,20})
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LITERAL = {"space": " ", "dash": " – ", "genitive": "'s"}
_RANGES = {"-", "–", "to", "and", "or", "x", "by"}
_SHOWN_CHARS = 300


def _template(text: str, start: int, end: int) -> str:
    """Return what a template shows: known ones their text, others a hole if they are part of a sentence.

    One that begins its line stands by itself, and what follows a word or a full stop without a space
    is a note to it.
    """
    before = text[start - 1] if start else "\n"
    if end - start <= _SHOWN_CHARS:
        shown = _known_template(text[start + 2 : end - 2])
        if shown is not None:
            return shown
    if before == "\n":
        return ""
    if before in " \t\xa0" and start > 1:
        return "" if text[start - 2] in ".!?。\n" else HOLE
    return HOLE if before in "([\"'«“„‘（" else ""


def _known_template(inner: str) -> str | None:
    """Return what a template shows whose text is among its parameters; None for any other."""
    name, *parameters = inner.split("|")
    known = _SHOWN_TEMPLATES.fullmatch(name.strip())
    if known is None or known.lastgroup is None or "{{" in inner or "[[" in inner:
        return None
    kind = known.lastgroup
    if kind in _LITERAL:
        return _LITERAL[kind]
    if kind == "number":
        return known["number"]
    values = [value.strip() for value in parameters if "=" not in value]
    if kind == "two" and len(values) > 1:
        return " ".join(values[: 4 if values[1] in _RANGES else 2])
    if kind == "two" or not values:
        return None
    return values[0] if kind == "first" else values[-1]


# -- sections --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it up to the next heading of any level.

    :param headings: the path to it: its own heading last, none for the lead of a page.
    """

    headings: tuple[str, ...]
    wikitext: str


_HEADING = re.compile(r"^=[^\n]{1,500}=[ \t]{0,50}$", re.MULTILINE)
_SWITCH = re.compile(r"__[^\W\d_]{2,30}__")  # __TOC__ and what other languages call it
_MAX_LEVEL = 6
_MARKUP = re.compile(r"[\[\]<>&{}\ufdd0]|''")
_BREAK = re.compile(
    r"</?(?:br|hr|p|div|center|blockquote|section|onlyinclude|includeonly|noinclude)\b[^<>]{0,500}>",
    re.IGNORECASE,
)


def sections(text: str, media: frozenset[str]) -> Iterator[Section]:
    """Cut a page at its headings, without what is no prose."""
    text = _MARKS.sub("", text.replace("\r\n", "\n"))
    text = _SWITCH.sub("", without_brackets(without_extensions(text), media))
    text = _BREAK.sub(_space, text)
    path: list[tuple[int, str]] = []
    at = 0
    for found in _HEADING.finditer(text):
        line = found[0].rstrip()
        level = min(_run(line), _run(line[::-1]), _MAX_LEVEL, (len(line) - 1) // 2)
        heading = _heading(line[level:-level].strip())
        if not heading:
            continue
        yield Section(tuple(name for _, name in path), text[at : found.start()])
        path = [(above, name) for above, name in path if above < level]
        path.append((level, heading))
        at = found.end()
    yield Section(tuple(name for _, name in path), text[at:])


def _space(found: re.Match[str]) -> str:
    """Put a space in the place of a tag, but none at the start of a line, where it has a meaning."""
    at = found.start()
    return " " if at and found.string[at - 1] != "\n" else ""


def _heading(wikitext: str) -> str:
    """Return the text of a heading; "" if it cannot be read."""
    if not _MARKUP.search(wikitext):
        return wikitext
    return _MARKS.sub("", Renderer().render(wikitext)).strip()


def _run(line: str) -> int:
    return len(line) - len(line.lstrip("="))


# -- paragraphs ------------------------------------------------------------------------------------


def paragraphs_of(wikitext: str) -> tuple[list[str], int]:
    """Join the lines of paragraphs; leave out lists, indented and preformatted lines, rows of tables.

    :return: wikitext of prose, and how many characters of lists were left out.
    """
    paragraphs: list[str] = []
    held: list[str] = []
    listed = 0
    for line in chain(wikitext.split("\n"), [""]):
        first = line[:1]
        if first and first not in _NO_PROSE and not line.startswith("----"):
            held.append(line)
            continue
        if held:
            paragraphs.append(" ".join(held))
            held = []
        listed += len(line) if first and first in _LISTS else 0
    return paragraphs, listed


_LISTS = "*#:;"
_NO_PROSE = _LISTS + " \t\xa0|!{"


# -- parsing ---------------------------------------------------------------------------------------


@cache
def _parse() -> Any:
    try:
        import mwparserfromhell
    except ImportError:
        raise MissingExtraError("mwparserfromhell", "harvest") from None
    return mwparserfromhell.parse


def is_parsable(wikitext: str) -> bool:
    """Tell whether the parser takes linear time for a paragraph: few brackets stay open."""
    if len(wikitext) > MAX_PARAGRAPH_CHARS:
        return False
    tags = abs(wikitext.count("<") - wikitext.count(">"))
    brackets = abs(wikitext.count("[") - wikitext.count("]"))
    return tags <= _MAX_UNCLOSED and brackets <= _MAX_UNCLOSED and wikitext.count("<") < 200


_UNWRITABLE = re.compile("[\\0-\\x08\\x0b-\\x1f\ud800-\udfff\ufdd0-\ufdef\U000f0000-\U000ffffd]")
_QUOTES = re.compile(r"'{2,}")
_MAX_DEPTH = 20


class Renderer:
    """Gives the text that wikitext shows.

    :param targets: what the links in the texts given so far point at, by the numbers in their marks.
    """

    def __init__(self) -> None:
        self.targets: list[str] = []

    def render(self, wikitext: str) -> str:
        """Return the text of a paragraph on one line, with marks; "" if it cannot be parsed."""
        if not is_parsable(wikitext):
            return ""
        parts: list[str] = []
        self._add(_parse()(wikitext, skip_style_tags=True), parts, 0)
        return " ".join(_unquoted("".join(parts)).split())

    def _add(self, code: Any, parts: list[str], depth: int) -> None:
        for node in code.nodes:
            kind = type(node).__name__
            if kind == "Text":
                parts.append(node.value)
            elif kind in self._ADD and depth < _MAX_DEPTH:
                self._ADD[kind](self, node, parts, depth)
            elif kind != "Comment":
                parts.append(HOLE)

    def _wikilink(self, node: Any, parts: list[str], depth: int) -> None:
        target = str(node.title).strip()
        shown: list[str] = []
        if node.text is None:
            shown.append(target.removeprefix(":"))
        else:
            self._add(node.text, shown, depth + 1)
        if len(self.targets) >= MAX_LINKS or depth or LINK in "".join(shown):
            parts += shown
        else:
            parts += [LINK, chr(FIRST_LINK + len(self.targets)), *shown, LINK_END]
            self.targets.append(target)

    def _external(self, node: Any, parts: list[str], depth: int) -> None:
        if node.title is not None:
            self._add(node.title, parts, depth + 1)
        elif not node.brackets:
            parts.append(HOLE)

    def _tag(self, node: Any, parts: list[str], depth: int) -> None:
        if node.contents is not None:
            self._add(node.contents, parts, depth + 1)

    def _entity(self, node: Any, parts: list[str], depth: int) -> None:
        try:
            text = node.normalize()
        except (ValueError, OverflowError):
            text = "\ufffd"
        parts.append(_UNWRITABLE.sub("\ufffd", text))

    _ADD: ClassVar[dict[str, Callable[..., None]]] = {
        "Wikilink": _wikilink,
        "ExternalLink": _external,
        "Tag": _tag,
        "HTMLEntity": _entity,
    }


def _unquoted(text: str) -> str:
    """Leave out the quotes of bold and italics, but not the apostrophes that stand before them.

    Four quotes are an apostrophe and bold; three are an apostrophe and italics where otherwise neither
    bold nor italics would end, as MediaWiki reads them.
    """
    lengths = [len(run) for run in _QUOTES.findall(text)]
    odd_italics = (lengths.count(2) + lengths.count(5)) % 2
    spare = [bool(odd_italics and sum(length > 2 for length in lengths) % 2)]

    def replaced(run: re.Match[str]) -> str:
        if len(run[0]) == 3 and spare[0] and text[run.start() - 1 : run.start()].isalpha():
            spare[0] = False
            return "'"
        return "'" if len(run[0]) == 4 else ""

    return _QUOTES.sub(replaced, text) if lengths else text
