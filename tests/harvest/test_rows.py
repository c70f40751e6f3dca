"""Rows of tables in files, against Python's own readers."""

import bz2
import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.harvest.reading import bounds, rows_csv
from curate.harvest.reading.files import File
from curate.harvest.reading.rows import (
    MAX_TEXT_CHARS,
    Block,
    RowSource,
    blocks_of,
    items_in,
    number_in,
    rows_of,
    table_of,
    text_in,
)
from curate.stage import Drop


class Rows(RowSource):
    """A source, to read rows by."""

    def harvest(self, block):
        return self.rows(block)


def read(path, **options):
    """Read a file: the values of its rows, and its drops."""
    found = rows_in(path, **options)
    return [r.values for r in found if not isinstance(r, Drop)], [
        r for r in found if isinstance(r, Drop)
    ]


def rows_in(path, encoding=None, header=None):
    found = []
    for block in blocks_of(File(path, path.name), encoding, header):
        found += rows_of(block) if isinstance(block, Block) else [block]
    return found


def number_of_blocks(path):
    return sum(isinstance(b, Block) for b in blocks_of(File(path, path.name), None, None))


@pytest.fixture
def small_blocks(monkeypatch):
    """Cut every 200 bytes."""
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 200)


RECORDS = [{"a": f"é {i}", "b": i, "c": [1, {"d": '}]"{['}]} for i in range(50)]


# -- JSON ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_json_lines_are_read_packed_or_not(tmp_path, small_blocks, suffix, pack):
    path = tmp_path / f"a.jsonl{suffix}"
    lines = "\n".join(json.dumps(r, ensure_ascii=False) for r in RECORDS)
    path.write_bytes(pack(lines.encode()))
    assert read(path) == (RECORDS, [])
    assert number_of_blocks(path) > 1


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_list_is_read_in_blocks(tmp_path, small_blocks, indent):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(RECORDS, indent=indent), "utf-8")
    assert read(path) == (RECORDS, [])
    assert number_of_blocks(path) > 10


def test_a_row_says_where_it_begins(tmp_path, small_blocks):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(RECORDS), "utf-8")
    data = path.read_bytes()
    for row in rows_in(path):
        assert json.loads(data[row.at :].split(b"}]}")[0] + b"}]}") == row.values
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, RECORDS)), "utf-8")
    data = path.read_bytes()
    for row in rows_in(path):
        assert json.loads(data[row.at :].split(b"\n")[0]) == row.values


@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_of_lists_gives_their_rows_and_says_which(tmp_path, small_blocks, indent):
    path = tmp_path / "a.json"
    lists = {"train": RECORDS[:20], "empty": [], "test": [["x", "y"], ["z", "]"]]}
    path.write_text(json.dumps(lists, indent=indent), "utf-8")
    found = rows_in(path)
    assert [row.part for row in found] == ["train"] * 20 + ["test"] * 2
    assert found[-1].values == {"0": "z", "1": "]"}
    named = {"version": 1, "about": {"list": [{"not": "a row"}]}, "rows": [{"a": 1}]}
    path.write_text(json.dumps({"rows": [{"a": 0}], **named}, indent=1), "utf-8")
    assert read(path)[0] == [{"a": 1}]


def test_lines_and_documents_are_told_apart(tmp_path):
    def form(text, name="a.json"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return table_of(File(path, path.name), None, None).format

    assert form('["a", "b"]\n["c", "d"]') == "jsonl"
    assert form('["a", "b"]') == "jsonl"
    assert form('[["a", "b"], ["c", "d"]]') == "json"
    assert form('[{"a": 1}]') == "json"
    assert form('[,{"a": 1}{"a": 2}]') == "json"
    assert form('{"a": 1}\n{"a": 2}') == "jsonl"
    assert form('{"query": "q", "pos": ["p"]}') == "jsonl"
    assert form('{"train": [{"a": 1}]}') == "json"
    assert form('{\n "train": [\n  {"a": 1}]}') == "json"
    assert form('[{"a": 1}]', "a.jsonl") == "jsonl"


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ('[{"a":1}{"a":2},{"a":3}]', 3, ["damaged"]),
        ('[,{"a":1},,{"a":2}]', 2, ["damaged", "damaged"]),
        ('[{"a":1},{"a":2},]', 2, ["damaged"]),
        ('[{"a":1},{"a":2', 1, ["truncated"]),
        ('[{"a":1},{"a"-2},{"a":3}]', 2, ["damaged"]),
        ('[{"a":1}, 7, {"a":2}]', 2, ["damaged"]),
        ('[{"a":1}] and more', 1, ["damaged"]),
        ('[{"a":1}][{"a":2}]', 2, []),
        ('[{"a":1},{"a":"never closed},{"a":3}]', 1, ["truncated"]),
    ],
)
def test_damage_in_a_document_costs_no_more_than_it_must(tmp_path, text, good, bad):
    path = tmp_path / "a.json"
    path.write_text(text, "utf-8")
    rows, drops = read(path)
    assert len(rows) == good
    assert [drop.reason for drop in drops] == bad
    assert all("byte" in drop.detail for drop in drops)


