"""Lines and paragraphs of texts, in whole arrays, and which of them repeat an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa

from curate.text.characters import SPACE, Characters
from curate.text.repetition import repeats
from curate.text.spans import hash_spans, run_begins, run_ends, sums

_NEWLINE = 0x0A


@dataclass(frozen=True)
class Parts:
    """Lines or paragraphs of n texts, end to end, without the white space around them; none is blank.

    :param texts: what they are parts of.
    :param starts: int64 [p], the byte at which each begins.
    :param ends: int64 [p], the byte after its last.
    :param owners: int64 [p], the number of its text, ascending.
    """

    texts: Characters
    starts: np.ndarray
    ends: np.ndarray
    owners: np.ndarray

    @cached_property
    def counts(self) -> np.ndarray:
        """How many each text has: int64 [n]."""
        return self.sums(np.ones(len(self.owners), np.int64))

    @cached_property
    def lengths(self) -> np.ndarray:
        """The characters of each part: int64 [p]."""
        return self.texts.span_lengths(self.starts, self.ends)

    @cached_property
    def repeated(self) -> np.ndarray:
        """Whether each says what an earlier part of the same text says: bool [p]."""
        hashes = hash_spans(self.texts.data, self.starts, self.ends)
        return repeats(hashes, self.owners)

    def begin_with(self, literals: Iterable[str]) -> np.ndarray:
        """Tell which parts begin with one of some texts: bool [p]."""
        return self._have(literals, lambda size: self.starts)

    def end_with(self, literals: Iterable[str]) -> np.ndarray:
        """Tell which parts end with one of some texts: bool [p]."""
        return self._have(literals, lambda size: self.ends - size)

    def _have(self, literals: Iterable[str], place: Callable[[int], np.ndarray]) -> np.ndarray:
        found = np.zeros(len(self.starts), bool)
        for wanted in (literal.encode() for literal in literals):
            here = self.ends - self.starts >= len(wanted)
            for step, byte in enumerate(wanted):
                here[here] = self.texts.data[place(len(wanted))[here] + step] == byte
            found |= here
        return found

    def strings(self) -> pl.Series:
        """Return the parts themselves: p strings."""
        # Parts and what lies between them are one string after another of the same bytes.
        edges = np.stack([self.starts, self.ends], 1).ravel()
        offsets = np.append(edges, edges[-1:] if len(edges) else 0)
        spans = pa.LargeStringArray.from_buffers(
            len(edges), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(self.texts.data))
        )
        return pl.Series(spans.take(pa.array(np.arange(0, len(edges), 2))), dtype=pl.String)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Add up numbers or booleans [p] of each text's parts: int64 [n]."""
        return sums(values, np.searchsorted(self.owners, np.arange(len(self.texts.offsets))))

    def shares(self, chosen: np.ndarray) -> np.ndarray:
        """Return which share of each text's parts is chosen: float64 [n], NaN where there are none.

        :param chosen: bool [p].
        """
        return self.sums(chosen) / np.where(self.counts, self.counts, np.nan)


def lines(texts: Characters) -> Parts:
    """Find the lines of n texts; what is blank is none."""
    solid = texts.classes != SPACE
    begins = run_begins(solid, texts.offsets)
    word_starts, word_ends = np.flatnonzero(begins), run_ends(solid, begins)
    newlines = np.flatnonzero(texts.data == _NEWLINE)
    words = np.searchsorted(word_starts, np.sort(np.concatenate([texts.offsets, newlines])))
    first, last = words[:-1], words[1:] - 1
    filled = last >= first
    starts, ends = word_starts[first[filled]], word_ends[last[filled]]
    return Parts(texts, starts, ends, np.searchsorted(texts.offsets, starts, "right") - 1)


def paragraphs(found: Parts) -> Parts:
    """Find the paragraphs of n texts: what blank lines separate.

    :param found: the texts' lines.
    """
    newlines = np.flatnonzero(found.texts.data == _NEWLINE)
    before = np.searchsorted(newlines, found.starts)
    opens = np.append(True, (np.diff(before) > 1) | (np.diff(found.owners) > 0))[: len(before)]
    closes = np.append(opens[1:], True)[: len(opens)]
    return Parts(found.texts, found.starts[opens], found.ends[closes], found.owners[opens])
