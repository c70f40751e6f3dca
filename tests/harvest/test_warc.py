import gzip
import re
import zlib

import pytest
import zstandard
from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File, find
from curate.harvest.reading.streams import Chunk, stream_units
from curate.harvest.web import warc
from curate.harvest.web.warc import archive_blocks, archive_records, http_response
from curate.stage import Drop
from tests.harvest.made.web import http, pages, record

REAL = ("*.warc", "*.arc")


def cut(path):
    (unit,) = stream_units([File(path, path.name)])
    return [block.payload for block in archive_blocks(unit)]


def read(path):
    """Return the records and the drops of a file."""
    found = cut(path)
    chunks = [item for item in found if isinstance(item, Chunk)]
    records = [r for chunk in chunks for r in archive_records(chunk.read(), chunk.start)]
    return records, [item for item in found if isinstance(item, Drop)]


def written(folder, *parts, name="a.warc"):
    path = folder / name
    path.write_bytes(b"".join(parts))
    return path


def test_records_have_type_address_position_and_body(tmp_path):
    first, second = (
        record("http://a.b/1", b"one"),
        record("<http://a.b/2>", b"", "Metadata", "text/x; q=1"),
    )
    records, drops = read(written(tmp_path, first, second))
    assert not drops
    assert [(r.position, r.type, r.url, r.media, r.body) for r in records] == [
        (0, "response", "http://a.b/1", "application/http", b"one"),
        (len(first), "metadata", "http://a.b/2", "text/x", b""),
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_are_cut_between_records_and_lose_nothing(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 5_000)
    data = [gzip.compress(r) if packed else r for r in pages()]
    path = written(tmp_path, *data, name="a.warc.gz" if packed else "a.warc")
    assert len(cut(path)) > 10
    records, drops = read(path)
    assert not drops
    assert b"".join(record(r.url, r.body) for r in records) == b"".join(pages())


def test_no_more_than_some_records_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 5_000)
    held = []
    fill = warc._Cutter._fill
    monkeypatch.setattr(
        warc._Cutter, "_fill", lambda self, size: held.append(len(self.held)) or fill(self, size)
    )
    cut(written(tmp_path, *pages() * 20))
    assert max(held) < 2 * (1 << 20)


def test_a_record_that_is_too_long_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_RECORD_BYTES", 1_000)
    long = record("http://a.b/long", b"x" * 5_000)
    records, drops = read(
        written(tmp_path, record("http://a.b/1", b""), long, record("http://a.b/2", b""))
    )
    assert [r.url for r in records] == ["http://a.b/1", "http://a.b/2"]
    assert [(d.reason, "5,000 bytes" in d.detail) for d in drops] == [("too_long", True)]


