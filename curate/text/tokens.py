"""Words and punctuation marks as tokens, in whole arrays, for measures that are defined on them.

Close to what the tokenisers do that the field's document filters use (spaCy's rules for English): marks
before and after a word are tokens of their own, dots in a row one; a mark within a word splits it only
where it joins two words (`and/or`, `well-known`, `3-4`), not in `3.14`, `U.S.`, `snake_case` or an
address; `n't` and `'s` are split off. In scripts without spaces each character is a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from curate.text.characters import (
    DIGIT,
    LOWER,
    PICTURE,
    SINGLE,
    SPACE,
    SYMBOL,
    UPPER,
    Characters,
    code_points,
    stand_alone,
)
from curate.text.spans import hash_spans, run_begins, run_ends, sums

# What a mark does, as bits.
_OPENS = 1
"""It is cut off where it begins a word."""
_CLOSES = 2
"""It is cut off where it ends one."""
_ENDS = 4
"""... if a digit is before it."""
_STOPS = 8
"""A full stop after it is cut off."""
_HYPHEN = 16
"""It splits between letters, or digit and letter."""
_SIGN = 32
"""It splits between digits."""
_APOSTROPHE = 64

_ASCII = {
    "[](){}<>,:;!?_#*&'\"`": _OPENS | _CLOSES | _STOPS,
    "$%=+": _OPENS,
    "$%+": _ENDS,
    "%+-": _STOPS,
    "-~:<>=/": _HYPHEN,
    "+-*^": _SIGN,
    "'": _APOSTROPHE,
}
_TWO_LETTERS = [int.from_bytes(ending, "big") for ending in (b"re", b"ve", b"ll")]
_DOT, _HYPHEN_MINUS, _COMMA, _COLON, _SLASH = (ord(mark) for mark in ".-,:/")
_RIGHT_QUOTE, _ELLIPSIS = 0x2019, 0x2026
_FIRST_DASH, _LAST_DASH = 0x2010, 0x2015
_LETTER_CASE = 0x20


@dataclass(frozen=True)
class Tokens:
    """The tokens of n texts, end to end.

    :param texts: what they are tokens of.
    :param starts: int64 [t], the byte at which each begins.
    :param ends: int64 [t], the byte after its last.
    :param offsets: int64 [n + 1]: those of text i are `starts[offsets[i]:offsets[i + 1]]`.
    """

    texts: Characters
    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray

    @cached_property
    def counts(self) -> np.ndarray:
        """How many each text has: int64 [n]."""
        return np.diff(self.offsets)

    @cached_property
    def lengths(self) -> np.ndarray:
        """The characters of each token: int64 [t]."""
        return self.texts.span_lengths(self.starts, self.ends)

    @cached_property
    def kinds(self) -> np.ndarray:
        """The highest class of each token's characters: uint8 [t]."""
        if not len(self.starts):
            return np.zeros(0, np.uint8)
        return np.asarray(np.maximum.reduceat(self.texts.shown, self.starts))

    @cached_property
    def hashes(self) -> np.ndarray:
        """Equal for tokens of the same bytes: uint64 [t]."""
        return hash_spans(self.texts.data, self.starts, self.ends)

    def only(self, chosen: np.ndarray) -> Tokens:
        """Return the tokens of some texts; the others are as if they had none.

        :param chosen: bool [n].
        """
        kept = np.repeat(chosen, self.counts)
        offsets = np.concatenate([[0], np.cumsum(self.counts * chosen)])
        found = Tokens(self.texts, self.starts[kept], self.ends[kept], offsets)
        for name in {"lengths", "kinds", "hashes"} & vars(self).keys():  # known by now
            vars(found)[name] = vars(self)[name][kept]
        return found

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Add up numbers or booleans [t] of each text's tokens: int64 [n]."""
        return sums(values, self.offsets)


