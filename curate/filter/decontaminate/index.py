"""The texts of evaluation sets, arranged so that those of others are looked up in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from curate.encode.base import Encoder
from curate.encode.neighbours import top_k
from curate.filter.decontaminate.sets import SIDES, Side
from curate.text.minhash import (
    Shingling,
    bands_and_rows,
    candidates_between,
    jaccard,
    shingles,
    signatures,
)
from curate.text.normalise import content_hashes, words

Method = Literal["exact", "ngram", "minhash", "embedding"]
METHODS: tuple[Method, ...] = get_args(Method)
MOST = 16
"""So many items at most count as met by one text, by one method."""
HIT = np.dtype(
    [
        ("row", np.int64),
        ("item", np.int32),
        ("side", np.uint8),
        ("method", np.uint8),
        ("measure", np.float32),
    ]
)
"""An item of an evaluation set that a text meets: side and method by their places in `SIDES` and
`METHODS`; the measure is the share of its n-grams, the Jaccard similarity or the cosine, 1 of a copy."""

_PERMUTATIONS = 128
_RECALL = 0.95
_SLOTS_PER_GRAM = 16  # of a table that tells of nearly all n-grams of a text that no item has them
_LARGEST_TABLE = 28  # as a power of two


class Methods(BaseModel):
    """What makes a text of one side too similar to a text of an evaluation set; null turns it off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exact: bool = True
    """The same text, but for its form (`text.normalise.content_hashes`)."""
    ngram: int | None = Field(13, ge=1)
    """So many words in a row that the two share (13: Brown et al. 2020, arXiv:2005.14165, appendix C).
    At least half of them must differ from each other: rows of digits say little."""
    min_words: int = Field(8, ge=1)
    """An evaluation text of fewer words than `ngram`, but these, must stand in the other as a whole."""
    min_share: float = Field(0, ge=0, le=1)
    """The least share of the evaluation text's n-grams that must be shared."""
    jaccard: float | None = Field(0.6, gt=0, le=1)
    """From which Jaccard similarity on two texts are near-duplicates: of characters, four in a row, of
    queries; of words, two in a row, of passages."""
    cosine: float | None = Field(0.95, gt=0, le=1)
    """From which cosine similarity on two texts are near-duplicates, if there is an encoder."""


class Index:
    """Items of evaluation sets that texts of one side are compared with."""

    def __init__(
        self,
        side: Side,
        methods: Methods,
        forms: list[str],
        items: np.ndarray,
        encoder: Encoder | None = None,
        threads: int = 1,
    ) -> None:
        """:param forms: f texts; an item with a title has two.
        :param items: int32 [f], whose they are.
        """
        texts = pa.array(forms, pa.large_string())
        self._side = SIDES.index(side)
        self._items = items
        self._finders: dict[Method, _Copies | _NGrams | _NearCopies | _Neighbours] = {}
        if methods.exact:
            self._finders["exact"] = _Copies(texts)
        if methods.ngram is not None:
            self._finders["ngram"] = _NGrams(texts, methods)
        if methods.jaccard is not None:
            self._finders["minhash"] = _NearCopies(texts, side, methods.jaccard, threads)
        if methods.cosine is not None and encoder is not None:
            self._finders["embedding"] = _Neighbours(texts, side, encoder, methods.cosine)

    def hits(self, texts: pa.Array) -> np.ndarray:
        """Compare texts by what they are made of; see `HIT`. Several threads may ask at once.

        :param texts: n strings without nulls; the `row` of a hit is a place among them.
        """
        return self._found(texts, [m for m in self._finders if m != "embedding"])

    def similar(self, texts: pa.Array) -> np.ndarray:
        """Compare texts by their vectors. One thread at a time may ask: the encoder has its own."""
        return self._found(texts, [m for m in self._finders if m == "embedding"])

    def _found(self, texts: pa.Array, methods: list[Method]) -> np.ndarray:
        found = [np.zeros(0, HIT)]
        for method in methods if len(texts) and len(self._items) else ():
            rows, forms, measures = self._finders[method].find(texts)
            hits = np.empty(len(rows), HIT)
            hits["row"], hits["item"], hits["measure"] = rows, self._items[forms], measures
            hits["side"], hits["method"] = self._side, METHODS.index(method)
            found.append(hits)
        return best(np.concatenate(found))


