"""Records, tables and ids; scores and documents in columns, against plain Python."""

import hashlib
import itertools
import json
import math

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.schema import (
    DOC,
    PAIR,
    PASSAGE,
    SCHEMAS,
    Doc,
    Pair,
    Passage,
    append_scores,
    content_id,
    docs,
    drop_schema,
    first_positive,
    from_table,
    read_scores,
    replace_docs,
    score,
    to_table,
    with_first_positive_score,
    with_meta,
    with_score,
)
from tests.contracts.records import make_pairs, make_passages

text = st.text(max_size=20)
maybe = st.none() | text
floats32 = st.floats(width=32, allow_nan=False)
scores = st.dictionaries(text, floats32, max_size=3)
documents = st.builds(
    Doc,
    text,
    id=st.just("") | st.text(min_size=1, max_size=5),
    language=maybe,
    label=st.none() | floats32,
    origin=text,
    scores=scores,
)
shared = {
    "source": text,
    "group": text,
    "language": maybe,
    "license": maybe,
    "url": maybe,
    "split": maybe,
    "parents": st.lists(text, max_size=3),
    "scores": scores,
    "meta": text,
}
lists = st.lists(documents, max_size=3)
pairs = st.builds(
    Pair,
    kind=text,
    query=text,
    positives=lists,
    task=maybe,
    symmetric=st.booleans(),
    negatives=lists,
    candidates=lists,
    **shared,
)
passages = st.builds(Passage, text, title=maybe, **shared)


# -- round trips and ids ---------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.lists(pairs, max_size=5))
def test_pairs_come_back_from_a_table(records):
    table = to_table(records, "pairs")
    assert table.schema.equals(PAIR)
    assert from_table(table) == records


@settings(deadline=None, max_examples=40)
@given(st.lists(passages, max_size=5))
def test_passages_come_back_from_a_table(records):
    table = to_table(records, "passages")
    assert table.schema.equals(PASSAGE)
    assert from_table(table) == records


@pytest.mark.parametrize("kind", ["pairs", "passages"])
def test_slices_and_chunks_come_back(kind):
    records = (make_pairs if kind == "pairs" else make_passages)(1, 30)
    table = to_table(records, kind)
    chunked = pa.concat_tables([table.slice(7, 5), table.slice(20, 0), table.slice(20, 3)])
    assert from_table(chunked) == [*from_table(table)[7:12], *from_table(table)[20:23]]


def test_ids_say_what_they_name():
    doc, pair = Doc("b"), Pair("k", "q", [Doc("b")], "s", "g")
    assert doc.id == Passage("b", "s", "g").id == content_id("passage", None, "b")
    assert Passage("b", "s", "g", title="").id != doc.id
    assert pair.query_id == content_id("query", None, "q")
    assert pair.id == content_id("pair", "k", None, "q", doc.id)
    assert Pair("k", "q", [Doc("b")], "other", "other", scores={"x": 1}).id == pair.id
    assert Pair("k", "q", [Doc("b")], "s", "g", task="t").id != pair.id
    assert Pair("k", "q", [Doc("b"), Doc("c")], "s", "g").id != pair.id
    assert Doc(None, id="x").id == "x"
    with pytest.raises(ValueError, match="a text or an id"):
        Doc(None)


@given(st.lists(st.none() | text, max_size=4), st.lists(st.none() | text, max_size=4))
def test_ids_of_different_texts_differ(left, right):
    assert (content_id(*left) == content_id(*right)) == (left == right)


def test_ids_are_32_digits_whatever_the_text():
    assert content_id("\ud800") != content_id("?")
    assert all(len(content_id(part)) == 32 for part in (None, "", "\ud800", "x" * 10**6))


def test_ids_never_change():
    """They are in every shard and store that exists."""
    reference = hashlib.blake2b(b"7:passage-1:1:b", digest_size=16).hexdigest()
    assert content_id("passage", None, "b") == reference == "496e3d42b0df9c0fa2a7c05765f42cff"


def test_only_plain_types():
    def plain(dtype):
        if pa.types.is_list(dtype):
            return plain(dtype.value_type)
        if pa.types.is_struct(dtype):
            return all(plain(field.type) for field in dtype)
        return dtype in (pa.string(), pa.float32(), pa.bool_())

    for schema in SCHEMAS.values():
        assert all(plain(field.type) for field in schema)
    for kind, schema in SCHEMAS.items():
        assert drop_schema(kind).names == [*schema.names, "drop_reason", "drop_detail"]


# -- scores and documents in columns ---------------------------------------------------------------

score_list = st.none() | st.lists(
    st.fixed_dictionaries({"name": text, "value": floats32}), max_size=3
)
values32 = st.just(math.nan) | floats32


def chunked(rows: list, dtype: pa.DataType, cuts: list[int]) -> pa.ChunkedArray:
    """Lay rows out in chunks, each a slice of a longer array with rubbish around it."""
    bounds = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    parts = [rows[a:b] for a, b in itertools.pairwise(bounds)] or [[]]
    around = rows[:1] or [None]
    chunks = [pa.array([*around, *part, *around], dtype)[1 : 1 + len(part)] for part in parts]
    return pa.chunked_array(chunks, dtype)


def table_with(column: str, rows: list, cuts: list[int]) -> pa.Table:
    data = chunked(rows, PAIR.field(column).type, cuts)
    nulls = {f.name: pa.nulls(len(rows), f.type) for f in PAIR}
    return pa.table({**nulls, column: data}, schema=PAIR)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(score_list, values32), max_size=8), text, st.lists(st.integers(0, 9)))
