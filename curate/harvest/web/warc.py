"""Web archives: WARC and WET of any version, and ARC, cut into records and read.

A record says how long it is, so a stream is cut by stepping from header to header, without looking at
what lies between. Where that leads to no header, the stream is damaged there: the next line that looks
like the header of a record is where it goes on.

HTTP is read leniently, because crawlers store what servers sent, or what was left of it once it was
unpacked: bodies said to be chunked or packed that are not, header lines ended by a bare line feed.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from curate.errors import MissingExtraError
from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File
from curate.harvest.reading.streams import Chunk
from curate.harvest.reading.unpacking import unpacked
from curate.stage import Drop, Unit

MAX_HEADER_BYTES = 32 << 10
_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*(\d{1,15})[ \t]*\r?$")
_ARC_HEADER = re.compile(
    rb"([a-z][a-z0-9+.-]{1,20}:\S{1,4000}) \S{1,64} \d{8,14} (\S{1,200})"
    rb"(?: \S{1,200} \S{1,200} \S{1,4000} \d{1,15} \S{1,400})? (\d{1,15})\r?\n",
    re.IGNORECASE,
)
_RECORD = re.compile(
    rb"[\n\0](?=WARC/\d\.\d|[a-z][a-z0-9+.-]{1,20}:\S{1,4000} [\d.]{7,15} \d{8,14} \S)",
    re.IGNORECASE,
)
_HEADER_LINE = re.compile(rb"(?m)^([^\s:]{1,100})[ \t]*:[ \t]*([^\r\n]*)")
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?!\d)", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,1000})?\r?\n")


class _Frame(NamedTuple):
    """How long the header of a record is, and how long it says that its content is."""

    header: int
    length: int


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """A record of a web archive.

    :param position: where it begins in the unpacked stream.
    :param type: `WARC-Type`; `response` for a page of an ARC.
    :param media: the content type of the block, without parameters.
    """

    position: int
    type: str
    url: str | None
    media: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered.

    :param headers: values by name in lower case; the last of each.
    """

    status: int
    headers: dict[str, str]
    body: bytes


# -- cutting ---------------------------------------------------------------------------------------


def archive_blocks(unit: Unit) -> Iterator[Unit]:
    """Cut a file of records into blocks of whole records.

    The payload of a block is a `Chunk`, or a `Drop` for what is damaged, cut off, or longer than
    `bounds.MAX_RECORD_BYTES`.
    """
    file: File = unit.payload
    try:
        for found in _Cutter(file).cut():
            at = found.start if isinstance(found, Chunk) else found.detail
            yield Unit(f"{unit.name} @ {at}", unit.fingerprint, found)
    except OSError as error:
        drop = Drop("unreadable", f"{file.name}: {error.strerror or error}")
        yield Unit(f"{unit.name} @ {drop.detail}", unit.fingerprint, drop)


