"""Which of the texts written so far a new one repeats, found while more are being written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from curate.synthesize.written import ALIKE, alike, word_set
from curate.text.minhash import Shingling, band_keys, bands_and_rows

_WORDS = Shingling("words", 1)
_BANDS, _ROWS = bands_and_rows(ALIKE, 128, 0.99)


class Signed(NamedTuple):
    """A text as it is compared.

    :param words: its words in normal form.
    :param keys: of the bands of its MinHash signature.
    """

    text: str
    words: frozenset[str]
    keys: list[int]


class Distinct:
    """Texts of which none repeats another: the Jaccard similarity of their words is below 0.7.

    MinHash finds candidates, the words themselves decide. Holds about 3 kB for each text.
    """

    def __init__(self) -> None:
        self._texts: list[Signed] = []
        self._places: defaultdict[int, list[int]] = defaultdict(list)

    def sign(self, texts: Sequence[str]) -> list[Signed]:
        """Prepare texts, all that there are at a time."""
        if not texts:
            return []
        keys, _ = band_keys(pa.array(texts, pa.string()), _WORDS, _BANDS, _ROWS, seed=0)
        return [
            Signed(text, word_set(text), own)
            for text, own in zip(texts, keys[1:].T.tolist(), strict=True)
        ]

    def repeated(self, signed: Signed) -> str | None:
        """Return the text that this one repeats; None if there is none."""
        places = {place for key in signed.keys for place in self._places.get(key, ())}
        for place in sorted(places):
            if alike(signed.words, self._texts[place].words):
                return self._texts[place].text
        return None

    def add(self, signed: Signed) -> None:
        """Remember a text."""
        for key in signed.keys:
            self._places[key].append(len(self._texts))
        self._texts.append(signed)
