"""What makes a written text unusable: it copies, is too short or long, or tells what is not there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from curate.synthesize.written import alike, plain, word_set
from curate.text.bm25 import Terms

_TAKEN = 0.8  # share of its words, from which a text is taken from another


class Read(NamedTuple):
    """A passage as the checks need it: in normal form, and its terms if they are compared."""

    text: str
    terms: frozenset[str]


@dataclass(frozen=True, slots=True)
class Checks:
    """What a query must be to be used.

    :param min_words: words that it must have.
    :param max_words: words that it may have.
    :param grounded: share of its words, without stop words and endings, that the passage must have.
    :param quotable: a query of more words may not stand word for word in the passage.
    :param examples: the words of the queries that the prompt shows.
    """

    min_words: int = 1
    max_words: int | None = None
    grounded: float = 0.0
    quotable: int = 0
    examples: tuple[frozenset[str], ...] = ()

    def read(self, *texts: str) -> Read:
        """Prepare a passage, its last text, and what else a query may speak of."""
        return Read(plain(texts[-1]), self._terms(" ".join(texts)))

    def rejection(self, query: str, task: str, passage: Read) -> str | None:
        """Return why a query cannot be used; None if it can."""
        words = word_set(query)
        if len(words) < self.min_words:
            return "too_short"
        if self.max_words is not None and len(query.split()) > self.max_words:
            return "too_long"
        if words <= word_set(task):
            return "copied_task"
        if any(alike(words, example) for example in self.examples):
            return "copied_example"
        if len(query.split()) > self.quotable and plain(query) in passage.text:
            return "copied_passage"
        terms = self._terms(query)
        if len(terms & passage.terms) < self.grounded * len(terms):
            return "not_grounded"
        return None

    def _terms(self, text: str) -> frozenset[str]:
        """Return the stems of a text's words without stop words; none where they are not needed."""
        if not self.grounded:
            return frozenset()
        return frozenset(Terms([text], english=True).lists[0])


def new_texts(texts: Iterable[str], known: Iterable[str], min_words: int) -> list[str]:
    """Return the texts that say something, and copy neither what is known nor one another.

    :param min_words: words that a text must have.
    """
    seen = [word_set(text) for text in known]
    found = []
    for text in texts:
        words = word_set(text)
        if len(words) >= min_words and not any(_copies(words, other) for other in seen):
            seen.append(words)
            found.append(text)
    return found


def _copies(words: frozenset[str], other: frozenset[str]) -> bool:
    """Tell whether a text is a copy of another, or of a part of it."""
    return alike(words, other) or len(words & other) >= _TAKEN * len(words)
