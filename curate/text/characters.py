"""What the characters of texts are, byte by byte in whole arrays: letters, digits, symbols, white space.

Each byte of UTF-8 has the class of the character it belongs to. The classes are ordered, so that most
questions are one comparison: words are made of `>= PICTURE`, symbols are `INVISIBLE` to `PICTURE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from curate.text.spans import bytes_of, run_begins, sums

SPACE = 0
INVISIBLE = 1
"""A character that is never shown and is no letter or mark, such as a zero-width joiner."""
SYMBOL = 2
PICTURE = 3
"""A symbol that is a word by itself: an emoji, an arrow."""
MARK = 4
INVISIBLE_MARK = 5
"""A variation selector, for example."""
NUMBER = 6
"""A number that is no decimal digit, such as a fraction."""
SINGLE_NUMBER = 7
"""Such a number of a script that has no spaces between words: it is a word by itself."""
SINGLE_DIGIT = 8
"""A decimal digit of such a script."""
DIGIT = 9
SINGLE = 10
"""A letter of such a script: Han, Kana, Thai, Lao, Khmer, Burmese."""
INVISIBLE_LETTER = 11
"""A filler of Hangul."""
LETTER = 12
"""A letter that is neither lower nor upper case."""
LOWER = 13
UPPER = 14

_INVISIBLE = (INVISIBLE, INVISIBLE_MARK, INVISIBLE_LETTER)
# Later ones overrule.
_CLASSES = [
    (r"\s", SPACE),
    (r"\p{So}", PICTURE),
    (r"\p{M}", MARK),
    (r"\p{N}", NUMBER),
    (r"\p{Nd}", DIGIT),
    (r"\p{L}", LETTER),
    (r"\p{Ll}", LOWER),
    (r"[\p{Lu}\p{Lt}]", UPPER),
]
_WITHOUT_SPACES = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_OF_WORDS = r"[\p{L}\p{M}\p{N}\p{So}]"
_JAMO = r"[\x{1100}-\x{11FF}\x{A960}-\x{A97F}\x{D7B0}-\x{D7FF}]"
_IGNORABLE = r"\p{Default_Ignorable_Code_Point}"
_BLOCK = 256  # code points that are classified together, when the first of them is met


@dataclass(frozen=True)
class Characters:
    """The bytes of n texts, end to end, and what they are.

    :param data: uint8 [b].
    :param offsets: int64 [n + 1], where each text begins; from 0 to b.
    :param classes: uint8 [b], of each byte's character.
    """

    data: np.ndarray
    offsets: np.ndarray
    classes: np.ndarray

    @cached_property
    def first(self) -> np.ndarray | None:
        """Whether each byte is the first of its character: bool [b]; None where all are."""
        first = (self.data & 0xC0) != 0x80
        return None if first.all() else first

    @cached_property
    def lengths(self) -> np.ndarray:
        """The characters of each text: int64 [n]."""
        return self.count(None)

    def count(self, chosen: np.ndarray | None) -> np.ndarray:
        """Count the characters of each text that are chosen.

        :param chosen: bool [b]; all of them by default.
        :return: int64 [n].
        """
        if self.first is not None:
            chosen = self.first if chosen is None else chosen & self.first
        return np.diff(self.offsets) if chosen is None else sums(chosen, self.offsets)

    def span_lengths(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Count the characters of spans of bytes: int64 [m]."""
        if self._before is None:
            return np.asarray(ends - starts)
        return np.asarray(self._before[ends] - self._before[starts])

    @cached_property
    def _before(self) -> np.ndarray | None:
        """How many characters begin before each byte and the end: int64 [b + 1]; None if all bytes do."""
        return None if self.first is None else np.concatenate([[0], np.cumsum(self.first)])

    def words(self) -> np.ndarray:
        """Count the words of each text, as `normalise.count_words` does: int64 [n]."""
        begins = run_begins(self.shown >= PICTURE, self.offsets)
        begins[self.apart()] = True
        return sums(begins, self.offsets)

    @cached_property
    def shown(self) -> np.ndarray:
        """The classes, with what is invisible as part of the word before it, or else as white space."""
        if self.first is None:
            return self.classes
        hidden = _is_any(self.classes, *_INVISIBLE)
        places = np.flatnonzero(hidden)
        if not len(places):
            return self.classes
        text = np.searchsorted(self.offsets, places, "right") - 1
        fresh = np.append(True, (np.diff(places) > 1) | (np.diff(text) > 0))
        starts = places[fresh]
        before = self.classes[starts - 1] * (starts > self.offsets[text[fresh]])
        within = (before >= PICTURE)[np.cumsum(fresh) - 1]
        shown = self.classes.copy()
        shown[places] = np.where(within, MARK, SPACE)
        return shown

    @cached_property
    def settled(self) -> np.ndarray:
        """Whether `normalise.normalise` changes no character but to lower case: bool [n].

        Apart from white space, that is. Some texts of which that is true may be left out.
        """
        if self.first is None:
            return np.ones(len(self.offsets) - 1, bool)
        starts = np.flatnonzero(self.data >= 0xC0)
        points, _ = code_points(self.data, starts)
        unsettled = starts[~_look_up(points)[1]]
        return np.asarray(np.diff(np.searchsorted(unsettled, self.offsets)) == 0)

    def apart(self) -> np.ndarray:
        """Find where a word begins although it may follow another without a gap: bytes, int64 [m].

        That is at every character that is a word by itself, and at what follows one and its marks.
        """
        if self.first is None:
            return np.zeros(0, np.int64)
        starts = np.flatnonzero(stand_alone(self.classes) & self.first)
        after = starts + 2 + (self.data[starts] >= 0xE0) + (self.data[starts] >= 0xF0)
        marks = self.shown == MARK
        marks[self.offsets[1:-1][self.offsets[1:-1] < len(marks)]] = False
        run_ends = np.flatnonzero(marks & ~np.append(marks[1:], False)) + 1
        within = np.append(marks, False)[after]
        after[within] = run_ends[np.searchsorted(run_ends, after[within], "right")]
        after = after[after < self.offsets[np.searchsorted(self.offsets, starts, "right")]]
        return np.concatenate([starts, after[self.shown[after] > MARK]])

    def take(self, rows: np.ndarray) -> Characters:
        """Return some of the texts, as they are asked for: int64 [m]."""
        sizes = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        place = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        return Characters(self.data[place], offsets, self.classes[place])


