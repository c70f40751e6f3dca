"""Folds: every record lies in one, whatever the shards, and a model says which it left out."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.encode.folds import LeftOut, numbers
from curate.schema import to_table
from tests.contracts.records import make_pairs


@pytest.mark.parametrize("by", ["pair", "query", "group"])
def test_every_record_lies_in_one_fold(by):
    table = to_table(make_pairs(1, 400), "pairs")
    parts = [LeftOut(fold=fold, of=3, by=by).rows(table) for fold in range(3)]
    np.testing.assert_array_equal(np.sum(parts, 0), np.ones(len(table)))
    if by != "group":  # there are only ten groups
        assert min(part.mean() for part in parts) > 0.25
    column = table[{"pair": "id", "query": "query_id", "group": "group"}[by]].to_pylist()
    where = {}
    for key, fold in zip(column, np.argmax(parts, 0), strict=True):
        assert where.setdefault(key, fold) == fold
    pieces = [LeftOut(fold=1, of=3, by=by).rows(table.slice(at, 7)) for at in range(0, 400, 7)]
    np.testing.assert_array_equal(np.concatenate(pieces), parts[1])


def test_the_hash_is_a_standard():
    """The same folds on every machine and in every version."""
    # XXH3 of 64 bits with seed 0, of nothing, "a" and "abc".
    empty, a, abc = 0x2D06800538D394C2, 0xE6C632B61E964E1F, 0x78AF5F94892F3950
    keys = pa.chunked_array([["a", None], ["abc", "", "a"]])
    expected = [value % 1000 for value in (a, empty, abc, empty, a)]
    assert numbers(keys, 1000).tolist() == expected
    assert numbers(pa.chunked_array([], pa.string()), 4).tolist() == []


def test_a_model_folder_says_what_was_left_out(tmp_path):
    assert LeftOut.load(tmp_path) is None
    part = LeftOut(fold=2, of=5, by="group")
    part.save(tmp_path)
    assert LeftOut.load(tmp_path) == part


def test_a_fold_beyond_the_last_is_refused():
    with pytest.raises(ValidationError, match="fold 2 of 2: folds are numbered from 0"):
        LeftOut(fold=2, of=2)
