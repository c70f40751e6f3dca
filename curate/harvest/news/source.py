"""News: headlines with their articles and summaries, from web archives, pages, feeds, tables and texts.

| kind             | query    | passage                                                          |
|------------------|----------|------------------------------------------------------------------|
| title-body       | headline | text of the article                                              |
| headline-summary | headline | its summary: what a feed, a table or the page itself gives as such |
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from curate.harvest.news.articles import (
    Article,
    Columns,
    article_of_row,
    articles_of_json,
    articles_of_text,
    columns_of,
)
from curate.harvest.news.feeds import articles_of_feed
from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.documents import Document, document_blocks, document_units, documents
from curate.harvest.reading.files import File, plain_name
from curate.harvest.reading.rows import Block, Row, blocks_of, rows_of
from curate.harvest.reading.rows_json import is_document
from curate.harvest.reading.streams import stream_units
from curate.harvest.reading.unpacking import unpacked
from curate.harvest.text.extract import host_of, language_tag
from curate.harvest.text.texts import (
    plain,
    prose_share,
    same_words,
    says_little,
    shortened,
    weight,
    without_title,
)
from curate.harvest.text.titles import names_nothing
from curate.harvest.web.pages import (
    FoundPage,
    PageSource,
    Place,
    is_web_archive,
    looks_like_html,
    without_frames,
)
from curate.harvest.web.warc import archive_blocks
from curate.licenses import NOASSERTION
from curate.schema import Doc, Pair, Record, content_id
from curate.stage import Drop, Found, Unit

_TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson")
_HTML = (".html", ".htm", ".xhtml", ".shtml")
_FEEDS = (".xml", ".rss", ".atom", ".rdf")
_FEED = re.compile(rb"<(?:rss|feed|rdf:RDF)\b", re.IGNORECASE)
_SAMPLE_ROWS = 200
MIN_SUMMARY_CHARS = 50
MIN_PROSE = 0.4
"""Less than of any page: pages of news also have quotes, scores and lists."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows."""

    file: File


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table, and which of their columns hold what."""

    block: Block
    columns: Columns
    name: str


class NewsHarvest(PageSource):
    """Read news from web archives, article pages, RSS, Atom and JSON feeds, tables and text files.

    An input is an article: a record of a web archive, a page, an item of a feed, a row of a table, or an
    article of a text file (the file, or each block of lines between empty lines); and what cannot be
    read. Of a zip that holds tables, only these are read. The first line of an article in a text file
    is its title.

    The group is the article: its address, or its headline where none is given.
    """

    name: ClassVar[str] = "harvest.news"
    recall: ClassVar[bool] = True
    patterns: ClassVar[tuple[str, ...]] = (
        *PageSource.patterns,
        *("*.csv", "*.tsv", "*.tab", "*.jsonl", "*.ndjson", "*.json"),
        *("*.xml", "*.rss", "*.atom", "*.rdf", "*.txt"),
    )

    source: str = "news"
    """The name of the collection."""
    title: str | None = None
    """The column of a table with the headline; null finds it by its name, or as the first of texts."""
    body: str | None = None
    """The column with the text of the article."""
    summary: str | None = None
    """The column with a summary or description."""
    header: tuple[str, ...] | None = None
    """Names for the columns of tables without a header."""
    min_chars: int = Field(100, ge=1)
    """An article with a shorter text, and no summary, is dropped; wide characters count double."""
    max_chars: int = Field(8_000, ge=100)
    """Longer texts are cut at the end of a paragraph."""

    # -- blocks ------------------------------------------------------------------------------------

    def units(self) -> list[Unit]:
        """List the files: web archives, tables, and the rest, small ones in groups."""
        archives, tables, rest = list[File](), list[File](), list[File]()
        for file in self.files():
            if is_web_archive(file):
                archives.append(file)
            elif members := _tables_in(file):
                tables += members
            else:
                (tables if _is_table(file) else rest).append(file)
        rows = [
            Unit(unit.name, unit.fingerprint, Table(unit.payload), unit.size)
            for unit in stream_units(tables)
        ]
        return [*stream_units(archives), *rows, *document_units(rest)]

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut web archives between records, tables between rows, other archives between members."""
        if isinstance(unit.payload, Table):
            yield from self._row_blocks(unit)
        elif isinstance(unit.payload, File):
            yield from archive_blocks(unit)
        else:
            yield from document_blocks(unit)

    def _row_blocks(self, unit: Unit) -> Iterator[Unit]:
        """Cut a table; its first rows say which of its columns hold what."""
        file, columns = unit.payload.file, None
        for number, block in enumerate(blocks_of(file, None, self.header)):
            payload: Rows | Drop
            if isinstance(block, Drop):
                payload = block
            else:
                columns = columns or self._columns(block)
                payload = Rows(block, columns, file.name) if columns else self._unknown(block)
            yield Unit(f"{unit.name} @ block {number}", unit.fingerprint, payload)

    def _columns(self, block: Block) -> Columns | None:
        return columns_of(list(_sample(block)), self.title, self.body, self.summary)

    def _unknown(self, block: Block) -> Drop:
        names = list(next(_sample(block), {}))
        detail = (
            f"{block.table.file.name}: title and text are not told by {', '.join(names)[:200]!r}"
        )
        return Drop("no_columns", detail)

    # -- articles ----------------------------------------------------------------------------------

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read the articles of a block."""
        payload = block.payload
        if isinstance(payload, Rows):
            for row in rows_of(payload.block):
                yield row if isinstance(row, Drop) else self._of_row(row, payload.columns)
        elif isinstance(payload, list):
            read = (self._of_file(document) for document in documents(block))
            for found in without_frames([item for items in read for item in items]):
                yield self._of_page(found) if isinstance(found, FoundPage) else found
        else:
            for page in self.pages(block):
                yield page if isinstance(page, Drop) else self._of_page(page)

    def _of_row(self, row: Row, columns: Columns) -> Found:
        place = Place(row.file, row.at)
        try:
            return self._judged(article_of_row(row.values, columns), place)
        except ValueError as error:
            return place.drop("bad_value", str(error))

    def _of_page(self, found: FoundPage) -> Found:
        page, place = found
        if page.url and urlsplit(page.url).path in ("", "/"):
            return place.drop("not_article", "the front page of a site")
        if page.shared_title:
            return place.drop("weak_title", f"other pages have it too: {page.title!r}")
        if prose_share(page.text) < MIN_PROSE:
            share = f"{prose_share(page.text):.0%}"
            return place.drop("no_prose", f"{share} of the text is in paragraphs")
        article = Article(
            page.title or "",
            page.text,
            page.description or "",
            page.url,
            page.language,
            page.license,
        )
        return self._judged(article, place)

    def _of_file(self, document: Document | Drop) -> Iterator[Found | FoundPage]:
        """Read a whole file by what is in it; its name decides where that is open."""
        if isinstance(document, Drop):
            yield document
            return
        data, place = document.data, Place(document.name)
        suffix = Path(plain_name(document.name)).suffix.lower()
        head = data[:1_000].lstrip(b"\xef\xbb\xbf \t\r\n")
        if suffix == ".txt":
            yield from self._all(articles_of_text(data), place)
        elif head[:1] in (b"{", b"["):
            yield from self._all(articles_of_json(data), place)
        elif suffix in _FEEDS or (suffix not in _HTML and _FEED.search(head)):
            yield from self._all(articles_of_feed(data), place)
        elif suffix in _HTML or looks_like_html(data):
            yield self.document(document)
        else:
            yield place.drop("no_news", f"neither page, feed, table nor text: {head[:40]!r}")

    def _all(
        self, articles: Iterator[Article | ValueError] | Iterator[Article], place: Place
    ) -> Iterator[Found]:
        """Judge all articles of a file, which are told apart by their number."""
        number = -1
        try:
            for number, article in enumerate(articles):
                where = Place(place.file, None, None, number)
                if isinstance(article, ValueError):
                    yield where.drop("bad_value", str(article))
                else:
                    yield self._judged(article, where)
        except ValueError as error:
            yield place.drop("damaged", str(error))
            return
        if number < 0:
            yield place.drop("empty", "no article in it")

    # -- pairs -------------------------------------------------------------------------------------

    def _judged(self, article: Article, place: Place) -> list[Record] | Drop:
        article = article.unmarked()
        title = article.title
        if not title:
            return place.drop("no_title", "no headline")
        if says_little(title, 3, 12) or names_nothing(title):
            return place.drop("weak_title", repr(title))
        texts = {
            "title-body": without_title(article.body, title),
            "headline-summary": article.summary,
        }
        least = {"title-body": self.min_chars, "headline-summary": MIN_SUMMARY_CHARS}
        kept = {k: text for k, text in texts.items() if weight(text) >= least[k]}
        if _repeats(kept.get("headline-summary", ""), title, texts["title-body"]):
            kept.pop("headline-summary", None)
        if not kept:
            longest = max(map(len, texts.values()))
            return place.drop("short_text" if longest else "no_text", f"{longest} characters")
        return [self._pair(kind, text, article, place) for kind, text in kept.items()]

    def _pair(self, kind: str, text: str, article: Article, place: Place) -> Pair:
        language = language_tag(article.language or "") or self.language
        url = article.url if host_of(article.url) else None
        return Pair(
            kind=kind,
            query=article.title,
            positives=[Doc(shortened(text, self.max_chars), language=language)],
            source=self.source,
            group=url or content_id("headline", article.title),
            language=language,
            license=self.license if article.license == NOASSERTION else article.license,
            url=url,
            meta=json.dumps(place.meta, ensure_ascii=False),
        )


def _repeats(summary: str, title: str, body: str) -> bool:
    """Tell whether a summary is the headline, or the beginning of the article, once more."""
    return same_words(summary, title) or plain(body[:500]).startswith(plain(summary)[:60])


def _sample(block: Block) -> Iterator[dict[str, Any]]:
    rows = (row.values for row in rows_of(block) if isinstance(row, Row))
    return islice(rows, _SAMPLE_ROWS)


def _is_table(file: File) -> bool:
    """Tell a table by its name, or, of JSON, by how it begins."""
    suffix = Path(plain_name(file.name)).suffix.lower()
    if suffix != ".json":
        return suffix in _TABLES
    try:
        head = next(unpacked(file), b"")
    except (OSError, DamagedError):
        return False
    first, _, rest = head.strip().partition(b"\n")
    return is_document(head, False) or (first.endswith(b"}") and rest.lstrip()[:1] == b"{")


def _tables_in(file: File) -> list[File]:
    """Return the members of a zip that are tables."""
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(_TABLES)]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []
    return [File(file.path, f"{file.name}/{name}", name) for name in sorted(set(names))]
