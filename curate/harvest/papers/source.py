"""Scholarly papers: titles, abstracts, and what other papers say of them.

| kind               | query                           | passage                         |
|--------------------|---------------------------------|---------------------------------|
| title-abstract     | a paper's title                 | its abstract                    |
| citation-abstract  | a sentence that cites the paper | its abstract                    |
| title-citing-title | a paper's title                 | the title of a paper citing it  |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from curate.harvest.base import FileSource
from curate.harvest.papers.files import FORMATS, Part, blocks_of, contents_of, units_of
from curate.harvest.papers.model import Reading, joined
from curate.schema import Record
from curate.stage import Drop, Found, Joined, Piece, Unit

FormatName = Literal[
    "arxiv-oai",
    "arxiv-json",
    "acl-anthology",
    "scisummnet",
    "unarxive",
    "s2orc-metadata",
    "s2orc-pdf-parses",
    "s2-papers",
    "s2-abstracts",
    "s2-citations",
    "s2-fulltext",
]


class PapersHarvest(FileSource, Joined):
    """Read papers of arXiv, the ACL Anthology, S2ORC, unarXive and ScisummNet, in any mixture.

    An input is a paper, a sentence with a paper that it cites (each of them, if it cites several), or a
    reference: a paper with one that it cites. Rows of the table `papers` of Semantic Scholar only give
    `abstracts` their titles. Cited and citing paper may lie anywhere in it: they meet by their ids.

    The leak-proof unit is the cited paper: its abstract is the passage of all who cite it, so a held-out
    paper is one whose abstract was never seen. The citing sentence may occur again for another paper.

    Markers are taken out of citing sentences (see `papers_citations`). For joining, every paper lies on
    disk once for each of its ids by which something in the input cites; nothing is held in memory.
    """

    name: ClassVar[str] = "harvest.papers"

    format: FormatName | None = None
    """The format of all files; by default told by the content of each."""

    def units(self) -> list[Unit]:
        """List the files."""
        return units_of(self.files(), self.format)

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut a file into blocks of whole records, an archive also between members."""
        return blocks_of(unit)

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read one block."""
        part: Part = block.payload
        titles: dict[str, str] = {}
        for content in contents_of(part):
            if isinstance(content, Drop):
                yield content
                continue
            name, start, data = content
            reading = Reading(name, start, part.cited, self.license, self.language, titles)
            yield from FORMATS[part.format].read(data, reading)

    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        """Bring an abstract and those who cite it together."""
        return joined(key, pieces)