def best(hits: np.ndarray) -> np.ndarray:
    """Keep each item that a row meets on one side by one method once, and `MOST` of them, the likest."""
    keys = ("row", "side", "method")
    hits = hits[np.lexsort((-hits["measure"], hits["item"], *(hits[k] for k in keys[::-1])))]
    hits = hits[_begins(hits, *keys, "item")]
    hits = hits[np.lexsort((hits["item"], -hits["measure"], *(hits[k] for k in keys[::-1])))]
    begins = np.flatnonzero(_begins(hits, *keys))
    place = np.arange(len(hits)) - np.repeat(begins, np.diff(np.append(begins, len(hits))))
    kept: np.ndarray = hits[place < MOST]
    return kept


def _begins(hits: np.ndarray, *columns: str) -> np.ndarray:
    """Tell where sorted hits differ from the one before in some column."""
    begins = np.ones(len(hits), bool)
    begins[1:] = np.logical_or.reduce([hits[c][1:] != hits[c][:-1] for c in columns])
    return begins


def _matches(
    wanted: np.ndarray, keys: np.ndarray, most: int = MOST
) -> tuple[np.ndarray, np.ndarray]:
    """Find each of some numbers among sorted keys, the first `most` places of it.

    :return: places in `wanted` and places in `keys`, of the same length.
    """
    low = np.searchsorted(keys, wanted)
    counts = np.minimum(np.searchsorted(keys, wanted, "right") - low, most)
    ends = np.cumsum(counts)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(low - ends + counts, counts)
    return np.repeat(np.arange(len(wanted)), counts), places


Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows of texts, rows of forms, and measures, of the same length."""


class _Copies:
    """Texts that are the same but for their form."""

    def __init__(self, forms: pa.Array) -> None:
        hashes = content_hashes(pl.Series(forms))
        self._forms = np.lexsort((hashes[:, 1], hashes[:, 0]))
        self._hashes = hashes[self._forms]

    def find(self, texts: pa.Array) -> Found:
        hashes = content_hashes(pl.Series(texts))
        filled = np.flatnonzero(hashes.any(1))
        rows, places = _matches(hashes[filled, 0], self._hashes[:, 0])
        rows = filled[rows]
        same = hashes[rows, 1] == self._hashes[places, 1]
        rows, places = rows[same], places[same]
        return rows, self._forms[places], np.ones(len(rows))


class _NGrams:
    """Words in a row that two texts share."""

    def __init__(self, forms: pa.Array, methods: Methods) -> None:
        assert methods.ngram is not None
        self._size, self._share = methods.ngram, methods.min_share
        self._least = min(methods.min_words, self._size)
        counts = _word_counts(forms)
        self._long = _Grams(forms, np.flatnonzero(counts >= self._size), self._size, False)
        short = np.flatnonzero((counts >= self._least) & (counts < self._size))
        self._short = _Grams(forms, short, self._least, True) if len(short) else None
        self._words = dict(zip(short.tolist(), _padded(forms.take(pa.array(short))), strict=True))

    def find(self, texts: pa.Array) -> Found:
        rows, forms, shares = self._long.find(texts)
        enough = shares >= self._share
        found = [(rows[enough], forms[enough], shares[enough])]
        if self._short is not None:
            rows, forms = self._whole(texts, *self._short.find(texts)[:2])
            found.append((rows, forms, np.ones(len(rows))))
        rows, forms, shares = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return rows, forms, shares

    def _whole(
        self, texts: pa.Array, rows: np.ndarray, forms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Keep the forms that stand in the text as a whole, of those whose beginning does."""
        padded = _padded(texts.take(pa.array(rows)))
        within = [
            self._words[form] in text for form, text in zip(forms.tolist(), padded, strict=True)
        ]
        kept = np.array(within, bool)
        return rows[kept], forms[kept]


