import unicodedata

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.normalise import (
    _UNSETTLED,
    content_hashes,
    count_words,
    normalise,
    words,
)

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8)


def series(values):
    return pl.Series("x", values, pl.String)


@pytest.mark.parametrize(
    ("text", "normal", "words_of"),
    [
        ("  Hello\t\r\nWorld?! ", "hello world?!", "hello world"),
        ("ﬁne e\u0301", "fine é", "fine é"),
        ("a\x00b\x7fc", "a b c", "a b c"),
        ("C++ C#", "c++ c#", "c c"),
        ("你好world。", "你好world。", "你 好 world"),
        ("สวัสดี", "สวัสดี", "ส วั ส ดี"),
        ("\u202eאבג\u202c דה", "אבג דה", "אבג דה"),
        (
            "\u0645\u06cc\u200c\u062e",
            "\u0645\u06cc\u062e",
            "\u0645\u06cc\u062e",
        ),
        ("ok👍👎", "ok👍👎", "ok 👍 👎"),
        ("İ", "i\u0307", "i\u0307"),
        ("so\u00adft", "soft", "soft"),
        (
            "\uff26\uff55\uff4c\uff4c\u3000\uff57",
            "full w",
            "full w",
        ),
        ("", "", ""),
        (None, None, None),
    ],
)
def test_examples(text, normal, words_of):
    assert normalise(series([text])).to_list() == [normal]
    assert words(series([text])).to_list() == [words_of]
    count = None if text is None else len(words_of.split())
    assert count_words(series([text])).to_list() == [count]


@settings(deadline=None)
@given(texts)
def test_normal_form_is_reached_at_once_and_row_by_row(values):
    once = normalise(series(values))
    assert normalise(once).to_list() == once.to_list()
    assert [normalise(series([value]))[0] for value in values] == once.to_list()
    assert all("  " not in text and text == text.strip(" ") for text in once)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=127), max_size=20), max_size=8))
def test_ascii_shortcut_equals_the_full_way(values):
    marked = normalise(series([value + "\u00e9" for value in values]))
    expected = normalise(series([value + "z" for value in values]))
    assert [text[:-1] for text in marked] == [text[:-1] for text in expected]


SETTLED = "éßàÿŒœ«»°Жжйё\u2013—\u2018\u2019“”•אבجעسمかなカー中文字한국→≠✓😀"
COMPANY = "aA \u0301\u0327\u200d\u00ad\u00a0\u1ea0…İΣﬁｶﾞ\u1100\u1161"


@settings(deadline=None)
@given(st.lists(st.text(SETTLED + COMPANY, max_size=12), max_size=8))
def test_what_nfkc_would_leave_is_rightly_left(values):
    """The texts that skip NFKC have the form that Python's own gives them."""
    for value, found in zip(values, normalise(series(values)), strict=True):
        shown = value.translate(dict.fromkeys(map(ord, "\u200d\u00ad")))
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).lower())
        assert found == " ".join(folded.lower().split())


def test_each_settled_character_is_one():
    """Each is left by NFKC, alone and after a letter, also in lower case."""
    every = [chr(c) for c in range(0x80, 0x20000) if not 0xD800 <= c < 0xE000]
    settled = ~series(every).str.contains(_UNSETTLED)
    for character in series(every).filter(settled):
        lower = character.lower()
        for text in (character, lower, f"a{lower}", f"\u1100{lower}\u1161"):
            assert unicodedata.normalize("NFKC", text) == text
        assert not unicodedata.combining(character)
    assert settled.sum() > 30_000


@settings(deadline=None)
@given(texts)
def test_unicode_forms_of_a_text_hash_alike(values):
    first = content_hashes(series(values))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        other = [unicodedata.normalize(form, value) for value in values]
        assert np.array_equal(content_hashes(series(other)), first)


def test_hash_is_that_of_the_standard():
    # XXH3 (128 bits) of b"hello world"
    found = content_hashes(series(["Hello  World.", "hello world", "HELLO WORLD?!"]))
    assert found.shape == (3, 2)
    assert (found == found[0]).all()
    assert found[0].tobytes().hex() == "df8d09e93f874900a99b8775cc15b6c7"


def test_what_differs_and_what_says_nothing():
    found = content_hashes(series(["c", "c++", "c#", "?", "!", "", " ", None]))
    assert len({tuple(row) for row in found[:5].tolist()}) == 5
    assert not found[5:].any()
    assert content_hashes(series([])).shape == (0, 2)
