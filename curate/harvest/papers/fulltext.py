"""Papers with their full text: unarXive, S2ORC's parses of PDFs, and the API's table `s2orc`.

All say where in a paragraph a reference is mentioned; the sentence around it is the query.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from curate.harvest.papers.citations import MARK, Sentences
from curate.harvest.papers.ids import key, keys, license_of_url
from curate.harvest.papers.json import api_keys, s2_paper
from curate.harvest.papers.model import (
    Paper,
    Reading,
    json_lines,
    mapping,
    objects,
    paper_found,
    reference_found,
    sentence_found,
    string,
    unnamed,
)
from curate.harvest.papers.text import one_line, title_of
from curate.stage import Drop, Found


@dataclass(frozen=True, slots=True)
class _Mention:
    """Where a text mentions a reference, and its key, None if it has none."""

    start: int
    end: int
    cited: str | None


def _paragraph(
    text: str, mentions: list[_Mention], citing: Paper, place: str, finish: Callable[[str], str]
) -> Iterator[Found]:
    """Give the sentences of a paragraph that mention papers: one for each sentence and paper.

    :param mentions: in order, without overlap.
    :param finish: makes a sentence readable.
    """
    if not any(mention.cited for mention in mentions):
        return
    sentences = Sentences(text)
    held: dict[tuple[int, int], list[_Mention]] = {}
    for mention in mentions:
        held.setdefault(sentences.around(mention.start), []).append(mention)
    for (start, end), inside in held.items():
        sentence = one_line(finish(_marked(text, start, end, inside)))
        for cited in dict.fromkeys(mention.cited for mention in inside if mention.cited):
            at = f"{place}, character {start}"
            yield sentence_found(sentence, cited, citing, at, others=len(inside))


_NUMBER = re.compile(
    r"[\[(]?\s?\d{1,4}[a-z]?(?:\s?[,;\u2013-]\s?\d{1,4}){0,20}\s?[\])]?|\{\{cite:[^}]*\}\}"
)


def _marked(text: str, start: int, end: int, mentions: list[_Mention]) -> str:
    """Cut a sentence out, a mark for each mention that is a number or a link; names stay."""
    parts = []
    for mention in mentions:
        written = text[mention.start : mention.end]
        parts += [text[start : mention.start], MARK if _NUMBER.fullmatch(written) else written]
        start = mention.end
    return "".join([*parts, text[start:end]])


def _in_order(mentions: list[_Mention], size: int) -> list[_Mention]:
    """Return the mentions that lie in a text of a size, without those that overlap others."""
    result: list[_Mention] = []
    end = 0
    for mention in sorted(mentions, key=lambda m: (m.start, m.end)):
        if end <= mention.start < mention.end <= size:
            result.append(mention)
            end = mention.end
    return result


def _span(value: dict[str, Any]) -> tuple[int, int]:
    """Return where a span begins and ends; (-1, -1) if it does not say so."""
    start, end = value.get("start"), value.get("end")
    return (start, end) if isinstance(start, int) and isinstance(end, int) else (-1, -1)


# -- unarXive --------------------------------------------------------------------------------------

_LINK = re.compile(r"\{\{([a-z]{1,20}):([\w-]{1,80})\}\}")
_FORMULA_CHARS = 200


def read_unarxive(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read unarXive: papers, their references, and the sentences that cite them."""
    for row in json_lines(data, reading):
        if isinstance(row, Drop):
            yield row
        else:
            yield from _unarxive_paper(*row, reading)


def _unarxive_paper(row: dict[str, Any], at: str, reading: Reading) -> Iterator[Found]:
    meta = mapping(row.get("metadata"))
    abstract = string(mapping(row.get("abstract")).get("text"))
    paper = Paper(
        keys=keys(arxiv=row.get("paper_id"), doi=meta.get("doi")),
        title=string(meta.get("title")),
        abstract=string(meta.get("abstract")) or abstract,
        source="papers/unarxive",
        license=license_of_url(meta.get("license")) or reading.license,
        language=reading.language or "en",
        at=at,
    )
    yield from paper_found(paper, reading.cited)
    entries = {name: _entry_key(entry) for name, entry in mapping(row.get("bib_entries")).items()}
    yield from _references(entries, paper)
    formulas = mapping(row.get("ref_entries"))
    for number, paragraph in enumerate(objects(row.get("body_text"))):
        text = string(paragraph.get("text"))
        mentions = [
            _Mention(*match.span(), entries.get(match[2]))
            for match in _LINK.finditer(text)
            if match[1] == "cite"
        ]
        place = f"{at}, paragraph {number}"
        yield from _paragraph(text, mentions, paper, place, lambda s: _typeset(s, formulas))


def _entry_key(entry: Any) -> str | None:
    ids = mapping(mapping(entry).get("ids"))
    return next(iter(keys(arxiv=ids.get("arxiv_id"), doi=ids.get("doi"))), None)


