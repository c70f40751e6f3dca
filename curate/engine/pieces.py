"""Pieces of pairs on their way to each other: written by key to scratch files, read back key by key.

A source of the shape `Joined` finds the two halves of a pair wherever they lie: in two blocks, in two
files. This is a hash join on disk. Each block leaves one file with its pieces in buckets by the hash of
their key; then buckets are joined one after another, so memory is bounded by the pieces of some buckets:

    pieces-<block>.jsonl    lines of [key, counts, data], bucket by bucket
    pieces-<block>.npy      uint64 [buckets + 1]: where each bucket begins

Pieces keep the order of the input, whoever read them. Scratch takes about as many bytes as the texts.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import orjson

from curate.stage import Piece, Unit

BUCKET_BYTES = 4 << 20
"""Bytes of the input per bucket; packed inputs have some eight times as many when unpacked."""
MOST_BUCKETS, LEAST_BUCKETS = 4096, 16
JOIN_BYTES = 16 << 20
"""Bytes of pieces that are joined at a time; in memory they take about four times as much."""


def buckets_for(units: Sequence[Unit]) -> int:
    """Choose the number of buckets from the size of the input: a power of two."""
    wanted = max(1, sum(unit.size for unit in units) // BUCKET_BYTES)
    return min(MOST_BUCKETS, max(LEAST_BUCKETS, 1 << (wanted - 1).bit_length()))


class PieceWriter:
    """Collects the pieces of one block and writes them, whole or not at all."""

    def __init__(self, folder: Path, block: str, buckets: int) -> None:
        self._paths = _paths(folder, block)
        self._buckets: list[list[bytes]] = [[] for _ in range(buckets)]

    def add(self, piece: Piece) -> None:
        """Keep a piece for its bucket."""
        bucket = zlib.crc32(piece.key.encode("utf-8", "replace")) % len(self._buckets)
        line = orjson.dumps([piece.key, piece.counts, piece.data], option=orjson.OPT_APPEND_NEWLINE)
        self._buckets[bucket].append(line)

    def close(self) -> None:
        """Write both files; the offsets appear last, so a block that has them is complete."""
        pieces, offsets = self._paths
        sizes = [sum(map(len, lines)) for lines in self._buckets]
        temporary = pieces.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            for lines in self._buckets:
                file.writelines(lines)
        temporary.rename(pieces)
        with temporary.open("wb") as file:
            np.save(file, np.cumsum([0, *sizes], dtype=np.uint64))
        temporary.rename(offsets)


def has_pieces(folder: Path, block: str) -> bool:
    """Tell whether the pieces of a block are there."""
    return all(path.exists() for path in _paths(folder, block))


def joins_of(folder: Path, blocks: Sequence[str]) -> list[range]:
    """Group buckets to about `JOIN_BYTES` each, in order."""
    if not blocks:
        return []
    sizes = sum(np.diff(np.load(_paths(folder, block)[1]).astype(np.int64)) for block in blocks)
    groups: list[range] = []
    start, held = 0, 0
    for bucket, size in enumerate(np.asarray(sizes).tolist()):
        if held and held + size > JOIN_BYTES:
            groups.append(range(start, bucket))
            start, held = bucket, 0
        held += size
    return [*groups, range(start, len(np.asarray(sizes)))]


def read_pieces(
    folder: Path, blocks: Sequence[str], buckets: range
) -> Iterator[tuple[str, list[Piece]]]:
    """Give the pieces of each key, bucket by bucket; keys and pieces in the order of the input."""
    held: list[list[bytes]] = [[] for _ in buckets]
    for block in blocks:
        path, offsets_path = _paths(folder, block)
        offsets = np.load(offsets_path, mmap_mode="r")
        bounds = offsets[buckets.start : buckets.stop + 1].astype(np.int64).tolist()
        if bounds[0] == bounds[-1]:
            continue
        with path.open("rb") as file:
            file.seek(bounds[0])
            data = file.read(bounds[-1] - bounds[0])
        for number, lines in enumerate(held):
            part = data[bounds[number] - bounds[0] : bounds[number + 1] - bounds[0]]
            if part:
                lines.append(part)
    for parts in held:
        grouped: dict[str, list[Piece]] = {}
        for part in parts:
            for line in part.splitlines():
                key, counts, content = orjson.loads(line)
                grouped.setdefault(key, []).append(Piece(key, content, counts))
        parts.clear()
        yield from grouped.items()


def _paths(folder: Path, block: str) -> tuple[Path, Path]:
    return folder / f"pieces-{block}.jsonl", folder / f"pieces-{block}.npy"