class _Cutter:
    """Steps through a stream of records, holding about one block of it."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.pieces = unpacked(file)
        self.held = bytearray()
        self.start = 0  # of what is held, in the unpacked stream
        self.at = 0  # where the next record begins in what is held
        self.ended = False
        self.damage: DamagedError | None = None

    def cut(self) -> Iterator[Chunk | Drop]:
        """Give blocks of whole records, and what is wrong, in the order of the stream."""
        while self._has_more():
            frame = _frame(self.held, self.at)
            if frame is None:
                yield from self._resume()
            elif frame.length > bounds.MAX_RECORD_BYTES:
                yield from self._pass_over(frame)
            elif not self._fill(self.at + frame.header + frame.length):
                break
            else:
                self.at += frame.header + frame.length
                if self.at >= bounds.BLOCK_BYTES:
                    yield from self._flush()
        yield from self._flush()
        if self.damage is not None:
            yield Drop(self.damage.reason, f"{self._where()}: {self.damage}")
        elif self.held:
            yield Drop("truncated", f"{self._where()}: ends within a record")

    def _where(self) -> str:
        return f"{self.file.name}: at byte {self.start + self.at}"

    def _fill(self, size: int) -> bool:
        """Read until `size` bytes are held; tell whether there are so many."""
        while len(self.held) < size and not self.ended:
            try:
                piece = next(self.pieces, b"")
            except DamagedError as error:
                self.damage, piece = error, b""
            self.ended = not piece
            self.held += piece
        return len(self.held) >= size

    def _has_more(self) -> bool:
        """Step over the empty lines before a record; tell whether there is one."""
        while self._fill(self.at + 1):
            if self.held[self.at] not in b"\r\n":
                self._fill(self.at + MAX_HEADER_BYTES)
                return True
            self.at += 1
        return False

    def _forget(self, size: int) -> None:
        del self.held[:size]
        self.start += size

    def _flush(self) -> Iterator[Chunk]:
        """Give the whole records that are held, if any."""
        data = bytes(self.held[: self.at])
        if data.strip():
            yield Chunk(self.file, self.start, self.start + self.at, data)
        self._forget(self.at)
        self.at = 0

    def _pass_over(self, frame: _Frame) -> Iterator[Chunk | Drop]:
        """Leave out a record that is too long, without holding it."""
        yield from self._flush()
        where, left = self._where(), frame.header + frame.length
        while left > 0 and self._fill(1):
            step = min(left, len(self.held))
            self._forget(step)
            left -= step
        yield Drop("too_long", f"{where}: a record of {frame.length:,} bytes")

    def _resume(self) -> Iterator[Chunk | Drop]:
        """Go on at the next header, behind what is no record."""
        yield from self._flush()
        where, begin = self._where(), self.start
        while (found := _RECORD.search(self.held)) is None and not self.ended:
            self._forget(max(0, len(self.held) - MAX_HEADER_BYTES))
            if self.start - begin > bounds.MAX_SILENCE_BYTES:
                self.ended = True
            self._fill(len(self.held) + 1)
        self._forget(found.end() if found else len(self.held))
        skipped = self.start - begin
        reason = "bomb" if skipped > bounds.MAX_SILENCE_BYTES else "damaged"
        yield Drop(reason, f"{where}: {skipped:,} bytes that are no record")


def _frame(data: bytes | bytearray, at: int) -> _Frame | None:
    """Read the header at `at`; None if there is none, or it does not say how long the record is."""
    if data.startswith(b"WARC/", at):
        end = _end_of_header(data, at)
        length = _LENGTH.search(data, at, end)
        return _Frame(end - at, int(length[1])) if length else None
    arc = _ARC_HEADER.match(data, at)
    return _Frame(arc.end() - at, int(arc[3])) if arc else None


def _end_of_header(data: bytes | bytearray, at: int) -> int:
    """Return the position behind the first empty line; `at` where there is none."""
    limit = at + MAX_HEADER_BYTES
    ends = [(data.find(mark, at, limit), mark) for mark in (b"\n\r\n", b"\n\n")]
    return min((found + len(mark) for found, mark in ends if found >= 0), default=at)


# -- reading ---------------------------------------------------------------------------------------


def archive_records(data: bytes, start: int) -> Iterator[ArchiveRecord]:
    """Read the records of a block.

    :param start: where the block begins in the unpacked stream.
    """
    at = 0
    while at < len(data):
        if data[at] in b"\r\n":
            at += 1
            continue
        frame = _frame(data, at)
        assert frame is not None, "a block has whole records only"
        body = at + frame.header
        yield _record(data[at:body], start + at, data[body : body + frame.length])
        at = body + frame.length


def _record(header: bytes, position: int, body: bytes) -> ArchiveRecord:
    if header.startswith(b"WARC/"):
        fields = _fields(header)
        url = fields.get("warc-target-uri", "").strip("<> ") or None
        media = media_type(fields.get("content-type", ""))
        return ArchiveRecord(position, fields.get("warc-type", "").lower(), url, media, body)
    url, media = (part.decode("latin-1") for part in header.split(b" ")[:4:3])
    type_ = "response" if body.startswith(b"HTTP/") else "warcinfo"
    return ArchiveRecord(position, type_, url, "application/http", body)


def _fields(header: bytes) -> dict[str, str]:
    lines = _HEADER_LINE.findall(header)
    return {k.decode("latin-1").lower(): v.decode("utf-8", "replace").strip() for k, v in lines}


def media_type(content_type: str) -> str:
    """Return a content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def http_response(block: bytes) -> Response | None:
    """Read what a server answered; None if it is no HTTP. The body is neither chunked nor packed.

    :raises DamagedError: if the body is packed and cannot be unpacked, or is too long.
    """
    status = _STATUS.match(block)
    if status is None:
        return None
    end = _end_of_header(block, 0)
    headers, body = _fields(block[:end]), block[end:]
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _dechunked(body)
    body = _decoded(body, headers.get("content-encoding", "").lower())
    return Response(int(status[1]), headers, body)


def _dechunked(body: bytes) -> bytes:
    """Join the chunks of a body; what is in no chunk stays as it is."""
    parts, at = [], 0
    while chunk := _CHUNK_SIZE.match(body, at):
        size = int(chunk[1], 16)
        parts.append(body[chunk.end() : chunk.end() + size])
        at = chunk.end() + size
        if not size:
            return b"".join(parts)
        at += 2 if body[at : at + 2] == b"\r\n" else body[at : at + 1] == b"\n"
    return b"".join(parts) + body[at:]


def _decoded(body: bytes, encoding: str) -> bytes:
    if not encoding or encoding == "identity" or body.lstrip()[:1] in (b"", b"<"):
        return body
    try:
        if body[:2] == b"\x1f\x8b":
            return _inflated(body, 31)
        if encoding == "deflate":
            return _inflated(body, 15 if body[0] & 0x0F == 8 else -15)
        if body[:4] == b"\x28\xb5\x2f\xfd":
            return _bounded(_zstd(body))
    except zlib.error as error:
        raise DamagedError("damaged", f"content encoding {encoding}: {error}") from None
    if encoding == "br":
        raise DamagedError("content_encoding", "content encoding br is not read")
    return body


def _inflated(body: bytes, wbits: int) -> bytes:
    return _bounded(zlib.decompressobj(wbits).decompress(body, bounds.MAX_RECORD_BYTES + 1))


def _zstd(body: bytes) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError("zstandard", "harvest") from None
    machine = zstandard.ZstdDecompressor(max_window_size=2**27)
    try:
        return machine.stream_reader(io.BytesIO(body)).read(bounds.MAX_RECORD_BYTES + 1)
    except zstandard.ZstdError as error:
        raise DamagedError("damaged", f"content encoding zstd: {error}") from None


def _bounded(data: bytes) -> bytes:
    if len(data) > bounds.MAX_RECORD_BYTES:
        raise DamagedError(
            "bomb", f"a body of more than {bounds.MAX_RECORD_BYTES:,} bytes when unpacked"
        )
    return data
