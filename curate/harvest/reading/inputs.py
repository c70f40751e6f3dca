"""Outside files as they are downloaded: found, unpacked within bounds, cut into blocks.

Two ways of reading serve every source:

- a **stream** is one long file of records (lines, XML elements); `stream_blocks` cuts it behind a
  boundary;
- **documents** are whole files or members of archives; `document_blocks` groups them.

Either gives blocks of about `BLOCK_BYTES`, so memory does not depend on the size of a dump. A plain file
is cut into byte ranges, which the workers read; what is packed has no middle to begin at, so it is
unpacked while it is cut, and a block carries its bytes.
"""

from __future__ import annotations

import bz2
import codecs
import glob
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import xxhash

from curate.errors import MissingExtraError
from curate.harvest.reading.seven_zip import DamagedError, names_in_7z, unpack_7z
from curate.stage import Drop, Unit

BLOCK_BYTES = 8 << 20
MAX_RECORD_BYTES = 16 << 20
"""A longer line or element is dropped; so is a longer document or member of an archive."""
MAX_SILENCE_BYTES = 256 << 20
"""A stream that goes on for so long without a boundary is a bomb, or no such stream."""
MAX_MEMBERS = 10_000_000
_READ_BYTES = 1 << 20
_WHOLE_BYTES = 1 << 30

Packing = Literal["gz", "bz2", "xz", "zst"]
_MAGIC: dict[bytes, Packing] = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
_ZIP, _7Z = b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c"
SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
"""What a packed file's name ends in; how it is packed is read from its content."""


@dataclass(frozen=True, slots=True)
class File:
    """A file, or the member of an archive that is to be read as a stream.

    :param name: the path below the folder that the user named, with `/`; of a member `archive/member`.
    """

    path: Path
    name: str
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A block of a stream: whole records, and where they begin in the unpacked stream.

    :param data: the bytes; None for a range of a plain file, which `read` fetches.
    """

    file: File
    start: int
    end: int
    data: bytes | None = None

    def read(self) -> bytes:
        """Return the bytes of the block.

        :raises OSError: if the file has gone or shrunk since it was cut.
        """
        if self.data is not None:
            return self.data
        with self.file.path.open("rb") as opened:
            opened.seek(self.start)
            data = opened.read(self.end - self.start)
        if len(data) < self.end - self.start:
            raise OSError(f"{self.file.name}: shorter than when it was cut")
        return data


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file or member of an archive.

    :param name: as `File.name`; without the suffix of a packed file.
    """

    name: str
    data: bytes


# -- finding ---------------------------------------------------------------------------------------


def find(path: str, patterns: Iterable[str] = ("*",)) -> list[File]:
    """List files in a fixed order: one file, all that match in a folder, or a glob.

    :param path: a file, a folder, or a glob (`dumps/RC_*.zst`; `**` for any depth).
    :param patterns: globs of the names to read below a folder; each also matches with a suffix of
        `SUFFIXES` behind it.
    :raises ValueError: if nothing is there, or nothing in it matches.
    """
    root = Path(path).expanduser()
    if root.is_file():
        return [File(root, _shown(root.name))]
    if root.is_dir():
        wanted = [*patterns, *(f"{p}{suffix}" for p in patterns for suffix in SUFFIXES)]
        found = {f for pattern in wanted for f in root.rglob(pattern) if f.is_file()}
        found = {f for f in found if not any(p.startswith(".") for p in f.relative_to(root).parts)}
        if not found:
            raise ValueError(f"path: {path!r} holds no {' or '.join(patterns)}")
        files = (File(f, _shown(f.relative_to(root).as_posix())) for f in found)
        return sorted(files, key=_by_name)
    paths = [Path(p) for p in sorted(glob.glob(str(root), recursive=True)) if Path(p).is_file()]
    if not paths:
        raise ValueError(f"path: {path!r} is neither a file nor a folder, and matches none")
    return [File(p, _shown(p.name)) for p in paths]


def _shown(name: str) -> str:
    """Return a file's name as text; one that is not in UTF-8 has lone surrogates."""
    return name.encode("utf-8", "replace").decode()


def _by_name(file: File) -> str:
    return file.name


