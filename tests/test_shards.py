"""Shards and manifests: bytes, checksums, memory, other file systems and other libraries."""

import itertools
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import curate
from curate import shards as shards_module
from curate.schema import PAIR, SCHEMAS, drop_schema, to_table
from curate.shards import (
    ROWS_PER_BATCH,
    Manifest,
    ShardError,
    ShardInfo,
    Shards,
    ShardWriter,
    Side,
    checksum,
    join,
    open_shard,
    read_bytes,
    read_manifest,
    read_shards,
    verify,
    write_bytes,
    write_manifest,
    write_shard,
)
from tests.contracts.records import make_pairs, make_passages


@pytest.fixture(scope="module")
def table():
    """600 pairs, with nulls, lists and strange texts, short enough to be written often."""
    pairs = [pair for pair in make_pairs(5, 700) if len(pair.query or "") < 1000]
    return to_table(
        [p for p in pairs if all(len(d.text or "") < 1000 for d in p.positives)], "pairs"
    )


def write_folder(folder, table, cuts=3, info=None):
    """Write a folder of `cuts` shards, half of the last one's rows dropped."""
    size = -(-len(table) // cuts)
    written = [write_shard(folder, f"{i}.arrow", table.slice(i * size, size)) for i in range(cuts)]
    reason = pa.array(["why"] * 5, pa.string())
    dropped = table.slice(0, 5).append_column("drop_reason", reason)
    dropped = dropped.append_column("drop_detail", reason).cast(drop_schema("pairs"))
    sides = {
        "main": Side("pairs", written),
        "dropped": Side("pairs", [write_shard(folder, "d.arrow", dropped)], dropped=True),
    }
    write_manifest(folder, Manifest(sides, info or {"key": "k"}))
    return folder


# -- writing ---------------------------------------------------------------------------------------


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(0, 600), max_size=6), way=st.integers(0, 2))
def test_bytes_follow_from_the_rows_alone(table, tmp_path, monkeypatch, cuts, way):
    """However rows are cut into batches, copied, filtered or joined before they are written."""
    monkeypatch.setattr(shards_module, "ROWS_PER_BATCH", 64)
    expected = write_shard(tmp_path, "whole.arrow", table)
    bounds = sorted({0, len(table), *(min(cut, len(table)) for cut in cuts)})
    with ShardWriter(tmp_path, "parts.arrow", table.schema) as writer:
        for low, high in itertools.pairwise(bounds):
            part = table.slice(low, high - low)
            if way == 1:
                part = pa.Table.from_pylist(part.to_pylist(), schema=table.schema)
            elif way == 2:
                part = pa.concat_tables([table, part]).filter(
                    pa.array([False] * len(table) + [True] * len(part))
                )
            writer.write(part)
    assert writer.info is not None
    assert (writer.info.rows, writer.info.bytes) == (expected.rows, expected.bytes)
    assert writer.info.checksum == expected.checksum


def test_a_shard_comes_back(table, tmp_path):
    info = write_shard(tmp_path, "a.arrow", table)
    path = tmp_path / "a.arrow"
    assert (info.rows, info.bytes) == (len(table), path.stat().st_size)
    assert info.checksum == checksum(path)
    opened = open_shard(path, info)
    assert opened.schema.equals(PAIR)
    assert opened.to_pylist() == table.to_pylist()
    assert not list(tmp_path.glob("*.tmp"))


def test_batches_of_a_shard_have_one_size(tmp_path):
    rows = 2 * ROWS_PER_BATCH + 10
    passages = to_table(make_passages(1, 20), "passages").slice(2, 1)
    write_shard(tmp_path, "a.arrow", pa.concat_tables([passages] * rows))
    reader = pa.ipc.open_file(tmp_path / "a.arrow")
    sizes = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
    assert sizes == [ROWS_PER_BATCH, ROWS_PER_BATCH, 10]


def test_an_empty_shard_is_a_shard(tmp_path):
    for kind, schema in SCHEMAS.items():
        info = write_shard(tmp_path, f"{kind}.arrow", schema.empty_table())
        assert info.rows == 0
        assert open_shard(tmp_path / f"{kind}.arrow", info).schema.equals(schema)
        assert len(pl.scan_ipc(tmp_path / f"{kind}.arrow").collect()) == 0


def test_a_failed_write_leaves_nothing(table, tmp_path):
    def fail():
        with ShardWriter(tmp_path, "a.arrow", PAIR) as writer:
            writer.write(table)
            raise ZeroDivisionError

    def write_other_columns():
        with ShardWriter(tmp_path, "b.arrow", PAIR) as writer:
            writer.write(table.drop_columns(["id"]))

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(ValueError, match="schema differs"):
        write_other_columns()
    assert list(tmp_path.iterdir()) == []


def test_small_files_are_replaced_at_once(tmp_path):
    write_bytes(tmp_path / "x", b"old")
    write_bytes(tmp_path / "x", b"new")
    assert read_bytes(tmp_path / "x") == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


