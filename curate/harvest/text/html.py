"""The readable text of HTML: of fragments and pages, however broken their markup.

A tokenizer without a tree: on which line a text stands depends on the tags around it, not on how they
nest. So nothing is too deep, and time is linear in the length. Every tag is turned into a mark, a control
character, and the marks into lines by methods of `str`. One core reads 80 MB/s of Stack Exchange's posts;
resiliparse's text takes 49, the bare text of a tree, without any lines, 47 by lxml and 116 by lexbor.
"""

from __future__ import annotations

import re
from html import unescape
from itertools import repeat

# What browsers do not show as text. Nothing in it is markup.
_HIDDEN = "iframe|noembed|noframes|noscript|object|script|style|svg|template|textarea|title|xmp"
# A token that is never closed goes on to the end, as HTML's own tokenizer has it: so no character is
# looked at more than twice.
_TOKEN = re.compile(
    rf"""<(?:
        (?=[inostxINOSTX])
        (?i:({_HIDDEN})(?=[\s/>])[\s\S]*?(?:</\1(?=[\s/>])[^>]*+(?:>|\Z)|\Z))
      | (/?[a-zA-Z][^\s/>]*+)                              # a tag; a quoted `>` does not end it
        (?:>|[^>=]*+(?:=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))?[^>=]*+)*+(?:>|\Z))
      | !--(?:-?>|[\s\S]*?(?:--!?>|\Z))
      | [!?/][^>]*+(?:>|\Z)
    )""",
    re.VERBOSE,
)

# What tags become. XML forbids these characters and HTML discourages them; where a page has them
# nevertheless they do as marks, which does no harm.
_LINE, _PARAGRAPH, _PRE, _END_PRE, _CODE, _END_CODE = "\x01", "\x02", "\x03", "\x04", "\x05", "\x06"
_HELD = {" ": "\x0e", "\n": "\x0f", "\t": "\x10"}
"""White space that stays as it is."""
_WITHIN_PRE = str.maketrans({_LINE: "\n", _PARAGRAPH: "\n", _CODE: "", _END_CODE: ""})
_TAGS = {
    _LINE: "address article aside body br caption center dd details div dt fieldset figcaption figure"
    " footer form header legend li main nav option section summary tr",
    _PARAGRAPH: "blockquote dir dl h1 h2 h3 h4 h5 h6 hr menu ol p table ul",
    "": "a abbr b cite del em font i img ins kbd q s small span strike strong sub sup u var",
}


class _Marks(dict[str | None, str]):
    """The mark of each tag, by its name; a closing tag's begins with `/`."""

    def __missing__(self, name: str) -> str:
        return self.get(name.lower(), "")


def _marks() -> _Marks:
    marks = _Marks({None: "", "td": " ", "th": " ", "code": _CODE, "/code": _END_CODE})
    marks |= {"pre": _PRE, "/pre": _END_PRE}
    for mark, tags in _TAGS.items():
        for tag in tags.split():
            marks[tag] = marks[f"/{tag}"] = mark
    return marks


_MARKS = _marks()
_ABSURD = re.compile(r"&#[0-9]{10,}+;?")


def text_of(html: str) -> str:
    """Return the readable text of HTML, without scripts, styles and comments.

    Blocks, items of lists and rows of tables are on lines of their own, with a blank line between
    paragraphs. What is in `pre` and `code` stays as it is; elsewhere white space is collapsed.
    """
    if "\r" in html:
        html = html.replace("\r\n", "\n").replace("\r", "\n")
    if "&nbsp;" in html:
        html = html.replace("&nbsp;", " ")
    html = html.replace("\xa0", " ")
    parts = _TOKEN.split(html)
    parts[2::3] = map(_MARKS.__getitem__, parts[2::3])
    parts[1::3] = repeat("", len(parts) // 3)
    text = "".join(parts)
    held = _PRE in text or _CODE in text or _END_PRE in text or _END_CODE in text
    if held:
        text = _hold_code(_hold_pre(text))
    blocks = [_collapsed(block) for block in map(str.strip, text.split(_PARAGRAPH)) if block]
    text = _resolved("\n\n".join(filter(None, blocks)))
    if held:
        for space, mark in _HELD.items():
            text = text.replace(mark, space)
    return text.strip()


def _collapsed(block: str) -> str:
    """Collapse the white space of a paragraph, line by line."""
    if _LINE in block:
        return "\n".join(filter(None, [_collapsed(line.strip()) for line in block.split(_LINE)]))
    block = block.replace("\n", " ").replace("\t", " ")
    return " ".join(block.split()) if "  " in block else block


def _hold_pre(text: str) -> str:
    """Hold the white space of what is preformatted; a tag within can be but the end of a line."""
    before, *rest = text.split(_PRE)
    parts = [before]
    for part in rest:
        inside, _, after = part.partition(_END_PRE)
        inside = inside.replace(_LINE * 2, _LINE).translate(_WITHIN_PRE)
        parts += [_PARAGRAPH, _hold(inside.lstrip("\n").rstrip()), _PARAGRAPH, after]
    return "".join(parts).replace(_END_PRE, _PARAGRAPH)


def _hold_code(text: str) -> str:
    """Hold the white space of code within a line, where it is more than single spaces."""
    before, *rest = text.split(_CODE)
    parts = [before]
    for part in rest:
        inside, _, after = part.partition(_END_CODE)
        odd = "  " in inside or "\n" in inside or "\t" in inside
        within = odd and _LINE not in inside and _PARAGRAPH not in inside
        parts += [_hold(inside) if within else inside, after]
    return "".join(parts).replace(_END_CODE, "")


def _hold(text: str) -> str:
    for space, mark in _HELD.items():
        text = text.replace(space, mark)
    return text


def _resolved(text: str) -> str:
    """Resolve character references; the frequent ones first, as `unescape` is slow at each."""
    if "&" in text:
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
        try:
            text = unescape(text)
        except ValueError:  # a number of thousands of digits
            text = unescape(_ABSURD.sub("\ufffd", text))
    return text