class _Grams:
    """The n-grams of some forms, looked up by their hashes: up to 44 bytes each."""

    def __init__(self, forms: pa.Array, chosen: np.ndarray, size: int, first: bool) -> None:
        """:param chosen: the rows of the forms, of `size` words at least.
        :param first: take but the first n-gram of each.
        """
        self._size = size
        hashes, owners = _grams(forms.take(pa.array(chosen)), size, first)
        self._counts = np.bincount(owners, minlength=len(chosen))
        self._hashes, self._owners, self._forms = hashes, owners.astype(np.int32), chosen
        bits = int(np.ceil(np.log2(_SLOTS_PER_GRAM * len(hashes) + 2)))
        self._shift = np.uint64(64 - min(bits, _LARGEST_TABLE))
        self._table = np.zeros(1 << min(bits, _LARGEST_TABLE), bool)
        self._table[hashes >> self._shift] = True

    def find(self, texts: pa.Array) -> Found:
        hashes, offsets = shingles(texts, Shingling("words", self._size))
        likely = np.flatnonzero(self._table[hashes >> self._shift])
        if not len(likely):
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        hit, places = _matches(hashes[likely], self._hashes)
        rows = np.searchsorted(offsets, likely[hit], "right") - 1
        # Each n-gram of a form counts once for a text, however often it stands there.
        rows, places = np.divmod(np.unique(rows * len(self._hashes) + places), len(self._hashes))
        met, counts = np.unique(rows * len(self._forms) + self._owners[places], return_counts=True)
        rows, owners = np.divmod(met, len(self._forms))
        return rows, self._forms[owners], counts / self._counts[owners]


def _grams(texts: pa.Array, size: int, first: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct n-grams of each text that say something: hashes, sorted, and whose they are."""
    hashes, offsets = shingles(texts, Shingling("words", size))
    single, starts = shingles(texts, Shingling("words", 1))
    owners = np.repeat(np.arange(len(texts)), np.diff(offsets))
    begin = np.arange(len(hashes)) - offsets[owners] + starts[owners]
    keep = _distinct(single, begin, size) >= -(-size // 2)
    if first:
        keep &= begin == starts[owners]
    owners, hashes = owners[keep], hashes[keep]
    order = np.lexsort((owners, hashes))
    owners, hashes = owners[order], hashes[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (owners[1:] != owners[:-1]) | (hashes[1:] != hashes[:-1])
    return hashes[fresh], owners[fresh]


def _distinct(values: np.ndarray, begin: np.ndarray, size: int) -> np.ndarray:
    """Count the distinct values among the `size` from each place on."""
    order = np.argsort(values, kind="stable")
    before = np.full(len(values), -1)  # where the value last occurred
    same = values[order[1:]] == values[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    count = np.zeros(len(begin), np.int64)
    for place in range(size):
        count += before[begin + place] < begin
    return count


def _word_counts(texts: pa.Array) -> np.ndarray:
    return np.diff(shingles(texts, Shingling("words", 1))[1])


def _padded(texts: pa.Array) -> Iterator[str]:
    """Return the normalised words of each text with a space around each word."""
    return (f" {text} " for text in words(pl.Series(texts, dtype=pl.String)).to_list())


class _NearCopies:
    """Texts whose sets of shingles are much the same."""

    def __init__(self, forms: pa.Array, side: Side, threshold: float, threads: int) -> None:
        # A word changed in a query of six leaves two of its five pairs of words, but most characters.
        self._shingling = Shingling("chars", 4) if side == "query" else Shingling("words", 2)
        self._forms, self._threshold = forms, threshold
        self._bands = bands_and_rows(threshold, _PERMUTATIONS, _RECALL)
        self._signed = signatures(forms, self._shingling, _PERMUTATIONS, 0, threads)

    def find(self, texts: pa.Array) -> Found:
        signed = signatures(texts, self._shingling, _PERMUTATIONS, 0)
        pairs = candidates_between(signed, self._signed, *self._bands)
        similarity = jaccard(texts, self._forms, pairs, self._shingling)
        near = similarity >= self._threshold
        return pairs[near, 0], pairs[near, 1], similarity[near]


class _Neighbours:
    """Texts whose vectors are close: of each the nearest alone."""

    def __init__(self, forms: pa.Array, side: Side, encoder: Encoder, threshold: float) -> None:
        self._encode = encoder.encode_queries if side == "query" else encoder.encode_passages
        self._threshold = threshold
        self._vectors = self._encode(forms.to_pylist())

    def find(self, texts: pa.Array) -> Found:
        cosine, place = top_k(self._encode(texts.to_pylist()), self._vectors, 1)
        rows = np.flatnonzero(cosine[:, 0] >= self._threshold)
        return rows, place[rows, 0], cosine[rows, 0]