@pytest.mark.parametrize(
    "junk",
    [
        b"junk\r\n\r\n",
        b"WARC/1.0\r\nContent-Length: -5\r\n\r\n",
        b"WARC/1.0\r\nContent-Length: much\r\n\r\n",
        b"WARC/1.0\r\n\r\n",
        b"\0" * 200_000,
        b"WARC/1.0\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    ],
)
def test_reading_goes_on_behind_what_is_no_record(tmp_path, junk):
    records, drops = read(
        written(tmp_path, record("http://a.b/1", b""), junk, record("http://a.b/2", b""))
    )
    assert [r.url for r in records] == ["http://a.b/1", "http://a.b/2"]
    assert {d.reason for d in drops} == {"damaged"}
    assert f"at byte {len(record('http://a.b/1', b''))}" in drops[0].detail


def test_a_length_that_is_wrong_spoils_two_records_at_most(tmp_path):
    wrong = record("http://a.b/2", b"x" * 300).replace(b"Length: 300", b"Length: 100")
    records, drops = read(written(tmp_path, record("http://a.b/1", b""), wrong, *pages()[:5]))
    assert [r.url for r in records][:2] == ["http://a.b/1", "http://a.b/2"]
    assert len(records) == 7
    assert [d.reason for d in drops] == ["damaged"]


@pytest.mark.parametrize(
    ("data", "reason"), [(b"".join(pages()[:3])[:-200], "truncated"), (b"", None)]
)
def test_a_file_that_is_cut_off_gives_what_is_whole(tmp_path, data, reason):
    records, drops = read(written(tmp_path, data))
    assert len(records) == (2 if data else 0)
    assert [d.reason for d in drops] == ([reason] if reason else [])


def test_a_packed_file_that_is_damaged_gives_what_comes_before(tmp_path):
    packed = [bytearray(gzip.compress(r)) for r in pages()[:10]]
    packed[6][40:60] = b"\xff" * 20
    records, drops = read(written(tmp_path, *packed, name="a.warc.gz"))
    assert len(records) == 6
    assert [d.reason for d in drops] == ["damaged"]


def test_a_stream_without_any_record_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_SILENCE_BYTES", 1 << 22)
    path = written(tmp_path, gzip.compress(b"WARC" + b"\0" * (1 << 25)), name="a.warc.gz")
    assert [d.reason for d in read(path)[1]] == ["bomb"]


# -- HTTP ------------------------------------------------------------------------------------------


def test_http_with_bare_line_feeds():
    response = http_response(b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n<p>")
    assert (response.status, response.headers, response.body) == (
        200,
        {"content-type": "text/html"},
        b"<p>",
    )


@pytest.mark.parametrize(
    "block", [b"", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"\xff" * 9]
)
def test_what_is_no_answer(block):
    assert http_response(block) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"3\nabc\n0\n\n", b"abc"),
        (b"<html>not chunked", b"<html>not chunked"),
        (b"ff\r\nshort", b"short"),
        (b"3\r\nabcXXrest", b"abcXXrest"),
    ],
)
def test_chunks_also_wrong_ones(body, expected):
    response = http_response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert response.body == expected


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstandard.compress),
        ("gzip", bytes),
        ("br", bytes),
    ],
)
def test_packed_bodies_and_those_only_said_to_be(encoding, pack):
    page = b"<html>page</html>" * 10
    response = http_response(http(pack(page), more=f"Content-Encoding: {encoding}\r\n"))
    assert response.body == page


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        ("gzip", b"\x1f\x8b broken beyond repair", "damaged"),
        ("zstd", b"\x28\xb5\x2f\xfd broken", "damaged"),
        ("deflate", b"\x78 broken", "damaged"),
        ("gzip", gzip.compress(b"\0" * (17 << 20)), "bomb"),
        ("zstd", zstandard.compress(b"\0" * (17 << 20)), "bomb"),
        ("br", b"\x0b\x02\x80", "content_encoding"),
    ],
)
def test_bodies_that_cannot_be_unpacked(encoding, body, reason):
    with pytest.raises(DamagedError) as caught:
        http_response(http(body, more=f"Content-Encoding: {encoding}\r\n"))
    assert caught.value.reason == reason


# -- real files ------------------------------------------------------------------------------------


def by_warcio(path):
    """Return type and address of the records, and whether it gave up before the end."""
    found = []
    try:
        with path.open("rb") as opened:
            for item in ArchiveIterator(opened, arc2warc=True):
                found.append((item.rec_type, item.rec_headers.get_header("WARC-Target-URI")))
    except ArchiveLoadFailed:
        return found, True
    return found, False


def test_real_archives_have_the_records_that_warcio_finds(data):
    files = find(str(data / "warc"), REAL)
    assert len(files) == 14
    gave_up = []
    for file in files:
        records, drops = read(file.path)
        theirs, stopped = by_warcio(file.path)
        gave_up += [file.path.name] if stopped else []
        assert len(theirs) <= len(records) if stopped else len(theirs) == len(records)
        ours = [r.url for r in records[: len(theirs)] if r.type == "response"]
        assert ours == [url for type_, url in theirs if type_ == "response"]
        # two zeros stand between the records of one of them
        assert [d.reason for d in drops] == (["damaged"] if "trunc" in file.name else [])
    assert gave_up == ["example-wrong-chunks.warc.gz"]


def test_real_html_responses(data):
    answers = [
        http_response(r.body)
        for file in find(str(data / "warc" / "*.warc*"), REAL)
        for r in read(file.path)[0]
        if r.type == "response"
    ]
    html = [a for a in answers if a and "html" in a.headers.get("content-type", "")]
    assert len(html) == 279
    assert all(re.search(rb"<[a-zA-Z!]", a.body) or not a.body for a in html)
