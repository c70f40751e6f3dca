"""What is to be known of a set of classes before its texts are paired: how many, and some of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

BUCKET_TEXTS = 8_192
"""So many texts of a class are brought together at a time."""
RING_TEXTS = 8
"""Texts of a class form rings of so many or some more; each has the next one as its positive."""
SAMPLED_TEXTS = 16_384
"""Texts that are held as negatives, the same number of each class as far as they go."""
MAX_SAMPLED_CHARS = 4_000
"""A longer text is no negative, so that the sample takes 64 MB at most; mostly it takes 3 MB."""
_FIRST_SHARE = 32


def rank(seed: int, *texts: str) -> int:
    """Order texts as if at random, by their content."""
    return xxhash.xxh3_64_intdigest("\0".join(texts).encode(), seed)


@dataclass(frozen=True, slots=True)
class Classes:
    """How many texts each class has, and texts of many classes in random order."""

    counts: dict[str, int]
    sample: list[tuple[str, str]]

    def bucket(self, label: str, text: str) -> int:
        """Return in which part of a large class a text belongs."""
        parts = -(-self.counts.get(label, 1) // BUCKET_TEXTS)
        return rank(1, text) % parts if parts > 1 else 0

    def negatives(self, seed: int, label: str, texts: Iterable[str], wanted: int) -> list[str]:
        """Choose texts of other classes.

        :param texts: the query, by which they are chosen, and others that are no negatives.
        """
        known = list(texts)
        size = len(self.sample)
        start = rank(seed, known[0]) % size if size else 0
        found: list[str] = []
        for step in range(size):
            if len(found) == wanted:
                break
            other, text = self.sample[(start + step) % size]
            if other != label and text not in known:
                found.append(text)
                known.append(text)
        return found


def survey(seed: int, rows: Iterable[tuple[str, str]]) -> Classes:
    """Count the texts of each class and sample some, in one pass over (label, text).

    Memory: about 150 bytes for each class, and the sample.
    """
    counts: dict[str, int] = {}
    sample = _Sample(seed)
    for label, text in rows:
        counts[label] = counts.get(label, 0) + 1
        if len(text) <= MAX_SAMPLED_CHARS:
            sample.add(label, text)
    return Classes(counts, sample.texts())


class _Sample:
    """Holds the texts of lowest rank of each class; fewer of each the more classes there are."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._share = _FIRST_SHARE
        self._held: dict[str, dict[str, int]] = {}
        self._size = 0
        self._highest = 1 << 64
        """Classes of a higher rank are not sampled."""

    def add(self, label: str, text: str) -> None:
        held = self._held.get(label)
        if held is None:
            if rank(self._seed, label) > self._highest:
                return
            held = self._held[label] = {}
        if text not in held:
            held[text] = rank(self._seed, text)
            self._size += 1
            if len(held) > 2 * self._share:
                self._trim(label)
            if self._size > 2 * SAMPLED_TEXTS:
                self._shrink()

    def _trim(self, label: str) -> None:
        held = self._held[label]
        lowest = sorted(held.items(), key=lambda item: (item[1], item[0]))[: self._share]
        self._size += len(lowest) - len(held)
        self._held[label] = dict(lowest)

    def _shrink(self) -> None:
        """Hold no more than `SAMPLED_TEXTS`: fewer of each class, at last of fewer classes."""
        for label in self._held:
            self._trim(label)
        while self._size > SAMPLED_TEXTS:
            if self._share > 1:
                self._share //= 2
            else:
                ranked = sorted(self._held, key=lambda label: (rank(self._seed, label), label))
                self._highest = rank(self._seed, ranked[SAMPLED_TEXTS - 1])
                for label in ranked[SAMPLED_TEXTS:]:
                    self._size -= len(self._held.pop(label))
            for label in self._held:
                self._trim(label)

    def texts(self) -> list[tuple[str, str]]:
        """Return (label, text) of all, in random order."""
        self._shrink()
        ranked = [
            (number, label, text)
            for label, held in self._held.items()
            for text, number in held.items()
        ]
        return [(label, text) for _, label, text in sorted(ranked)]
