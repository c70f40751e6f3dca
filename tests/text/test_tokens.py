import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.text.characters import characters
from curate.text.tokens import tokens


def cut(*texts):
    found = tokens(characters(pl.Series("x", texts, pl.String)))
    data = found.texts.data.tobytes()
    spans = list(zip(found.starts.tolist(), found.ends.tolist(), strict=True))
    edges = found.offsets.tolist()
    return [
        [data[start:end].decode() for start, end in spans[low:high]]
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]


@pytest.mark.parametrize(
    "expected",
    [  # as spaCy 3.8 has it, with spaces put between what it cuts
        "Hello , world !",
        "\" Yes , \" she said ( twice ) .",
        "and / or , well - known ; e - mail",
        "in 3.14 of 1,000 cases , 3 - 4 of them",
        "It was n't John 's , we 're told : they 'd go",
        "It is n’t John ’s",
        "the U.S. and J. Smith , e.g. this . That",
        "Wait ... what .. ? No … yes",
        "snake_case stays , _ these _ do not # 1 @user",
        "https://example.org/a-b?c=d , a path / to / file",
        "costs $ 10 or 50 % of it , 5 + 3",
        "x = 1 ; y == 2 ; - 5",
        "a — b—c – d",
        "word -- word and --flag",
        "naïve café , Übung ; Привет , мир !",
        "« Bonjour » , dit - il",
        "end.Start of the next",
        "C++ is n't C",
    ],
)
def test_as_spacy(expected):
    text = expected
    for glued in _GLUED:
        text = text.replace(glued, glued.replace(" ", ""))
    assert cut(text) == [expected.split()]


_GLUED = []


def test_scripts_without_spaces():
    assert cut("你好world。สวัสดี", "ok👍👎!") == [
        ["你", "好", "world", "。", "ส", "วั", "ส", "ดี"],
        ["ok", "👍", "👎", "!"],
    ]


texts = st.text(st.sampled_from("ab Bn't'.…-:/’,1+$(éÉ你\u0301\u200d👍\u3164\n"), max_size=14)


@settings(deadline=None)
@given(st.lists(texts, max_size=6))
@example(["a-b:", "//c-d"])
@example(["a'r", "e b"])
@example(["a", "\u3164", ". b"])
def test_a_text_is_cut_alone_as_among_others(values):
    assert cut(*values) == [cut(value)[0] for value in values]


@settings(deadline=None)
@given(st.lists(texts, max_size=6))
def test_nothing_is_lost(values):
    kept = ["".join("".join(value.split()).split("\u3164")) for value in values]
    for value, parts in zip(kept, cut(*values), strict=True):
        assert "".join(parts).replace("\u200d", "").replace("\u3164", "") == value.replace("\u200d", "")


def test_what_is_told_of_tokens():
    found = tokens(characters(pl.Series(["Été 10 €!", "", "été"])))
    assert found.counts.tolist() == [4, 0, 1]
    assert found.lengths.tolist() == [3, 2, 1, 1, 3]
    assert found.sums(found.lengths).tolist() == [7, 0, 3]
    assert len(set(found.hashes.tolist())) == 5
    some = found.only(~(found.counts == 1))
    assert some.counts.tolist() == [4, 0, 0]
    assert some.lengths.tolist() == [3, 2, 1, 1]
