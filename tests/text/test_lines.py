import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.characters import characters
from curate.text.lines import lines, paragraphs

texts = st.lists(
    st.lists(st.sampled_from(["a", " a", "é b\r", "", "  ", "\ta", "…"]), max_size=8).map(
        "\n".join
    ),
    max_size=5,
)


def strings(parts):
    found = parts.strings().to_list()
    return [
        [text for text, owner in zip(found, parts.owners, strict=True) if owner == row]
        for row in range(len(parts.texts.offsets) - 1)
    ]


def lines_by_hand(text):
    return [line.strip() for line in text.split("\n") if line.strip()]


def paragraphs_by_hand(text):
    found, open_ = [], False
    for line in text.split("\n"):
        if not line.strip():
            open_ = False
        elif open_:
            found[-1] += "\n" + line
        else:
            found.append(line)
            open_ = True
    return [paragraph.strip() for paragraph in found]


@settings(deadline=None, max_examples=50)
@given(texts)
def test_lines_and_paragraphs_by_hand(values):
    found = lines(characters(pl.Series(values, dtype=pl.String)))
    for parts, by_hand in ((found, lines_by_hand), (paragraphs(found), paragraphs_by_hand)):
        expected = [by_hand(text) for text in values]
        assert strings(parts) == expected
        assert parts.counts.tolist() == [len(some) for some in expected]
        assert parts.lengths.tolist() == [len(part) for some in expected for part in some]
        repeated = [part in some[:i] for some in expected for i, part in enumerate(some)]
        assert parts.repeated.tolist() == repeated
        shares = [1 - len(set(some)) / len(some) if some else None for some in expected]
        told = [None if share != share else share for share in parts.shares(parts.repeated)]
        assert told == [None if share is None else pytest.approx(share) for share in shares]
        for marks in (["…", "b"], ["é", "a"]):
            flat = [part for some in expected for part in some]
            assert parts.end_with(marks).tolist() == [part.endswith(tuple(marks)) for part in flat]
            begin = [part.startswith(tuple(marks)) for part in flat]
            assert parts.begin_with(marks).tolist() == begin
