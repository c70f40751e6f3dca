"""The rules of Gopher for documents: Rae et al. 2021, arXiv:2112.11446, section A1.1 and table A1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from pydantic import Field

from curate.filter.rules.verdicts import Family, Rule, Side, above, below
from curate.text.characters import PICTURE, SINGLE, characters
from curate.text.lines import Parts, paragraphs
from curate.text.repetition import (
    Ngrams,
    repeated_ngram_chars,
    repeated_ngrams,
    top_ngram_chars,
)
from curate.text.tokens import Tokens, tokens

_BULLETS = ("-", "•")
_ELLIPSES = ("...", "…")
_NGRAM_SIZES = range(2, 21)


class GopherQuality(Family):
    """Gopher's rules on quality. Words are those of `text.tokens`, punctuation marks among them."""

    min_words: int | None = Field(50, ge=0)
    """Words a passage must have, without punctuation marks."""
    max_words: int | None = Field(100_000, ge=1)
    """Words a passage may have, without punctuation marks."""
    min_mean_word_chars: float | None = Field(3, ge=0)
    """Characters its words must have on average, without punctuation marks."""
    max_mean_word_chars: float | None = Field(10, ge=0)
    """Characters its words may have on average, without punctuation marks."""
    max_symbols_per_word: float | None = Field(0.1, ge=0)
    """Hash signs there may be for each word, and likewise ellipses (`...` or `…`)."""
    max_bullet_lines: float | None = Field(0.9, ge=0, le=1)
    """Share of its lines that may begin with a bullet (`-` or `•`)."""
    max_ellipsis_lines: float | None = Field(0.3, ge=0, le=1)
    """Share of its lines that may end in an ellipsis."""
    min_alphabetic_words: float | None = Field(0.8, ge=0, le=1)
    """Share of its words that must have a letter."""
    min_stop_words: int | None = Field(2, ge=0)
    """How many different ones of the stop words it must have."""
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """The stop words; these are English. Upper and lower case differ."""

    def rules(self, side: Side, words: Tokens) -> Iterator[Rule]:
        """Give the rules in the order of the paper.

        :param words: the words of the side's texts.
        """
        real = words.kinds >= PICTURE
        count = words.sums(real)
        mean = words.sums(words.lengths * real) / np.where(count, count, np.nan)
        yield from below("gopher_few_words", count, self.min_words, "{} words")
        yield from above("gopher_many_words", count, self.max_words, "{} words")
        says = "{:.1f} characters a word"
        yield from below("gopher_short_words", mean, self.min_mean_word_chars, says)
        yield from above("gopher_long_words", mean, self.max_mean_word_chars, says)
        per_word = np.where(words.counts, words.counts, np.nan)
        if self.max_symbols_per_word is not None:
            yield from self._symbols(side, per_word)
        if self.max_bullet_lines is not None or self.max_ellipsis_lines is not None:
            yield from self._lines(side)
        share = words.sums(words.kinds >= SINGLE) / per_word
        says = "{:.2f} of the words have a letter"
        yield from below("gopher_few_letters", share, self.min_alphabetic_words, says)
        if self.min_stop_words:
            found = _different(words, self.stop_words)
            yield from below("gopher_stop_words", found, self.min_stop_words, "{} stop words")

    def _symbols(self, side: Side, per_word: np.ndarray) -> Iterator[Rule]:
        hashes = side.texts.str.count_matches("#", literal=True).to_numpy()
        ellipses = side.texts.str.count_matches(r"\.\.\.|…").to_numpy()
        for what, counts in (("hash signs", hashes), ("ellipses", ellipses)):
            says = f"{{:.2f}} {what} a word"
            yield from above("gopher_symbols", counts / per_word, self.max_symbols_per_word, says)

    def _lines(self, side: Side) -> Iterator[Rule]:
        found = side.lines
        bullets, ellipses = found.begin_with(_BULLETS), found.end_with(_ELLIPSES)
        says = "{:.2f} of the lines begin with a bullet"
        yield from above("gopher_bullets", found.shares(bullets), self.max_bullet_lines, says)
        says = "{:.2f} of the lines end in an ellipsis"
        yield from above("gopher_ellipses", found.shares(ellipses), self.max_ellipsis_lines, says)


