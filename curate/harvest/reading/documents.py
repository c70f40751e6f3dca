"""Documents: whole files, and members of archives (zip, wheel, tar), in blocks of about the same size."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import xxhash

from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File, fingerprint, plain_name
from curate.harvest.reading.unpacking import ZIP, as_utf8, unpacked
from curate.stage import Drop, Unit


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file or member of an archive.

    :param name: as `File.name`; without the suffix of a packed file.
    """

    name: str
    data: bytes


def document_units(files: Iterable[File]) -> list[Unit]:
    """Return units of documents: archives by themselves, other files together, about a block each."""
    units: list[Unit] = []
    group: list[File] = []
    size = 0
    for file in files:
        bytes_ = file.path.stat().st_size
        if group and size + bytes_ > bounds.BLOCK_BYTES:
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
        if size >= bounds.BLOCK_BYTES:
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
            if len(held) > bounds.MAX_RECORD_BYTES:
                return Drop(
                    "too_long", f"{file.name}: longer than {bounds.MAX_RECORD_BYTES:,} bytes"
                )
    except DamagedError as error:
        return Drop(error.reason, f"{file.name}: at byte {len(held)} of its content: {error}")
    except OSError as error:
        return Drop("unreadable", f"{file.name}: {error.strerror or error}")
    return Document(plain_name(file.name), bytes(held))


def _archive(path: Path) -> Literal["zip", "tar"] | None:
    with path.open("rb") as opened:
        head = opened.read(265)
    if head[:4] == ZIP:
        return "zip"
    name = plain_name(path.name).lower()
    return "tar" if head[257:262] == b"ustar" or name.endswith((".tar", ".tgz", ".crate")) else None


def _members(file: File, wanted: Callable[[str], bool]) -> Iterator[Document | Drop]:
    reader = _zip_members if _archive(file.path) == "zip" else _tar_members
    try:
        yield from reader(file, wanted)
    except DamagedError as error:
        yield Drop(error.reason, f"{file.name}: {error}")
    except _ARCHIVE_ERRORS as error:
        yield Drop("damaged", f"{file.name}: {error}")


def _zip_members(file: File, wanted: Callable[[str], bool]) -> Iterator[Document | Drop]:
    with zipfile.ZipFile(file.path) as archive:
        for member in archive.infolist():
            if member.is_dir() or not wanted(member.filename):
                continue
            name = f"{file.name}/{member.filename}"
            if member.file_size > bounds.MAX_RECORD_BYTES:  # known without unpacking a bomb
                yield Drop("too_long", f"{name}: longer than {bounds.MAX_RECORD_BYTES:,} bytes")
                continue
            try:
                with archive.open(member) as opened:
                    data = opened.read(bounds.MAX_RECORD_BYTES + 1)
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
            data = opened.read(bounds.MAX_RECORD_BYTES + 1) if opened else b""
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
        return as_utf8(self._read())

    def _read(self) -> Iterator[bytes]:
        try:
            while data := self._opened.read1(
                bounds.READ_BYTES
            ):  # unlike `read`, keeps what precedes damage
                yield data
        except _ARCHIVE_ERRORS as error:
            self.damaged = True
            damage = self._source.damage if self._source else None
            raise damage or DamagedError("damaged", str(error)) from None


def _bounded(name: str, data: bytes) -> Document | Drop:
    if len(data) > bounds.MAX_RECORD_BYTES:
        return Drop("too_long", f"{name}: longer than {bounds.MAX_RECORD_BYTES:,} bytes")
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