# -- damage ----------------------------------------------------------------------------------------


def test_every_flipped_byte_is_refused(table, tmp_path):
    info = write_shard(tmp_path, "a.arrow", table.slice(0, 20))
    path = tmp_path / "a.arrow"
    data = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(data), 50).tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ShardError, match=rf"a\.arrow: checksum .* says {info.checksum}"):
            open_shard(path, info)
    path.write_bytes(data)
    verify(path, info)


def test_truncated_missing_and_foreign_files_are_refused(table, tmp_path):
    info = write_shard(tmp_path, "a.arrow", table)
    path = tmp_path / "a.arrow"
    data = path.read_bytes()
    for kept in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:kept])
        with pytest.raises(ShardError, match=rf"a\.arrow: {kept:,} bytes .* truncated"):
            open_shard(path, info)
        with pytest.raises(ShardError, match=r"a\.arrow: not a readable Arrow IPC file"):
            open_shard(path)
    path.unlink()
    with pytest.raises(ShardError, match=r"a\.arrow: the shard is missing"):
        open_shard(path, info)
    with pytest.raises(ShardError, match=r"a\.arrow: not a readable"):
        open_shard(path)
    path.write_text("text, not Arrow")
    with pytest.raises(ShardError, match="not a readable Arrow IPC file"):
        open_shard(path)


def test_only_the_damaged_shard_is_refused(table, tmp_path):
    found = read_shards(write_folder(tmp_path, table))
    (tmp_path / "1.arrow").write_bytes(b"")
    assert len(found.shard(0)) > 0
    with pytest.raises(ShardError, match=r"1\.arrow"):
        list(found.tables())
    with pytest.raises(ShardError, match=r"1\.arrow"):
        found.to_polars(["id"])


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", '{"format": 1}', '{"format": 99}'])
def test_damaged_manifests_are_refused(table, tmp_path, content):
    write_folder(tmp_path, table)
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ShardError, match=r"manifest\.json: (not|format)"):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(ShardError, match=r"manifest\.json: no manifest here"):
        read_shards(tmp_path)


# -- reading ---------------------------------------------------------------------------------------


def test_shards_are_one_table(table, tmp_path):
    found = read_shards(write_folder(tmp_path, table))
    assert (found.count, len(found), found.kind) == (3, len(table), "pairs")
    assert found.to_arrow().to_pylist() == table.to_pylist()
    assert found.to_arrow(["id", "query"]).column_names == ["id", "query"]
    assert found.to_polars(["id"])["id"].to_list() == table["id"].to_pylist()
    batches = list(found.batches(100))
    assert max(len(batch) for batch in batches) <= 100
    assert pa.concat_tables(batches).to_pylist() == table.to_pylist()
    twice = found + found
    assert len(twice) == 2 * len(table)
    wanted = table["id"][17].as_py()
    assert wanted in found.find(wanted[:12])["id"].to_pylist()
    assert len(found.find("no such id")) == 0


def test_dropped_rows_have_their_own_side(table, tmp_path):
    dropped = read_shards(write_folder(tmp_path, table), "dropped")
    assert dropped.schema == drop_schema("pairs")
    assert dropped.to_arrow(["drop_reason"])["drop_reason"].to_pylist() == ["why"] * 5
    with pytest.raises(ShardError, match=r"no side 'held_out'; it has \['dropped', 'main'\]"):
        read_shards(tmp_path, "held_out")
    with pytest.raises(ValueError, match="cannot join"):
        read_shards(tmp_path) + dropped


def test_no_shards_are_an_empty_table():
    none = Shards("pairs", [])
    assert (len(none), none.count, none.to_arrow().schema) == (0, 0, PAIR)
    assert none.to_polars(["id"]).shape == (0, 1)
    assert list(none.batches(5)) == []
    assert "0 pairs" in none._repr_html_()


def test_shards_show_themselves_as_a_table(table, tmp_path):
    found = read_shards(write_folder(tmp_path, table))
    assert repr(found) == f"Shards({len(table):,} pairs in 3 shards)"
    html = found._repr_html_()
    assert "<table" in html
    assert "<script>" not in html
    assert "drop_reason" in read_shards(tmp_path, "dropped")._repr_html_()


def test_a_folder_reached_by_a_link_finds_shards_beside_it(table, tmp_path):
    """As runs refer to artefacts, whose shards lie in the store's parts."""
    (tmp_path / "store" / "artefact").mkdir(parents=True)
    info = write_shard(tmp_path / "store", "a.arrow", table)
    listed = ShardInfo("../a.arrow", info.rows, info.bytes, info.checksum)
    write_manifest(tmp_path / "store" / "artefact", Manifest({"main": Side("pairs", [listed])}))
    (tmp_path / "link").symlink_to("store/artefact")
    assert len(read_shards(tmp_path / "link").to_arrow()) == len(table)


