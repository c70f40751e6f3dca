"""The rules of C4 for web pages, as far as they can judge a passage (arXiv:1910.10683)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from curate.filter.rules.verdicts import Family, Rule, Side, below
from curate.text.characters import characters

_POLICY = [
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",
]  # fmt: skip
# What ends a sentence: in Latin, Arabic and Indian scripts before white space, in Chinese and Japanese
# anywhere; quotes and brackets may close after it.
_ENDS, _WIDE_ENDS = "[.!?\u2026\u061f\u0964]", "[\u3002\uff01\uff1f]"
_CLOSES = "[\"')\\]\u2019\u201d\u00bb\u300d]*"
_TERMINAL = f"(?:{_ENDS}|{_WIDE_ENDS}){_CLOSES}$"
_SENTENCE = f"{_ENDS}+{_CLOSES}(?:\\s|$)|{_WIDE_ENDS}+"


class C4(Family):
    """C4's rules for web pages: Raffel et al. 2020, arXiv:1910.10683, section 2.2.

    Where C4 cuts lines out of a page, a passage is kept or dropped as a whole.
    """

    lorem_ipsum: bool = True
    """Drop what says "lorem ipsum"."""
    curly_bracket: bool = True
    """Drop what has a `{`: not for passages of code."""
    terminal_punctuation: bool = True
    """A line counts only if it ends in a terminal punctuation mark, also within quotes."""
    min_line_words: int | None = Field(5, ge=0)
    """... and has so many words."""
    javascript: bool = True
    """... and does not mention JavaScript."""
    policy: bool = True
    """... nor terms of use, a privacy policy or cookies."""
    min_sentences: int | None = Field(3, ge=0)
    """Sentences there must be in the lines that count."""
    min_kept_chars: float | None = Field(None, ge=0, le=1)
    """Share of its characters that must lie in the lines that count. Not in C4, which keeps the rest."""

    def rules(self, side: Side) -> Iterator[Rule]:
        """Give the rules: on the whole text, then on its lines."""
        folded = side.texts.str.to_lowercase()
        if self.lorem_ipsum:
            found = folded.str.contains("lorem ipsum", literal=True).to_numpy()
            yield Rule("c4_lorem_ipsum", found, "it says lorem ipsum", found)
        if self.curly_bracket:
            found = side.texts.str.contains("{", literal=True).to_numpy()
            yield Rule("c4_curly_bracket", found, "it has a curly bracket", found)
        parts = side.lines
        strings = parts.strings()
        kept = np.ones(len(strings), bool)
        if self.terminal_punctuation:
            kept &= strings.str.contains(_TERMINAL).to_numpy()
            kept &= ~parts.end_with(("...", "…"))
        if self.min_line_words is not None:
            kept &= characters(strings).words() >= self.min_line_words
        denied = ["javascript"] * self.javascript + _POLICY * self.policy
        if denied:
            kept &= ~strings.str.contains_any(denied, ascii_case_insensitive=True).to_numpy()
        share = side.share(parts.sums(parts.lengths * kept))
        says = "{:.2f} of the characters are in lines that count"
        yield from below("c4_lines", share, self.min_kept_chars, says)
        ends = np.maximum(strings.str.count_matches(_SENTENCE).to_numpy(), 1)
        says = "{} sentences in lines that count"
        yield from below("c4_sentences", parts.sums(ends * kept), self.min_sentences, says)