def tokens(texts: Characters) -> Tokens:
    """Cut n texts into tokens."""
    solid = texts.shown != SPACE
    begins = run_begins(solid, texts.offsets)
    begins[_cuts(texts, begins)] = True
    begins[texts.apart()] = True
    begins &= solid
    starts = np.flatnonzero(begins)
    return Tokens(texts, starts, run_ends(solid, begins), np.searchsorted(starts, texts.offsets))


def _cuts(texts: Characters, begins: np.ndarray) -> np.ndarray:
    """Find where tokens begin at marks and after them: bytes, int64 [m].

    :param begins: bool [b], where a word begins after white space, or a text.
    """
    marks = _marks(texts, begins)
    alone = marks.opening() | marks.closing() | marks.splitting()
    found = np.concatenate([marks.starts[alone], marks.ends[alone], marks.contractions()])
    return found[found < len(begins)]


@dataclass(frozen=True)
class _Marks:
    """The marks of some texts: symbols, of which dots and hyphens in a row are one.

    :param starts: int64 [m], the byte at which each begins.
    :param ends: int64 [m], the byte after its last.
    :param points: int64 [m], the code point of each.
    :param does: uint8 [m], its bits.
    :param linked: bool [m], whether it follows the mark before it directly.
    """

    texts: Characters
    begins: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    points: np.ndarray
    does: np.ndarray
    linked: np.ndarray

    @cached_property
    def before(self) -> np.ndarray:
        """The class of the character before each; `SPACE` where a word begins: uint8 [m]."""
        return self._class_before(self.starts)

    @cached_property
    def after(self) -> np.ndarray:
        """The class of the character after each; `SPACE` where a word ends: uint8 [m]."""
        return self._class_at(self.ends)

    def _class_before(self, places: np.ndarray) -> np.ndarray:
        return np.asarray(self.texts.shown[places - 1] * ~self.begins[places])

    def _class_at(self, places: np.ndarray) -> np.ndarray:
        inside = np.minimum(places, len(self.begins) - 1)
        known = ~self.begins[inside] & (places < len(self.begins))
        return np.asarray(self.texts.shown[inside] * known)

    def _byte_at(self, places: np.ndarray) -> np.ndarray:
        """Return bytes, 0 where a word begins or the texts end: int64 [k]."""
        inside = np.minimum(places, len(self.begins) - 1)
        known = ~self.begins[inside] & (places < len(self.begins))
        return np.asarray(self.texts.data[inside] * known, np.int64)

    def _are(self, bits: int) -> np.ndarray:
        return np.asarray((self.does & bits) > 0)

    @cached_property
    def _dots(self) -> np.ndarray:
        """Whether each is an ellipsis, or several dots."""
        several = (self.points == _DOT) & (self.ends - self.starts > 1)
        return np.asarray(several | (self.points == _ELLIPSIS))

    @cached_property
    def _initials(self) -> np.ndarray:
        """Whether a single letter is before each, if a letter is: of a word, or after a dot."""
        letter = np.maximum(self.starts - 1, 0)
        alone = self._class_before(letter) == SPACE
        return np.asarray(alone | (self.texts.data[np.maximum(letter - 1, 0)] == _DOT))

    def opening(self) -> np.ndarray:
        """Whether each is cut off at the start of a word: bool [m]."""
        cut_off = self._are(_OPENS) | self._dots
        cut_off &= ~((self.points == ord("+")) & (self.after == DIGIT))
        return _unbroken(cut_off, self.linked, self.before == SPACE)

    def closing(self) -> np.ndarray:
        """Whether each is cut off at the end of a word: bool [m]."""
        cut_off = self._are(_CLOSES) | self._dots | (self._are(_ENDS) & (self.before == DIGIT))
        cut_off |= (self.points == _DOT) & self._ends_a_sentence()
        linked = np.append(self.linked[1:], False)[: len(self.linked)]
        return _unbroken(cut_off[::-1], linked[::-1], (self.after == SPACE)[::-1])[::-1]

    def _ends_a_sentence(self) -> np.ndarray:
        """Whether a dot would, here, rather than shorten a word (`J.`, `e.g.`, `U.S.`)."""
        stops = np.append(False, self._are(_STOPS))[:-1] & self.linked
        letter = self.before >= SINGLE
        return np.asarray(stops | (self.before == DIGIT) | letter & ~self._initials)

    def splitting(self) -> np.ndarray:
        """Whether each splits the word that it is in: bool [m]."""
        letter_before, letter_after = self.before >= SINGLE, self.after >= SINGLE
        digit_before, digit_after = self.before == DIGIT, self.after == DIGIT
        found = self._are(_HYPHEN) & (letter_before | digit_before) & letter_after
        found |= self._are(_SIGN) & digit_before & digit_after
        found |= (self.points == _COMMA) & letter_before & letter_after
        dot = (self.points == _DOT) & ~self._initials
        found |= dot & (self.before == LOWER) & (self.after == UPPER)
        found &= ~self._in_address()
        found |= stand_alone(self.before) | stand_alone(self.after)
        return np.asarray(found | self._dots)

    def _in_address(self) -> np.ndarray:
        """Whether each is in a word with `://`."""
        found = self.points == _COLON
        for step in (0, 1):
            found &= self._byte_at(self.ends + step) == _SLASH
        words = np.cumsum(self.begins)[self.starts] if found.any() else self.starts
        return np.asarray(np.isin(words, words[found]))

    def contractions(self) -> np.ndarray:
        """Find where `n't`, `'s` and their like begin: bytes, int64 [k]."""
        chosen = self._are(_APOSTROPHE) & (self.before >= SINGLE) & (self.after >= SINGLE)
        starts, ends = self.starts[chosen], self.ends[chosen]
        one, next_one = (self._byte_at(ends + step) | _LETTER_CASE for step in (0, 1))
        two = one << 8 | next_one
        short = self._class_at(ends + 1) < PICTURE
        negates = (
            short & (one == ord("t")) & (self.texts.data[starts - 1] | _LETTER_CASE == ord("n"))
        )
        longer = (self._class_at(ends + 2) < PICTURE) & np.isin(two, _TWO_LETTERS)
        other = short & np.isin(one, list(b"sdm")) | longer
        return np.concatenate([starts[negates] - 1, starts[other]])


