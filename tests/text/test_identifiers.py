import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.identifiers import split_identifiers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("get_userName2", "get user name 2"),
        ("HTTPServer", "http server"),
        ("getHTTPResponseCode", "get http response code"),
        ("sha256sum", "sha 256 sum"),
        ("__init__", "init"),
        ("self.a1b2(C3)", "self a 1 b 2 c 3"),
        ("ÉcoleNormale éÉ", "école normale é é"),
        ("你好World", "你好 world"),
        (
            "\u0645\u06cc\u200c\u062e\u0648",
            "\u0645\u06cc\u200c\u062e\u0648",
        ),
        ("ok👍", "ok👍"),
        ("", ""),
        ("+-*/", ""),
        (None, None),
    ],
)
def test_examples(text, expected):
    assert split_identifiers(pl.Series("x", [text], pl.String)).to_list() == [expected]


def test_name_and_length_stay():
    result = split_identifiers(pl.Series("code", [], pl.String))
    assert (result.name, len(result)) == ("code", 0)


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(["get", "set", "user", "http", "id"]), min_size=1)))
def test_all_styles_of_the_same_words_agree(names):
    snake = ["_".join(words) for words in names]
    camel = ["".join(word.title() for word in words) for words in names]
    spaced = [" ".join(words) for words in names]
    for style in (snake, camel, spaced):
        assert split_identifiers(pl.Series(style, dtype=pl.String)).to_list() == spaced
