"""Documents as sections: a path of headings and the text below it, from plain text, Markdown and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from curate.harvest.text.extract import Page
from curate.harvest.text.html import text_of
from curate.harvest.text.markdown import plain_text

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FRONT = re.compile(r"---[ \t]*\n(.{0,20000}?)\n---[ \t]*\n", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*[\"']?(.{1,300}?)[\"']?[ \t]*$", re.MULTILINE)
_ITEM = re.compile(r"\s*(?:[-*•‣·+|>]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s)|\t| {4}")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_DENSE = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
_BREAK = re.compile(r"[^\W\d_][-\u00ad\u2010]$")
_GAP = re.compile(r"\n{3,}")
_WRAPPED_CHARS = 45
"""Lines that are all shorter than this (half of it in Han or Kana) were not broken to a width."""


@dataclass(frozen=True, slots=True)
class Section:
    """Text under a path of headings, paragraphs apart by a blank line."""

    headings: tuple[str, ...]
    text: str


@dataclass(slots=True)
class Sectioned:
    """A document cut at its headings.

    :param title: what it calls itself; the first of the headings may be the same.
    """

    title: str | None = None
    sections: list[Section] = field(default_factory=list)
    language: str | None = None
    license: str | None = None
    url: str | None = None


# -- Markdown --------------------------------------------------------------------------------------


def markdown_sections(text: str) -> Sectioned:
    """Cut Markdown at its headings, and read the title of its front matter."""
    text = text.replace("\r\n", "\n")
    title = None
    if front := _FRONT.match(text):
        named = _FRONT_TITLE.search(front[1])
        title, text = named[1].strip() if named else None, text[front.end() :]
    found = Sectioned(title)
    path: list[tuple[int, str]] = []
    for level, heading, body in _headed(text.split("\n")):
        if level:
            path = [*((n, name) for n, name in path if n < level), (level, plain_text(heading))]
        if plain := plain_text(body):
            names = tuple(name for _, name in path if name)
            found.sections.append(Section(names, plain))
    return found


def _headed(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    """Give level, heading and lines below of each section; the level is 0 before the first heading."""
    level, heading, held = 0, "", list[str]()
    fence = ""
    for line in lines:
        opened = _FENCE.match(line)
        if opened and (not fence or opened[1].startswith(fence)):
            fence = "" if fence else opened[1]
        elif not fence and (under := _underlined(held, line)):
            named = held.pop()
            yield level, heading, "\n".join(held)
            level, heading, held = under, named.strip(), []
            continue
        elif not fence and (atx := _ATX.match(line)):
            yield level, heading, "\n".join(held)
            level, heading, held = len(atx[1]), atx[2] or "", []
            continue
        held.append(line)
    yield level, heading, "\n".join(held)


def _underlined(held: list[str], line: str) -> int:
    """Return the level of a heading that `line` underlines, 0 if it does not."""
    if not (rule := _SETEXT.match(line)) or not held or not held[-1].strip():
        return 0
    alone = len(held) < 2 or not held[-2].strip()
    starts_otherwise = held[-1].startswith(("    ", "\t", ">", "|", "- ", "* "))
    return (1 if rule[1][0] == "=" else 2) if alone and not starts_otherwise else 0


# -- HTML ------------------------------------------------------------------------------------------

_HEADING = re.compile(
    r"<h([1-6])(?=[\s>])[^>]{0,500}>(.{0,2000}?)</h\1\s{0,5}>", re.DOTALL | re.IGNORECASE
)
_WINDOW = 20_000
"""Characters within which the next line of a page is looked for in its main text."""
_SKIPPED_CHARS = 40
"""A heading with more than this between it and the main text is one of another part of the page."""
_SURE_CHARS = 20
"""A shorter line is looked for as a line, since it may stand within another by chance."""


def html_sections(html: str, page: Page) -> Sectioned:
    """Cut a page at its headings; of what is below them, keep the lines of its main text.

    Extractors of main text lose many headings, which the page itself has.
    """
    found = Sectioned(page.title, [], page.language, page.license, page.url)
    main = _Main(page.text)
    path: list[tuple[int, str]] = []
    start, level, heading = 0, 0, ""
    for cut in (*_HEADING.finditer(html), None):
        body = text_of(html[start : cut.start() if cut else len(html)])
        skipped, text = main.lines_in(body)
        if text:
            heading = heading if skipped <= _SKIPPED_CHARS else ""
            path = [*((n, name) for n, name in path if n < level), (level, heading)]
            found.sections.append(Section(tuple(name for _, name in path if name), text))
        if cut:
            start, level, heading = cut.end(), int(cut[1]), " ".join(text_of(cut[2]).split())
    if main.found * 2 < main.size:
        found.sections = [Section((), page.text.replace("\n", "\n\n"))]
    return found


class _Main:
    """The main text of a page, in which its lines are found again in order."""

    def __init__(self, text: str) -> None:
        lines = [_solid(line) for line in text.split("\n")]
        self._lines = frozenset(lines)
        self._text = "".join(lines)
        self._at = 0
        self.size = len(self._text)
        self.found = 0

    def lines_in(self, body: str) -> tuple[int, str]:
        """Return the lines of `body` that are in the main text, and how much precedes the first."""
        kept: list[str] = []
        skipped = 0
        for line in body.split("\n"):
            solid = _solid(line)
            if not solid:
                kept.append("")
            elif self._has(solid):
                kept.append(line)
            elif not any(kept):
                skipped += len(solid)
        return skipped, _GAP.sub("\n\n", "\n".join(kept)).strip()

    def _has(self, solid: str) -> bool:
        at = self._text.find(solid, self._at, self._at + _WINDOW + len(solid))
        if at < 0 or (len(solid) < _SURE_CHARS and solid not in self._lines):
            return False
        self._at = at + len(solid)
        self.found += len(solid)
        return True


def _solid(line: str) -> str:
    return "".join(line.split()).replace("|", "")


# -- plain text ------------------------------------------------------------------------------------


def unwrapped(text: str) -> str:
    """Join the lines of paragraphs that were broken to a width; words broken at a hyphen too.

    Lists, tables, code and verse keep their lines.
    """
    text = text.replace("\r\n", "\n").replace("\f", "\n\n")
    return "\n\n".join(
        paragraph
        for found in _PARAGRAPHS.split(text)
        if (paragraph := _unwrapped_paragraph(found.strip("\n")).strip())
    )


def _unwrapped_paragraph(paragraph: str) -> str:
    lines = [line.rstrip() for line in paragraph.split("\n")]
    width = _WRAPPED_CHARS // 2 if _DENSE.search(paragraph) else _WRAPPED_CHARS
    if len(lines) == 1 or max(map(len, lines)) < width:
        return "\n".join(lines)
    parts = [lines[0]]
    for line in lines[1:]:
        if _ITEM.match(line):
            parts += ("\n", line)
            continue
        line, last = line.strip(), parts[-1]
        if line[:1].islower() and _BREAK.match(last[-2:]):
            parts[-1] = last[:-1]
        elif not (last and line and _DENSE.match(last[-1]) and _DENSE.match(line[0])):
            parts.append(" ")
        parts.append(line)
    return "".join(parts)
