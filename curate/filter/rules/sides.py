"""Measures of one side, query or passage, and the rules on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from curate.filter.rules.verdicts import Rule, Side, above, below, literal
from curate.text.characters import DIGIT, INVISIBLE, PICTURE, SINGLE, SINGLE_DIGIT, UPPER
from curate.text.lines import lines
from curate.text.normalise import content_hashes, words

_URL = r"(?:https?://|www\.)[^\s<>\x22'()\[\]{}]+"
_URL_STARTS = ["http://", "https://", "www."]
_NEWLINE = 0x0A
_BOILERPLATE_CHARS = 200  # a longer line is prose that has the words by chance
BOILERPLATE = [
    r"\b(?:accept|agree|consent|manage|uses?|using)\b.*\bcookies\b",
    r"\bcookies?\b.*\b(?:accept|agree|consent|policy|settings|uses?|using)\b",
    r"^(?:©|\(c\)|copyright\b)|\ball rights reserved\b",
    r"\b(?:terms (?:of|and) (?:use|service|conditions)|privacy (?:policy|notice|statement))\b",
    r"\b(?:sign up|subscribe|register)\b.*\b(?:newsletter|updates|e-?mails?|free)\b",
    r"^(?:sign|log) (?:in|up|out)\b|^(?:login|register|subscribe)$",
    r"^(?:share|tweet|pin|like|follow)(?: (?:this|us|on|via|by|it)\b.*)?$",
    r"^(?:(?:click|tap) (?:here|to)|(?:read|learn|see|show|load) more|continue reading)\b",
    r"^(?:skip to|jump to|back to (?:top|home)|scroll to|toggle navigation|(?:main )?menu$|search$)",
    r"^(?:leave a|post a|add a|write a|no|[0-9]+) (?:comments?|repl(?:y|ies)|responses?)\b",
    r"^(?:powered by|designed by|hosted by|proudly powered)\b",
    r"\b(?:enable|requires|turn on)\b.*\bjavascript\b|\bjavascript\b.*\b(?:enabled|disabled)\b",
    r"^(?:advertisements?|sponsored|related (?:articles|posts|stories)|you may also like)\b",
    r"^(?:previous|next|older|newer)(?: (?:page|post|article|entries|posts))?$",
]


def lengths(side: Side, low: dict[str, int | None], high: dict[str, int | None]) -> Iterator[Rule]:
    """Give the rules on lengths in `chars` and `words`."""
    for unit, noun in (("chars", "characters"), ("words", "words")):
        if low[unit] is None and high[unit] is None:
            continue
        found = side.lengths if unit == "chars" else side.known(side.characters.words())
        says = f"{side.name} has {{:.0f}} {noun}"
        yield from below(f"{side.name}_few_{unit}", found, low[unit], says)
        yield from above(f"{side.name}_many_{unit}", found, high[unit], says)


def ratios(
    side: Side, symbols: float | None, digits: float | None, urls: float | None, upper: float | None
) -> Iterator[Rule]:
    """Give the rules on shares of a side's characters, and of its letters."""
    classes = side.characters.classes
    for what, most, low, high in (
        ("symbols", symbols, INVISIBLE, PICTURE),
        ("digits", digits, SINGLE_DIGIT, DIGIT),
    ):
        if most is not None:
            share = side.share(side.characters.count((classes >= low) & (classes <= high)))
            yield from _share(side, what, share, most)
    if urls is not None:
        yield from _share(side, "urls", side.share(_url_chars(side)), urls)
    if upper is not None:
        letters = side.characters.count(classes >= SINGLE)
        share = side.characters.count(classes == UPPER) / np.where(letters, letters, np.nan)
        says = f"{{:.2f}} of the {side.name}'s letters are upper case"
        yield from above(f"{side.name}_upper_case", share, upper, says)


def _share(side: Side, what: str, share: np.ndarray, most: float) -> list[Rule]:
    says = f"{{:.2f}} of the {side.name}'s characters are {what}"
    return above(f"{side.name}_{what}", share, most, says)


def _url_chars(side: Side) -> np.ndarray:
    """Count the characters of links: int64 [n]."""
    found = np.zeros(len(side.texts), np.int64)
    rows = side.texts.str.contains_any(_URL_STARTS).fill_null(False).arg_true()
    texts = side.texts.gather(rows)
    rest = texts.str.replace_all(_URL, "").str.len_chars()
    found[rows.to_numpy()] = (texts.str.len_chars() - rest).to_numpy()
    return found


