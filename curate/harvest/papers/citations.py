"""Sentences that cite, made into queries: found around a marker, cleaned of markers, or refused.

A marker says which paper is meant to those who know its authors; an abstract names no authors, so a model
could only learn them by heart. Markers in brackets go: `[12]`, `(Smith et al., 2004)`, the year in `Smith
(2004)`. Names that the sentence needs stay: "Smith and Jones (2004) parse ..." and "In (Smith, 2004) ..."
would not be sentences without them.
"""

from __future__ import annotations

import re
from bisect import bisect_right

MARK = "\ue000"
"""Stands for a marker that a source gives as a number or a link."""
MAX_SENTENCE_CHARS = 1_000
MIN_WORDS = 4
"""Words with a meaning of their own that a query needs."""
MAX_CITED = 8
"""A sentence that cites more papers says little of each."""

# -- sentences -------------------------------------------------------------------------------------

_END = re.compile(rf"[.!?][\"”')\]{MARK}]{{0,3}}\s+(?=[\"“'(\[]{{0,2}}[A-Z0-9$\\{{{MARK}])|\n\s*\n")
_SHORT = re.compile(
    r"(?:\b(?:al|e\.g|i\.e|cf|vs|resp|approx|ca|viz|etc|no|nos|fig|figs|eq|eqs|eqn|eqns|sec|sect|secs"
    r"|ref|refs|tab|thm|def|prop|lem|cor|ch|chap|vol|pp?|ed|eds|dr|prof|mr|mrs|st|w\.r\.t|a\.k\.a|incl"
    r"|[a-z])|(?:^|[\s(.])[A-Z])$",
    re.IGNORECASE,
)


class Sentences:
    """Where the sentences of a text lie."""

    def __init__(self, text: str) -> None:
        self._text = text
        ends = (match for match in _END.finditer(text) if not self._is_abbreviation(match))
        self._starts = [0, *(match.end() for match in ends)]

    def _is_abbreviation(self, match: re.Match[str]) -> bool:
        at = match.start()
        return self._text[at] == "." and bool(_SHORT.search(self._text[max(0, at - 8) : at]))

    def around(self, position: int) -> tuple[int, int]:
        """Return the start and the end of the sentence that holds a position."""
        index = bisect_right(self._starts, position)
        end = self._starts[index] if index < len(self._starts) else len(self._text)
        return self._starts[index - 1], end


# -- markers ---------------------------------------------------------------------------------------

_YEAR = r"(?:1[89]|20)\d\d[a-z]?"
_YEARS = re.compile(rf"{_YEAR}(?:\s?[,;/&]\s?(?:{_YEAR}|[a-z]\b(?!\.))){{0,5}}")
_NESTED = re.compile(r"\(([^()]{0,300}(?:\([^()]{1,60}\)[^()]{0,300}){1,12})\)")
_BRACKET = re.compile(r"\s?([(\[])([^()\[\]]{2,400})[)\]]")
_ONLY_YEARS = re.compile(
    rf"\s?[(\[]\s?{_YEARS.pattern}(?:[,:]\s?(?:pp?\.|§)?\s?[\d\u2013-]{{1,9}})?\s?[)\]]"
)
_NUMBERS = re.compile(r"\s?\[\s?\d{1,4}(?:\s?[,;\u2013-]\s?\d{1,4}){0,20}\s?\]")
_PARTS = re.compile(r"\w+")
_BESIDE_NAMES = """and et al etal von van der den de la le di du da del dos ten in press to appear
    forthcoming submitted inter alia others see also e g eg i ie cf for example instance a an the overview
    survey review details as by such p pp s henceforth"""
_NOT_NAMES = frozenset(_BESIDE_NAMES.split())
_LEAD = re.compile(
    r"^\W*(?:(?:see|also|e\.?\s?g\.?|i\.e\.|cf\.?|for (?:example|instance)|such as|as in)[\s,]+){1,3}",
    re.I,
)
_NEEDS_NAMES = re.compile(
    r"(?:^|[(,]|\b(?:in|of|by|from|to|with|on|at|following|than|between|via|like|under|per|and|or|as|for"
    r"|see|using|used|extend|extends|extending|follow|follows|unlike|also|that|while|whereas)|\u2019s)[\s,]*$",
    re.I,
)
_ET_AL = re.compile(r"\s?\b(et)\s?al\b\.?(?=(\W))", re.I)
_PLAIN_WORK = "prior work"
_TIDY = (
    (re.compile(r"[(\[][\s,;.]{0,9}(?:(?:e\.g\.|i\.e\.|see|cf\.|and)[\s,;.]{0,5}){0,3}[)\]]"), " "),
    (re.compile(r"\s+([,;:.!?)\]])"), r"\1"),
    (re.compile(r"([(\[])\s+"), r"\1"),
    (re.compile(r"([,;:])(?:\s?[,;]){1,20}"), r"\1"),
    (re.compile(r"[,;:]\s?\."), "."),
    (re.compile(r"\.{2}(?!\.)"), "."),
)


