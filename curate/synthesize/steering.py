"""Asking in rounds until each cell has what is wanted of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from curate.synthesize.coverage import Cell

_MOST = 4  # questions for each text that is missing: a cell that yields nothing is not worth more


class Steering:
    """Counts what was asked for and what came of it, and says what to ask next.

    The first round asks once for each text that is wanted. A further round asks the cells that came
    short for what is missing, more often the less came of what they were asked.

    :param wanted: how many texts, by cell.
    """

    def __init__(self, wanted: Mapping[Cell, int]) -> None:
        self.wanted = wanted
        self._asked: Counter[Cell] = Counter()
        self._reached: Counter[Cell] = Counter()

    def calls(self) -> list[tuple[Cell, int]]:
        """Return what the next round asks: cells, and a number that counts the questions of each."""
        return [call for cell in self.wanted for call in self._calls_of(cell)]

    def _calls_of(self, cell: Cell) -> Iterator[tuple[Cell, int]]:
        missing = self.wanted[cell] - self._reached[cell]
        tries = min(_MOST, (self._asked[cell] + 1) / (self._reached[cell] + 1))
        for _ in range(-int(-missing * tries // 1)):
            yield cell, self._asked[cell]
            self._asked[cell] += 1

    def wants(self, cell: Cell) -> bool:
        """Tell whether a cell still misses texts."""
        return self._reached[cell] < self.wanted.get(cell, 0)

    def count(self, cell: Cell) -> None:
        """Count a usable text."""
        self._reached[cell] += 1
