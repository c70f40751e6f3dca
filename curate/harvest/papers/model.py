"""A paper, what cites it, and the pairs they make, whichever format said so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from curate.harvest.papers.citations import MAX_CITED, cited_in, refusal, without_markers
from curate.harvest.papers.ids import SCHEMES, both, url_of
from curate.harvest.papers.text import abstract_of, title_of
from curate.licenses import NOASSERTION
from curate.schema import Doc, Pair, Record, content_id
from curate.stage import Drop, Found, Piece

TITLE_ABSTRACT = "title-abstract"
CITATION_ABSTRACT = "citation-abstract"
TITLE_CITING_TITLE = "title-citing-title"
_MAX_RAW_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader is to know beside the bytes.

    :param file: the file, or the member of an archive.
    :param start: where the bytes begin in it.
    :param cited: the schemes of the keys by which anything in the input cites.
    :param titles: the titles of papers that are spread over several documents, by folder.
    """

    file: str
    start: int = 0
    cited: frozenset[str] = frozenset()
    license: str = NOASSERTION
    language: str | None = None
    titles: dict[str, str] = field(default_factory=dict)

    def at(self, offset: int) -> str:
        """Return the place of a record."""
        return f"{self.file}: byte {self.start + offset}"


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper as a source gives it.

    :param keys: by `papers_ids.keys`: its names, the first one its own.
    :param title: as typed; "" if not given. So is the abstract.
    :param at: the place of the record.
    """

    keys: tuple[str, ...]
    title: str
    abstract: str
    source: str
    license: str
    language: str | None
    at: str
    url: str | None = None

    @property
    def name(self) -> str:
        """Its first key; a hash of the title if it has none."""
        return self.keys[0] if self.keys else f"title:{content_id(self.title)}"

    def data(self, title: str, abstract: str) -> dict[str, Any]:
        """Return what a piece says of it.

        :param title: clean. So is the abstract.
        """
        return {
            "title": title,
            "abstract": abstract,
            "name": self.name,
            "url": self.address,
            "source": self.source,
            "license": self.license,
            "language": self.language,
            "at": self.at,
        }

    @property
    def address(self) -> str | None:
        """Its address on the web."""
        return self.url or url_of(self.name)


def paper_found(paper: Paper, cited: frozenset[str]) -> Iterator[Found]:
    """Give the pair of a paper, or why there is none, and the pieces that let others cite it."""
    title = title_of(paper.title)
    abstract, reason = abstract_of(paper.abstract)
    reason = reason if title else "no_title"
    if reason:
        yield Drop(reason, f"{paper.at}: {paper.name}", paper.source, paper.address)
    else:
        yield [_title_abstract(paper.data(title, abstract))]
    yield from helpers(paper, title, abstract, cited)


def helpers(paper: Paper, title: str, abstract: str, cited: frozenset[str]) -> Iterator[Piece]:
    """Give the pieces of a paper that only help: one for each key that something may cite it by."""
    if title or abstract:
        data = {"role": "paper", **paper.data(title, abstract)}
        for name in paper.keys:
            if name.partition(":")[0] in cited:
                yield Piece(name, data, counts=False)


# -- citations -------------------------------------------------------------------------------------


def sentence_found(
    sentence: str, cited: str, citing: Paper, at: str, others: int = 0
) -> Drop | Piece:
    """Give a sentence that cites a paper as a piece of that paper, or why it is no query.

    :param sentence: one line, with its markers.
    :param cited: the key of the cited paper.
    :param others: how many papers it cites, where the source says so.
    """
    reason, query = "not_prose", ""
    if len(sentence) <= _MAX_RAW_CHARS:
        query = without_markers(sentence)
        many = max(others, cited_in(sentence)) > MAX_CITED
        reason = "cites_many" if many else refusal(query) or ""
    if reason:
        return Drop(reason, f"{at}: cites {cited}", citing.source, citing.address, sentence[:500])
    return Piece(
        cited,
        {
            "role": "sentence",
            "text": query,
            "other": citing.name,
            "at": at,
            "source": citing.source,
            "license": citing.license,
            "language": citing.language,
        },
    )


def reference_found(cited: str, citing: Paper, title: str, at: str) -> Drop | Piece:
    """Give a reference as a piece of the cited paper.

    :param title: the clean title of the citing paper.
    """
    if not title:
        return Drop("no_title", f"{at}: {citing.name}", citing.source, citing.address)
    return Piece(cited, {"role": "cited", **_reference(citing, title, at)})


def backward_reference(citing: str, cited: Paper, title: str, at: str) -> Drop | Piece:
    """Give a reference as a piece of the citing paper, where it is the cited one that is at hand."""
    if not title:
        return Drop("no_title", f"{at}: {cited.name}", cited.source, cited.address)
    return Piece(citing, {"role": "citing", **_reference(cited, title, at)})


def _reference(paper: Paper, title: str, at: str) -> dict[str, Any]:
    return {
        "text": title,
        "other": paper.name,
        "url": paper.address,
        "source": paper.source,
        "license": paper.license,
        "language": paper.language,
        "at": at,
    }


def unnamed(citing: Paper, at: str) -> Drop:
    """Say that a reference has no id that could be followed."""
    return Drop("no_id", f"{at}: cited by {citing.name}", citing.source, citing.address)


# -- joining ---------------------------------------------------------------------------------------

Data = dict[str, Any]


def joined(key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
    """Decide over the pieces of a paper; what several sources say of it is taken from the first."""
    known = _known(pieces)
    for piece in pieces:
        if piece.counts:
            yield _FATES[piece.data["role"]](known, piece.data, key)


def _known(pieces: list[Piece]) -> Data:
    said = [piece.data for piece in pieces if piece.data["role"] in ("paper", "abstract")]
    if not said:
        return {}
    with_title = next((data for data in said if data["title"]), said[0])
    with_abstract = next((data for data in said if data["abstract"]), said[0])
    # A key of few schemes may come with a name of a scheme that others know it by.
    name = min((data["name"] for data in said), key=_rank)
    language = with_abstract["language"] or with_title["language"]
    known = {**with_abstract, "title": with_title["title"], "name": name, "language": language}
    return known | {"url": url_of(name) or known["url"], "title_license": with_title["license"]}


def _rank(name: str) -> tuple[int, str]:
    scheme = name.partition(":")[0]
    return SCHEMES.index(scheme) if scheme in SCHEMES else len(SCHEMES), name


def _lacking(known: Data, data: Data, key: str, part: str) -> Drop:
    reason = f"no_{part}" if known else "unknown_paper"
    return Drop(reason, f"{data['at']}: {key}", data["source"], url_of(key), data.get("text"))


def _abstract_fate(known: Data, data: Data, key: str) -> list[Record] | Drop:
    """Bring an abstract together with the title of its paper."""
    if not known["title"]:
        return _lacking(known, data, key, "title")
    return [_title_abstract(data | {part: known[part] for part in ("title", "name", "url")})]


def _sentence_fate(known: Data, data: Data, key: str) -> list[Record] | Drop:
    if not known.get("abstract"):
        return _lacking(known, data, key, "abstract")
    return [
        Pair(
            kind=CITATION_ABSTRACT,
            query=data["text"],
            positives=[Doc(known["abstract"], language=known["language"])],
            source=data["source"],
            group=known["name"],
            language=data["language"],
            license=both(data["license"], known["license"]),
            url=known["url"],
            meta=_meta(data, citing=data["other"], cited=known["name"]),
        )
    ]


def _cited_fate(known: Data, data: Data, key: str) -> list[Record] | Drop:
    return _reference_fate(known, data, key, key_cites=False)


def _citing_fate(known: Data, data: Data, key: str) -> list[Record] | Drop:
    return _reference_fate(known, data, key, key_cites=True)


def _reference_fate(known: Data, data: Data, key: str, *, key_cites: bool) -> list[Record] | Drop:
    if not known.get("title"):
        return _lacking(known, data, key, "title")
    own = {"text": known["title"], "other": known["name"], "url": known["url"]}
    own |= {"license": known["title_license"], "language": known["language"]}
    cited, citing = (data, own) if key_cites else (own, data)
    if cited["text"].casefold() == citing["text"].casefold():
        return Drop("same_paper", f"{data['at']}: {key}", data["source"], url_of(key))
    return [
        Pair(
            kind=TITLE_CITING_TITLE,
            query=cited["text"],
            positives=[Doc(citing["text"], language=citing["language"])],
            source=data["source"],
            group=cited["other"],
            symmetric=True,
            language=cited["language"],
            license=both(data["license"], own["license"]),
            url=cited["url"],
            meta=_meta(data, citing=citing["other"], cited=cited["other"]),
        )
    ]


def _title_abstract(data: Data) -> Pair:
    return Pair(
        kind=TITLE_ABSTRACT,
        query=data["title"],
        positives=[Doc(data["abstract"], language=data["language"])],
        source=data["source"],
        group=data["name"],
        language=data["language"],
        license=data["license"],
        url=data["url"],
        meta=_meta(data, paper=data["name"]),
    )


def _meta(data: Data, **names: str) -> str:
    return json.dumps({**names, "at": data["at"]}, ensure_ascii=False)


_FATES: dict[str, Callable[[Data, Data, str], list[Record] | Drop]] = {
    "abstract": _abstract_fate,
    "sentence": _sentence_fate,
    "cited": _cited_fate,
    "citing": _citing_fate,
}


# -- JSON of others --------------------------------------------------------------------------------


def json_lines(data: bytes, reading: Reading) -> Iterator[tuple[dict[str, Any], str] | Drop]:
    """Read the objects of a block of lines, and their places."""
    offset = 0
    for line in data.split(b"\n"):
        at, offset = offset, offset + len(line) + 1
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Drop("bad_json", f"{reading.at(at)}: {error}")
            continue
        if isinstance(row, dict):
            yield row, reading.at(at)
        else:
            yield Drop("bad_json", f"{reading.at(at)}: no object")


def string(value: Any) -> str:
    """Return a text; "" for anything else."""
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> dict[str, Any]:
    """Return an object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; none for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