def _references(entries: dict[str, str | None], paper: Paper) -> Iterator[Found]:
    title = title_of(paper.title)
    for name, cited in entries.items():
        if cited is None:
            yield unnamed(paper, f"{paper.at}, reference {name}")
    for cited in dict.fromkeys(filter(None, entries.values())):
        yield reference_found(cited, paper, title, paper.at)


def _typeset(sentence: str, entries: dict[str, Any]) -> str:
    """Put formulas back where the text links to them; figures, tables and sections are left out."""

    def shown(match: re.Match[str]) -> str:
        if match[1] != "formula":
            return ""
        latex = string(mapping(entries.get(match[2])).get("latex")).strip()
        return f"${latex}$" if 0 < len(latex) <= _FORMULA_CHARS and "$" not in latex else "$...$"

    return _LINK.sub(shown, sentence)


# -- S2ORC, releases up to 2020 --------------------------------------------------------------------


def read_pdf_parses(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read S2ORC's parses of PDFs: the sentences that cite papers; titles are in the metadata."""
    for row in json_lines(data, reading):
        if isinstance(row, Drop):
            yield row
            continue
        fields, at = row
        paper = s2_paper(keys(s2=fields.get("paper_id")), "", "", at, reading)
        if not paper.keys:
            yield Drop("no_id", at, paper.source)
            continue
        bib = mapping(fields.get("bib_entries"))
        entries = {name: key("s2", mapping(entry).get("link")) for name, entry in bib.items()}
        for name, cited in entries.items():
            if cited is None:
                yield unnamed(paper, f"{at}, reference {name}")
        for number, paragraph in enumerate(objects(fields.get("body_text"))):
            text = string(paragraph.get("text"))
            spans = objects(paragraph.get("cite_spans"))
            mentions = [_Mention(*_span(s), entries.get(string(s.get("ref_id")))) for s in spans]
            place = f"{at}, paragraph {number}"
            yield from _paragraph(text, _in_order(mentions, len(text)), paper, place, str)


# -- Semantic Scholar's Datasets API ---------------------------------------------------------------


def read_s2_fulltext(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read the table `s2orc`: one text for each paper, and where in it everything lies."""
    for row in json_lines(data, reading):
        if isinstance(row, Drop):
            yield row
            continue
        fields, at = row
        content = mapping(fields.get("content"))
        text = string(content.get("text"))
        marks = _Annotations(text, mapping(content.get("annotations")))
        names = api_keys(fields, fields.get("externalids"))
        abstract = "\n".join(marks.texts("abstract"))
        title = next(iter(marks.texts("title")), "")
        paper = s2_paper(names, title, abstract, at, reading)
        yield from paper_found(paper, reading.cited)
        entries = marks.entries()
        yield from _references(entries, paper)
        yield from _s2_sentences(marks, entries, paper)


def _s2_sentences(
    marks: _Annotations, entries: dict[str, str | None], paper: Paper
) -> Iterator[Found]:
    mentions = marks.mentions(entries)
    starts = [mention.start for mention in mentions]
    for start, end in marks.spans("paragraph"):
        inside = [
            _Mention(m.start - start, m.end - start, m.cited)
            for m in mentions[bisect_left(starts, start) : bisect_left(starts, end)]
            if m.end <= end
        ]
        place = f"{paper.at}, paragraph at {start}"
        yield from _paragraph(marks.text[start:end], inside, paper, place, str)


class _Annotations:
    """The layers over a text, each a text of JSON itself."""

    def __init__(self, text: str, layers: dict[str, Any]) -> None:
        self.text = text
        self._layers = layers

    def _layer(self, name: str) -> list[dict[str, Any]]:
        value = self._layers.get(name)
        if isinstance(value, str):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                return []
        return objects(value)

    def spans(self, name: str) -> list[tuple[int, int]]:
        """Return the spans of a layer, in order, without overlap."""
        made = [_Mention(*_span(span), None) for span in self._layer(name)]
        return [(span.start, span.end) for span in _in_order(made, len(self.text))]

    def texts(self, name: str) -> list[str]:
        return [self.text[start:end] for start, end in self.spans(name)]

    def entries(self) -> dict[str, str | None]:
        """Return the key of each reference by its name."""
        found: dict[str, str | None] = {}
        for entry in self._layer("bibentry"):
            facts = mapping(entry.get("attributes"))
            found[string(facts.get("id"))] = key("s2", facts.get("matched_paper_id"))
        return found

    def mentions(self, entries: dict[str, str | None]) -> list[_Mention]:
        """Return where the references are mentioned."""
        made = [
            _Mention(*_span(s), entries.get(string(mapping(s.get("attributes")).get("ref_id"))))
            for s in self._layer("bibref")
        ]
        return _in_order(made, len(self.text))
