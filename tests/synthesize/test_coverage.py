"""Coverage: how texts are shared out over cells, and what counts as a repetition."""

import random
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.synthesize.coverage import (
    LANGUAGES,
    Cell,
    Coverage,
    cell_of,
    coverage_notes,
    error,
)
from curate.synthesize.distinct import Distinct
from curate.synthesize.steering import Steering
from curate.text.languages import language_name

SMALL = Coverage(
    family={"sts": 3, "short-long": 1},
    language={"en": 2, "de": 1},
    length={"short": 1},
    difficulty=["college", "PhD"],
)


def test_the_languages_are_those_of_xlmr_each_with_a_name():
    assert len(set(LANGUAGES)) == len(LANGUAGES) == 93
    assert all(language_name(tag) != tag for tag in LANGUAGES)
    shares = Coverage().languages()
    assert shares.keys() == set(LANGUAGES)
    assert shares["en"] == pytest.approx(0.43)
    assert shares["yi"] == pytest.approx(0.57 / 92)


def test_the_share_of_a_cell_is_the_product_of_its_parts():
    shares = SMALL.shares()
    assert len(shares) == 8
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[Cell("sts", "en", "short", "PhD")] == pytest.approx(3 / 4 * 2 / 3 / 2)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 700),
    weights=st.lists(st.floats(0.01, 50), min_size=8, max_size=8),
    others=st.booleans(),
)
def test_cells_get_their_share_and_values_do_too(count, weights, others):
    """Each cell its share rounded down or up; each value of a part within two texts of its share."""
    languages = dict(zip(["en", "de", "sw"], weights, strict=False))
    coverage = Coverage(
        family=dict(zip(["sts", "bitext", "long-long"], weights[3:], strict=False)),
        language=languages | ({"others": 5.0} if others else {}),
        difficulty={"college": weights[6], "PhD": weights[7]},
    )
    shares, given_ = coverage.shares(), coverage.apportion(count)
    assert sum(given_.values()) == count
    for cell, share in shares.items():
        assert abs(given_.get(cell, 0) - share * count) < 1
    for part in range(4):
        wanted: Counter[str] = Counter()
        for cell, share in shares.items():
            wanted[cell[part]] += share * count
        reached = Counter()
        for cell, number in given_.items():
            reached[cell[part]] += number
        assert all(abs(reached[value] - number) < 2 for value, number in wanted.items())


def test_the_order_in_which_a_recipe_writes_them_shares_nothing_out_differently():
    other = Coverage(
        family={"short-long": 1, "sts": 3},
        language={"de": 1, "en": 2},
        length={"short": 1},
        difficulty=["PhD", "college"],
    )
    assert all(other.apportion(n) == SMALL.apportion(n) for n in range(1, 30))


@pytest.mark.parametrize(
    ("settings_", "told"),
    [
        ({"language": ["en"]}, "bitext needs two languages"),
        ({"language": ["en", "german"]}, "'german' is no language tag"),
        ({"family": {"clustering": 1}}, "short-long"),
        ({"length": {"short": 0}}, "greater than 0"),
    ],
)
def test_what_cannot_be_covered_is_refused(settings_, told):
    with pytest.raises(ValidationError, match=told):
        Coverage(**settings_)


def test_the_error_is_the_total_variation_distance():
    a, b, c = (Cell("sts", tag, "short", "college") for tag in ("en", "de", "fr"))
    assert error({a: 2, b: 2}, {a: 10, b: 10}) == 0
    assert error({a: 2, b: 2}, {a: 3, b: 1}) == pytest.approx(0.25)
    assert error({a: 2, b: 2}, {c: 4}) == 1
    assert error({a: 2}, {}) == 1


def test_notes_tell_the_shares_after_the_first_round_and_at_the_end():
    cell = (
        '{"cell": {"family": "sts", "language": "%s", "length": "short", "difficulty": "PhD"},'
        ' "round": %d}'
    )
    made = pa.table({"meta": [cell % ("en", 0), cell % ("en", 0), cell % ("de", 1), "{}"]})
    en, de = (Cell("sts", tag, "short", "PhD") for tag in ("en", "de"))
    notes = coverage_notes({en: 2, de: 2}, [made])
    assert (notes["asked"], notes["first_round"], notes["reached"]) == (4, 2, 3)
    assert notes["coverage_error_first_round"] == 0.5
    assert notes["coverage_error"] == pytest.approx(1 / 6, abs=1e-4)
    (table,) = notes["tables"]
    assert ["language", "de", "50.0%", "0.0%", "33.3%"] in table["rows"]


@pytest.mark.parametrize(
    "meta", [None, "", "{}", "[]", '{"cell": {"family": "sts"}}', '{"cell": 1}']
)
def test_a_meta_without_a_cell_has_none(meta):
    assert cell_of(meta) is None


# -- rounds ----------------------------------------------------------------------------------------


def test_cells_that_come_short_are_asked_again_the_more_the_less_came():
    good, poor = (Cell("sts", tag, "short", "college") for tag in ("en", "de"))
    steering = Steering({good: 8, poor: 8})
    assert Counter(cell for cell, _ in steering.calls()) == {good: 8, poor: 8}
    for _ in range(8):
        steering.count(good)
    for _ in range(2):
        steering.count(poor)
    again = steering.calls()
    assert again == [(poor, 8 + n) for n in range(18)]  # 6 missing, 3 of 9 came
    assert not steering.wants(good)
    assert steering.wants(poor)


def test_a_cell_that_yields_nothing_is_not_asked_without_end():
    cell = Cell("sts", "en", "short", "college")
    steering = Steering({cell: 5})
    assert [len(steering.calls()) for _ in range(4)] == [5, 20, 20, 20]


# -- repetitions -----------------------------------------------------------------------------------


def test_repetitions_are_those_that_comparing_all_texts_finds():
    rng = random.Random(3)
    vocabulary = [f"word{n}" for n in range(400)]
    texts = []
    for _ in range(600):
        if texts and rng.random() < 0.4:
            words = rng.choice(texts).split()
            for _ in range(rng.randint(0, 4)):
                words[rng.randrange(len(words))] = rng.choice(vocabulary)
        else:
            words = rng.sample(vocabulary, rng.randint(6, 14))
        texts.append(" ".join(words))
    known, found, expected = Distinct(), [], []
    kept: list[set[str]] = []
    for signed in known.sign(texts):
        words = set(signed.text.split())
        expected.append(any(len(words & k) >= 0.7 * len(words | k) for k in kept))
        found.append(known.repeated(signed) is not None)
        if not expected[-1]:
            kept.append(words)
            known.add(signed)
    assert 50 < sum(expected) < 550
    missed = sum(e and not f for e, f in zip(expected, found, strict=True))
    assert not any(f and not e for e, f in zip(expected, found, strict=True))
    assert missed <= 0.02 * sum(expected)


def test_a_repetition_is_one_whatever_its_case_and_punctuation():
    known = Distinct()
    (first,) = known.sign(["Given a headline about rents, find another."])
    known.add(first)
    again, other = known.sign(["given a headline — about RENTS find another!", "Name the city."])
    assert known.repeated(again) == first.text
    assert known.repeated(other) is None
