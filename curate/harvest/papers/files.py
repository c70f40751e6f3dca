"""Files of papers: what each of them holds, told by its first bytes, and the blocks they are cut into."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from curate.harvest.papers.fulltext import read_pdf_parses, read_s2_fulltext, read_unarxive
from curate.harvest.papers.ids import SCHEMES
from curate.harvest.papers.json import (
    read_arxiv,
    read_s2_abstracts,
    read_s2_citations,
    read_s2_papers,
    read_s2orc,
)
from curate.harvest.papers.model import Reading
from curate.harvest.papers.scisumm import is_paper, paper_folder, read_scisumm
from curate.harvest.papers.xml import ACL_END, OAI_END, read_acl, read_oai
from curate.harvest.reading import bounds
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.documents import (
    Document,
    document_units,
    is_archive,
    member_streams,
    read_document,
)
from curate.harvest.reading.files import File
from curate.harvest.reading.streams import Chunk, gathered, stream_blocks, stream_units
from curate.harvest.reading.unpacking import unpacked
from curate.stage import Drop, Found, Unit

Read = Callable[[bytes, Reading], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class Format:
    """How files of one kind are told, cut and read.

    :param mark: what stands near the beginning of such a file and of no other kind; see `FORMATS`.
    :param boundary: what a record ends with; None if a file or member is to be read as a whole.
    :param cites: the schemes of the keys by which its papers cite others, or are joined.
    """

    mark: re.Pattern[bytes]
    boundary: bytes | None
    read: Read
    cites: frozenset[str] = frozenset()


def _lines(mark: bytes, read: Read, *cites: str) -> Format:
    return Format(re.compile(rb"\s*\{[\s\S]*?" + mark), b"\n", read, frozenset(cites))


FORMATS = {
    "arxiv-oai": Format(re.compile(rb"\s*<[\s\S]*?<record[\s>]"), OAI_END, read_oai),
    "acl-anthology": Format(
        re.compile(rb"\s*<[\s\S]*?<(?:collection|volume)[\s>]"), ACL_END, read_acl
    ),
    "scisummnet": Format(
        re.compile(rb"\s*(?:<[\s\S]{0,200}?<S sid=|\[[\s\S]*?\"citance_No\")"),
        None,
        read_scisumm,
        frozenset(["acl"]),
    ),
    "unarxive": _lines(rb'"_source_(?:hash|name)"', read_unarxive, "arxiv", "acl", "doi"),
    "s2orc-metadata": _lines(rb'"(?:outbound_citations|has_pdf_parse)"', read_s2orc, "s2"),
    "s2orc-pdf-parses": _lines(rb'"_pdf_hash"', read_pdf_parses, "s2"),
    "s2-citations": _lines(rb'"citingcorpusid"', read_s2_citations, "s2"),
    "s2-abstracts": _lines(rb'"openaccessinfo"', read_s2_abstracts, "s2"),
    "s2-fulltext": _lines(rb'"corpusid"[\s\S]{0,2000}?"content"\s?:', read_s2_fulltext, "s2"),
    "s2-papers": _lines(rb'"corpusid"', read_s2_papers),
    "arxiv-json": _lines(rb'"(?:authors_parsed|submitter|journal-ref)"', read_arxiv),
}
"""By name; the first whose mark is there, so what holds the fields of others comes before them."""
_HEAD_BYTES = 1 << 16


def format_of(head: bytes) -> str | None:
    """Tell the format of a file or member by its first bytes; None if it is none of `FORMATS`."""
    head = head[:_HEAD_BYTES]
    return next((name for name, known in FORMATS.items() if known.mark.match(head)), None)


@dataclass(frozen=True, slots=True)
class Part:
    """The payload of a unit or a block.

    :param format: a name of `FORMATS`; "" for an archive, whose members tell.
    :param items: files of a unit; chunks, files, documents and drops of a block.
    :param cited: the schemes of the keys by which anything in the input cites.
    """

    format: str
    items: tuple[Any, ...]
    cited: frozenset[str] = frozenset()


# -- units -----------------------------------------------------------------------------------------


def units_of(files: list[File], given: str | None) -> list[Unit]:
    """Return the units of files; ScisummNet's small files together, folder by folder.

    :param given: the format, if it is not to be told by the content.
    """
    units: list[Unit] = []
    folders: dict[str, list[File]] = {}
    for file in files:
        name = given or _told(file)
        if is_archive(file):
            units += [_with(unit, given or "") for unit in stream_units([file])]
        elif name and FORMATS[name].boundary is None:
            folders.setdefault(paper_folder(file.name), []).append(file)
        else:
            units += [_with(unit, name or "unknown") for unit in stream_units([file])]
    for group in _groups(folders):
        units += [_with(unit, given or "scisummnet") for unit in document_units(group)]
    return _joining(units)


def _with(unit: Unit, name: str) -> Unit:
    files = unit.payload if isinstance(unit.payload, tuple) else (unit.payload,)
    return replace(unit, payload=Part(name, files))


def _told(file: File) -> str | None:
    try:
        return format_of(next(unpacked(file), b""))
    except (OSError, DamagedError):
        return None


def _groups(folders: dict[str, list[File]]) -> Iterator[list[File]]:
    """Put folders together, about half a block each, so that none is cut in two."""
    group: list[File] = []
    size = 0
    for files in folders.values():
        bytes_ = sum(file.path.stat().st_size for file in files)
        if group and size + bytes_ > bounds.BLOCK_BYTES // 2:
            yield group
            group, size = [], 0
        group += sorted(files, key=lambda file: (not is_paper(file.name), file.name))
        size += bytes_
    if group:
        yield group


def _joining(units: list[Unit]) -> list[Unit]:
    """Tell every unit by which keys the others cite, so that nothing else is kept for joining."""
    cited: set[str] = set()
    for unit in units:
        name = unit.payload.format
        cited |= FORMATS[name].cites if name in FORMATS else set(SCHEMES) if not name else set()
    schemes = ",".join(sorted(cited))
    return [
        replace(
            unit,
            fingerprint=f"{unit.fingerprint} {unit.payload.format} {schemes}",
            payload=replace(unit.payload, cited=frozenset(cited)),
        )
        for unit in units
    ]


# -- blocks ----------------------------------------------------------------------------------------


def blocks_of(unit: Unit) -> Iterator[Unit]:
    """Cut a unit of `units_of`; the payloads of its blocks are `Part`s."""
    part: Part = unit.payload
    file: File = part.items[0]
    if part.format == "unknown":
        yield unit
    elif is_archive(file):
        yield from _archive_blocks(unit, part, file)
    elif (boundary := FORMATS[part.format].boundary) is None:
        yield unit
    else:
        for block in stream_blocks(replace(unit, payload=file), boundary):
            yield replace(block, payload=replace(part, items=(block.payload,)))


def _archive_blocks(unit: Unit, part: Part, file: File) -> Iterator[Unit]:
    """Cut an archive: members that are streams into blocks, small documents put together."""
    held: list[Document | Drop] = []
    size = count = 0

    def block(name: str, *items: Any) -> Unit:
        nonlocal count
        count += 1
        payload = replace(part, format=name, items=items)
        return Unit(f"{unit.name} @ {count}", unit.fingerprint, payload)

    for found in member_streams(file):
        if isinstance(found, Drop):
            held.append(found)
            continue
        member, pieces = found
        name, pieces = _sniffed(pieces, part.format)
        if name is None or FORMATS[name].boundary is None:
            # A paper stays with the sentences that cite it, which come next.
            if size >= bounds.BLOCK_BYTES and is_paper(member.name):
                yield block("scisummnet", *held)
                held, size = [], 0
            held.append(_document(member, pieces) if name else unknown(member.name))
            size += len(held[-1].data) if isinstance(held[-1], Document) else 0
        else:
            boundary = FORMATS[name].boundary or b""
            for chunk in gathered(member, pieces, boundary):
                yield block(name, chunk)
    if held:
        yield block("scisummnet", *held)


def _sniffed(pieces: Iterator[bytes], given: str) -> tuple[str | None, Iterator[bytes]]:
    """Tell the format of a member, and give its pieces back."""
    try:
        first = next(pieces, b"")
    except DamagedError as error:
        return "scisummnet", _raising(error)
    return given or format_of(first), _chained(first, pieces)


def _chained(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _raising(error: DamagedError) -> Iterator[bytes]:
    yield b""
    raise error


def _document(member: File, pieces: Iterator[bytes]) -> Document | Drop:
    held = bytearray()
    try:
        for piece in pieces:
            held += piece
            if len(held) > bounds.MAX_RECORD_BYTES:
                return Drop(
                    "too_long", f"{member.name}: longer than {bounds.MAX_RECORD_BYTES:,} bytes"
                )
    except DamagedError as error:
        return Drop(error.reason, f"{member.name}: at byte {len(held)} of its content: {error}")
    return Document(member.name, bytes(held))


def unknown(name: str) -> Drop:
    """Say that a file or member is in none of the formats."""
    return Drop("unknown_format", f"{name}: none of {', '.join(FORMATS)}")


def contents_of(part: Part) -> Iterator[tuple[str, int, bytes] | Drop]:
    """Read what a block holds: for each chunk or document its name, where it begins, its bytes."""
    for item in part.items:
        if isinstance(item, Drop):
            yield item
        elif part.format == "unknown":
            yield _unknown_file(item)
        elif isinstance(item, Chunk):
            try:
                yield item.file.name, item.start, item.read()
            except OSError as error:
                yield Drop("unreadable", f"{item.file.name}: {error.strerror or error}")
        else:
            document = read_document(item) if isinstance(item, File) else item
            if isinstance(document, Drop):
                yield document
            else:
                yield document.name, 0, document.data


def _unknown_file(file: File) -> Drop:
    """Say why the format of a file could not be told: it may be damaged."""
    try:
        next(unpacked(file), b"")
    except DamagedError as error:
        return Drop(error.reason, f"{file.name}: {error}")
    except OSError as error:
        return Drop("unreadable", f"{file.name}: {error.strerror or error}")
    return unknown(file.name)
