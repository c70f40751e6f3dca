import unicodedata

import numpy as np
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.text.characters import (
    DIGIT,
    INVISIBLE,
    PICTURE,
    SINGLE,
    SINGLE_DIGIT,
    SPACE,
    UPPER,
    characters,
)
from curate.text.normalise import count_words, normalise
from curate.text.spans import hash_spans

HARD = "aB1 .\n-👍é你ー\u0301\u200d\ufe0fก็๑€\u3164\u3007ﬁ\u00ad⺀→½\u1100\u1161İΣ"
texts = st.lists(
    st.text(st.sampled_from(HARD), max_size=12)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    max_size=8,
)


def series(values):
    return pl.Series("x", values, pl.String)


@settings(deadline=None, max_examples=50)
@given(texts)
@example(["\u0e01", "\u0301a"])
@example(["a\u200d", "b"])
def test_words_are_counted_as_elsewhere(values):
    assert characters(series(values)).words().tolist() == count_words(series(values)).to_list()


@settings(deadline=None, max_examples=50)
@given(texts)
def test_classes_by_hand(values):
    found = characters(series(values))
    expected = {
        "length": [len(text) for text in values],
        "symbols": [sum(not _is_space(c) and _kind(c) not in "LMN" for c in t) for t in values],
        "digits": [sum(unicodedata.category(c) == "Nd" for c in text) for text in values],
        "letters": [sum(_kind(c) == "L" for c in text) for text in values],
        "upper": [sum(unicodedata.category(c) in ("Lu", "Lt") for c in t) for t in values],
    }
    if not all(unicodedata.category(c) != "Cn" for text in values for c in text):
        return  # newer to polars than to this Python
    classes = found.classes
    chosen = {
        "length": None,
        "symbols": (classes >= INVISIBLE) & (classes <= PICTURE),
        "digits": (classes == DIGIT) | (classes == SINGLE_DIGIT),
        "letters": classes >= SINGLE,
        "upper": classes == UPPER,
    }
    assert {what: found.count(which).tolist() for what, which in chosen.items()} == expected


def _kind(character):
    return unicodedata.category(character)[0]


def _is_space(character):
    return character.isspace() and character not in "\x1c\x1d\x1e\x1f"  # not to Unicode


@settings(deadline=None, max_examples=50)
@given(texts)
def test_settled_texts_keep_their_characters(values):
    found = characters(series(values))
    forms = characters(normalise(series(values)))
    for row in np.flatnonzero(found.settled):
        counts = [_of_words(some)[row] for some in (found, forms)]
        assert counts[0] == counts[1], ascii(values[row])


def _of_words(some):
    return some.count(some.classes >= PICTURE)


def test_most_scripts_are_settled():
    known = characters(
        series(["plain", "déjà vu \u2013 „Straße“", "Привет", "日本語です。", "ﬁ", "e\u0301", "½"])
    )
    assert known.settled.tolist() == [True] * 4 + [False] * 3


def test_nulls_and_slices():
    whole = series(["no", None, "ab", "", "你"]).slice(1)
    found = characters(whole)
    assert found.lengths.tolist() == [0, 2, 0, 1]
    assert bytes(found.data) == "ab你".encode()
    assert found.take(np.array([1, 3])).lengths.tolist() == [2, 1]
    assert characters(series([])).words().tolist() == []
    assert (characters(series([" \t\u3000"])).classes == SPACE).all()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from([b"a", b"ab", b"ba", b"aab"]), min_size=1, max_size=20),
    st.integers(1, 40),
)
def test_spans_have_one_hash_wherever_they_lie(spans, gap):
    data, starts = b"", []
    for span in spans:
        starts.append(len(data))
        data += span + b"-" * (gap << 12)  # more than is hashed at once
    starts = np.array(starts)
    ends = starts + [len(span) for span in spans]
    hashes = hash_spans(np.frombuffer(data, np.uint8), starts, ends)
    assert len(set(zip(spans, hashes.tolist(), strict=True))) == len(set(spans))
    assert len(set(hashes.tolist())) == len(set(spans))


def test_a_long_span_has_the_hash_of_its_bytes():
    rng = np.random.default_rng(0)
    long = rng.integers(0, 255, 400_000, np.uint8)
    data = np.concatenate([long, long[:7], long, long[:-1]])
    edges = np.array([0, 400_000, 400_007, 800_007, len(data)])
    one, other, again, shorter = hash_spans(data, edges[:-1], edges[1:])
    assert one == again
    assert len({int(one), int(other), int(shorter)}) == 3
