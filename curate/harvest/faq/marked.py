"""Sections of documents in light markup: POD, the format of Perl's manuals, and Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from curate.harvest.faq.text import INLINE_LEVEL, Section, asks
from curate.harvest.text.markdown import plain_text

# -- POD -------------------------------------------------------------------------------------------

_CODE_OPEN = re.compile(r"([A-Z])(<{1,20})")
_COMMAND = re.compile(r"=([a-z]+\d?)\s*")
_BULLET = re.compile(r"[*o-]?|\d{1,3}[.)]?")
_ENTITIES = {"lt": "<", "gt": ">", "verbar": "|", "sol": "/"}
_MAX_DEPTH = 20


def pod_sections(text: str) -> list[Section]:
    """Read the sections of a POD document; what stands before the first heading is in none."""
    sections: list[Section] = []
    parts: list[str] = []
    hidden = False
    for paragraph in _pod_paragraphs(text):
        command = _COMMAND.match(paragraph)
        if command is None:
            if not hidden:
                parts.append(_pod_paragraph(paragraph))
            continue
        name, rest = command[1], paragraph[command.end() :]
        hidden = name == "begin" or (hidden and name != "end")
        if name.startswith("head") and name[4:].isdigit():
            _close(sections, parts)
            sections.append(Section(int(name[4:]), " ".join(pod_text(rest).split()), ""))
        elif name == "item" and not hidden:
            item = " ".join(pod_text(rest).split())
            parts.append("" if _BULLET.fullmatch(item) else f"- {item}")
    _close(sections, parts)
    return sections


def _close(sections: list[Section], parts: list[str]) -> None:
    if sections:
        sections[-1].text = "\n\n".join(filter(None, parts))
    parts.clear()


def _pod_paragraphs(text: str) -> Iterator[str]:
    """Give the paragraphs of POD, indented ones that follow each other as one; no code outside of it."""
    lines = text.replace("\r\n", "\n").split("\n")
    in_pod = not any(line.startswith("=cut") for line in lines) or lines[0].startswith("=")
    held: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("=cut"):
            in_pod = False
        elif line.startswith("=") and line[1:2].isalpha():
            in_pod = True
        if line.strip() and in_pod and not line.startswith("=cut"):
            if held and not held[-1] and line[0] not in " \t":
                yield "\n".join(held).rstrip()
                held = []
            held.append(line)
        elif held and held[0][0] in " \t" and in_pod:
            held.append("")
        elif held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held).rstrip()


def _pod_paragraph(paragraph: str) -> str:
    if paragraph[0] in " \t":
        lines = paragraph.expandtabs().split("\n")
        depth = min(len(line) - len(line.lstrip()) for line in lines if line)
        return "\n".join(line[depth:] for line in lines)
    return " ".join(pod_text(paragraph).split())


def pod_text(text: str) -> str:
    """Return POD without its formatting codes: `C<< $a >> and L<perlfunc/open>` as `$a and open`."""
    return "".join(_Codes(text).run())


class _Codes:
    """Reads formatting codes from left to right, once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def run(self, close: str = "", depth: int = 0) -> list[str]:
        """Return the parts of a text up to `close`, which is left behind."""
        parts: list[str] = []
        text, begun = self._text, self._at
        while True:
            code = _CODE_OPEN.search(text, self._at) if depth < _MAX_DEPTH else None
            end = text.find(close, self._at) if close else len(text)
            if code is None or -1 < end < code.start():
                if end < 0:  # never closed: the rest is text
                    end, close = len(text), ""
                parts.append(text[self._at : end])
                self._at = end + len(close)
                return parts
            parts.append(text[self._at : code.start()])
            self._at = code.end()
            wide = len(code[2])
            if wide > 1 and not text[code.end() : code.end() + 1].isspace():
                self._at, wide = code.start() + 2, 1
            inner = self.run((" " if wide > 1 else "") + ">" * wide, depth + 1)
            parts.append(_coded(code[1], "".join(inner).strip() if wide > 1 else "".join(inner)))
            assert self._at > begun


