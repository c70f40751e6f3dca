"""Questions and answers among the sections of a document, whatever format it is in."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from curate.harvest.text.texts import collapsed, says_little

INLINE_LEVEL = 7
"""The level of what asks without being a heading: a term, a summary, a line in bold type."""

# The mark of a question in each script; in Latin text one within a word is part of an address.
_MARK = re.compile(r"[\u061f\uff1f\u037e\u055e\u1367\u2047\u2048\u2049\u203d]|\?(?!\w)")
_GREEK_MARK = re.compile(r"[\u0370-\u03ff][^\n]*;\Z")
_NUMBER = re.compile(
    r"(?:(?:Q|Question|Frage|FAQ)\s{0,2}#?\d{0,4}\s{0,2}[.:)\u2013-]|\(?\d{1,3}(?:\.\d{1,3}){0,4}[.)]?(?=\s))"
    r"\s*",
    re.IGNORECASE,
)
_PERMALINK = re.compile(r"\s*[\u00b6\u00a7#\U0001f517]+\Z")
_ANSWERED = re.compile(r"(?:A|Answer|Antwort)\s{0,2}\d{0,4}\s{0,2}[:.]\s+", re.IGNORECASE)
_CREDIT = re.compile(r"\A\([^()]{0,40}\bcontributed by [^()]{1,100}\)\s*", re.IGNORECASE)
_TO_TOP = re.compile(
    r"^\W*(?:back to |return to |go to )?(?:the )?(?:top|contents|index|table of contents)"
    r"(?: of (?:the )?page)?\W*$\n?",
    re.IGNORECASE | re.MULTILINE,
)
_OF_THE_SITE = re.compile(
    r"(?:do you )?(?:still )?(?:have|got)?\s?(?:any |a |more |other |further )?questions?"
    r"|(?:was|did) (?:this|it) .{0,30}(?:help|answer).{0,40}|need (?:more |any |further )?help"
    r"|(?:did|do)n.?t find .{0,60}|(?:can|could)(?: ?no|n.)t find .{0,60}|questions and answers"
    r"|(?:f\.?a\.?q\.?s?|frequently asked questions)"
)


@dataclass(slots=True)
class Section:
    """A heading, or what stands for one, with the text below it up to the next.

    :param level: 1 to 6, or `INLINE_LEVEL`.
    :param anchor: the name by which an address can point to it.
    """

    level: int
    heading: str
    text: str
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer, which may be empty."""

    text: str
    answer: str
    anchor: str | None = None


@dataclass(slots=True)
class Faq:
    """What a document asks and answers, and what it states of itself.

    :param others: headings that ask nothing.
    :param faults: what in it cannot be read.
    """

    questions: list[Question] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    url: str | None = None
    language: str | None = None
    license: str | None = None


def asks(text: str) -> bool:
    """Tell whether a text has the mark of a question, in any script."""
    return bool(_MARK.search(text) or _GREEK_MARK.search(text))


def clean_question(text: str) -> str:
    """Take the number of its section, and what links to it, from a question."""
    text = _PERMALINK.sub("", collapsed(text))
    return text[found.end() :] if (found := _NUMBER.match(text)) else text


def clean_answer(text: str) -> str:
    """Take out of an answer what is there for the page: "A:", "Back to top", "(contributed by ..)"."""
    text = _CREDIT.sub("", _TO_TOP.sub("", text.strip()).strip())
    return text[found.end() :] if (found := _ANSWERED.match(text)) else text


def of_the_site(question: str) -> bool:
    """Tell whether a question is the site's own: "Still have questions?"."""
    return _OF_THE_SITE.fullmatch(re.sub(r"[\W_]+", " ", question).strip().casefold()) is not None


def paired(sections: list[Section]) -> tuple[list[Question], list[str]]:
    """Return the questions of sections, and the headings that are neither one nor part of an answer.

    A question is what has a question mark; and, where half of the headings of a level have one, any
    other of the level that says enough: "My program stops without a word". Its answer goes on to the
    next question, or the next heading of its level or above.
    """
    marked = [asks(section.heading) for section in sections]
    of_level = Counter(section.level for section in sections)
    with_mark = Counter(s.level for s, mark in zip(sections, marked, strict=True) if mark)
    asked = [
        mark
        or (
            with_mark[s.level] >= max(2, of_level[s.level] / 2)
            and not says_little(clean_question(s.heading), words=4)
        )
        for s, mark in zip(sections, marked, strict=True)
    ]
    questions, others, at = [], [], 0
    while at < len(sections):
        section = sections[at]
        at += 1
        if not asked[at - 1]:
            others.append(section.heading)
            continue
        parts = [section.text]
        while at < len(sections) and not asked[at] and sections[at].level > section.level:
            parts += [clean_question(sections[at].heading), sections[at].text]
            at += 1
        answer = clean_answer("\n\n".join(filter(None, parts)))
        questions.append(Question(clean_question(section.heading), answer, section.anchor))
    return questions, others
