from collections import Counter

import numpy as np
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.text.characters import characters
from curate.text.repetition import (
    repeated_ngram_chars,
    repeated_ngrams,
    repeats,
    top_ngram_chars,
)
from curate.text.tokens import tokens

texts = st.lists(
    st.lists(st.sampled_from(["a", "bb", "ccc", "éé"]), max_size=40).map(" ".join), max_size=4
)


def top_by_hand(words, size):
    """Gopher: the share of the most frequent n-gram; of equals the first."""
    grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    ((gram, count),) = Counter(grams).most_common(1) or [((), 0)]
    return count * len(" ".join(gram)) if count > 1 else 0


def repeated_by_hand(words, size):
    """Gopher: characters in n-grams that occurred before, none counted twice."""
    chars, place = 0, 0
    grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    while place < len(grams):
        if grams[place] in grams[:place]:
            chars += len("".join(grams[place]))
            place += size
        else:
            place += 1
    return chars


@settings(deadline=None, max_examples=50)
@given(texts)
@example(["a " * 30, "", "a bb a bb a bb"])
def test_ngrams_by_hand(values):
    found = tokens(characters(pl.Series(values, dtype=pl.String)))
    split = [text.split() for text in values]
    seen = 1
    for ngrams in repeated_ngrams(found, 7):
        seen += 1
        assert ngrams.size == seen
        assert top_ngram_chars(found, ngrams).tolist() == [top_by_hand(w, seen) for w in split]
        repeated = [repeated_by_hand(words, seen) for words in split]
        assert repeated_ngram_chars(found, ngrams).tolist() == repeated
    assert seen == 7


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=30))
def test_repeats_by_hand(pairs):
    pairs.sort(key=lambda pair: pair[1])
    hashes = np.array([value for value, _ in pairs], np.uint64)
    owners = np.array([owner for _, owner in pairs], np.int64)
    assert repeats(hashes, owners).tolist() == [pair in pairs[:i] for i, pair in enumerate(pairs)]


def test_a_megabyte_of_one_word():
    found = tokens(characters(pl.Series(["word " * 200_000, "one two"])))
    *_, ngrams = repeated_ngrams(found, 10)
    assert top_ngram_chars(found, ngrams).tolist() == [199_991 * 49, 0]
    assert repeated_ngram_chars(found, ngrams).tolist() == [19_999 * 40, 0]
