"""The readable text of Markdown, of any dialect: what a reader sees of it, less the pictures.

Lines are looked at once, for what stands at their beginning; then a few expressions, each of which stops
at the next mark of its kind, take the marks out of the lines. So time is linear in the text, and a text
without marks costs next to nothing. A parser that builds a tree is tens of times slower.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

# A text without any of these has no marks: the first anywhere, the others at the beginning of a line.
_MARK = re.compile(r"[\\`*_\[<>&~#|\x00-\x08\x0b-\x1f\x7f-\xa0\u200b\ufeff]")
_LINE_MARK = re.compile(r"\n(?:--|==|\+ |    |\t)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\ufeff]+")

_FENCE = re.compile(r"\s*(`{3,}|~{3,})[^`]*$")
_QUOTE = re.compile(r"(?: {0,3}>(?!!) ?)+")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+| {0,3}#{2,6}(?=\w)")
_ITEM = re.compile(r"[ \t]*[*+][ \t]+")
_DEFINITION = re.compile(r" {0,3}\[[^\]]+\]:\s*(?=\S*?[/#.:])\S++(?:\s+[\"'(].*)?$")
_OPENERS = frozenset(">#*+[-=_ \t`~|:")
_RULES = "-=*_"

# Code and escaped characters are stood for by characters of private use while marks are taken out.
_FIRST, _LAST = 0xF0000, 0x10FFFD
_STANDS = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")
_LITERAL = re.compile(r"(`{1,3})([^`\n]+)\1|\\([!-/:-@\[-`{-~])")
_LINK = re.compile(
    r"""!?\[((?:[^\[\]]++|\[[^\[\]]*+\])*+)\]        # its text, with brackets one deep
        \(\s*+<?(?:[^()\s<>]++|\([^()\s]*+\))*+>?    # its target
        (?:\s++(?:"[^"\n]*+"|'[^'\n]*+'))?\s*+\)""",
    re.VERBOSE,
)
_REFERENCE = re.compile(r"!?\[([^\[\]]++)\] ?\[[^\[\]]*+\]")
_AUTOLINK = re.compile(r"<((?:https?|ftp|mailto):[^\s<>]++)>")
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|br|center|code|dd|del|details|div|dl|dt|em|font|h[1-6]|hr|i|img|ins|kbd"
    r"|li|ol|p|picture|pre|s|samp|small|source|span|strike|strong|sub|summary|sup|table|tbody|td|th|thead"
    r"|tr|tt|u|ul|var)(?:\s[^<>]*+)?/?>",
    re.IGNORECASE,
)
_ITALIC = re.compile(r"\*(?<![\w*]\*)(?=[^\s*])((?:[^*\n]++|\n(?!\n))+)(?<!\s)\*(?![\w*])")
_BOLD = re.compile(r"\*\*(?=\S)((?:[^*\n]++|\n(?!\n))+)(?<!\s)\*\*")
_UNDERSCORE = re.compile(
    r"(_(?<!\w_)_{0,2})(?=[^\s_])((?:[^_\n]++|\n(?!\n)|(?<=[^\W_])_(?=[^\W_]))+)(?<!\s)\1(?!\w)"
)
_STRIKE = re.compile(r"~~(?=\S)([^~\n]+)~~")
_GAP = re.compile(r"\n{3,}")


def plain_text(markdown: str) -> str:
    """Return the text of Markdown as a reader sees it.

    Links and pictures leave their text, emphasis, headings, quotes and tables their words; rules and
    definitions of links go. Items of lists begin with `-` or their number. Code is left as it stands,
    without fences and indentation. Tags of HTML go, entities become what they name. Paragraphs are
    apart by a blank line.
    """
    text = markdown.replace("\r\n", "\n").replace("\r", "\n") if "\r" in markdown else markdown
    if not _MARK.search(text) and not _LINE_MARK.search("\n" + text):
        return _even(text)
    text = _CONTROL.sub("", text)
    if not text.isascii():
        text = _STANDS.sub("", text)
    kept: dict[str, str] = {}
    text = "\n".join(_lines(text.split("\n"), kept))
    text = _inline(text, kept)
    if "&" in text:
        text = unescape(text).replace("\u200b", "")
    text = _even(text)
    # Each is put back once: a reference to such a character must not make a text of any size.
    return _STANDS.sub(lambda found: kept.pop(found[0], ""), text).strip() if kept else text