def test_a_moved_folder_reads_the_same(table, tmp_path):
    (tmp_path / "a").mkdir()
    write_folder(tmp_path / "a", table, info={"x": "\u00e9"}).rename(tmp_path / "b")
    assert read_shards(tmp_path / "b").to_arrow().to_pylist() == table.to_pylist()
    assert read_manifest(tmp_path / "b").info == {"x": "\u00e9"}


# -- other libraries, other file systems -----------------------------------------------------------


def test_datasets_opens_shards(table, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = write_folder(tmp_path, table)
    files = [str(folder / f"{i}.arrow") for i in range(3)]
    loaded = datasets.load_dataset(
        "arrow", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded["id"][:] == table["id"].to_pylist()
    assert loaded[7]["positives"] == table["positives"][7].as_py()


def test_polars_scans_shards(table, tmp_path):
    folder = write_folder(tmp_path, table)
    scanned = pl.scan_ipc([folder / f"{i}.arrow" for i in range(3)])
    wanted = table.filter(pa.compute.equal(table["source"], "python"))["id"].to_pylist()
    assert scanned.filter(pl.col("source") == "python").collect()["id"].to_list() == wanted
    texts = scanned.select(pl.col("positives").list.first().struct.field("text")).collect()
    firsts = [row[0]["text"] if row else None for row in table["positives"].to_pylist()]
    assert texts["text"].to_list() == firsts


def test_uris_are_written_and_read(table, tmp_path):
    uri = f"file://{tmp_path}"
    info = write_shard(uri, "a.arrow", table)
    write_manifest(uri, Manifest({"main": Side("pairs", [info])}))
    assert open_shard(join(uri, "a.arrow"), info).equals(open_shard(tmp_path / "a.arrow"))
    found = read_shards(uri)
    assert found.to_arrow().to_pylist() == table.to_pylist()
    assert found.files[0][0] == f"{uri}/a.arrow"
    with pytest.raises(ShardError, match="no manifest here"):
        read_shards(f"{uri}/gone")


def test_a_file_system_that_is_not_local(table, tmp_path, monkeypatch):
    """An object store has no memory map: the same calls, through streams."""
    remote = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    real = shards_module.filesystem

    def filesystem(path):
        text = str(path)
        return (remote, text.split("://")[1]) if text.startswith("far://") else real(path)

    monkeypatch.setattr(shards_module, "filesystem", filesystem)
    info = write_shard("far://", "a.arrow", table)
    write_manifest("far://.", Manifest({"main": Side("pairs", [info])}))
    assert checksum("far://a.arrow") == checksum(tmp_path / "a.arrow") == info.checksum
    assert open_shard("far://a.arrow", info).to_pylist() == table.to_pylist()
    assert read_shards("far://.").to_arrow().to_pylist() == table.to_pylist()


@pytest.mark.parametrize(
    ("folder", "relative", "joined"),
    [
        ("/a/b", "c.arrow", "/a/b/c.arrow"),
        ("/a/b", "../../c/d", "/c/d"),
        ("s3://bucket/a/b", "../c", "s3://bucket/a/c"),
    ],
)
def test_paths_are_joined(folder, relative, joined):
    assert join(folder, relative) == joined


# -- memory and imports ----------------------------------------------------------------------------


def test_reading_a_large_folder_does_not_load_it(tmp_path):
    """60 MB of shards: columns are read at the cost of what is looked at."""
    big = to_table(make_passages(1, 20), "passages").slice(2, 1)
    index = big.schema.get_field_index("text")
    big = big.set_column(index, big.schema.field(index), pa.array(["x" * 100_000]))
    big = pa.concat_tables([big] * 150)
    shards = [write_shard(tmp_path, f"{i}.arrow", big) for i in range(4)]
    write_manifest(tmp_path, Manifest({"main": Side("passages", shards)}))
    program = f"""
import pyarrow as pa, resource
from curate import read_shards
import polars
shards = read_shards({str(tmp_path)!r})
before = pa.total_allocated_bytes()
assert len(shards) == 600
assert len(shards.to_arrow()) == 600
assert shards.to_polars(["id"]).height == 600
print(pa.total_allocated_bytes() - before)
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert sum(shard.bytes for shard in shards) > 59_000_000
    assert int(told.stdout) < 1_000_000


def test_importing_curate_is_light():
    """Under half a second, and neither torch nor transformers, also with every stage imported."""
    program = """
import sys, time
began = time.perf_counter()
import curate
seconds = time.perf_counter() - began
assert curate.__all__
from curate import Pair, Recipe, read_shards
from curate.registry import registry
registry()
heavy = ["torch", "transformers", "sentence_transformers", "tokenizers", "scipy", "bm25s",
         "datasketch", "datasets", "sklearn"]
print(seconds, [name for name in heavy if name in sys.modules])
"""
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert min(float(run.stdout.split()[0]) for run in runs) < 0.5
    assert {run.stdout.split(maxsplit=1)[1].strip() for run in runs} == {"[]"}


def test_public_names():
    assert curate.Recipe.__module__ == "curate.recipe"
    assert curate.read_shards is read_shards
    assert set(curate.__all__) == set(dir(curate))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = curate.nothing
