"""Lines that translate each other: in files of as many lines (Moses), or in the columns of one (TSV)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import PurePosixPath

from curate.harvest.reading.charset import decoded
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File, fingerprint, plain_name
from curate.harvest.reading.lines import lines
from curate.harvest.reading.unpacking import unpacked
from curate.harvest.text.languages import known_tag
from curate.stage import Drop, Unit

BLOCK_BYTES = 4 << 20
_PAIR = re.compile(
    r"(?:\A|[._/-])([a-z]{2,3}(?:_[A-Za-z]{2,4})?)-([a-z]{2,3}(?:_[A-Za-z]{2,4})?)(?=\.)"
)


@dataclass(frozen=True, slots=True)
class Aligned:
    """Files of which each has the lines of the others in its own language.

    :param stem: the name that they share.
    """

    stem: str
    languages: tuple[str, ...]
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Some lines of aligned files, side by side, and the number of the first."""

    aligned: Aligned
    start: int
    rows: list[tuple[bytes | None, ...]]


def aligned_files(files: Iterable[File]) -> list[Aligned]:
    """Group files whose names differ in the tag of a language at their end alone: `x.de`, `x.en`."""
    groups: dict[str, list[tuple[str, File]]] = defaultdict(list)
    for file in files:
        name = PurePosixPath(plain_name(file.name))
        tag = known_tag(name.suffix.removeprefix("."))
        if tag:
            groups[name.with_suffix("").as_posix()].append((tag, file))
    return [
        Aligned(stem, tuple(tag for tag, _ in group), tuple(file for _, file in group))
        for stem, group in sorted(groups.items())
        if len({tag for tag, _ in group}) == len(group) > 1
    ]


def aligned_unit(aligned: Aligned) -> Unit:
    """Return the unit of files that are read side by side."""
    marks = "".join(f"{file.name}\0{fingerprint(file.path)}\0" for file in aligned.files)
    size = sum(file.path.stat().st_size for file in {f.path: f for f in aligned.files}.values())
    return Unit(f"{aligned.stem}.{{{','.join(aligned.languages)}}}", marks, aligned, size)


def line_blocks(aligned: Aligned) -> Iterator[LineBlock | Drop]:
    """Read files side by side, in runs of lines."""
    faults: list[Drop] = []
    readers = [_until_damage(file, faults) for file in aligned.files]
    rows: list[tuple[bytes | None, ...]] = []
    size, start = 0, 1
    for number, row in enumerate(zip_longest(*readers), 1):
        rows.append(row)
        size += sum(len(line or b"") for line in row)
        if size >= BLOCK_BYTES:
            yield LineBlock(aligned, start, rows)
            rows, size, start = [], 0, number + 1
    if rows:
        yield LineBlock(aligned, start, rows)
    yield from faults


def _until_damage(file: File, faults: list[Drop]) -> Iterator[bytes | None]:
    try:
        yield from lines(file)
    except DamagedError as error:
        faults.append(Drop(error.reason, f"{file.name}: {error}"))
    except OSError as error:
        faults.append(Drop("unreadable", f"{file.name}: {error.strerror or error}"))


def pair_in_name(name: str) -> tuple[str, str] | None:
    """Return the languages that the name of a file states: `news.de-en.tsv`."""
    match = _PAIR.search(PurePosixPath(plain_name(name)).name)
    if match is None:
        return None
    one, other = known_tag(match[1]), known_tag(match[2])
    return (one, other) if one and other else None


def first_line(file: File) -> str:
    """Return the first line of a file; nothing if it cannot be read."""
    try:
        head = next(unpacked(file), b"")
    except (DamagedError, OSError):
        return ""
    return decoded(head[: 1 << 16].partition(b"\n")[0]).strip("\r")