def characters(texts: pl.Series) -> Characters:
    """Classify the characters of n texts; a null is as an empty text."""
    data, offsets = bytes_of(texts)
    return Characters(data, offsets, _classes_of(data))


def stand_alone(classes: np.ndarray) -> np.ndarray:
    """Tell which classes are those of characters that are words by themselves: booleans."""
    return _is_any(classes, PICTURE, SINGLE, SINGLE_NUMBER, SINGLE_DIGIT)


def _is_any(classes: np.ndarray, *wanted: int) -> np.ndarray:
    found: np.ndarray = classes == wanted[0]
    for one in wanted[1:]:
        found |= classes == one
    return found


def _classes_of(data: np.ndarray) -> np.ndarray:
    """Return the class of the character that each byte belongs to."""
    ascii_table = _look_up(np.arange(256) & 0x7F)[0].tobytes()
    classes = np.frombuffer(bytearray(data.tobytes().translate(ascii_table)), np.uint8)
    foreign = data > 0x7F
    if not foreign.any():
        return classes
    points, sizes = code_points(data, np.flatnonzero(data >= 0xC0))
    classes[foreign] = np.repeat(_look_up(points)[0], sizes)
    return classes


def code_points(data: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decode the characters that begin at some bytes.

    :return: int64 [m] each, their code points and their numbers of bytes.
    """
    points = data[starts].astype(np.int64)
    sizes = 1 + (points >= 0xC0) + (points >= 0xE0) + (points >= 0xF0)
    points[sizes > 1] &= 0x7F >> sizes[sizes > 1]
    for place in (1, 2, 3):
        more = sizes > place
        points[more] = points[more] << 6 | data[starts[more] + place] & 0x3F
    return points, sizes


_CLASS = np.zeros(0x110000, np.uint8)
_SETTLED = np.zeros(0x110000, bool)
_KNOWN = np.zeros(0x110000 // _BLOCK, bool)


def _look_up(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of code points, and which are settled; found by blocks, as few ever occur."""
    blocks = points // _BLOCK
    if not _KNOWN[blocks].all():
        for block in np.unique(blocks[~_KNOWN[blocks]]):
            here = slice(block * _BLOCK, (block + 1) * _BLOCK)
            points_here = range(here.start, here.stop)
            # The surrogates between are no characters.
            known = [chr(p) if not 0xD800 <= p < 0xE000 else "\ufffd" for p in points_here]
            series = pl.Series(known, dtype=pl.String)
            _CLASS[here] = _classify(series)
            _SETTLED[here] = _settled(series, _CLASS[here])
            _KNOWN[block] = True
    return _CLASS[points], _SETTLED[points]


def _settled(characters: pl.Series, classes: np.ndarray) -> np.ndarray:
    form = characters.str.normalize("NFKC").str.to_lowercase().str.normalize("NFKC")
    settled = (form.str.len_chars() == 1).to_numpy() & ~_is_any(classes, MARK, *_INVISIBLE)
    # Neither may it be a word's character before and not after, nor compose with the next one.
    settled &= form.str.contains(_OF_WORDS).to_numpy() == (classes >= PICTURE)
    return np.asarray(settled & ~characters.str.contains(_JAMO).to_numpy())


def _classify(characters: pl.Series) -> np.ndarray:
    def are(pattern: str) -> np.ndarray:
        return characters.str.contains(pattern).to_numpy()

    classes = np.full(len(characters), SYMBOL, np.uint8)
    for pattern, name in _CLASSES:
        classes[are(pattern)] = name
    single = are(_WITHOUT_SPACES)
    classes[single & (classes >= LETTER)] = SINGLE
    classes[single & (classes == NUMBER)] = SINGLE_NUMBER
    classes[single & (classes == DIGIT)] = SINGLE_DIGIT
    hidden = are(_IGNORABLE)
    for shown, name in ((SYMBOL, INVISIBLE), (MARK, INVISIBLE_MARK), (LETTER, INVISIBLE_LETTER)):
        classes[hidden & (classes == shown)] = name
    return classes
