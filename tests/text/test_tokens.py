from itertools import pairwise

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
        for low, high in pairwise(edges)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # as spaCy 3.8 cuts them
        ('"Yes," she said (twice).', '" Yes , " she said ( twice ) .'),
        ("well-known; e-mail", "well - known ; e - mail"),
        ("in 3.14 of 1,000 cases, 3-4 of them", "in 3.14 of 1,000 cases , 3 - 4 of them"),
        ("It wasn't John's: they'd, we're", "It was n't John 's : they 'd , we 're"),
        ("can't, I'll, rock 'n' roll o'clock", "ca n't , I 'll , rock ' n ' roll o'clock"),
        ("It isn\u2019t John\u2019s", "It is n\u2019t John \u2019s"),
        ("the U.S. and J. Smith, e.g. this. End", "the U.S. and J. Smith , e.g. this . End"),
        ("A.B.C. (see Fig. 3).", "A.B.C. ( see Fig . 3 ) ."),
        ("Wait... what..? No… yes", "Wait ... what .. ? No … yes"),
        (
            "snake_case, _this_ #1 @user \\beta_{1}^2",
            "snake_case , _ this _ # 1 @user \\beta_{1}^2",
        ),
        ("https://example.org/a-b?c=d, path/to", "https://example.org/a-b?c=d , path / to"),
        ("$10 or 50% of it, 5+3, 50+ people", "$ 10 or 50 % of it , 5 + 3 , 50 + people"),
        ("x=1; y==2; -5; f(x) = [1, 2]", "x=1 ; y==2 ; -5 ; f(x ) = [ 1 , 2 ]"),
        ("a—b, b — c, 1990\u20131995", "a — b , b — c , 1990\u20131995"),
        ("word--word and --flag", "word -- word and --flag"),
        ("naïve café; «Bonjour», dit-il", "naïve café ; « Bonjour » , dit - il"),
        ("Привет, мир!", "Привет , мир !"),
        ("end.Start 10:30 a.m. .5", "end . Start 10:30 a.m. .5"),
        ("C++ isn't C#", "C++ is n't C #"),
        ("* item\n- item\n• item", "* item - item • item"),
        ("What?! No!!", "What ? ! No ! !"),
    ],
)
def test_as_spacy(text, expected):
    assert cut(text) == [expected.split()]


def test_scripts_without_spaces():
    assert cut("你好world。สวัสดี", "ok👍👎!") == [
        ["你", "好", "world", "。", "ส", "วั", "ส", "ดี"],
        ["ok", "👍", "👎", "!"],
    ]


texts = st.text(st.sampled_from("ab Bn't'.…-:/\u2019,1+$(éÉ你\u0301\u200d👍\u3164\n"), max_size=14)


@settings(deadline=None, max_examples=50)
@given(st.lists(texts, max_size=6))
@example(["a-b:", "//c-d"])
@example(["a'r", "e b"])
@example(["a", "\u3164", ". b"])
def test_a_text_is_cut_alone_as_among_others(values):
    assert cut(*values) == [cut(value)[0] for value in values]


@settings(deadline=None, max_examples=50)
@given(st.lists(texts, max_size=6))
def test_nothing_is_lost(values):
    def seen(text):
        return "".join(text.split()).replace("\u200d", "").replace("\u3164", "")

    assert [seen("".join(parts)) for parts in cut(*values)] == [seen(value) for value in values]


def test_what_is_told_of_tokens():
    found = tokens(characters(pl.Series(["Été 10 €!", "", "été"])))
    assert found.counts.tolist() == [4, 0, 1]
    assert found.lengths.tolist() == [3, 2, 1, 1, 3]
    assert found.sums(found.lengths).tolist() == [7, 0, 3]
    assert len(set(found.hashes.tolist())) == 5
    some = found.only(~(found.counts == 1))
    assert some.counts.tolist() == [4, 0, 0]
    assert some.lengths.tolist() == [3, 2, 1, 1]
