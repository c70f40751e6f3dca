"""Doc comments: their text without the comment's own marks, and its first prose without markup.

Javadoc, JSDoc, PHPDoc, Doxygen, YARD, XML documentation, the comments of Go and Rust, reST and Markdown
are close enough to each other to be read by one set of rules.
"""

from __future__ import annotations

import html
import re

from curate.harvest.code.definitions import MAX_QUERY_CHARS, plain, summary_of

MAX_COMMENT_CHARS = 20_000

_BLOCK = re.compile(r"\A/\*[*!]*<?|\*+/\Z")
_STAR = re.compile(r"^[ \t]*\*(?!\*)[ \t]?", re.MULTILINE)
_LINE = re.compile(r"^[ \t]*(?://[/!]?<?|#+)[ ]?", re.MULTILINE)
_DIRECTIVE = re.compile(
    r"""^[ \t]*(?:
      //(?:go:|nolint|lint:|export[ ]|\#nosec|[ ]?\+build|line[ ])
    | \#[ ]?(?:-\*-|!|frozen_string_literal|encoding:|coding:|rubocop:|typed:|steep:|sorbet|noqa)
    | =begin|=end
    ).*$""",
    re.VERBOSE | re.MULTILINE,
)


def text_of(comments: list[str]) -> str:
    """Return what the comments in front of a definition say, without `/**`, `*`, `///` and `#`."""
    parts = []
    for comment in comments:
        comment = comment[:MAX_COMMENT_CHARS].strip()
        if comment.startswith("/*"):
            parts.append(_STAR.sub("", _BLOCK.sub("", comment)))
        else:
            parts.append(_LINE.sub("", _DIRECTIVE.sub("", comment)))
    return "\n".join(parts)


# --- the prose of a comment -----------------------------------------------------------------------