def test_what_python_writes_as_json_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    deep = "[" * 100_000 + "]" * 100_000
    lines = ['{"a": NaN}', '{"a": "\\ud83d"}', f'{{"a": {deep}}}', '{"a": 1' + "0" * 30 + "}", "3"]
    path.write_text("\n".join(lines), "utf-8")
    rows, drops = read(path)
    assert [str(row["a"])[:2] for row in rows] == ["na", "\ud83d", "1e"]
    assert [drop.reason for drop in drops] == ["damaged", "damaged"]


def test_a_list_of_a_record_too_long_ends_there(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(bounds, "READ_BYTES", 500)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"a": 1}, {"a": "x" * 5000}, {"a": 2}]), "utf-8")
    rows, drops = read(path)
    assert rows == [{"a": 1}]
    assert [drop.reason for drop in drops] == ["too_long"]


# -- CSV and TSV -----------------------------------------------------------------------------------

FIELD = st.text(st.sampled_from('ab"\n,;\té 鍵'), max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=30), st.sampled_from(",;\t|"))
def test_csv_is_read_in_blocks_as_python_reads_it_whole(tmp_path_factory, records, delimiter):
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, lineterminator="\n")
    writer.writerows([("left", "middle", "right"), *records])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text(written.getvalue(), "utf-8", newline="")
    form = rows_csv.Form(delimiter, True, ("left", "middle", "right"), True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "BLOCK_BYTES", 40)
        chunks = list(rows_csv.cut_quoted(File(path, "a.csv"), form))
    read_back = [
        fields
        for chunk in chunks
        for _, fields in rows_csv.read_records(chunk.read(), form, "utf-8", chunk.start == 0)
    ]
    assert b"".join(chunk.read() for chunk in chunks) == path.read_bytes()
    assert read_back == [list(record) for record in records]


