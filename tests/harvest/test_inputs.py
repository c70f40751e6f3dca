import bz2
import gzip
import io
import lzma
import random
import tarfile
import tracemalloc
import zipfile

import pytest

from curate.harvest.reading import bounds
from curate.harvest.reading.charset import decoded
from curate.harvest.reading.documents import Document, document_blocks, document_units, documents
from curate.harvest.reading.files import File, find
from curate.harvest.reading.streams import Chunk, stream_blocks, stream_units
from curate.harvest.reading.unpacking import members_of, unpacked
from curate.stage import Drop

zstandard = pytest.importorskip("zstandard")
py7zr = pytest.importorskip("py7zr")

PACKERS = {
    "plain": lambda data: data,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}
_RNG = random.Random(5)
LINES = b"".join(
    b"line %d %s\n" % (n, _RNG.randbytes(n % 49).hex().encode()) for n in range(20_000)
)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 100_000)
    monkeypatch.setattr(bounds, "MAX_RECORD_BYTES", 150_000)
    monkeypatch.setattr(bounds, "READ_BYTES", 10_000)


def write(folder, data, name="dump"):
    path = folder / name
    path.write_bytes(data)
    return File(path, name)


def cut(file, boundary=b"\n"):
    (unit,) = stream_units([file])
    blocks = list(stream_blocks(unit, boundary))
    assert len({block.name for block in blocks}) == len(blocks)
    return [block.payload for block in blocks]


@pytest.mark.parametrize("packing", PACKERS)
def test_blocks_of_a_stream_join_to_the_stream_and_end_behind_lines(tmp_path, small, packing):
    chunks = cut(write(tmp_path, PACKERS[packing](LINES)))
    assert b"".join(chunk.read() for chunk in chunks) == LINES
    assert len(chunks) > 5
    assert all(chunk.read().endswith(b"\n") for chunk in chunks)
    assert [c.start for c in chunks] == [0, *(c.end for c in chunks[:-1])]
    assert max(c.end - c.start for c in chunks) < 150_000