def _even(text: str) -> str:
    """Make white space even: no more than one space or one blank line at a time."""
    if not text.isascii():
        text = "\n".join([" ".join(line.split()) for line in text.split("\n")])
    if "\t" in text:
        text = text.replace("\t", " ")
    while "  " in text:
        text = text.replace("  ", " ")
    if " \n" in text or "\n " in text:
        text = text.replace(" \n", "\n").replace("\n ", "\n")
    return (_GAP.sub("\n\n", text) if "\n\n\n" in text else text).strip()


def _lines(lines: list[str], kept: dict[str, str]) -> Iterator[str]:
    """Take the marks from the beginnings of lines; what is code goes to `kept`."""
    fence, blank, code, table = "", True, False, False
    for number, line in enumerate(lines):
        if not fence and line and line[0] not in _OPENERS and "|" not in line:
            code, table = False, False
            yield line
        elif fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            else:
                yield _keep(line, kept)
        elif (code or blank) and line.startswith(("    ", "\t")) and not line.isspace():
            code = True
            yield _keep(line[1:] if line[0] == "\t" else line[4:], kept)
        elif not line or line.isspace():
            blank, table = True, False
            yield ""
            continue
        elif opened := line[0] in "`~ \t" and _FENCE.match(line):
            fence, code = opened[1], False
        else:
            code = False
            heads = number + 1 < len(lines) and "|" in line and _is_separator(lines[number + 1])
            table = table or heads
            if not _is_separator(line):
                yield _line(line, table)
        blank = False


def _line(line: str, table: bool) -> str:
    if line[0] in _OPENERS:
        if quote := _QUOTE.match(line):
            line = line[quote.end() :]
        bare = line.replace(" ", "")
        if len(bare) > 2 and bare[0] in _RULES and not bare.strip(bare[0]):
            return ""
        if _DEFINITION.match(line):
            return ""
        if heading := _HEADING.match(line):
            text, _, end = line[heading.end() :].rstrip().rpartition(" ")
            return text if text and not end.strip("#") else line[heading.end() :]
        if item := _ITEM.match(line):
            return "- " + line[item.end() :]
    return line.replace("|", " ") if table else line


def _is_separator(line: str) -> bool:
    """Tell whether a line parts the head of a table from its rows."""
    return "|" in line and "-" in line and not line.strip("|-: \t")


def _keep(text: str, kept: dict[str, str]) -> str:
    """Keep a text as it is; return what stands for it."""
    if _FIRST + len(kept) > _LAST:
        return text
    stands = chr(_FIRST + len(kept))
    kept[stands] = text.rstrip()
    return stands


def _inline(text: str, kept: dict[str, str]) -> str:
    """Take the marks out of lines."""
    if "`" in text or "\\" in text:
        text = _LITERAL.sub(lambda found: _keep(found[2] or found[3], kept), text)
    if "<" in text:
        text = _TAG.sub("", _AUTOLINK.sub(r"\1", _without_comments(text)))
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "][" in text or "] [" in text:
        text = _REFERENCE.sub(r"\1", text)
    if "*" in text:
        text = _ITALIC.sub(r"\1", _BOLD.sub(r"\1", _ITALIC.sub(r"\1", text)))
    if "_" in text:
        text = _UNDERSCORE.sub(r"\2", text)
    return _STRIKE.sub(r"\1", text) if "~~" in text else text


def _without_comments(text: str) -> str:
    first, *parts = text.split("<!--")
    ends = [part.partition("-->") for part in parts]
    return first + "".join(after if end else before for before, end, after in ends)
