"""The text of papers as authors type it: LaTeX outside formulas decoded, formulas kept as they are."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress

MAX_ABSTRACT_CHARS = 10_000
_MIN_ABSTRACT_CHARS = 60
_MAX_TITLE_CHARS = 1_000
_MAX_DIGIT_SHARE = 0.1

# -- LaTeX -----------------------------------------------------------------------------------------

# All repeats are bounded, so that no text takes quadratic time.
_MATH = re.compile(r"(\$\$?[^$]{1,2000}\$\$?|\\\([^$]{1,2000}?\\\)|\\\[[^$]{1,2000}?\\\])")
_MARKS = dict(
    zip(
        "`'^~=u.\"rHvckdb",
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327\u0328\u0323\u0331",
        strict=True,
    )
)
_ACCENT = re.compile(
    r"""\{?\\(?:(?P<sign>[`'^~="."])\s?|(?P<letter>[uvHckrdb])(?:\s|(?=\{)))
        \{?(?P<base>\\[ij](?![a-zA-Z])|[a-zA-Z])\}?(?P<more>\}?)""",
    re.VERBOSE,
)
_NAMED = (
    "ss=\xdf ae=\xe6 AE=\xc6 oe=\u0153 OE=\u0152 aa=\xe5 AA=\xc5 o=\xf8 O=\xd8 l=\u0142 L=\u0141"
    " i=\u0131 j=\u0237 dh=\xf0 DH=\xd0 th=\xfe TH=\xde S=\xa7 dots=\u2026 ldots=\u2026 lq=\u2018"
    " rq=\u2019 textquoteleft=\u2018 textquoteright=\u2019 textquotedblleft=\u201c"
    " textquotedblright=\u201d textendash=\u2013 textemdash=\u2014 LaTeX=LaTeX TeX=TeX copyright=\xa9"
    " pounds=\xa3"
)
_LETTERS = dict(name.split("=") for name in _NAMED.split())
_LETTER = re.compile(
    r"\{?\\("
    + "|".join(sorted(_LETTERS, key=len, reverse=True))
    + r")(?![a-zA-Z])(?:\{\}|\s(?=\w))?\}?"
)
_SWITCH = re.compile(
    r"\{\\(?:it|bf|em|sc|sl|tt|rm|sf|cal|itshape|bfseries|small)\b\s*([^{}]{0,500})\}"
)
_STYLED = re.compile(
    r"\\(?:emph|text(?:it|bf|sc|sl|tt|rm|sf|up|normal)?|underline|mbox|url|href\{[^{}]{0,300}\})"
    r"\s?\{([^{}]{0,500})\}"
)
_CITE = re.compile(r"\s?~?\\(?:up)?cite[a-z]{0,6}\s?(?:\[[^\]]{0,100}\])?\{[^{}]{0,300}\}")
_ESCAPED = re.compile(r"\\([&%#_$])")
_SPACE_MACRO = re.compile(
    r"\\[,;:!/ \n]|\\\\|\\(?:par|newline|noindent|smallskip|medskip|bigskip)\b"
)
_TIE = re.compile(r"(?<=[\w.,;)])~(?=[\w$(\\\[])")
_BRACED = re.compile(r"\{([^{}\\]{0,500})\}")
_HINTS = frozenset("\\{~`-")


def plain(text: str) -> str:
    """Return a title or an abstract on one line, its LaTeX decoded outside formulas."""
    if not _HINTS.isdisjoint(text):
        parts = _MATH.split(text)
        parts[::2] = [_decoded(part) for part in parts[::2]]
        text = "".join(parts)
    return one_line(text)


def _decoded(text: str) -> str:
    if "\\" in text:
        text = _ACCENT.sub(_accented, text)
        text = _LETTER.sub(lambda match: _LETTERS[match[1]], text)
        text = _CITE.sub("", text)
        text = _STYLED.sub(r"\1", _SWITCH.sub(r"\1", text))
        text = _ESCAPED.sub(r"\1", _SPACE_MACRO.sub(" ", text))
    text = _BRACED.sub(r"\1", text) if "{" in text else text
    text = (
        text.replace("``", '"').replace("''", '"').replace("---", "\u2014").replace("--", "\u2013")
    )
    return _TIE.sub(" ", text)


def _accented(match: re.Match[str]) -> str:
    base = match["base"].removeprefix("\\")
    mark = _MARKS[match["sign"] or match["letter"]]
    closing = match["more"] if not match[0].startswith("{") else ""
    return unicodedata.normalize("NFC", base + mark) + closing


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


# What UTF-8 looks like that was once read as Windows-1252: quotes, and accented letters.
_MISREAD = re.compile("\u00e2\u20ac[\u0080-\u02ff\u2013-\u2122]|\u00c3[\u00a0-\u00bf]")


def one_line(text: str) -> str:
    """Return a text on one line, without control characters and lone surrogates.

    S2ORC writes `:::` where a line ended.
    """
    if _MISREAD.search(text):
        with suppress(UnicodeError):  # where only some of it was misread
            text = text.encode("cp1252").decode()
    return " ".join(_CONTROL.sub("", text).replace(" ::: ", " ").split())


# -- titles and abstracts --------------------------------------------------------------------------

_TRANSLATED = re.compile(r"\[(.{4,500}?)(?:\s?\((?:author's )?transl\.?\))?\]\.?", re.DOTALL)
_NO_TITLE = re.compile(
    r"(?:untitled|no title|title|abstracts?|editorial|preface|foreword|introduction|index|contents"
    r"|table of contents|front matter|frontmatter|back matter|book reviews?|reviews?|erratum|errata"
    r"|corrigend(?:um|a)|correction|retraction|withdrawn(?: paper)?|acknowledge?ments?|news|letters?"
    r"|letters? to the editor|announcements?|references|discussion|reply|comment)\W*",
    re.IGNORECASE,
)


def title_of(text: str) -> str:
    """Return a title in plain text; "" if it says nothing of one paper."""
    title = plain(text) if len(text) <= _MAX_TITLE_CHARS else ""
    if match := _TRANSLATED.fullmatch(title):  # PubMed brackets what it translates
        title = match[1].strip()
    return title if any(map(str.isalpha, title)) and not _NO_TITLE.fullmatch(title) else ""


_LABEL = re.compile(
    r"(?i:abstract|a\s?b\s?s\s?t\s?r\s?a\s?c\s?t|summary)\b\s?[:.\-\u2013\u2014]{0,2}\s*(?=[A-Z0-9$\"“'(])"
)
_NO_ABSTRACT = re.compile(
    r"\W*(?:no abstract(?: (?:is )?(?:available|provided|given))?|abstract(?: not available)?|n/?a"
    r"|none|not available|see (?:the )?(?:paper|text|full text).{0,40}|comment:.{0,5000})\W*",
    re.IGNORECASE | re.DOTALL,
)
_PAPER = r"(?:paper|article|manuscript|submission|comment|preprint|work|letter|note|version|author)"
_WITHDRAWN = re.compile(
    rf"\b{_PAPER}s?\b[^.]{{0,60}}\b(?:withdrawn?|retracted)\b"
    rf"|\b(?:withdrawn?|retracted)\b (?:by|because|due|temporarily|since)\b"
    rf"|\bit (?:has been|is|was) withdrawn\b",
    re.IGNORECASE,
)
_WITHDRAWN_CHARS = 600
_CONTENTS = re.compile(
    r"(?:I\.?|1\.?|Preface|Contents|Table of Contents|Introduction)\s[^a-z]{25}"
    r"|The sections in this article are"
)


def abstract_of(text: str) -> tuple[str, str | None]:
    """Return an abstract in plain text, and why it is none that could be learnt from.

    :return: the text, and None or a reason: `no_abstract`, `short_abstract`, `withdrawn`, `not_prose`.
    """
    abstract = plain(text[: MAX_ABSTRACT_CHARS * 2])
    if label := _LABEL.match(abstract):
        abstract = abstract[label.end() :]
    if not abstract or _NO_ABSTRACT.fullmatch(abstract) or _CONTENTS.match(abstract):
        return "", "no_abstract"
    if len(abstract) < _WITHDRAWN_CHARS and _WITHDRAWN.search(abstract):
        return "", "withdrawn"
    if len(abstract) < _MIN_ABSTRACT_CHARS:
        return "", "short_abstract"
    if sum(map(str.isdigit, abstract)) > _MAX_DIGIT_SHARE * len(abstract):
        return "", "not_prose"
    return whole_sentences(abstract, MAX_ABSTRACT_CHARS), None


def whole_sentences(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters, behind a sentence if one ends in its second half."""
    if len(text) <= limit:
        return text
    end = text.rfind(". ", limit // 2, limit)
    return text[: end + 1] if end > 0 else text[:limit].rstrip()
