"""Frequently asked questions: each question of a page with its answer.

| format   | what is a question                                                                  |
|----------|-------------------------------------------------------------------------------------|
| HTML     | JSON-LD; else headings, terms, summaries, bold lines with the mark of a question    |
| JSON-LD  | schema.org `Question`, in files (`.json`, `.jsonld`) or one a line (`.jsonl`)       |
| POD      | `=head` with the mark of a question                                                 |
| Markdown | headings, summaries, bold lines with the mark of a question; lines with `Q:`        |

Where most headings of a level are questions, so are the others of that level: "My disk is not found."
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import Field

from curate.harvest.base import FileSource
from curate.harvest.faq.html import read_html
from curate.harvest.faq.jsonld import read_jsonld
from curate.harvest.faq.marked import markdown_sections, pod_sections
from curate.harvest.faq.text import Faq, Question, of_the_site, paired
from curate.harvest.reading.charset import decoded, decoded_html
from curate.harvest.reading.documents import Document, document_blocks, document_units, documents
from curate.harvest.reading.files import File, plain_name
from curate.harvest.reading.streams import Chunk, stream_blocks, stream_units
from curate.harvest.text.languages import in_script, is_english_instead, split_language
from curate.harvest.text.texts import says_little, shortened
from curate.schema import Doc, Pair
from curate.stage import Drop, Found, Unit
from curate.text.languages import NAMES

KIND = "question-answer"
_LINES = (".jsonl", ".ndjson")


class FaqHarvest(FileSource):
    """Read pages of frequently asked questions (HTML, JSON-LD, POD, Markdown): questions with answers.

    Inputs are: every question; every heading that is neither a question nor part of an answer; every
    document without a heading or with a part that cannot be read. The language is what a page states,
    else what its path does (`de/faq.html`, `faq.de.html`). Translations of a page are one group.
    """

    name: ClassVar[str] = "harvest.faq"
    patterns: ClassVar[tuple[str, ...]] = (
        *("*.html", "*.htm", "*.xhtml", "*.pod", "*.md", "*.markdown"),
        *("*.json", "*.jsonld", "*.jsonl", "*.ndjson", "*.zip", "*.tar", "*.tgz"),
    )

    min_answer_chars: int = Field(20, ge=1)
    """A shorter answer is dropped."""
    max_chars: int = Field(8_000, ge=100)
    """A longer answer is cut at a paragraph."""

    def units(self) -> list[Unit]:
        """List the files, small ones in groups."""
        files = self.files()
        streams = [file for file in files if plain_name(file.name).lower().endswith(_LINES)]
        known = set(streams)
        return [*stream_units(streams), *document_units(f for f in files if f not in known)]

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut streams behind lines, archives between members."""
        return stream_blocks(unit) if isinstance(unit.payload, File) else document_blocks(unit)

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read the documents or the lines of a block."""
        if isinstance(block.payload, Drop):
            yield block.payload
        elif isinstance(block.payload, Chunk):
            yield from self._lines(block.payload)
        else:
            for document in documents(block):
                yield from [document] if isinstance(document, Drop) else self._document(document)

    def _lines(self, chunk: Chunk) -> Iterator[Found]:
        at = chunk.start
        try:
            data = chunk.read()
        except OSError as error:
            yield Drop("unreadable", f"{chunk.file.name}: {error.strerror or error}")
            return
        for line in data.split(b"\n"):
            if line.strip():
                yield from self._faq(f"{chunk.file.name}: byte {at}", read_jsonld(decoded(line)))
            at += len(line) + 1

    def _document(self, document: Document) -> Iterator[Found]:
        suffix = PurePosixPath(document.name).suffix.lower()
        faq = Faq()
        if suffix in (".html", ".htm", ".xhtml"):
            try:
                faq = read_html(decoded_html(document.data))
            except ValueError as error:
                yield Drop("not_html", f"{document.name}: {error}")
                return
        elif suffix in (".json", ".jsonld"):
            faq = read_jsonld(decoded(document.data))
        elif suffix == ".pod":
            faq.questions, faq.others = paired(pod_sections(decoded(document.data)))
        elif suffix in (".md", ".markdown"):
            faq.questions, faq.others = paired(markdown_sections(decoded(document.data)))
        else:
            yield Drop("unknown_format", f"{document.name}: {suffix or 'no suffix'}")
            return
        yield from self._faq(document.name, faq)

    def _faq(self, name: str, faq: Faq) -> Iterator[Found]:
        for fault in faq.faults:
            yield Drop("damaged", f"{name}: {fault}", url=faq.url)
        for heading in faq.others:
            yield Drop("not_a_question", f"{name}: {heading!r:.200}", url=faq.url)
        if not faq.questions and not faq.others and not faq.faults:
            yield Drop("no_questions", f"{name}: nothing like a heading in it", url=faq.url)
        language, shared = split_language(name)
        language = faq.language or language or self.language
        for number, question in enumerate(faq.questions):
            reason = self._reason(question, language)
            if reason:
                detail = f"{name}: question {number}: {question.text!r:.200}"
                yield Drop(reason, detail, url=faq.url, text=question.text)
            else:
                yield [self._pair(faq, question, language, name, shared, number)]

    def _reason(self, question: Question, language: str | None) -> str | None:
        if says_little(question.text):
            return "short_question"
        if of_the_site(question.text):
            return "of_the_site"
        if language and _is_other(question, language):
            return "not_translated"
        return "short_answer" if len(question.answer) < self.min_answer_chars else None

    def _pair(
        self,
        faq: Faq,
        question: Question,
        language: str | None,
        name: str,
        shared: str,
        number: int,
    ) -> Pair:
        url = faq.url
        if url and question.anchor and "#" not in url:
            url = f"{url}#{question.anchor}"
        return Pair(
            KIND,
            question.text,
            [Doc(shortened(question.answer, self.max_chars), language=language)],
            "faq",
            shared,
            language=language,
            license=faq.license or self.license,
            url=url,
            meta=json.dumps({"document": name, "number": number}, ensure_ascii=False),
        )


def _is_other(question: Question, language: str) -> bool:
    """Tell whether a question or its answer was left in another language than the page is in."""
    if language.partition("-")[0] not in NAMES:
        return False
    if not (in_script(question.text, language) and in_script(question.answer, language)):
        return True
    texts = (question.text, question.answer)
    return any(is_english_instead(text, language) for text in texts)
