"""Rules on length, symbols and repetition: cheap, explained, and the first of all filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.schema import first_positive, score
from curate.stage import Map, Outcome, decide
from curate.text.normalise import content_hashes, count_words, words

_SYMBOL = r"[^\p{L}\p{M}\p{N}\s]"
_DIGIT = r"\p{Nd}"
_URL = r"(?:https?://|www\.)[^\s<>\x22'()\[\]{}]+"


class Rule(NamedTuple):
    """One rule over n rows: why it drops, which rows (null is no), and what it says of each."""

    reason: str
    fails: pl.Series
    says: str
    """With a `{}` for the measured value."""
    values: pl.Series


class Rules(Map):
    """Drop pairs that break a rule on length, symbols, digits, links, repetition or overlap.

    A pair is judged by its query and the text of its first positive; where that text is null the
    rules on passages do not apply. The first rule broken is the reason (first the lengths of query
    and passage, then ratios, then the rest as listed); the detail has the measured value. `null`
    turns a rule off. Words are those of `text.normalise`: in scripts without spaces each character
    is one.
    """

    name = "filter.rules"

    min_query_chars: int | None = Field(10, ge=0)
    """Characters a query must have."""
    max_query_chars: int | None = Field(2_000, ge=1)
    """Characters a query may have."""
    min_query_words: int | None = Field(2, ge=0)
    """Words a query must have."""
    max_query_words: int | None = Field(None, ge=1)
    """Words a query may have."""
    min_passage_chars: int | None = Field(20, ge=0)
    """Characters a passage must have."""
    max_passage_chars: int | None = Field(100_000, ge=1)
    """Characters a passage may have."""
    min_passage_words: int | None = Field(3, ge=0)
    """Words a passage must have."""
    max_passage_words: int | None = Field(None, ge=1)
    """Words a passage may have."""
    max_symbol_ratio: float | None = Field(0.5, ge=0, le=1)
    """Share of a side's characters that may be neither letters, marks, numbers nor white space.
    Prose has 0.03, code 0.15 to 0.35."""
    max_digit_ratio: float | None = Field(0.3, ge=0, le=1)
    """Share of a side's characters that may be digits."""
    max_url_ratio: float | None = Field(0.5, ge=0, le=1)
    """Share of a side's characters that may lie in links."""
    max_repeated_lines: float | None = Field(0.3, ge=0, le=1)
    """Share of a passage's lines that may repeat an earlier line; blank lines do not count
    (Gopher: Rae et al. 2021, arXiv:2112.11446, table A1, duplicate line fraction 0.30)."""
    drop_equal: bool = True
    """Drop a pair whose query says exactly what its passage says (`text.normalise`)."""
    drop_contained: bool = False
    """Drop a pair whose query stands word for word in its passage: matching words would suffice."""
    deny_query: list[str] = Field([])
    """Regular expressions (Rust syntax) that no query may match, such as `^Return repr`."""
    min_score: dict[str, float] = Field({})
    """Least value by name of score; a pair without that score passes."""

    def check(self) -> None:
        """Refuse bounds that cross, and regular expressions that do not parse.

        :raises ValueError: naming the setting.
        """
        for what in ("query_chars", "query_words", "passage_chars", "passage_words"):
            low, high = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{what}: {low} is more than max_{what}: {high}")
        for pattern in self.deny_query:
            try:
                pl.Series([""]).str.contains(pattern)
            except pl.exceptions.ComputeError as error:
                message = " ".join(str(error).partition("\n\nThis error")[0].split())
                raise ValueError(f"deny_query: {pattern!r} is not a pattern: {message}") from None

    def map(self, table: pa.Table) -> Outcome:
        """Keep the pairs that break no rule."""
        reasons = np.full(len(table), None, object)
        details = np.full(len(table), None, object)
        passed = np.ones(len(table), bool)
        for rule in self._rules(table):
            fails = rule.fails.fill_null(False).to_numpy() & passed
            passed &= ~fails
            reasons[fails] = rule.reason
            details[fails] = [rule.says.format(value) for value in rule.values.filter(fails)]
        return decide(table, reasons.tolist(), details.tolist())

    def _rules(self, table: pa.Table) -> Iterator[Rule]:
        query = pl.Series("query", table["query"], pl.String).fill_null("")
        passage = pl.Series("passage", first_positive(table), pl.String)
        positives = pl.Series(pc.list_value_length(table["positives"])).fill_null(0)
        yield Rule("no_positive", positives == 0, "{} positives, minimum 1", positives)
        yield from self._lengths(query)
        yield from self._lengths(passage)
        yield from self._ratios(query)
        yield from self._ratios(passage)
        yield from self._repetition(passage)
        yield from self._overlap(query, passage)
        yield from self._denied(query)
        yield from self._scores(table)

    def _lengths(self, side: pl.Series) -> Iterator[Rule]:
        for unit, noun in (("chars", "characters"), ("words", "words")):
            low = getattr(self, f"min_{side.name}_{unit}")
            high = getattr(self, f"max_{side.name}_{unit}")
            if low is None and high is None:
                continue
            found = side.str.len_chars() if unit == "chars" else count_words(side)
            few, many = f"{side.name}_few_{unit}", f"{side.name}_many_{unit}"
            says = f"{side.name} has {{}} {noun}"
            if low is not None:
                yield Rule(few, found < low, f"{says}, minimum {low}", found)
            if high is not None:
                yield Rule(many, found > high, f"{says}, maximum {high}", found)

    def _ratios(self, side: pl.Series) -> Iterator[Rule]:
        size = side.str.len_chars()
        for what, most, pattern in (
            ("symbols", self.max_symbol_ratio, _SYMBOL),
            ("digits", self.max_digit_ratio, _DIGIT),
        ):
            if most is not None:
                yield _ratio_rule(side, what, side.str.count_matches(pattern) / size, most)
        if self.max_url_ratio is not None:
            linked = size - side.str.replace_all(_URL, "").str.len_chars()
            yield _ratio_rule(side, "urls", linked / size, self.max_url_ratio)

    def _repetition(self, passage: pl.Series) -> Iterator[Rule]:
        if self.max_repeated_lines is not None:
            share = repeated_lines(passage)
            most = self.max_repeated_lines
            says = f"{{:.2f}} of the passage's lines repeat another, maximum {most}"
            yield Rule("passage_repeated_lines", share > most, says, share)

    def _overlap(self, query: pl.Series, passage: pl.Series) -> Iterator[Rule]:
        if self.drop_equal:
            left, right = content_hashes(query), content_hashes(passage)
            equal = pl.Series((left == right).all(1) & left.any(1))
            yield Rule("query_is_passage", equal, "query and passage say the same: {!r:.80}", query)
        if self.drop_contained:
            frame = pl.DataFrame({"query": words(query), "passage": words(passage)})
            within = frame.select(
                (" " + pl.col("passage") + " ").str.contains(
                    " " + pl.col("query") + " ", literal=True
                )
                & (pl.col("query") != "")
            ).to_series()
            yield Rule("query_in_passage", within, "the passage contains the query {!r:.80}", query)

    def _denied(self, query: pl.Series) -> Iterator[Rule]:
        for pattern in self.deny_query:
            quoted = repr(pattern).replace("{", "{{").replace("}", "}}")
            says = f"query {{!r:.80}} matches {quoted}"
            yield Rule("query_denied", query.str.contains(pattern), says, query)

    def _scores(self, table: pa.Table) -> Iterator[Rule]:
        for name, least in self.min_score.items():
            values = pl.Series(score(table, name), nan_to_null=True)
            escaped = name.replace("{", "{{").replace("}", "}}")
            says = f"score {escaped} is {{:.4g}}, minimum {least}"
            yield Rule("low_score", values < least, says, values)


def _ratio_rule(side: pl.Series, what: str, share: pl.Series, most: float) -> Rule:
    says = f"{{:.2f}} of the {side.name}'s characters are {what}, maximum {most}"
    return Rule(f"{side.name}_{what}", share > most, says, share)


def repeated_lines(texts: pl.Series) -> pl.Series:
    """Return the share of each text's lines that repeat an earlier one.

    Lines are compared without the white space at their ends; blank lines do not count.

    :param texts: n strings.
    :return: n numbers from 0 to 1; null where the text is null or has no lines.
    """
    line = pl.element().str.strip_chars()
    lines = texts.str.split("\n").list.eval(line.filter(line != ""))
    share = 1 - lines.list.n_unique() / lines.list.len()
    return share.fill_nan(None)