@pytest.mark.parametrize("packing", PACKERS)
def test_a_boundary_of_several_bytes_is_found_wherever_the_reads_end(tmp_path, small, packing):
    pages = b"".join(b"<page>%s</page>\n" % (b"y" * (n % 311)) for n in range(3_000))
    chunks = cut(write(tmp_path, PACKERS[packing](pages)), b"</page>")
    assert b"".join(chunk.read() for chunk in chunks) == pages
    assert all(chunk.read().endswith(b"</page>") for chunk in chunks[:-1])


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst"])
def test_what_stands_before_a_truncation_is_read(tmp_path, small, packing):
    packed = PACKERS[packing](LINES)
    *chunks, drop = cut(write(tmp_path, packed[: len(packed) * 3 // 4]))
    assert isinstance(drop, Drop)
    assert drop.reason == "truncated"
    got = b"".join(chunk.read() for chunk in chunks)
    assert LINES.startswith(got)
    assert packing == "bz2" or len(got) > len(LINES) // 3  # bz2 packs blocks of 900 kB


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst"])
def test_streams_that_follow_each_other_are_one(tmp_path, packing):
    file = write(tmp_path, PACKERS[packing](b"one\n") + PACKERS[packing](b"two\n") + b"\0" * 99)
    assert b"".join(unpacked(file)) == b"one\ntwo\n"


def test_rubbish_behind_a_stream_is_told(tmp_path):
    chunk, drop = cut(write(tmp_path, gzip.compress(b"good\n") + b"rubbish"))
    assert chunk.read() == b"good\n"
    assert drop.reason == "damaged"
    assert "at byte 5" in drop.detail


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst"])
def test_a_bomb_is_stopped_in_bounded_memory(tmp_path, monkeypatch, packing):
    monkeypatch.setattr(bounds, "MAX_SILENCE_BYTES", 96 << 20)
    bomb = write(tmp_path, PACKERS[packing](bytes(160 << 20)))
    assert bomb.path.stat().st_size < 1 << 20
    tracemalloc.start()
    (drop,) = cut(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drop.reason == "bomb"
    assert peak < 120 << 20


@pytest.mark.parametrize("packing", PACKERS)
def test_a_line_that_is_too_long_is_dropped_alone(tmp_path, small, packing):
    data = LINES[:300_000] + b"\n" + b"z" * 400_000 + b"\n" + LINES
    found = cut(write(tmp_path, PACKERS[packing](data)))
    (drop,) = [item for item in found if isinstance(item, Drop)]
    assert drop.reason == "too_long"
    kept = b"".join(item.read() for item in found if isinstance(item, Chunk))
    assert kept.endswith(LINES)
    assert b"zzz" not in kept
    assert kept.startswith(LINES[:200_000]) or packing == "plain"


def test_wide_characters_become_utf_8(tmp_path):
    text = "überall\nи здесь\n" * 3
    for encoding in ("utf-16", "utf-8-sig"):
        file = write(tmp_path, text.encode(encoding))
        assert b"".join(c.read() for c in cut(file)).decode() == text
        assert decoded(text.encode(encoding)) == text
    assert decoded("naïve".encode("cp1252")) == "naïve"
    assert decoded(b"\xff\xfe\x00", "nonsense")
    assert decoded(b"\x81\x8d") == "\ufffd\ufffd"


def test_an_empty_file_has_no_blocks(tmp_path):
    assert cut(write(tmp_path, b"")) == []
    assert cut(write(tmp_path, gzip.compress(b""))) == []


def test_a_file_that_shrinks_is_unreadable(tmp_path):
    file = write(tmp_path, LINES)
    (chunk,) = cut(file)
    file.path.write_bytes(b"short")
    with pytest.raises(OSError, match="shorter"):
        chunk.read()


def test_files_are_found_by_folder_pattern_and_glob(tmp_path):
    (tmp_path / "deep" / ".hidden").mkdir(parents=True)
    for name in ("b.csv", "a.csv.gz", "deep/c.csv", "deep/.hidden/d.csv", "e.txt"):
        (tmp_path / name).write_bytes(b"")
    names = ["a.csv.gz", "b.csv", "deep/c.csv"]
    assert [f.name for f in find(str(tmp_path), ["*.csv"])] == names
    assert [f.name for f in find(str(tmp_path / "*.csv"))] == ["b.csv"]
    assert [f.name for f in find(str(tmp_path / "e.txt"), ["*.csv"])] == ["e.txt"]
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        find(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match=r"holds no \*\.xml"):
        find(str(tmp_path), ["*.xml"])


def test_the_key_follows_names_and_content(tmp_path):
    def prints(data, name):
        file = write(tmp_path, data, name)
        return stream_units([file])[0].fingerprint, document_units([file])[0].fingerprint

    assert prints(b"a", "x") == prints(b"a", "x")
    assert prints(b"a", "x") != prints(b"b", "x")


# -- documents -------------------------------------------------------------------------------------


def read_all(files):
    blocks = [block for unit in document_units(files) for block in document_blocks(unit)]
    return blocks, [item for block in blocks for item in documents(block)]


def make_tar(folder, mode):
    path = folder / f"docs.tar{mode}"
    with tarfile.open(path, f"w:{mode.lstrip('.')}") as archive:
        for number in range(30):
            info = tarfile.TarInfo(f"../../etc/{number}.txt")
            info.size = 20_000
            archive.addfile(info, io.BytesIO(b"%05d" % number * 4_000))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return File(path, path.name)


def make_zip(folder):
    path = folder / "docs.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(30):
            archive.writestr(f"../{number}.txt", b"%05d" % number * 4_000)
    return File(path, path.name)


@pytest.mark.parametrize("kind", [".gz", ".xz", ".bz2", "", "zip"])
def test_archives_are_read_member_by_member(tmp_path, small, kind):
    archive = make_zip(tmp_path) if kind == "zip" else make_tar(tmp_path, kind)
    blocks, found = read_all([archive])
    assert len(blocks) > 3
    assert [d.data for d in found] == [b"%05d" % n * 4_000 for n in range(30)]
    assert all(d.name.startswith(archive.name) for d in found)


@pytest.mark.parametrize("kind", [".gz", ".xz", ".bz2", "", "zip"])
def test_a_damaged_archive_is_one_drop(tmp_path, small, kind):
    archive = make_zip(tmp_path) if kind == "zip" else make_tar(tmp_path, kind)
    data = archive.path.read_bytes()
    archive.path.write_bytes(data[: len(data) * 2 // 3])
    _, found = read_all([archive])
    drops = [item for item in found if isinstance(item, Drop)]
    assert len(drops) == 1
    assert drops[0].reason in ("damaged", "truncated")
    assert archive.name in drops[0].detail


def test_small_files_are_read_together_and_packed_ones_unpacked(tmp_path, small):
    files = [
        write(
            tmp_path, gzip.compress(b"%d" % n) if n % 2 else b"%d" % n, f"{n}.txt{'.gz' * (n % 2)}"
        )
        for n in range(9)
    ]
    blocks, found = read_all(files)
    assert len(blocks) == 1
    assert found == [Document(f"{n}.txt", b"%d" % n) for n in range(9)]


def test_a_document_that_is_too_long_or_gone_is_dropped(tmp_path, small):
    long, gone = write(tmp_path, b"x" * 200_000, "long"), write(tmp_path, b"", "gone")
    blocks = [block for unit in document_units([long, gone]) for block in document_blocks(unit)]
    gone.path.unlink()
    drops = [drop for block in blocks for drop in documents(block)]
    assert [drop.reason for drop in drops] == ["too_long", "unreadable"]


def test_members_of_a_7z_archive_are_streams(tmp_path, small):
    path = tmp_path / "site.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(LINES, "Posts.xml")
        archive.writestr(b"other", "Users.xml")
    posts = members_of(File(path, path.name), ["Posts.xml", "Tags.xml"])
    assert [f.name for f in posts] == ["site.7z/Posts.xml"]
    chunks = cut(posts[0])
    assert b"".join(c.read() for c in chunks) == LINES
    first = next(stream_blocks(stream_units(posts)[0]))  # the thread that unpacks must end
    assert first.payload.start == 0
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    assert [d.reason for d in cut(posts[0]) if isinstance(d, Drop)] == ["damaged"]
    path.write_bytes(b"7z\xbc\xaf\x27\x1c nonsense")
    with pytest.raises(ValueError, match="not a readable archive"):
        members_of(File(path, path.name), ["Posts.xml"])


def test_members_of_a_zip_archive_are_streams(tmp_path):
    path = tmp_path / "site.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Posts.xml", LINES)
    (posts,) = members_of(File(path, path.name), ["Posts.xml"])
    assert b"".join(unpacked(posts)) == LINES
    plain = write(tmp_path, LINES, "Posts.xml")
    assert members_of(plain, ["Posts.xml"]) == [plain]
