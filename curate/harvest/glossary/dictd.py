"""Dictionaries in the format of `dictd`: an index, and the text that it points into.

The index has a line for each term: the term, and in base 64 where its entry begins and how long it is.
Several terms may point at one entry. The text is packed so that any part could be had by itself; here it
is read from front to end, as any gzip file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from curate.harvest.reading.charset import decoded
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File, fingerprint, plain_name
from curate.harvest.reading.lines import lines
from curate.harvest.reading.unpacking import unpacked
from curate.stage import Drop, Unit

BLOCK_BYTES = 1 << 20
"""Definitions in a block: smaller than elsewhere, since dictionaries are."""
MAX_INDEX_BYTES = 512 << 20
MAX_ENTRY_BYTES = 1 << 20
_DIGITS = {
    digit: value
    for value, digit in enumerate(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    )
}
META = re.compile(r"00-?database")
_INFO = re.compile(r"00-?database-?(info|url|short)")
_LICENSES = [
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (
            r"GNU Free Documentation\s+License,\s+Version\s+1\.([123])\s+or\s+any\s+later"
            r"[\s\S]{1,100}\bno\s+Invariant",
            r"GFDL-1.\1-no-invariants-or-later",
        ),
        (
            r"GNU Free Documentation\s+License,\s+Version\s+1\.([123])\s+or\s+any\s+later",
            r"GFDL-1.\1-or-later",
        ),
        (r"\bis\s+in\s+the\s+public\s+domain", "LicenseRef-public-domain"),
        (r"creativecommons\.org/publicdomain/zero/1\.0", "CC0-1.0"),
    )
]
_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/licenses/(by(?:-(?:nc|nd|sa))*)/(\d\.\d)")


@dataclass(frozen=True, slots=True)
class Dictionary:
    """The two files of a dictionary in the format of `dictd`."""

    index: File
    text: File


@dataclass(frozen=True, slots=True)
class Facts:
    """What is said of all entries of a file."""

    name: str
    source: str
    license: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """An entry of a dictionary.

    :param offset: where it lies in the text.
    :param words: what the index calls it.
    :param data: its bytes, or why there are none.
    """

    offset: int
    words: tuple[str, ...]
    data: bytes | Drop


def dictionary_unit(index: File) -> Unit:
    """Return the unit of an index and the text beside it."""
    stem = index.path.name.removesuffix(".gz").removesuffix(".index")
    for suffix in (".dict.dz", ".dict"):
        text = index.path.with_name(stem + suffix)
        if text.is_file():
            both = f"{fingerprint(index.path)}{fingerprint(text)}"
            payload = Dictionary(index, File(text, index.name.replace(index.path.name, text.name)))
            return Unit(index.name, both, payload, text.stat().st_size)
    drop = Drop("unreadable", f"{index.name}: no {stem}.dict.dz or {stem}.dict beside it")
    return Unit(index.name, fingerprint(index.path), drop)


def _index(file: File) -> Iterator[tuple[int, int, str] | Drop]:
    """Give offset, size and word of each entry of an index, in the order of the file."""
    read = 0
    try:
        for number, line in enumerate(lines(file), 1):
            read += len(line or b"")
            if read > MAX_INDEX_BYTES:
                yield Drop("too_long", f"{file.name}:{number}: above {MAX_INDEX_BYTES:,} bytes")
                return
            word, *numbers = decoded(line or b"").split("\t")
            offset, size = ([_number(n) for n in numbers] + [None, None])[:2]
            if offset is not None and size is not None and word.strip():
                yield offset, size, word
            elif line != b"":
                yield Drop("bad_index_line", f"{file.name}:{number}: {(line or b'')[:60]!r}")
    except DamagedError as error:
        yield Drop(error.reason, f"{file.name}: {error}")
    except OSError as error:
        yield Drop("unreadable", f"{file.name}: {error.strerror or error}")


def _number(digits: str) -> int | None:
    """Decode a number of an index: base 64, at most 60 bits."""
    value = 0
    for digit in digits:
        if digit not in _DIGITS:
            return None
        value = value * 64 + _DIGITS[digit]
    return value if 0 < len(digits) <= 10 else None


def entry_blocks(
    dictionary: Dictionary, license_: str
) -> Iterator[tuple[Facts, list[Located] | Drop]]:
    """Read the text of a dictionary from front to end, in runs of entries."""
    name = dictionary.index.name
    source = f"glossary/{Path(plain_name(name)).stem}"
    facts = Facts(name, source, license_)
    entries: list[tuple[int, int, str]] = []
    for entry in _index(dictionary.index):
        if isinstance(entry, Drop):
            yield facts, entry
        else:
            entries.append(entry)
    entries.sort()
    facts = _stated(facts, dictionary.text, entries)
    held: list[Located] = []
    size = 0
    for located in _located(dictionary.text, entries):
        held.append(located)
        size += len(located.data) if isinstance(located.data, bytes) else 0
        if size >= BLOCK_BYTES:
            yield facts, held
            held, size = [], 0
    if held:
        yield facts, held


def _located(file: File, entries: list[tuple[int, int, str]]) -> Iterator[Located]:
    """Fetch the bytes of entries, which are sorted, in one pass over the text."""
    text = _Forward(file)
    end = 0
    for (offset, size), same in groupby(entries, lambda entry: entry[:2]):
        words = tuple(word for _, _, word in same)
        data: bytes | Drop
        if size > MAX_ENTRY_BYTES:
            data = Drop("too_long", f"{size:,} bytes")
        elif offset < end:
            data = Drop("overlapping", f"begins within the entry before, which ends at {end}")
        else:
            data = text.read(offset, size)
            end = offset + size
        yield Located(offset, words, data)


class _Forward:
    """Reads ranges of a packed file in ascending order, holding no more than one of them."""

    def __init__(self, file: File) -> None:
        self._pieces = unpacked(file)
        self._held = bytearray()
        self._at = 0
        self._end = Drop("points_nowhere", "")

    def read(self, offset: int, size: int) -> bytes | Drop:
        """Return a range, or why it cannot be had."""
        while self._at + len(self._held) < offset + size:
            try:
                piece = next(self._pieces, b"")
            except DamagedError as error:
                self._end, piece = Drop(error.reason, str(error)), b""
            except OSError as error:
                self._end, piece = Drop("unreadable", error.strerror or str(error)), b""
            if not piece:
                length = self._at + len(self._held)
                detail = (
                    f"ends at {offset + size}, the text at {length} {self._end.detail}".rstrip()
                )
                return Drop(self._end.reason, detail)
            skipped = min(max(0, offset - self._at), len(self._held))
            del self._held[:skipped]
            self._at += skipped
            self._held += piece
        begin = offset - self._at
        return bytes(self._held[begin : begin + size])


def _stated(facts: Facts, file: File, entries: list[tuple[int, int, str]]) -> Facts:
    """Read what a dictionary states of itself: its licence, and where it is from."""
    told = {}
    for located in _located(file, [entry for entry in entries if _INFO.match(entry[2])]):
        if isinstance(located.data, bytes):
            told[located.words[0].rpartition("-")[2].removeprefix("00database")] = decoded(
                located.data
            )
    found = (line.strip() for line in told.get("url", "").splitlines())
    url = next((line for line in found if line.startswith(("http://", "https://"))), None)
    license_ = license_stated(told.get("info", "")) or facts.license
    return Facts(facts.name, facts.source, license_, url)


def license_stated(text: str) -> str | None:
    """Return the SPDX identifier of the licence that a text names in the words of the licence itself."""
    for pattern, name in _LICENSES:
        if match := pattern.search(text):
            return match.expand(name)
    if match := _CREATIVE_COMMONS.search(text):
        return f"CC-{match[1].upper()}-{match[2]}"
    return None
