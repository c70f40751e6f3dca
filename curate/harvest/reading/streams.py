"""Streams: long files of records (lines, XML elements), cut behind a boundary into blocks.

A plain file is cut into byte ranges, which the workers read; what is packed has no middle to begin at, so
it is unpacked while it is cut, and a block carries its bytes. Either way memory does not depend on the
file.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File, fingerprint
from curate.harvest.reading.unpacking import is_wide, packing_of, unpacked
from curate.stage import Drop, Unit


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


def stream_units(files: Iterable[File]) -> list[Unit]:
    """Return a unit for each file that is to be read as a stream."""
    return [Unit(f.name, fingerprint(f.path), f, f.path.stat().st_size) for f in files]


def stream_blocks(unit: Unit, boundary: bytes = b"\n") -> Iterator[Unit]:
    """Cut a unit of `stream_units` into blocks that end behind a boundary.

    The payload of a block is a `Chunk`, or a `Drop` where the stream is damaged or a record is longer
    than `MAX_RECORD_BYTES`.
    """
    file: File = unit.payload
    try:
        plain = file.member is None and packing_of(file.path) is None and not is_wide(file.path)
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
            end = _boundary_behind(opened, min(start + bounds.BLOCK_BYTES, size), size, boundary)
            if end - start > bounds.BLOCK_BYTES + bounds.MAX_RECORD_BYTES:
                whole = _last_boundary(opened, start, start + bounds.BLOCK_BYTES, boundary)
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
    while at < size:
        opened.seek(at)
        data = opened.read(bounds.READ_BYTES)
        found = data.find(boundary)
        if found >= 0:
            return at + found + len(boundary)
        if len(data) < bounds.READ_BYTES:
            break
        at += len(data) - len(boundary) + 1  # it may have begun
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
                if len(self._held) >= bounds.BLOCK_BYTES:
                    yield from self._whole_records()
                if self._skipped > bounds.MAX_SILENCE_BYTES:
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
        elif len(self._held) > bounds.MAX_RECORD_BYTES or self._skipped:
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
    detail = f"{file.name}: bytes {start} to {end}: longer than {bounds.MAX_RECORD_BYTES:,} bytes"
    return Drop("too_long", detail)


def chunk_of(block: Unit) -> Chunk | Drop:
    """Return what a block of a stream holds."""
    payload: Chunk | Drop = block.payload
    return payload