def _coded(code: str, inner: str) -> str:
    """Return what a formatting code shows."""
    if code in "XZ":
        return ""
    if code == "E":
        known = _ENTITIES.get(inner) or unescape(f"&{'#' if inner.isdigit() else ''}{inner};")
        return known if known.isprintable() else " "
    if code != "L":
        return inner
    label, bar, target = inner.partition("|")
    if bar:
        return label
    page, slash, section = target.partition("/") if "://" not in label else (label, "", "")
    if "://" in label:
        return label
    page, slash, section = label.partition("/")
    return section.strip('"') if slash and section else page


# -- Markdown --------------------------------------------------------------------------------------

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|(?=\w))(.*?)(?:[ \t]#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_BOLD = re.compile(r"\s{0,3}(?:[-*+]\s+)?(\*\*|__)(?P<text>[^\n]{1,500}?)\1:?\s*$")
_LABEL = re.compile(
    r"\s{0,3}(?:[-*+]\s+)?(?:\*\*|__)?Q(?:uestion)?\s?\d{0,3}\s?[.:)](?:\*\*|__)?\s+(.{1,500})$"
)
_SUMMARY = re.compile(r"\s*(?:<details[^<>]*>\s*)?<summary[^<>]*>(.{1,500}?)</summary>\s*$")
_DETAILS = re.compile(r"\s*</?details[^<>]*>\s*$")
_ANCHOR = re.compile(
    r"\{#([\w-]{1,100})\}\s*$|<a\s[^<>]{0,200}?(?:name|id)=[\"']([^\"']{1,200})[\"'][^<>]*>"
)


def markdown_sections(text: str) -> list[Section]:
    """Read the sections of a Markdown document."""
    sections: list[Section] = []
    lines: list[str] = []
    fence: str | None = None
    for line in _body(text.replace("\r\n", "\n")).split("\n"):
        mark = _FENCE.match(line)
        if mark and fence is None:
            fence = mark[1]
        elif fence is not None:
            fence = None if mark and mark[1].startswith(fence) else fence
        elif _UNDERLINE.match(line) and lines and lines[-1].strip() and not _is_nested(lines):
            heading = lines.pop()
            _fill(sections, lines)
            sections.append(_section(1 if "=" in line else 2, heading))
            continue
        elif found := _heading(line):
            _fill(sections, lines)
            sections.append(_section(*found))
            continue
        lines.append("" if _DETAILS.match(line) and fence is None else line)
    _fill(sections, lines)
    return sections


def _body(text: str) -> str:
    """Return a document without the metadata between `---` at its beginning."""
    if text.startswith("---\n"):
        end = text.find("\n---\n", 3)
        return text[end + 5 :] if end > 0 else text
    return text


def _is_nested(lines: list[str]) -> bool:
    """Tell whether the last line cannot be a heading: the paragraph it ends has several lines."""
    return (len(lines) > 1 and bool(lines[-2].strip())) or lines[-1].lstrip()[:1] in "|>-*+#"


def _heading(line: str) -> tuple[int, str] | None:
    if found := _ATX.match(line):
        return len(found[1]), found[2]
    if found := _SUMMARY.match(line):
        return INLINE_LEVEL, found[1]
    if found := _LABEL.match(line):
        return INLINE_LEVEL, found[1]
    if (found := _BOLD.match(line)) and asks(found["text"]):
        return INLINE_LEVEL, found["text"]
    return None


def _section(level: int, heading: str) -> Section:
    anchor = _ANCHOR.search(heading)
    plain = plain_text(_ANCHOR.sub("", heading)).replace("\n", " ")
    return Section(level, plain, "", (anchor[1] or anchor[2]) if anchor else None)


def _fill(sections: list[Section], lines: list[str]) -> None:
    if sections:
        sections[-1].text = plain_text("\n".join(lines))
    lines.clear()
