"""How much texts repeat themselves: the n-gram measures of Gopher, in whole arrays.

Rae et al. 2021, arXiv:2112.11446, section A1.1. An n-gram is known by a 64-bit hash that grows word by
word, and only where an (n-1)-gram occurs again can an n-gram, so that each length looks at fewer places
than the one before; of most texts none is left after three words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curate.text.minhash.hashing import mix
from curate.text.tokens import Tokens

_STEP = np.uint64(0x9E3779B97F4A7C15)
_APART = np.uint64(0xD1342543DE82EF95)
_SPARE = 4  # buckets for each key: of keys that occur once 4 in 5 are alone in theirs


@dataclass(frozen=True)
class Ngrams:
    """The places of n-grams that occur more than once in their text, grouped by what they say.

    :param size: n.
    :param places: int64 [m], tokens at which they begin, group by group, ascending in each.
    :param groups: int64 [m], the number of the group of each, from 0.
    """

    size: int
    places: np.ndarray
    groups: np.ndarray


def repeated_ngrams(tokens: Tokens, longest: int) -> Iterator[Ngrams]:
    """Give the n-grams that occur more than once in their text, for n = 2 to `longest`."""
    ends = np.repeat(tokens.offsets[1:], tokens.counts)
    hashes = mix(tokens.hashes + np.repeat(_keys(len(tokens.counts)), tokens.counts))
    places = np.arange(len(hashes))
    for size in range(2, longest + 1):
        inside = places + size <= ends[places]
        places, hashes = places[inside], hashes[inside]
        hashes = hashes * _STEP + tokens.hashes[places + (size - 1)]
        again = _grouped(hashes)
        ordered = hashes[again]
        groups = np.cumsum(np.diff(ordered, prepend=ordered[:1]) != 0)
        yield Ngrams(size, places[again], groups)
        kept = np.sort(again)
        places, hashes = places[kept], hashes[kept]


def top_ngram_chars(tokens: Tokens, ngrams: Ngrams) -> np.ndarray:
    """Count the characters in all occurrences of each text's most frequent n-gram: int64 [texts].

    One space is counted between words. Of several as frequent the first in the text counts.
    """
    found = np.zeros(len(tokens.counts), np.int64)
    if not len(ngrams.places):
        return found
    firsts = np.flatnonzero(np.diff(ngrams.groups, prepend=-1))
    counts = np.diff(np.append(firsts, len(ngrams.groups)))
    places = ngrams.places[firsts]
    owners = np.searchsorted(tokens.offsets, places, "right") - 1
    order = np.lexsort((places, -counts, owners))
    best = order[np.diff(owners[order], prepend=-1) != 0]
    size = _chars(tokens, places[best], ngrams.size) + ngrams.size - 1
    found[owners[best]] = size * counts[best]
    return found


def repeated_ngram_chars(tokens: Tokens, ngrams: Ngrams) -> np.ndarray:
    """Count the characters in n-grams that occur earlier in their text: int64 [texts].

    No character is counted twice: they are taken from the front, each after the end of the last.
    """
    found = np.zeros(len(tokens.counts), np.int64)
    again = np.append(False, np.diff(ngrams.groups) == 0)[: len(ngrams.groups)]
    places = np.sort(ngrams.places[again])
    if not len(places):
        return found
    owners = np.searchsorted(tokens.offsets, places, "right") - 1
    # The next one to be taken after each, and by doubling all that follow it; a last one stands for none.
    after = np.searchsorted(places, places + ngrams.size)
    stays = np.append(owners, -1)[after] == owners
    after = np.append(np.where(stays, after, len(places)), len(places))
    chars = np.append(_chars(tokens, places, ngrams.size), 0)
    while (after < len(places)).any():
        chars += chars[after]
        after = after[after]
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    found[owners[firsts]] = chars[firsts]
    return found


def repeats(hashes: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Tell which of some hashes occurred before with the same owner: bool [m].

    :param hashes: uint64 [m].
    :param owners: int64 [m], small numbers from 0.
    """
    keys = mix(hashes + _keys(int(owners.max(initial=-1)) + 1)[owners])
    again = _grouped(keys)
    found = np.zeros(len(keys), bool)
    found[again[1:]] = keys[again[1:]] == keys[again[:-1]]
    return found


def _keys(n: int) -> np.ndarray:
    """Return for each of n texts a number that makes its hashes its own: uint64 [n]."""
    return mix(np.arange(1, n + 1, dtype=np.uint64) * _APART)


def _grouped(keys: np.ndarray) -> np.ndarray:
    """Return the places of keys that occur more than once, equal ones together, each ascending."""
    bits = max(int(np.ceil(np.log2(_SPARE * len(keys) + 1))), 1)
    buckets = (keys * _APART >> np.uint64(64 - bits)).astype(np.int64)
    crowded = np.flatnonzero(np.bincount(buckets, minlength=1)[buckets] > 1)
    order = crowded[np.argsort(keys[crowded], kind="stable")]
    same = keys[order[1:]] == keys[order[:-1]]
    shared = np.append(False, same)[: len(order)]
    shared[:-1] |= same
    return np.asarray(order[shared])


def _chars(tokens: Tokens, places: np.ndarray, size: int) -> np.ndarray:
    """Count the characters of n-grams without the spaces between their words: int64 [m]."""
    before = np.concatenate([[0], np.cumsum(tokens.lengths)])
    return np.asarray(before[places + size] - before[places])