def _marks(texts: Characters, begins: np.ndarray) -> _Marks:
    symbols = texts.shown == SYMBOL
    starts = np.flatnonzero(symbols if texts.first is None else symbols & texts.first)
    points, sizes = code_points(texts.data, starts)
    linked = np.append(False, starts[1:] == (starts + sizes)[:-1])[: len(starts)] & ~begins[starts]
    same = linked & np.append(False, points[1:] == points[:-1])[: len(starts)]
    same &= (points == _DOT) | (points == _HYPHEN_MINUS)
    last = ~np.append(same[1:], False)[: len(same)]
    ends = (starts + sizes)[last]
    return _Marks(
        texts, begins, starts[~same], ends, points[~same], _does(points[~same]), linked[~same]
    )


def _does(points: np.ndarray) -> np.ndarray:
    does = np.asarray(_ASCII_DOES[np.minimum(points, 0x7F)])
    foreign = points > 0x7F
    does[foreign] = _OPENS | _CLOSES | _STOPS
    does[foreign & (points >= _FIRST_DASH) & (points <= _LAST_DASH)] |= _HYPHEN
    does[points == _RIGHT_QUOTE] |= _APOSTROPHE
    return does


def _ascii_does() -> np.ndarray:
    does = np.zeros(128, np.uint8)
    for marks, bits in _ASCII.items():
        does[list(marks.encode())] |= bits
    return does


_ASCII_DOES = _ascii_does()


def _unbroken(good: np.ndarray, linked: np.ndarray, at_edge: np.ndarray) -> np.ndarray:
    """Follow the good ones of each row of linked marks, from its first if that is at an edge."""
    count = np.arange(len(good))
    bad = np.maximum.accumulate(np.where(~linked & ~(good & at_edge) | linked & ~good, count, -1))
    fresh = np.maximum.accumulate(np.where(~linked, count, 0))
    return np.asarray(bad < fresh)