def test_scores_are_appended_and_read(rows, name, cuts):
    before, values = [row[0] for row in rows], np.array([row[1] for row in rows], np.float32)
    table = with_score(table_with("scores", before, cuts), name, values)
    assert table.schema.equals(PAIR)
    expected = [
        (old or []) + ([] if np.isnan(value) else [{"name": name, "value": float(value)}])
        for old, value in zip(before, values, strict=True)
    ]
    assert table["scores"].to_pylist() == expected
    last = [[s["value"] for s in row if s["name"] == name][-1:] or [math.nan] for row in expected]
    read = score(table, name)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, np.array(last, np.float32).reshape(-1))


def test_scores_of_slices():
    records = make_pairs(2, 40)
    table = to_table(records, "pairs")
    expected = [record.scores.get("quality", math.nan) for record in records]
    for start, length in ((0, 40), (13, 9), (39, 1), (5, 0)):
        part = score(table.slice(start, length), "quality")
        np.testing.assert_allclose(part, np.float32(expected[start : start + length]))
    assert np.isnan(score(table, "no such score")).all()
    grown = append_scores(table["scores"].chunk(0)[10:20], "x", np.arange(10.0))
    assert read_scores(grown, "x").tolist() == list(range(10))


def test_a_score_for_each_row_is_demanded():
    with pytest.raises(ValueError, match=r"'x' needs shape \(3,\), got \(2,\)"):
        with_score(to_table(make_passages(1, 3), "passages"), "x", np.zeros(2))


doc_rows = st.lists(
    st.none()
    | st.lists(
        st.fixed_dictionaries(
            {
                "id": text,
                "text": maybe,
                "language": maybe,
                "label": st.none() | floats32,
                "origin": text,
                "scores": score_list,
            }
        ),
        max_size=3,
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=80)
@given(doc_rows, st.lists(st.integers(0, 9)))
def test_first_positives(rows, cuts):
    table = table_with("positives", rows, cuts)
    for part in ("text", "id", "label"):
        found = first_positive(table, part)
        assert found.to_pylist() == [row[0][part] if row else None for row in rows]
        assert found.type == DOC.field(part).type


@settings(deadline=None, max_examples=60)
@given(doc_rows, st.data())
def test_the_first_positive_gets_a_score(rows, data):
    values = data.draw(st.lists(values32, min_size=len(rows), max_size=len(rows)))
    table = table_with("positives", rows, [2, 4])
    grown = with_first_positive_score(table, "s", np.array(values, np.float32))
    assert grown.schema.equals(PAIR)
    for row, value, found in zip(rows, values, grown["positives"].to_pylist(), strict=True):
        wanted = [{**doc, "scores": doc["scores"] or []} for doc in row or []]
        if wanted and not math.isnan(value):
            wanted[0]["scores"] = [*wanted[0]["scores"], {"name": "s", "value": value}]
        assert found == wanted


def test_documents_are_made_and_placed():
    table = to_table(make_pairs(3, 4), "pairs")
    flat = docs(
        pa.array(["a", "b", "c"]), "mined", {"x": np.array([1, math.nan, 3]), "y": np.ones(3)}
    )
    found = replace_docs(table, "negatives", flat, np.array([2, 0, 1, 0]))
    assert found.schema.equals(PAIR)
    rows = found["negatives"].to_pylist()
    assert [[doc["id"] for doc in row] for row in rows] == [["a", "b"], [], ["c"], []]
    assert [doc["scores"] for row in rows for doc in row] == [
        [{"name": "x", "value": 1.0}, {"name": "y", "value": 1.0}],
        [{"name": "y", "value": 1.0}],
        [{"name": "x", "value": 3.0}, {"name": "y", "value": 1.0}],
    ]
    assert {(doc["origin"], doc["text"]) for row in rows for doc in row} == {("mined", None)}


def test_empty_tables_are_tables():
    for kind in SCHEMAS:
        table = to_table([], kind)
        assert (len(table), table.schema) == (0, SCHEMAS[kind])
        assert from_table(table) == []
        assert len(with_score(table, "x", np.zeros(0))) == 0
        assert score(table, "x").shape == (0,)
    empty = to_table([], "pairs")
    assert first_positive(empty).to_pylist() == []
    assert with_first_positive_score(empty, "x", np.zeros(0, np.float32)).schema.equals(PAIR)
    none = SCHEMAS["pairs"].empty_table()  # no chunks at all
    assert first_positive(none).to_pylist() == []
    assert score(none, "x").shape == (0,)


def test_polars_takes_every_column():
    frame = pl.from_arrow(to_table(make_pairs(1, 10), "pairs"))
    assert frame["positives"].list.len().to_list() == [len(p.positives) for p in make_pairs(1, 10)]


@given(st.lists(st.tuples(st.dictionaries(text, st.none() | text | scores), maybe), max_size=8))
def test_a_text_is_added_to_meta_as_json_would(rows):
    tables = [
        pa.table({"meta": [json.dumps(meta, indent=i % 3 or None)]})
        for i, (meta, _) in enumerate(rows)
    ]
    table = pa.concat_tables([*tables, pa.table({"meta": pa.array([None, None], pa.string())})])
    values = [None if value is None else f"value{i}" for i, (_, value) in enumerate(rows)] + [
        "a",
        None,
    ]
    found = with_meta(table, "new_key", pa.array(values, pa.string()))["meta"].to_pylist()
    metas = [meta for meta, _ in rows] + [{}]
    for meta, value, text in zip(metas, values, found[:-1], strict=False):
        assert json.loads(text) == meta | ({} if value is None else {"new_key": value})
    assert found[-1] is None
