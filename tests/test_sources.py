from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from curate.sources import BySource, first_pattern


class Bounded(BySource):
    """Has a bound."""

    varying: ClassVar[frozenset[str]] = frozenset({"k"})

    k: int = 3
    """The bound."""
    fixed: int = 1
    """The same for all."""

    def check(self):
        if self.k < 0:
            raise ValueError(f"k: {self.k} is less than 0")
        super().check()


def table(*sources):
    return pa.table({"source": pa.array(sources, pa.string())})


def given(stage, *sources):
    return [(variant.k, rows.tolist()) for variant, rows in stage.variants(table(*sources))]


def test_the_first_pattern_that_fits_counts():
    column = pa.chunked_array([["a/b", "a", None], ["c", "A/b"]])
    assert first_pattern(column, ["a/*", "a*", "*"]).tolist() == [0, 1, 3, 2, 2]
    assert first_pattern(column, []).tolist() == [0] * 5
    assert first_pattern(pa.chunked_array([], pa.string()), ["a"]).dtype == np.int64


def test_each_row_comes_once_with_its_settings():
    stage = Bounded(k=1, fixed=7, per_source={"a*": {"k": 2}, "a/b": {"k": 9}, "z": {"k": 5}})
    assert given(stage, "a/b", "c", "a", None, "z") == [(2, [0, 2]), (5, [4]), (1, [1, 3])]
    assert [variant.fixed for variant, _ in stage.variants(table("a", "b"))] == [7, 7]
    assert given(Bounded(k=1), "a", None) == [(1, [0, 1])]
    assert given(stage) == []


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"per_source: 'a': 'fixed' cannot differ by source.*: k"):
        Bounded(per_source={"a": {"fixed": 2}})
    with pytest.raises(ValueError, match="integer"):
        Bounded(per_source={"a": {"k": "many"}})
    with pytest.raises(ValueError, match="per_source: 'a': k: -1 is less than 0"):
        Bounded(per_source={"b": {"k": 1}, "a": {"k": -1}}).check()


def test_settings_by_source_are_in_the_key():
    plain, own = Bounded(), Bounded(per_source={"a": {"k": 2}})
    assert plain.row_settings() != own.row_settings()
    assert own.row_settings() == Bounded(per_source={"a": {"k": 2}}).row_settings()