def test_a_quote_that_is_never_closed_costs_one_record(tmp_path, small_blocks):
    good = [f'x{i},"y\n{i}"' for i in range(40)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a,b", *good, '"open,z', "last,one", "very,last"]), "utf-8")
    rows, drops = read(path)
    assert [row["a"] for row in rows] == [*(f"x{i}" for i in range(40)), "last", "very"]
    assert [drop.reason for drop in drops] == ["damaged"]


def test_many_quotes_that_are_never_closed_take_no_longer(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('"x"y,"z\n' * 30_000 + '"', "utf-8")
    form = rows_csv.Form(",", True, ("a", "b"), False)
    chunks = list(rows_csv.cut_quoted(File(path, "a.csv"), form))
    assert b"".join(chunk.read() for chunk in chunks) == path.read_bytes()


def test_quotes_of_tsv_are_quotes_only_where_that_fits(tmp_path):
    path = tmp_path / "literal.tsv"
    path.write_text('a\tb\n"Yes," he said\tno\nx\t"never\n', "utf-8")
    assert read(path)[0] == [{"a": '"Yes," he said', "b": "no"}, {"a": "x", "b": '"never'}]
    path = tmp_path / "quoted.tsv"
    path.write_text('a\tb\n"two\nlines"\t"a ""word"""\n', "utf-8")
    assert read(path)[0] == [{"a": "two\nlines", "b": 'a "word"'}]


def test_delimiters_and_headers_are_found(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("query;positive\na;b\n", "utf-8")
    assert read(path)[0] == [{"query": "a", "positive": "b"}]
    path.write_text('"3","Fears, they say","Unions are disappointed."\n', "utf-8")
    assert read(path)[0] == [{"0": "3", "1": "Fears, they say", "2": "Unions are disappointed."}]
    assert read(path, header=("n", "t", "d"))[0][0]["t"] == "Fears, they say"
    path.write_text("what is the name of this\tit is so\n", "utf-8")
    path.rename(tmp_path / "a.tsv")
    assert list(read(tmp_path / "a.tsv")[0][0]) == ["0", "1"]


def test_records_of_another_width_are_dropped(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3\n4,5,6\n\n7,8\n", "utf-8")
    rows, drops = read(path)
    assert rows == [{"a": "1", "b": "2"}, {"a": "7", "b": "8"}]
    assert [drop.detail for drop in drops] == [
        "a.csv: byte 8: 1 fields instead of 2",
        "a.csv: byte 10: 3 fields instead of 2",
    ]


def test_encodings_are_found_and_bytes_of_another_are_drops(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\ncafé,crème\n".encode("cp1252"))
    assert read(path)[0] == [{"a": "café", "b": "crème"}]
    path.write_bytes("a,b\n鍵,é\n".encode() * 1 + b"\xe9,x\n" + "ключ,b\n".encode())
    rows, drops = read(path)
    assert [row["a"] for row in rows] == ["鍵", "ключ"]
    assert [drop.reason for drop in drops] == ["encoding"]
    path.write_text("a,b\n鍵,é\n", "utf-16")
    assert read(path)[0] == [{"a": "鍵", "b": "é"}]
    path.write_bytes(b"\xef\xbb\xbf" + "a,b\n1,é\n".encode())
    assert read(path)[0] == [{"a": "1", "b": "é"}]
    path.write_bytes("a,b\nключ,x\n".encode("koi8-r"))
    assert read(path, encoding="koi8-r")[0] == [{"a": "ключ", "b": "x"}]


def test_an_encoding_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no encoding has the name 'utf-99'"):
        Rows(path="x", encoding="utf-99")


# -- Parquet and Arrow -----------------------------------------------------------------------------


def table():
    return pa.table({"a": [f"é {i}" for i in range(100)], "b": [[i, None] for i in range(100)]})


def write(path, kind):
    if kind == "parquet":
        pq.write_table(table(), path, row_group_size=30)
        return
    make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as file, make(file, table().schema) as writer:
        writer.write_table(table(), max_chunksize=30)


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_columnar_files_are_read_by_row_groups_and_batches(tmp_path, small_blocks, kind):
    path = tmp_path / "a.bin"
    write(path, kind)
    rows = rows_in(path)
    assert [row.values for row in rows] == table().to_pylist()
    assert [row.at for row in rows] == list(range(100))
    assert number_of_blocks(path) == 4


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_only_the_columns_that_are_wanted_are_read(tmp_path, kind):
    path = tmp_path / "a.bin"
    write(path, kind)
    (block,) = blocks_of(File(path, "a.bin"), None, None)
    assert next(iter(rows_of(block, lambda names: names[:1]))).values == {"a": "é 0"}


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
@pytest.mark.parametrize("cut", [0.2, 0.6, 0.95])
def test_cut_off_columnar_files_are_drops(tmp_path, kind, cut):
    path = tmp_path / "a.parquet"
    write(path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut)])
    rows, drops = read(path)
    assert len(rows) < 100
    assert drops
    assert {drop.reason for drop in drops} <= {"damaged", "unreadable"}


def test_a_name_that_promises_a_columnar_file_is_taken_at_its_word(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("a,b\n1,2\n")
    assert [drop.reason for drop in read(path)[1]] == ["unreadable"]
    path = tmp_path / "a.parquet.gz"
    write(tmp_path / "plain", "parquet")
    path.write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    assert "unpacked first" in read(path)[1][0].detail


# -- folders and data sets -------------------------------------------------------------------------


def test_sets_of_the_library_are_read_from_its_cache(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    table().to_pandas()[["a"]].to_json(tmp_path / "set/train.jsonl", orient="records", lines=True)
    source = Rows(dataset=str(tmp_path / "set"))
    (unit,) = source.units()
    rows = [row for block in source.cut(unit) for row in source.rows(block)]
    assert [row.values["a"] for row in rows] == table()["a"].to_pylist()
    assert unit.name.startswith("train/")
    assert Rows(dataset=str(tmp_path / "set"), split="train").units()[0].name == unit.name
    with pytest.raises(ValueError, match="cannot be loaded"):
        Rows(dataset=str(tmp_path / "none")).units()


def test_a_set_saved_by_the_library_is_a_folder_of_arrow(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"a": ["x", "y"]}).save_to_disk(tmp_path / "saved")
    source = Rows(path=str(tmp_path / "saved"))
    rows = [r for unit in source.units() for block in source.cut(unit) for r in source.rows(block)]
    assert [row.values for row in rows] == [{"a": "x"}, {"a": "y"}]


def test_one_input_is_named():
    for wrong in ({}, {"path": "a", "dataset": "b"}):
        with pytest.raises(ValueError, match="either `path` or `dataset`"):
            Rows(**wrong)


# -- values ----------------------------------------------------------------------------------------


def test_texts_are_what_arrow_takes():
    assert text_in("  a\0b ") == "ab"
    assert text_in(None) == ""
    assert text_in("\ud83d\ude00 \ud83d") == "\U0001f600 \ufffd"
    for wrong in (5, ["a"], {"a": 1}, "x" * (MAX_TEXT_CHARS + 1)):
        with pytest.raises(ValueError, match=r"is no text|characters"):
            text_in(wrong)


def test_numbers_may_be_written_as_strings():
    assert [number_in(v) for v in (1, "2.5", " -3 ", True, None, "", "nan")] == [
        *(1.0, 2.5, -3.0, 1.0),
        *(None, None, None),
    ]
    for wrong in ("four", [1], {}, "1e99", float("inf"), 10**400):
        with pytest.raises(ValueError, match="no number"):
            number_in(wrong)


def test_a_text_is_one_item_and_never_its_characters():
    assert items_in("abc") == ["abc"]
    assert items_in(["a", "b"]) == ["a", "b"]
    assert items_in(None) == []
