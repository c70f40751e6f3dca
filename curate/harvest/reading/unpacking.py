"""What is packed, unpacked piece by piece: gz, bz2, xz, zst, and members of zip and 7z.

How a file is packed is told by its first bytes. However it was packed, few megabytes are held at a time.
"""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from curate.errors import MissingExtraError
from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File
from curate.harvest.reading.seven_zip import names_in_7z, unpack_7z

Packing = Literal["gz", "bz2", "xz", "zst"]
_MAGIC: dict[bytes, Packing] = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
ZIP, SEVEN_ZIP = b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c"
WIDE = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def unpacked(file: File) -> Iterator[bytes]:
    """Give the unpacked content of a file, as UTF-8 if it was UTF-16, without a byte order mark.

    How it is packed is told by its first bytes. No piece is larger than some tens of megabytes, however
    the content was packed.

    :raises DamagedError: behind the last piece that could be unpacked.
    :raises OSError: if the file cannot be read.
    """
    if file.member is not None:
        return as_utf8(_member_stream(file))
    return as_utf8(_unpacked(file.path))


def packing_of(path: Path) -> Packing | None:
    """Tell how a file is packed; None if it is not, or is an archive."""
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
    yield machine.decompress(packed, bounds.READ_BYTES)
    while not machine.eof and not machine.needs_input:
        yield machine.decompress(b"", bounds.READ_BYTES)


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
        step = _BOMB_STEP if size > bounds.READ_BYTES else unpacker.step
        fed = bytes(machine.unused_data) if machine.eof else b""
    if not machine.eof:
        raise DamagedError("truncated", "ends within a compressed stream")


def _unpacked(path: Path) -> Iterator[bytes]:
    packing = packing_of(path)
    with path.open("rb") as opened:
        if packing is None:
            while data := opened.read(bounds.READ_BYTES):
                yield data
        else:
            yield from _evened(_decompressed(opened, _UNPACKERS[packing]))


def _evened(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join and cut pieces to `bounds.READ_BYTES`."""
    held = bytearray()
    try:
        for piece in pieces:
            held += piece
            while len(held) >= bounds.READ_BYTES:
                yield bytes(held[: bounds.READ_BYTES])
                del held[: bounds.READ_BYTES]
    except DamagedError:
        if held:
            yield bytes(held)
        raise
    if held:
        yield bytes(held)


def is_wide(path: Path) -> bool:
    """Tell whether a file is text in UTF-16."""
    with path.open("rb") as opened:
        return opened.read(2) in WIDE


def as_utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Turn UTF-16 into UTF-8, and leave out the byte order mark; other bytes stay as they are."""
    first = next(pieces, b"")
    if first[:2] not in WIDE:
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    yield decoder.decode(first).encode("utf-8", "replace")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "replace")


def members_of(file: File, wanted: Iterable[str]) -> list[File]:
    """Return the members of a 7z or zip archive whose names are wanted; the file itself if it is none.

    :raises ValueError: if the archive cannot be opened.
    """
    with file.path.open("rb") as opened:
        head = opened.read(6)
    names = set(wanted)
    try:
        if head == SEVEN_ZIP:
            held = names_in_7z(file.path)
        elif head[:4] == ZIP:
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
                while data := opened.read(bounds.READ_BYTES):
                    yield data
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            raise DamagedError("damaged", f"cannot be unpacked: {error}") from None
    else:
        yield from unpack_7z(file.path, file.member)
