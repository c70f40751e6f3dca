"""7z archives, in which Stack Exchange publishes its dumps: their members, unpacked piece by piece."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from curate.errors import MissingExtraError
from curate.harvest.reading.damage import DamagedError

_HELD_PIECES = 8
_POLL_SECONDS = 0.1


def names_in_7z(path: Path) -> list[str]:
    """List the members of an archive.

    :raises DamagedError: if it cannot be read.
    """
    library = _library()
    try:
        with library.SevenZipFile(path) as archive:
            names: list[str] = archive.getnames()
    except Exception as error:  # the library has many errors without a common base
        raise DamagedError("damaged", f"not a readable archive: {error!r}") from None
    return names


def unpack_7z(path: Path, member: str) -> Iterator[bytes]:
    """Give the content of a member in pieces.

    :raises DamagedError: behind the last piece that could be unpacked.
    """
    flow = _Flow()
    thread = threading.Thread(target=_unpack, args=(path, member, flow), daemon=True)
    thread.start()
    try:
        while isinstance(piece := flow.pieces.get(), bytes):
            yield piece
        if piece is not None:
            raise DamagedError("damaged", f"cannot be unpacked: {piece!r}")
    finally:
        flow.stop.set()
        thread.join()


class _StoppedError(Exception):
    """Nobody reads any more."""


class _Flow:
    """Lets one thread pull what the library, in another, pushes; few pieces are held at a time."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes | Exception | None] = queue.Queue(_HELD_PIECES)
        self.stop = threading.Event()

    def push(self, piece: bytes | Exception | None) -> None:
        """Hand over a piece, or the end: None or an error.

        :raises _StoppedError: if nobody reads any more.
        """
        while not self.stop.is_set():
            try:
                self.pieces.put(piece, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return
        raise _StoppedError


def _unpack(path: Path, member: str, flow: _Flow) -> None:
    library = _library()

    class Sink(library.io.Py7zIO):  # type: ignore[misc, name-defined]
        """Takes what is written to a member."""

        def write(self, data: bytes | bytearray) -> int:
            flow.push(bytes(data))
            return len(data)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            """Nothing is held back."""

        def size(self) -> int:
            return 0

    class Sinks(library.io.WriterFactory):  # type: ignore[misc, name-defined]
        """Opens a sink for each member."""

        def create(self, filename: str) -> Any:
            return Sink()

    end: Exception | None = None
    try:
        with library.SevenZipFile(path) as archive:
            archive.extract(targets=[member], factory=Sinks())
    except _StoppedError:
        return
    except Exception as error:  # handed to the thread that reads
        end = error
    try:
        flow.push(end)
    except _StoppedError:
        return


def _library() -> ModuleType:
    try:
        import py7zr
    except ImportError:
        raise MissingExtraError("py7zr", "harvest") from None
    return py7zr