def without_markers(sentence: str) -> str:
    """Take the markers out of a sentence.

    :param sentence: one line of at most some thousand characters; `MARK` stands for unnamed markers.
    """
    text = _NESTED.sub(_flattened, sentence)
    text = _NUMBERS.sub(MARK, text)
    text = _BRACKET.sub(_bracket, text)
    text = _ONLY_YEARS.sub("", text)
    if MARK in text:
        text = _unmarked(text)
    text = _ET_AL.sub(r" \1 al.", text)
    for pattern, replacement in _TIDY:
        text = pattern.sub(replacement, text)
    return " ".join(text.split()).strip(" ,;")


def _flattened(match: re.Match[str]) -> str:
    """Take brackets out of brackets, if all of it is a marker."""
    inner = match[1].replace("(", " ").replace(")", " ")
    return f"({inner})" if _is_marker(inner) else match[0]


def _is_marker(inner: str) -> bool:
    named, years = _YEARS.subn(" ", inner)
    return years > 0 and all(
        part[0].isupper() or part.isdigit() or part in _NOT_NAMES for part in _PARTS.findall(named)
    )


def _bracket(match: re.Match[str]) -> str:
    """Drop a marker in brackets, or only its brackets and years where the sentence needs the names."""
    inner = match[2]
    if _ONLY_YEARS.fullmatch(f"({inner})"):
        return match[0]  # names may stand before it
    if not _is_marker(inner):
        return match[0]
    before = match.string[max(0, match.start() - 24) : match.start()]
    if not _NEEDS_NAMES.search(before) or ";" in inner:
        return " " + MARK if _NEEDS_NAMES.search(before) else ""
    names = " ".join(_YEARS.sub("", _LEAD.sub("", inner)).replace("&", "and").split()).strip(" ,.;")
    return f" {names}" if names else ""


_MARKS = re.compile(rf"(?:\s?[\[(]?\s?[,\u2013-]?\s?(?:and )?{MARK}\s?[\])]?){{1,30}}")


def _unmarked(text: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        before = text[max(0, match.start() - 24) : match.start()]
        if not before.strip():
            return _PLAIN_WORK.capitalize() + " "
        return f" {_PLAIN_WORK} " if _NEEDS_NAMES.search(before + " ") else " "

    return _MARKS.sub(replaced, text)


# -- what a query needs ----------------------------------------------------------------------------

_WORD = re.compile(r"[^\W\d_](?:[^\W_]|[-\u2019'](?=\w)){1,40}")
_SAID_OF_ANY = """
    a about above according after al all also an and any approach approaches are article as at
    author authors based be because been before being between both but by can case cite cited cf
    could describe described describes detail details did discuss discussed do does done e.g
    each et etc example examples few figure first follow followed following follows for found
    from further general given had has have he her here his how however i.e if in including
    instance into introduce introduced is it its kind known last later latter like made many may
    method methods might more most much must new no not number of on one only or other others
    our out over overview paper papers per present presented presents previous previously prior
    propose proposed proposes provide provided provides recent recently refer reference
    references related reported result results review same second section see seen several she
    should show showed shown shows similar since so some studies study such survey table taken
    technique techniques than that the their them then there therefore these they third this
    those three through thus to two under up us use used uses using various very via was way
    ways we well were what when where which while who whose will with within without work works
    would you"""
_EMPTY = frozenset(_SAID_OF_ANY.split())
_BEGINNING = re.compile(r"(?:[A-Z]|[\"“'(]{1,2}[A-Z0-9]|\$|[a-z][A-Z]|\d+(?:\.\d+)?\s?[A-Za-z%])")
_FORMULA = re.compile(r"\$[^$]{1,2000}\$")
_MAX_FORMULAS = 4
_MAX_FORMULA_SHARE = 0.4
_MAX_DIGIT_SHARE = 0.12


def refusal(query: str) -> str | None:
    """Return why a cleaned sentence is no query: `not_prose`, `says_little`; None if it is one."""
    if not 30 <= len(query) <= MAX_SENTENCE_CHARS:
        return "not_prose" if len(query) > 30 else "says_little"
    formulas = _FORMULA.findall(query)
    words = _FORMULA.sub(" ", query) if formulas else query
    if len(formulas) > _MAX_FORMULAS or len(query) - len(words) > _MAX_FORMULA_SHARE * len(query):
        return "not_prose"
    if sum(map(str.isdigit, words)) > _MAX_DIGIT_SHARE * len(words):
        return "not_prose"
    if not _BEGINNING.match(query):  # its beginning was cut off, which the rest may bear
        return None if _meaning(words) >= 2 * MIN_WORDS else "not_prose"
    return None if _meaning(words) >= MIN_WORDS else "says_little"


def _meaning(text: str) -> int:
    """Count distinct words with a meaning; capitalised ones, of which most are names, count half.

    Names alone mean nothing.
    """
    names = plain = 0
    for word in set(_WORD.findall(text)):
        if word.lower() not in _EMPTY and len(word) > 2:
            is_name = word[0].isupper() and word[1:].islower()
            names, plain = names + is_name, plain + (not is_name)
    return plain + (names + 1) // 2 if plain > 1 else 0


def cited_in(sentence: str) -> int:
    """Estimate how many papers a sentence cites, by the years in brackets and the marks."""
    brackets = (match[2] for match in _BRACKET.finditer(sentence))
    return sentence.count(MARK) + sum(len(_YEARS.findall(inner)) for inner in brackets)
