"""The base of the sources that read files: a source is a generator of records, and nothing else.

A source of a stream (`StreamSource`) gets the blocks of a file one by one, each of whole records; a
source of documents (`DocumentSource`) gets whole files and members of archives. Finding, unpacking,
cutting, and what is damaged on that way are done here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from curate.harvest.reading.documents import Document, document_blocks, document_units, documents
from curate.harvest.reading.files import File, find
from curate.harvest.reading.streams import Chunk, stream_blocks, stream_units
from curate.licenses import NOASSERTION
from curate.stage import Drop, Found, Source, Unit


class FileSource(Source):
    """Reads files of one format."""

    patterns: ClassVar[tuple[str, ...]] = ("*",)
    """Globs of the files to read where `path` is a folder, without the suffix of a packed file."""

    path: str
    """A file, a folder (read to any depth) or a glob; gz, bz2, xz and zst are unpacked while reading."""
    license: str = NOASSERTION
    """The licence of what states none itself: an SPDX identifier."""
    language: str | None = None
    """The language of what states none itself: a BCP 47 tag."""

    def files(self) -> list[File]:
        """List the files to read, in a fixed order."""
        return find(self.path, self.patterns)

    def check(self) -> None:
        """Refuse a path where nothing is to be read."""
        self.files()

    def row_settings(self) -> dict[str, Any]:
        """Leave out where the files lie: names and content are in the key by the units."""
        return {name: value for name, value in super().row_settings().items() if name != "path"}


class StreamSource(FileSource):
    """Reads files that are streams of records, cut behind a boundary."""

    boundary: ClassVar[bytes] = b"\n"
    """What every record ends with."""

    def units(self) -> list[Unit]:
        """List the files."""
        return stream_units(self.files())

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut a file into blocks of whole records."""
        return stream_blocks(unit, self.boundary)

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read one block of a stream."""
        if isinstance(block.payload, Drop):
            yield block.payload
            return
        chunk: Chunk = block.payload
        try:
            data = chunk.read()
        except OSError as error:
            yield Drop("unreadable", f"{chunk.file.name}: {error.strerror or error}")
            return
        yield from self.read(chunk, data)

    @abstractmethod
    def read(self, chunk: Chunk, data: bytes) -> Iterator[Found]:
        """Read the records of a block; `chunk` says which file they are of, and where in it they begin.

        The first block may begin with a header, the last may lack the boundary.
        """


class DocumentSource(FileSource):
    """Reads files that are documents, and archives of them (zip, wheel, tar)."""

    def units(self) -> list[Unit]:
        """List the files, small ones in groups."""
        return document_units(self.files())

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut archives between members."""
        return document_blocks(unit)

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read the documents of one block."""
        for document in documents(block):
            if isinstance(document, Drop):
                yield document
            else:
                yield from self.read(document)

    @abstractmethod
    def read(self, document: Document) -> Iterator[Found]:
        """Read one document."""