def repeated_lines(side: Side, most: float | None) -> Iterator[Rule]:
    """Give the rule on lines that repeat an earlier one."""
    if most is None:
        return
    share = np.full(len(side.texts), np.nan)
    several = np.flatnonzero(side.characters.count(side.characters.data == _NEWLINE))
    found = lines(side.characters.take(several))
    share[several] = found.shares(found.repeated)
    says = f"{{:.2f}} of the {side.name}'s lines repeat another"
    yield from above(f"{side.name}_repeated_lines", share, most, says)


def boilerplate(side: Side, patterns: Iterable[str], most: float) -> Iterator[Rule]:
    """Give the rule on lines that are found on any page."""
    found = side.lines
    strings = found.strings()
    hits = strings.str.contains(joined(patterns)).to_numpy()
    hits &= found.lengths <= _BOILERPLATE_CHARS
    share = side.share(found.sums(found.lengths * hits))
    says = f"{{:.2f}} of the {side.name}'s characters are in lines of boilerplate"
    yield from above(f"{side.name}_boilerplate", share, most, says)


def joined(patterns: Iterable[str]) -> str:
    """Return one pattern, for any case, that matches what one of some matches."""
    return "(?i)" + "|".join(f"(?:{pattern})" for pattern in patterns)


def profanity(side: Side, phrases: list[str]) -> Iterator[Rule]:
    """Give the rule that a side says none of some phrases.

    :param phrases: in the form of `normalise.words`; where there are none, neither is the rule.
    """
    if not phrases:
        return
    spaced = " " + words(side.texts) + " "
    wanted = [f" {phrase} " for phrase in phrases]
    fails = spaced.str.contains_any(wanted).fill_null(False).to_numpy()
    said = np.full(len(fails), "", object)
    found = spaced.filter(pl.Series(fails)).str.extract_many(wanted, overlapping=True)
    said[fails] = found.list.first().str.strip_chars().to_list()
    yield Rule(f"{side.name}_profanity", fails, f"{side.name} says {{!r}}", said)


def overlap(query: Side, passage: Side, equal: bool, contained: bool) -> Iterator[Rule]:
    """Give the rules on a query that its passage repeats."""
    if equal:
        rows = _may_be_equal(query, passage)
        left, right = (content_hashes(side.texts.gather(rows)) for side in (query, passage))
        fails = np.zeros(len(query.texts), bool)
        fails[rows] = (left == right).all(1) & left.any(1)
        yield Rule(
            "query_is_passage", fails, "query and passage say the same: {!r:.80}", query.texts
        )
    if contained:
        frame = pl.DataFrame({"query": words(query.texts), "passage": words(passage.texts)})
        within = frame.select(
            (" " + pl.col("passage") + " ").str.contains(" " + pl.col("query") + " ", literal=True)
            & (pl.col("query") != "")
        ).to_series()
        fails = within.fill_null(False).to_numpy()
        yield Rule(
            "query_in_passage", fails, "the passage contains the query {!r:.80}", query.texts
        )


def _may_be_equal(query: Side, passage: Side) -> np.ndarray:
    """Find the rows whose sides may say the same: those with as many characters in words.

    Where a normal form could change their number, any row may.
    """
    left, right = query.characters, passage.characters
    as_many = left.count(left.classes >= PICTURE) == right.count(right.classes >= PICTURE)
    return np.flatnonzero(as_many | ~left.settled | ~right.settled)


def denied(side: Side, patterns: Iterable[str]) -> Iterator[Rule]:
    """Give for each pattern the rule that no text matches it."""
    for pattern in patterns:
        says = f"{side.name} {{!r:.80}} matches {literal(repr(pattern))}"
        fails = side.texts.str.contains(pattern).fill_null(False).to_numpy()
        yield Rule(f"{side.name}_denied", fails, says, side.texts)


def scores(
    values: dict[str, np.ndarray], low: dict[str, float], high: dict[str, float]
) -> Iterator[Rule]:
    """Give the rules on scores.

    :param values: float32 [n] by name, NaN where a record has no such score.
    """
    for name, least in low.items():
        yield from below("low_score", values[name], least, f"score {literal(name)} is {{:.4g}}")
    for name, most in high.items():
        yield from above("high_score", values[name], most, f"score {literal(name)} is {{:.4g}}")