def fingerprint(path: Path) -> str:
    """Hash the content of a file; of one above 1 GiB its size and 64 samples of 1 MiB."""
    size = path.stat().st_size
    digest = xxhash.xxh3_128(str(size).encode())
    with path.open("rb") as opened:
        if size <= _WHOLE_BYTES:
            while data := opened.read(_READ_BYTES):
                digest.update(data)
        else:
            for sample in range(64):
                opened.seek(sample * (size - _READ_BYTES) // 63)
                digest.update(opened.read(_READ_BYTES))
    return digest.hexdigest()


def stream_units(files: Iterable[File]) -> list[Unit]:
    """Return a unit for each file that is to be read as a stream."""
    return [Unit(f.name, fingerprint(f.path), f, f.path.stat().st_size) for f in files]


def document_units(files: Iterable[File]) -> list[Unit]:
    """Return units of documents: archives by themselves, other files together, about a block each."""
    units: list[Unit] = []
    group: list[File] = []
    size = 0
    for file in files:
        bytes_ = file.path.stat().st_size
        if group and size + bytes_ > BLOCK_BYTES:
            units.append(_group(group))
            group, size = [], 0
        group.append(file)
        size += bytes_
    return [*units, _group(group)] if group else units


def _group(files: list[File]) -> Unit:
    digest = xxhash.xxh3_128()
    for file in files:
        digest.update(f"{file.name}\0{fingerprint(file.path)}\0".encode())
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    size = sum(f.path.stat().st_size for f in files)
    return Unit(files[0].name + more, digest.hexdigest(), tuple(files), size)


# -- streams ---------------------------------------------------------------------------------------


def stream_blocks(unit: Unit, boundary: bytes = b"\n") -> Iterator[Unit]:
    """Cut a unit of `stream_units` into blocks that end behind a boundary.

    The payload of a block is a `Chunk`, or a `Drop` where the stream is damaged or a record is longer
    than `MAX_RECORD_BYTES`.
    """
    file: File = unit.payload
    try:
        plain = file.member is None and _packing(file.path) is None and not _is_wide(file.path)
        chunks = _ranges(file, boundary) if plain else gathered(file, unpacked(file), boundary)
        for chunk in chunks:
            at = chunk.start if isinstance(chunk, Chunk) else chunk.detail
            yield Unit(f"{unit.name} @ {at}", unit.fingerprint, chunk)
    except OSError as error:
        drop = Drop("unreadable", f"{file.name}: {error.strerror or error}")
        yield Unit(f"{unit.name} @ {drop.detail}", unit.fingerprint, drop)


def _ranges(file: File, boundary: bytes) -> Iterator[Chunk | Drop]:
    size = file.path.stat().st_size
    with file.path.open("rb") as opened:
        start = len(codecs.BOM_UTF8) if opened.read(3) == codecs.BOM_UTF8 else 0
        while start < size:
            end = _boundary_behind(opened, min(start + BLOCK_BYTES, size), size, boundary)
            if end - start > BLOCK_BYTES + MAX_RECORD_BYTES:
                whole = _last_boundary(opened, start, start + BLOCK_BYTES, boundary)
                if whole > start:
                    yield Chunk(file, start, whole)
                yield _too_long(file, whole, end)
            else:
                yield Chunk(file, start, end)
            start = end


def _last_boundary(opened: io.BufferedReader, start: int, end: int, boundary: bytes) -> int:
    """Return the position behind the last boundary of a range; its start if there is none."""
    opened.seek(start)
    found = opened.read(end - start).rfind(boundary)
    return start + found + len(boundary) if found >= 0 else start


def _boundary_behind(opened: io.BufferedReader, at: int, size: int, boundary: bytes) -> int:
    """Return the position behind the first boundary at or after `at`; the file's end if none."""
    at = max(0, at - len(boundary))
    tail = b""
    while at < size:
        opened.seek(at)
        data = opened.read(_READ_BYTES)
        found = data.find(boundary)
        if found >= 0:
            return at + found + len(boundary)
        tail = data[-len(boundary) :]
        at += max(1, len(data) - len(tail) + 1) if len(data) == _READ_BYTES else len(data)
    return size


def gathered(file: File, pieces: Iterator[bytes], boundary: bytes) -> Iterator[Chunk | Drop]:
    """Cut the unpacked pieces of a file into blocks that end behind a boundary.

    Damage ends them with a `Drop` behind what could be read.
    """
    return _Gathered(file, boundary).chunks(pieces)


class _Gathered:
    """Cuts an unpacked stream; damage ends it with a `Drop` behind what could be read."""

    def __init__(self, file: File, boundary: bytes) -> None:
        self._file = file
        self._boundary = boundary
        self._held = bytearray()
        self._start = 0
        """Where the held bytes begin in the stream."""
        self._skipped = 0
        """Bytes of a record that is too long, so far."""

    def chunks(self, pieces: Iterator[bytes]) -> Iterator[Chunk | Drop]:
        try:
            for piece in pieces:
                self._held += piece
                if len(self._held) >= BLOCK_BYTES:
                    yield from self._whole_records()
                if self._skipped > MAX_SILENCE_BYTES:
                    detail = f"{self._file.name}: no record in {self._skipped:,} bytes"
                    yield Drop("bomb", f"{detail} before byte {self._start}")
                    return
        except DamagedError as error:
            yield from self._rest(damaged=True)
            at = self._start
            yield Drop(error.reason, f"{self._file.name}: at byte {at} of its content: {error}")
        else:
            yield from self._rest()

    def _whole_records(self) -> Iterator[Chunk | Drop]:
        """Give the held bytes up to the last boundary; skip a record that does not end."""
        if self._skipped:
            yield from self._end_of_skipped()
        end = self._held.rfind(self._boundary) + len(self._boundary)
        if not self._skipped and end >= len(self._boundary):
            yield self._take(end)
        elif len(self._held) > MAX_RECORD_BYTES or self._skipped:
            kept = len(self._boundary)  # it may have begun
            self._skipped += len(self._held) - kept
            self._take(len(self._held) - kept)

    def _end_of_skipped(self) -> Iterator[Drop]:
        end = self._held.find(self._boundary) + len(self._boundary)
        if end >= len(self._boundary):
            yield _too_long(self._file, self._start - self._skipped, self._start + end)
            self._take(end)
            self._skipped = 0

    def _rest(self, damaged: bool = False) -> Iterator[Chunk | Drop]:
        """Give what is left, less the record that damage cut off: it has no fate of its own."""
        if self._skipped:
            yield from self._end_of_skipped()
        if self._skipped:
            end = self._start + len(self._held)
            yield _too_long(self._file, self._start - self._skipped, end)
            return
        end = len(self._held)
        if damaged:
            end = self._held.rfind(self._boundary) + len(self._boundary)
            end = end if end >= len(self._boundary) else 0
        if end:
            yield self._take(end)

    def _take(self, end: int) -> Chunk:
        chunk = Chunk(self._file, self._start, self._start + end, bytes(self._held[:end]))
        del self._held[:end]
        self._start += end
        return chunk


def _too_long(file: File, start: int, end: int) -> Drop:
    detail = f"{file.name}: bytes {start} to {end}: longer than {MAX_RECORD_BYTES:,} bytes"
    return Drop("too_long", detail)


def chunk_of(block: Unit) -> Chunk | Drop:
    """Return what a block of a stream holds."""
    payload: Chunk | Drop = block.payload
    return payload


# -- documents -------------------------------------------------------------------------------------


def document_blocks(unit: Unit, wanted: Callable[[str], bool] | None = None) -> Iterator[Unit]:
    """Cut a unit of `document_units`: files stay together, archives are cut between members.

    The payload of a block is a list of `File`, `Document` and `Drop`; `documents` reads it.

    :param wanted: tells by its name in the archive whether a member is to be read; by default all are.
    """
    plain: list[File] = []
    for file in unit.payload:
        if _archive(file.path) is None:
            plain.append(file)
        else:
            yield from _member_blocks(unit, file, wanted)
    if plain:
        yield Unit(f"{unit.name} @ files", unit.fingerprint, plain)


def _member_blocks(unit: Unit, file: File, wanted: Callable[[str], bool] | None) -> Iterator[Unit]:
    held: list[Document | Drop] = []
    size = count = 0
    for found in _members(file, wanted or _any):
        held.append(found)
        size += len(found.data) if isinstance(found, Document) else 0
        if size >= BLOCK_BYTES:
            yield Unit(f"{unit.name} @ {file.name} {count}", unit.fingerprint, held)
            held, size, count = [], 0, count + 1
    if held:
        yield Unit(f"{unit.name} @ {file.name} {count}", unit.fingerprint, held)


def _any(_: str) -> bool:
    return True


def documents(block: Unit) -> Iterator[Document | Drop]:
    """Read the documents of a block; what cannot be read is a `Drop`."""
    for item in block.payload:
        yield read_document(item) if isinstance(item, File) else item


def read_document(file: File) -> Document | Drop:
    """Read a whole file, unpacked."""
    held = bytearray()
    try:
        for piece in unpacked(file):
            held += piece
            if len(held) > MAX_RECORD_BYTES:
                return Drop("too_long", f"{file.name}: longer than {MAX_RECORD_BYTES:,} bytes")
    except DamagedError as error:
        return Drop(error.reason, f"{file.name}: at byte {len(held)} of its content: {error}")
    except OSError as error:
        return Drop("unreadable", f"{file.name}: {error.strerror or error}")
    return Document(plain_name(file.name), bytes(held))


def plain_name(name: str) -> str:
    """Return a name without the suffix of a packed file."""
    return next((name[: -len(s)] for s in SUFFIXES if name.lower().endswith(s)), name)


def _archive(path: Path) -> Literal["zip", "tar"] | None:
    with path.open("rb") as opened:
        head = opened.read(265)
    if head[:4] == _ZIP:
        return "zip"
    name = plain_name(path.name).lower()
    return "tar" if head[257:262] == b"ustar" or name.endswith((".tar", ".tgz", ".crate")) else None


def _members(file: File, wanted: Callable[[str], bool]) -> Iterator[Document | Drop]:
    reader = _zip_members if _archive(file.path) == "zip" else _tar_members
    try:
        yield from reader(file, wanted)
    except DamagedError as error:
        yield Drop(error.reason, f"{file.name}: {error}")
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        yield Drop("damaged", f"{file.name}: {error}")
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, KeyError) as error:
        yield Drop("damaged", f"{file.name}: {error}")


