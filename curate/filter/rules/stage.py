"""The stage: its settings, and the order of its rules."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.filter.rules import sides
from curate.filter.rules.c4 import C4
from curate.filter.rules.gopher import GopherQuality, GopherRepetition
from curate.filter.rules.verdicts import Rule, Side, Switch, Verdicts, below
from curate.schema import Kind, content_id, first_positive, score
from curate.sources import BySource
from curate.stage import Map, Outcome, decide
from curate.text.normalise import words
from curate.text.patterns import check_pattern
from curate.text.tokens import tokens

_SLICE_BYTES = 1 << 22  # text that is measured at once


class Rules(BySource, Map):
    """Drop records that break a rule on length, symbols, repetition, overlap, scores or wording.

    A pair is judged by its query and the text of its first positive, a passage by its text; where
    that is null the rules on passages do not apply. The first rule broken is the reason (lengths of
    query and passage, then shares, then the rest as listed); the detail has the measured value.
    `null` turns a rule off. Words are those of `text.normalise`: in scripts without spaces each
    character is one. The rules for documents (`gopher_quality`, `gopher_repetition`, `c4`) are off
    unless asked for, as a good short passage breaks most of them; they see only what breaks no other
    rule. Holds 15 bytes for each byte of four megabytes of text, or of one text that is longer; with
    the rules for documents up to 80.
    """

    name = "filter.rules"
    version = 2
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")
    varying: ClassVar[frozenset[str]] = frozenset()  # all of them: see below

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
    max_upper_ratio: float | None = Field(None, ge=0, le=1)
    """Share of a side's letters that may be upper case. Prose has 0.04, titles 0.2."""
    max_repeated_lines: float | None = Field(0.3, ge=0, le=1)
    """Share of a passage's lines that may repeat an earlier line; blank lines do not count
    (Gopher: Rae et al. 2021, arXiv:2112.11446, table A1, duplicate line fraction 0.30)."""
    drop_equal: bool = True
    """Drop a pair whose query says exactly what its passage says (`text.normalise`)."""
    drop_contained: bool = False
    """Drop a pair whose query stands word for word in its passage: matching words would suffice."""
    deny_query: list[str] = Field([])
    """Regular expressions (Rust syntax) that no query may match, such as `^Return repr`."""
    deny_passage: list[str] = Field([])
    """Regular expressions that no passage may match."""
    min_score: dict[str, float] = Field({})
    """Least value by name of score; a record without that score passes."""
    max_score: dict[str, float] = Field({})
    """Highest value by name of score; a record without that score passes."""
    max_boilerplate: float | None = Field(None, ge=0, le=1)
    """Share of a passage's characters that may be in lines of boilerplate: cookie notices, menus,
    calls to share or subscribe. 0.3 suits passages of web pages."""
    boilerplate: list[str] = Field(sides.BOILERPLATE)
    """Regular expressions, for any case, of such lines; lines of more than 200 characters are none."""
    profanity: Path | None = None
    """A file of words and phrases, one a line, that neither side may say; `#` begins a comment."""
    gopher_quality: Switch[GopherQuality] = None
    """Gopher's rules on the quality of documents, for the passage: `true`, or its settings."""
    gopher_repetition: Switch[GopherRepetition] = None
    """Gopher's rules on repetition in documents, for the passage: `true`, or its settings."""
    c4: Switch[C4] = None
    """C4's rules for web pages, for the passage: `true`, or its settings."""

    def check(self) -> None:
        """Refuse bounds that cross, patterns that do not parse, and a list of words that is not there.

        :raises ValueError: naming the setting.
        """
        for what in ("query_chars", "query_words", "passage_chars", "passage_words"):
            low, high = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{what}: {low} is more than max_{what}: {high}")
        for name in ("deny_query", "deny_passage", "boilerplate"):
            for pattern in getattr(self, name):
                try:
                    check_pattern(pattern)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        if self.gopher_repetition is not None:
            self.gopher_repetition.check()
        _ = self._phrases
        super().check()

    def gives(self, main: Kind | None) -> dict[str, Kind]:
        """Return the kinds of its sides; refuse settings that need pairs where the input has none.

        :raises ValueError: if the input is passages and a setting speaks of queries.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        for settings in [given, *self.per_source.values()] if main == "passages" else []:
            for name in sorted(settings):
                if "query" in name or name in ("drop_equal", "drop_contained"):
                    raise ValueError(
                        f"{name}: {settings[name]!r} needs pairs, but the input is passages"
                    )
        return super().gives(main)

    def row_settings(self) -> dict[str, Any]:
        """Return the settings that are in the key: what the list of words says, not where it lies."""
        settings = super().row_settings()
        for own, variant in zip(
            [settings, *settings["per_source"].values()], self._variants, strict=True
        ):
            if own.get("profanity") is not None:
                own["profanity"] = content_id(*variant._phrases)
        return settings

    @cached_property
    def _phrases(self) -> list[str]:
        """The profane words and phrases, as `normalise.words` has them."""
        if self.profanity is None:
            return []
        try:
            listed = self.profanity.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"profanity: {str(self.profanity)!r} cannot be read: {error}"
            ) from None
        told = pl.Series([line.partition("#")[0] for line in listed], dtype=pl.String)
        phrases = words(told)
        found = sorted(set(phrases.filter(phrases != "")))
        if not found:
            raise ValueError(f"profanity: {str(self.profanity)!r} lists no words")
        return found

    def map(self, table: pa.Table) -> Outcome:
        """Keep the records that break no rule."""
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        reasons = np.full(len(table), None, object)
        details = np.full(len(table), None, object)
        for variant, rows in self.variants(table):
            chosen = table if len(rows) == len(table) else table.take(pa.array(rows))
            for start, part in _slices(chosen, kind):
                verdicts = variant._judge(part, kind)
                here = rows[start : start + len(part)]
                reasons[here], details[here] = verdicts.reasons, verdicts.details
        return decide(table, reasons.tolist(), details.tolist(), kind)

    def _judge(self, table: pa.Table, kind: Kind) -> Verdicts:
        verdicts = Verdicts(len(table))
        if kind == "passages":
            passage = Side("passage", _strings(table["text"]).fill_null(""))
            verdicts.judge(self._plain([passage], passage))
        else:
            query = Side("query", _strings(table["query"]).fill_null(""))
            passage = Side("passage", _strings(first_positive(table)))
            verdicts.judge(_has_positive(table))
            verdicts.judge(self._plain([query, passage], passage))
            verdicts.judge(sides.overlap(query, passage, self.drop_equal, self.drop_contained))
            verdicts.judge(sides.denied(query, self.deny_query))
            verdicts.judge(sides.profanity(query, self._phrases))
        verdicts.judge(sides.denied(passage, self.deny_passage))
        verdicts.judge(sides.profanity(passage, self._phrases))
        values = {name: score(table, name) for name in {**self.min_score, **self.max_score}}
        verdicts.judge(sides.scores(values, self.min_score, self.max_score))
        self._judge_documents(verdicts, passage)
        return verdicts

    def _plain(self, asked: list[Side], passage: Side) -> Iterator[Rule]:
        """Give the rules that look at the characters of one side."""
        for side in asked:
            low, high = (
                {unit: getattr(self, f"{end}_{side.name}_{unit}") for unit in ("chars", "words")}
                for end in ("min", "max")
            )
            yield from sides.lengths(side, low, high)
        shares = (
            self.max_symbol_ratio,
            self.max_digit_ratio,
            self.max_url_ratio,
            self.max_upper_ratio,
        )
        for side in asked:
            yield from sides.ratios(side, *shares)
        yield from sides.repeated_lines(passage, self.max_repeated_lines)

    def _judge_documents(self, verdicts: Verdicts, passage: Side) -> None:
        """Apply the rules for documents to the passages that have broken no other."""
        among = passage.texts.is_not_null().to_numpy()
        rows = verdicts.rows(among)
        side = passage.take(rows)
        if self.max_boilerplate is not None:
            verdicts.judge(sides.boilerplate(side, self.boilerplate, self.max_boilerplate), rows)
        if self.c4 is not None:
            verdicts.judge(self.c4.rules(side), rows)
        if self.gopher_quality is None and self.gopher_repetition is None:
            return
        side, rows = side.take(np.flatnonzero(verdicts.passed[rows])), verdicts.rows(among)
        words = tokens(side.characters)
        if self.gopher_quality is not None:
            verdicts.judge(self.gopher_quality.rules(side, words), rows)
        if self.gopher_repetition is not None:
            left = words.only(verdicts.passed[rows])
            verdicts.judge(self.gopher_repetition.rules(side, left), rows)


Rules.varying = frozenset(Rules.model_fields) - {"from_", "per_source"}


def _strings(column: pa.ChunkedArray) -> pl.Series:
    return pl.Series(column, dtype=pl.String)


def _slices(table: pa.Table, kind: Kind) -> Iterator[tuple[int, pa.Table]]:
    """Cut a table where `_SLICE_BYTES` are full; with the number of the first row of each part."""
    columns = [table["text"]] if kind == "passages" else [table["query"], first_positive(table)]
    sizes = sum(pc.fill_null(pc.binary_length(c), 0).to_numpy().astype(np.int64) for c in columns)
    total = np.cumsum(sizes)
    start = 0
    while start < len(table):
        base = total[start] - sizes[start]
        end = max(int(np.searchsorted(total, base + _SLICE_BYTES, "right")), start + 1)
        yield start, table.slice(start, end - start)
        start = end


def _has_positive(table: pa.Table) -> list[Rule]:
    counts = pc.fill_null(pc.list_value_length(table["positives"]), 0).to_numpy()
    return below("no_positive", counts, 1, "{} positives")
