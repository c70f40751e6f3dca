"""Papers in lines of JSON: arXiv's metadata, S2ORC's metadata, and tables of Semantic Scholar's API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from curate.harvest.papers.ids import ARXIV_METADATA, S2, key, keys
from curate.harvest.papers.model import (
    Paper,
    Reading,
    helpers,
    json_lines,
    mapping,
    paper_found,
    reference_found,
    sentence_found,
    string,
)
from curate.harvest.papers.text import abstract_of, one_line, title_of
from curate.stage import Drop, Found, Piece

S2ORC = "papers/s2orc"


def read_arxiv(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read arXiv's metadata, as Kaggle distributes it."""
    for row in json_lines(data, reading):
        if isinstance(row, Drop):
            yield row
        else:
            yield from paper_found(_arxiv_paper(*row, reading), reading.cited)


def _arxiv_paper(row: dict[str, Any], at: str, reading: Reading) -> Paper:
    return Paper(
        keys=keys(arxiv=row.get("id"), doi=row.get("doi")),
        title=string(row.get("title")),
        abstract=string(row.get("abstract")),
        source="papers/arxiv",
        license=ARXIV_METADATA,
        language=reading.language or "en",
        at=at,
    )


# -- S2ORC, releases up to 2020 --------------------------------------------------------------------


def read_s2orc(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read S2ORC's metadata: papers and, by their ids, what they cite."""
    for row in json_lines(data, reading):
        if isinstance(row, Drop):
            yield row
            continue
        fields, at = row
        paper = _s2orc_paper(fields, at, reading)
        yield from paper_found(paper, reading.cited)
        cited = fields.get("outbound_citations")
        title = title_of(paper.title)
        for value in dict.fromkeys(map(str, cited)) if isinstance(cited, list) else ():
            if name := key("s2", value):
                yield reference_found(name, paper, title, at)
            else:
                yield Drop("no_id", f"{at}: cites {value[:100]!r}", S2ORC)


def _s2orc_paper(row: dict[str, Any], at: str, reading: Reading) -> Paper:
    ids = {"arxiv": row.get("arxiv_id"), "acl": row.get("acl_id"), "doi": row.get("doi")}
    return s2_paper(
        keys(**ids, s2=row.get("paper_id")),
        string(row.get("title")),
        string(row.get("abstract")),
        at,
        reading,
    )


def s2_paper(names: tuple[str, ...], title: str, abstract: str, at: str, reading: Reading) -> Paper:
    """Make a paper of Semantic Scholar, which does not say in which language it is."""
    return Paper(names, title, abstract, S2ORC, S2, reading.language, at)


# -- Semantic Scholar's Datasets API ---------------------------------------------------------------


def api_keys(row: dict[str, Any], external: Any) -> tuple[str, ...]:
    """Return the keys of a row of any table; the names of the ids are written in several ways."""
    ids = {name.lower(): value for name, value in mapping(external).items()}
    known = {scheme: ids.get(scheme) for scheme in ("arxiv", "acl", "doi")}
    return keys(**known, s2=row.get("corpusid"))


def read_s2_papers(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read the table `papers`: titles, which only help the abstracts."""
    for row in json_lines(data, reading):
        if isinstance(row, Drop):
            yield row
            continue
        fields, at = row
        title = string(fields.get("title"))
        paper = s2_paper(api_keys(fields, fields.get("externalids")), title, "", at, reading)
        if not paper.keys:
            yield Drop("no_id", at, S2ORC)
        yield from helpers(paper, title_of(title), "", reading.cited)


def read_s2_abstracts(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read the table `abstracts`, whose titles are in `papers`."""
    for row in json_lines(data, reading):
        if isinstance(row, Drop):
            yield row
            continue
        fields, at = row
        external = mapping(fields.get("openaccessinfo")).get("externalids")
        paper = s2_paper(
            api_keys(fields, external), "", string(fields.get("abstract")), at, reading
        )
        yield from _abstract_found(paper, key("s2", fields.get("corpusid")), reading)


def _abstract_found(paper: Paper, own: str | None, reading: Reading) -> Iterator[Found]:
    abstract, reason = abstract_of(paper.abstract)
    if reason or own is None:
        yield Drop(reason or "no_id", f"{paper.at}: {paper.name}", S2ORC, paper.address)
        return
    yield Piece(own, {"role": "abstract", **paper.data("", abstract)})
    for helper in helpers(paper, "", abstract, reading.cited):
        if helper.key != own:
            yield helper


def read_s2_citations(data: bytes, reading: Reading) -> Iterator[Found]:
    """Read the table `citations`: which paper cites which, in which sentences."""
    for row in json_lines(data, reading):
        if isinstance(row, Drop):
            yield row
            continue
        fields, at = row
        cited = key("s2", fields.get("citedcorpusid"))
        citing = s2_paper(keys(s2=fields.get("citingcorpusid")), "", "", at, reading)
        sentences = _contexts(fields.get("contexts"))
        if cited is None or not sentences:
            yield Drop("no_sentence" if cited else "no_id", f"{at}: {citing.name}", S2ORC)
        for sentence in sentences if cited else ():
            yield sentence_found(one_line(sentence), cited or "", citing, at)


def _contexts(value: Any) -> list[str]:
    """Return the sentences of a citation; some releases write the list as a text of JSON."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return []
    texts = [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
    return [text for text in dict.fromkeys(texts) if text.strip()]
