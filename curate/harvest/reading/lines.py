"""The lines of a file one by one, for formats where the number of a line matters."""

from __future__ import annotations

from collections.abc import Iterator

from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File
from curate.harvest.reading.unpacking import unpacked


def lines(file: File) -> Iterator[bytes | None]:
    """Give the lines of a file, unpacked, without their ends; None for one that is too long.

    :raises DamagedError: behind the last line that could be read.
    :raises OSError: if the file cannot be read.
    """
    held: list[bytes] = []
    size = 0
    for piece in _pieces(file):
        if isinstance(piece, DamagedError):
            if held:
                yield _joined(held, size)
            raise piece
        *whole, rest = piece.split(b"\n")
        for line in whole:
            yield _joined([*held, line], size + len(line)) if held else line.removesuffix(b"\r")
            held, size = [], 0
        if rest:
            size += len(rest)
            held = [*held, rest] if size <= bounds.MAX_RECORD_BYTES else [b""]
        if size > bounds.MAX_SILENCE_BYTES:
            raise DamagedError("bomb", f"no line ends in {size:,} bytes")
    if held:
        yield _joined(held, size)


def _pieces(file: File) -> Iterator[bytes | DamagedError]:
    try:
        yield from unpacked(file)
    except DamagedError as error:
        yield error


def _joined(held: list[bytes], size: int) -> bytes | None:
    return b"".join(held).removesuffix(b"\r") if size <= bounds.MAX_RECORD_BYTES else None