def _zip_members(file: File, wanted: Callable[[str], bool]) -> Iterator[Document | Drop]:
    with zipfile.ZipFile(file.path) as archive:
        for member in archive.infolist():
            if member.is_dir() or not wanted(member.filename):
                continue
            name = f"{file.name}/{member.filename}"
            if member.file_size > MAX_RECORD_BYTES:  # known without unpacking a bomb
                yield Drop("too_long", f"{name}: longer than {MAX_RECORD_BYTES:,} bytes")
                continue
            try:
                with archive.open(member) as opened:
                    data = opened.read(MAX_RECORD_BYTES + 1)
            except (OSError, RuntimeError, NotImplementedError, EOFError) as error:
                yield Drop("damaged", f"{name}: {error}")
                continue
            except (zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
                yield Drop("damaged", f"{name}: {error}")
                continue
            yield _bounded(name, data)


def _tar_members(file: File, wanted: Callable[[str], bool]) -> Iterator[Document | Drop]:
    with _tar(file) as (archive, _):
        for member in archive:
            if not member.isfile() or not wanted(member.name):
                continue
            opened = archive.extractfile(member)
            data = opened.read(MAX_RECORD_BYTES + 1) if opened else b""
            yield _bounded(f"{file.name}/{member.name}", data)


def is_archive(file: File) -> bool:
    """Tell whether a file is a zip or a tar, packed or not."""
    return _archive(file.path) is not None


_ARCHIVE_ERRORS = (
    *(OSError, ValueError, EOFError, RuntimeError, NotImplementedError, KeyError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
)


def member_streams(file: File) -> Iterator[tuple[File, Iterator[bytes]] | Drop]:
    """Give the members of an archive one by one, however long: each with its unpacked pieces.

    The pieces of a member can be read until the next is asked for. They raise `DamagedError`, which ends
    a tar; what is damaged between members is a `Drop`.
    """
    reader = _zip_streams if _archive(file.path) == "zip" else _tar_streams
    try:
        yield from reader(file)
    except DamagedError as error:
        yield Drop(error.reason, f"{file.name}: {error}")
    except _ARCHIVE_ERRORS as error:
        yield Drop("damaged", f"{file.name}: {error}")


def _tar_streams(file: File) -> Iterator[tuple[File, Iterator[bytes]]]:
    with _tar(file) as (archive, source):
        for member in archive:
            opened = archive.extractfile(member) if member.isfile() else None
            if opened is not None:
                stream = _MemberStream(opened, source)
                yield File(file.path, f"{file.name}/{member.name}", member.name), stream.pieces()
                if stream.damaged:
                    source.damage = None  # the pieces have told
                    return


def _zip_streams(file: File) -> Iterator[tuple[File, Iterator[bytes]] | Drop]:
    with zipfile.ZipFile(file.path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            named = File(file.path, f"{file.name}/{member.filename}", member.filename)
            try:
                with archive.open(member) as opened:
                    yield named, _MemberStream(opened).pieces()
            except _ARCHIVE_ERRORS as error:
                yield Drop("damaged", f"{named.name}: {error}")


class _MemberStream:
    """The unpacked pieces of a member, and whether they broke off."""

    def __init__(self, opened: Any, source: _Readable | None = None) -> None:
        self._opened = opened
        self._source = source
        self.damaged = False

    def pieces(self) -> Iterator[bytes]:
        return _as_utf8(self._read())

    def _read(self) -> Iterator[bytes]:
        try:
            while data := self._opened.read1(
                _READ_BYTES
            ):  # unlike `read`, keeps what precedes damage
                yield data
        except _ARCHIVE_ERRORS as error:
            self.damaged = True
            damage = self._source.damage if self._source else None
            raise damage or DamagedError("damaged", str(error)) from None


def _bounded(name: str, data: bytes) -> Document | Drop:
    if len(data) > MAX_RECORD_BYTES:
        return Drop("too_long", f"{name}: longer than {MAX_RECORD_BYTES:,} bytes")
    return Document(name, data)


class _Readable(io.RawIOBase):
    """Lets `tarfile` read what is unpacked piece by piece, up to where that is damaged."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""
        self.damage: DamagedError | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._held) < size and (piece := self._next()):
            self._held += piece
        data, self._held = self._held[:size], self._held[size:]
        return data

    def _next(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except DamagedError as error:
            self.damage = error
            return b""


@contextmanager
def _tar(file: File) -> Iterator[tuple[tarfile.TarFile, _Readable]]:
    """Open a tar. Where its packing is damaged that is the error, not what follows from it.

    :raises DamagedError: at the end, so that members before the damage can be read.
    """
    source = _Readable(unpacked(file))
    try:
        with tarfile.open(fileobj=source, mode="r|", errors="replace") as archive:
            yield archive, source
    except _ARCHIVE_ERRORS:
        if source.damage is None:
            raise
    if source.damage is not None:
        raise source.damage


# -- unpacking -------------------------------------------------------------------------------------


def unpacked(file: File) -> Iterator[bytes]:
    """Give the unpacked content of a file, as UTF-8 if it was UTF-16, without a byte order mark.

    How it is packed is told by its first bytes. No piece is larger than some tens of megabytes, however
    the content was packed.

    :raises DamagedError: behind the last piece that could be unpacked.
    :raises OSError: if the file cannot be read.
    """
    if file.member is not None:
        return _as_utf8(_member_stream(file))
    return _as_utf8(_unpacked(file.path))


def _packing(path: Path) -> Packing | None:
    with path.open("rb") as opened:
        head = opened.read(6)
    return next((packing for magic, packing in _MAGIC.items() if head.startswith(magic)), None)


class _Decompressor(Protocol):
    """What the libraries have in common; how much they give at once they limit differently."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


def _zstd() -> _Decompressor:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError("zstandard", "harvest") from None
    made: Any = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
    return made  # type: ignore[no-any-return]


def _at_once(machine: Any, packed: bytes) -> Iterator[bytes]:
    yield machine.decompress(packed)


def _bit_by_bit(machine: Any, packed: bytes) -> Iterator[bytes]:
    yield machine.decompress(packed, _READ_BYTES)
    while not machine.eof and not machine.needs_input:
        yield machine.decompress(b"", _READ_BYTES)


@dataclass(frozen=True, slots=True)
class _Unpacker:
    """How to unpack one format in bounded memory.

    :param step: how many bytes to feed at once, as long as they give no more than is usual.
    """

    make: Callable[[], _Decompressor]
    feed: Callable[[Any, bytes], Iterator[bytes]]
    step: int


_UNPACKERS: dict[Packing, _Unpacker] = {
    "gz": _Unpacker(lambda: zlib.decompressobj(wbits=31), _at_once, 1 << 14),
    "bz2": _Unpacker(bz2.BZ2Decompressor, _bit_by_bit, 1 << 16),
    "xz": _Unpacker(lambda: lzma.LZMADecompressor(memlimit=1 << 29), _bit_by_bit, 1 << 16),
    "zst": _Unpacker(_zstd, _at_once, 1 << 10),
}
_BOMB_STEP = 1 << 6


def _decompressed(opened: io.BufferedReader, unpacker: _Unpacker) -> Iterator[bytes]:
    """Unpack streams that follow each other; zeros, as tapes have them, may stand behind the last."""
    machine, fed, step = unpacker.make(), b"", unpacker.step
    while fed := fed or opened.read(step):
        if machine.eof:
            if not fed.strip(b"\0"):
                fed = b""
                continue
            machine = unpacker.make()
        size = 0
        try:
            for piece in unpacker.feed(machine, fed):
                size += len(piece)
                yield piece
        except Exception as error:  # each library has an error of its own, without a common base
            raise DamagedError("damaged", f"cannot be unpacked: {error}") from None
        step = _BOMB_STEP if size > _READ_BYTES else unpacker.step
        fed = bytes(machine.unused_data) if machine.eof else b""
    if not machine.eof:
        raise DamagedError("truncated", "ends within a compressed stream")


def _unpacked(path: Path) -> Iterator[bytes]:
    packing = _packing(path)
    with path.open("rb") as opened:
        if packing is None:
            while data := opened.read(_READ_BYTES):
                yield data
        else:
            yield from _evened(_decompressed(opened, _UNPACKERS[packing]))


def _evened(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join and cut pieces to `_READ_BYTES`."""
    held = bytearray()
    try:
        for piece in pieces:
            held += piece
            while len(held) >= _READ_BYTES:
                yield bytes(held[:_READ_BYTES])
                del held[:_READ_BYTES]
    except DamagedError:
        if held:
            yield bytes(held)
        raise
    if held:
        yield bytes(held)


_WIDE = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def _is_wide(path: Path) -> bool:
    with path.open("rb") as opened:
        return opened.read(2) in _WIDE


def _as_utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    first = next(pieces, b"")
    if first[:2] not in _WIDE:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    yield decoder.decode(first).encode("utf-8", "replace")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "replace")


# -- members of archives as streams ----------------------------------------------------------------


def members_of(file: File, wanted: Iterable[str]) -> list[File]:
    """Return the members of a 7z or zip archive whose names are wanted; the file itself if it is none.

    :raises ValueError: if the archive cannot be opened.
    """
    with file.path.open("rb") as opened:
        head = opened.read(6)
    names = set(wanted)
    try:
        if head == _7Z:
            held = names_in_7z(file.path)
        elif head[:4] == _ZIP:
            with zipfile.ZipFile(file.path) as zipped:
                held = zipped.namelist()
        else:
            return [file]
    except (DamagedError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file.name}: not a readable archive: {error}") from None
    found = [name for name in held if Path(name).name in names]
    return [File(file.path, f"{file.name}/{name}", name) for name in sorted(found)]


def _member_stream(file: File) -> Iterator[bytes]:
    assert file.member is not None
    if zipfile.is_zipfile(file.path):
        try:
            with zipfile.ZipFile(file.path) as archive, archive.open(file.member) as opened:
                while data := opened.read(_READ_BYTES):
                    yield data
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            raise DamagedError("damaged", f"cannot be unpacked: {error}") from None
    else:
        yield from unpack_7z(file.path, file.member)


# -- text ------------------------------------------------------------------------------------------


def decoded(data: bytes, declared: str | None = None) -> str:
    """Decode text: by its byte order mark, as declared, as UTF-8, at last as Windows-1252.

    Never fails: what fits nothing is decoded with replacement characters.
    """
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), *_WIDE.items()):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    for encoding in filter(None, (declared, "utf-8", "cp1252")):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("utf-8", "replace")