class GopherRepetition(Family):
    """Gopher's rules on repetition: shares of a passage's lines, paragraphs and characters."""

    max_repeated_lines: float | None = Field(0.30, ge=0, le=1)
    """Share of its lines that may repeat an earlier one; blank lines do not count."""
    max_repeated_paragraphs: float | None = Field(0.30, ge=0, le=1)
    """Share of its paragraphs that may repeat an earlier one."""
    max_repeated_line_chars: float | None = Field(0.20, ge=0, le=1)
    """Share of its characters that may lie in such lines."""
    max_repeated_paragraph_chars: float | None = Field(0.20, ge=0, le=1)
    """Share of its characters that may lie in such paragraphs."""
    max_top_ngram_chars: dict[int, float] = Field({2: 0.20, 3: 0.18, 4: 0.16})
    """Share of its characters that may lie in the most frequent n-gram, by n; one that occurs only
    once is no repetition."""
    max_repeated_ngram_chars: dict[int, float] = Field(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    )
    """Share of its characters that may lie in n-grams which occur earlier in it, by n."""

    def check(self) -> None:
        """Refuse sizes of n-grams that are none.

        :raises ValueError: naming the setting.
        """
        for name in ("max_top_ngram_chars", "max_repeated_ngram_chars"):
            for size in getattr(self, name):
                if size not in _NGRAM_SIZES:
                    raise ValueError(f"{name}: n-grams have 2 to 20 words, got {size}")

    def rules(self, side: Side, words: Tokens) -> Iterator[Rule]:
        """Give the rules: paragraphs, lines, then n-grams by size.

        :param words: the words of the side's texts.
        """
        most, most_chars = self.max_repeated_paragraphs, self.max_repeated_paragraph_chars
        if most is not None or most_chars is not None:
            found = paragraphs(side.lines)
            yield from self._parts(side, "paragraphs", found, most, most_chars)
        most, most_chars = self.max_repeated_lines, self.max_repeated_line_chars
        if most is not None or most_chars is not None:
            yield from self._parts(side, "lines", side.lines, most, most_chars)
        longest = max([1, *self.max_top_ngram_chars, *self.max_repeated_ngram_chars])
        for ngrams in repeated_ngrams(words, longest):
            yield from self._ngrams(side, words, ngrams)

    def _parts(
        self, side: Side, what: str, found: Parts, most: float | None, most_chars: float | None
    ) -> Iterator[Rule]:
        reason = f"gopher_repeated_{what}"
        says = f"{{:.2f}} of the {what} repeat another"
        yield from above(reason, found.shares(found.repeated), most, says)
        chars = side.share(found.sums(found.lengths * found.repeated))
        says = f"{{:.2f}} of the characters are in {what} that repeat another"
        yield from above(reason, chars, most_chars, says)

    def _ngrams(self, side: Side, words: Tokens, ngrams: Ngrams) -> Iterator[Rule]:
        says = f"{{:.2f}} of the characters are in the most frequent {ngrams.size}-gram"
        if (most := self.max_top_ngram_chars.get(ngrams.size)) is not None:
            share = side.share(top_ngram_chars(words, ngrams))
            yield from above("gopher_top_ngram", share, most, says)
        says = f"{{:.2f}} of the characters are in repeated {ngrams.size}-grams"
        if (most := self.max_repeated_ngram_chars.get(ngrams.size)) is not None:
            share = side.share(repeated_ngram_chars(words, ngrams))
            yield from above("gopher_repeated_ngrams", share, most, says)


def _different(words: Tokens, wanted: tuple[str, ...]) -> np.ndarray:
    """Count how many different ones of some words each text has: int64 [n]."""
    known = tokens(characters(pl.Series(list(wanted), dtype=pl.String))).hashes
    found = np.zeros(len(words.counts), np.int64)
    for one in np.unique(known):
        found += words.sums(words.hashes == one) > 0
    return found