_DESCRIBED = re.compile(
    r"^[ \t]*[@\\](?:brief|short|desc|description|summary|classdesc|details|abstract|notice)\b[ \t:]*",
    re.MULTILINE | re.IGNORECASE,
)
_TAG = re.compile(
    r"""^[ \t]*(?:@[A-Za-z!]|\\[a-z]{2,}\b|:(?:nodoc|call-seq|notnew|stopdoc|yields):)
    | (?<=\s)[@\\](?:details|param|returns?|note|remarks?|sa|see|throws)\b""",
    re.VERBOSE | re.MULTILINE,
)
_YARD = re.compile(
    r"^[ \t]*@!?(?:abstract|api|attr\w*|author|deprecated|example|macro|method|note|option|overload|param"
    r"|private|raise|return|scope|see|since|todo|version|visibility|yield\w*)\b",
    re.MULTILINE,
)
_GTK_HEAD = re.compile(
    r"""\A\s*[\w:.-]{1,100}:[ \t]*(?:\([^()\n]{1,300}\)[ \t]*:?[ \t]*){0,5}\n  # name: (annotation)
    (?:[ \t]*[@(][^\n]*\n(?:[ \t]*\S[^\n]*\n){0,200})?  # @parameter: what it is
    """,
    re.VERBOSE,
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~|<pre\b|\{@code[ \t]*$|#{1,6}[ ])", re.MULTILINE)
_XML_SUMMARY = re.compile(r"<summary>([\s\S]*?)(?:</summary>|\Z)", re.IGNORECASE)
_XML_OTHER = re.compile(
    r"<(?:param|returns?|remarks|example|exception|typeparam|value|inheritdoc|include)\b", re.I
)
_XML_REFERENCE = re.compile(
    r"<(?:see|seealso|paramref|typeparamref)\b[^>]{0,20}?"
    r"(?:cref|name|langword|href)=\"(?:[A-Z]:)?([^\"<>]{0,300})\"[^>]{0,20}>"
)
_BREAK = re.compile(
    r"</?(?:p|br|ul|ol|li|dl|dt|dd|div|h[1-6]|table|para|list)\b[^<>]{0,200}>", re.I
)


def prose_of(text: str, language: str) -> str:
    """Return the first paragraph of prose of a doc comment, on one line, without markup.

    What stands behind tags (`@param`) is no prose, except a description that is tagged itself
    (`@brief`). "" if there is none.
    """
    if language == "csharp" or "<summary>" in text:
        text = _of_xml(text)
    if language == "c":  # gtk-doc puts the name and the parameters in front of the description
        text = _GTK_HEAD.sub("", text)
    text = _untagged(text, language)
    text = _BREAK.sub("\n\n", text) if "<" in text else text
    fence = _FENCE.search(text)
    return cleaned(summary_of(text[: fence.start()] if fence else text))


def _of_xml(text: str) -> str:
    found = _XML_SUMMARY.search(text)
    if found:
        text = found.group(1)
    elif other := _XML_OTHER.search(text):
        text = text[: other.start()]
    return _XML_REFERENCE.sub(r"\1", text)


def _untagged(text: str, language: str) -> str:
    tag = _YARD if language == "ruby" else _TAG
    first = tag.search(text)
    if first is None:
        return text
    if text[: first.start()].strip():
        return text[: first.start()]
    described = _DESCRIBED.search(text)
    if described is None:
        return ""
    rest = text[described.end() :]
    end = tag.search(rest)
    return rest[: end.start()] if end else rest


# --- markup within a line -------------------------------------------------------------------------

_INLINE_TAG = re.compile(r"\{@(\w{1,20})[ ]?([^{}]{0,500})\}")
_MARKUP = (
    (re.compile(r"[@\\](?:c|p|a|e|em|b|ref|link|sa)[ ]+(?=\w)"), ""),  # Doxygen
    (
        re.compile(r":[\w:.+-]{1,40}:`([^`<]{1,300}?)[ ]*<[^`<>]{0,300}>`"),
        r"\1",
    ),  # a role with a title
    (
        re.compile(r":[\w:.+-]{1,40}:`~(?:[\w.]{0,300}\.)?(\w+(?:\(\))?)`"),
        r"\1",
    ),  # a role, shortened
    (re.compile(r":[\w:.+-]{1,40}:`!?([^`]{1,300})`"), r"\1"),  # a role
    (re.compile(r"`([^`<]{1,300}?)[ ]*<[^`<>]{1,300}>`__?"), r"\1"),  # a link of reST
    (re.compile(r"``([^`]{1,300})``"), r"\1"),
    (re.compile(r"!?\[`?([^\]\[`]{1,300})`?\](?:\([^()\s]{0,500}\)|\[[^\]\[]{0,200}\])"), r"\1"),
    (re.compile(r"\[`([^\]\[`]{1,300})`\]"), r"\1"),  # a link of Rust
    (re.compile(r"`([^`]{1,300})`_{0,2}"), r"\1"),
    (
        re.compile(
            r"\[(?:class|ctor|func|iface|method|property|signal|struct|type|vfunc|enum|const)@([\w.:-]{1,200})\]"
        ),
        r"\1",
    ),
    (re.compile(r"(?<![\w*])\*\*(?=\S)([^*]{1,300})(?<=\S)\*\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*]{1,300})(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"\|(\w[^|]{0,50})\|(?:_|(?=\W|$))"), r"\1"),  # a substitution of reST
    (re.compile(r"(?<![\w+])\+([\w.:?!=]{1,60})\+(?![\w+])"), r"\1"),  # code in RDoc
    (re.compile(r"\[(\d+|\#)\]_"), ""),  # a footnote of reST
    (re.compile(r"(?<![\w{])\{([A-Z#][\w:#.?!]{1,80})\}"), r"\1"),  # a link of YARD
)
_HTML = re.compile(
    r"</?(?:a|abbr|b|c|cite|code|em|font|i|img|kbd|pre|q|s|samp|small|span|strong|sub|sup|tt|u|var|see)\b"
    r"[^<>]{0,300}>",
    re.IGNORECASE,
)
_SPACES = re.compile(r"[ \t\n]+")
_SPACE_BEFORE = re.compile(r"[ ]+(?=[.,;:)](?:[ ]|$))")


def cleaned(summary: str) -> str:
    """Return a line of prose without markup: roles, links, code quotes, emphasis, tags of HTML."""
    if not summary:
        return ""
    summary = _INLINE_TAG.sub(_inline, summary)
    for pattern, replacement in _MARKUP:
        summary = pattern.sub(replacement, summary)
    if "<" in summary:
        summary = _HTML.sub("", summary)
    if "&" in summary:
        summary = html.unescape(summary)
    summary = _SPACE_BEFORE.sub("", _SPACES.sub(" ", summary)).removeprefix("* ")
    return plain(summary.strip()[:MAX_QUERY_CHARS].strip())


def _inline(found: re.Match[str]) -> str:
    """Return what an inline tag of Javadoc or JSDoc shows: the label of a link, the text of code."""
    name, content = found.group(1).lower(), found.group(2).strip()
    if name in {"inheritdoc", "docroot", "index"}:
        return ""
    if not name.startswith("link") and name != "see":
        return content
    if "|" in content:
        return content.partition("|")[2].strip()
    target, _, label = content.partition(" ")
    return label.strip() or target.lstrip("#").replace("#", ".")


# --- what is no query -----------------------------------------------------------------------------

_BOILERPLATE = re.compile(
    r"""(?:see\ (?:also\ )?[\w.:#()/-]+\.?$
    | todo\b | fixme\b | xxx\b | hack\b | copyright\b | licensed\ under | spdx- | https?://\S*$
    | eslint | tslint | prettier- | jshint | istanbul\ | webpack | @ts- | type:\ ignore | pylint | noqa
    | inherit(?:ed|s)?\ (?:doc|from)\b.{0,40}$ | auto-?generated | we\ need\ this\ jsdoc
    | (?:default\ |copy\ |move\ |empty\ |private\ |public\ )*(?:con|de)structor\.?$
    | (?:for\ )?internal\ use(?:\ only)?\.?$
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_CODE = re.compile(
    r"""[^"'`]{0,200}(?:[;{]$ | \)\s*=>)
    | (?:def|func|fn|function|var|let|const|if|return|class|puts|import|from|end|for)\s[^.]{0,80}[=({:]
    | [\w.$@\[\]]{1,60}\s*(?:=|\+=|:=|::=|\|\|=)\s*\S
    | [-=*\#~_/\\+|\ ]{4,} | ={1,6}[ ]
    """,
    re.VERBOSE,
)


def is_query(summary: str) -> bool:
    """Tell whether a summary says what its code does, rather than nothing, or being code itself."""
    if _BOILERPLATE.match(summary) or _CODE.match(summary):
        return False
    return " " in summary or not summary.isascii()
