"""Labelled sets as triplets, the way GTE, E5, SFR and GISTEmbed made theirs.

| form                       | query, positive                   | negatives                           |
|----------------------------|-----------------------------------|-------------------------------------|
| nli                        | premise, entailed hypothesis      | hypotheses that contradict it       |
| sts, graded                | sentence, sentence with its grade | none                                |
| sts, with `min_score`      | sentence, one at least so alike   | those at most `max_score` alike     |
| duplicates                 | question, its duplicate           | questions said not to be duplicates |
| classification, clustering | text, another of its class        | texts of other classes              |
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.harvest.labelled.classes import RING_TEXTS, Classes, rank, survey
from curate.harvest.labelled.forms import Form, LabelledColumns, Reading, reading_of
from curate.harvest.reading.files import File
from curate.harvest.reading.rows import Block, Row, RowSource, number_in, text_in
from curate.schema import Doc, Pair, Record, content_id
from curate.stage import Drop, Found, Joined, Piece, Unit

_KINDS: dict[Form, str] = {
    "nli": "nli",
    "sts": "sts",
    "duplicates": "duplicates",
    "classification": "classification",
    "clustering": "clustering",
}
_TRUE = {"true": 1.0, "yes": 1.0, "duplicate": 1.0, "false": 0.0, "no": 0.0}
_SAMPLE_ROWS = 100
Role = Literal["positive", "negative"]
_SURVEYS: dict[LabelledHarvest, tuple[list[Any], Classes]] = {}
"""What this process knows of the set that it reads."""


class LabelledHarvest(RowSource, Joined):
    """Read labelled sets (NLI, STS, duplicate questions, classes, clusters) as triplets.

    An input is a row. Of two texts, the rows of one first text come together on disk: each positive row
    is a pair, with the negatives of the same text. A row that is a negative is dropped as `negative`,
    since it has no pair of its own: it serves others. Without `min_score`, every row of `sts` is a
    symmetric pair with its grade, and nothing comes together.

    Texts of a class are put in an order that looks random and form rings of 8 to 15. The positive of a
    text is the next one in its ring; the ring is the pair's `group`, so that no split cuts it, and the
    class is `class` in its `meta`, by which a trainer can mask others of the class. Negatives are drawn
    from at most 16,384 texts, as many of each class as possible, that every worker first collects in one
    pass over the set: some megabytes (64 at most), and about 150 bytes for each class.
    """

    name: ClassVar[str] = "harvest.labelled"

    form: Form | None = None
    """What kind of labels it has; null tells by the names of the columns."""
    columns: LabelledColumns = LabelledColumns()
    """Which columns hold what."""
    kind: str | None = None
    """The kind of the pairs; null takes the name of the form."""
    source: str = "labelled"
    """The name of the set."""
    task: str | None = None
    """The instruction of the pairs."""
    entailment: tuple[str, ...] = ("entailment", "entails", "0")
    """Labels of `nli` that make a positive; case does not matter."""
    contradiction: tuple[str, ...] = ("contradiction", "contradicts", "2")
    """Labels of `nli` that make a negative."""
    min_score: float | None = None
    """Pairs of `sts` of at least this score are positives; null keeps all with their grades."""
    max_score: float | None = None
    """Pairs of `sts` of at most this score are negatives; null means that none is."""
    negatives: int = Field(4, ge=0)
    """How many negatives a pair has at most."""
    seed: int = 0
    """Chooses other positives and negatives."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_score is not None and (
            self.min_score is None or self.max_score >= self.min_score
        ):
            raise ValueError("max_score needs a greater min_score")
        return self

    def check(self) -> None:
        """Refuse what has no columns of texts and labels, and what may be read in two ways."""
        seen: tuple[str, ...] = ()
        for row in self.sample(_SAMPLE_ROWS):
            seen = tuple(row.values)
            if self._reading(seen) is not None:
                return
        if seen:
            have = ", ".join(seen[:20])
            raise ValueError(f"columns: say which hold texts and label; there are: {have}")

    def _reading(self, names: tuple[str, ...]) -> Reading | None:
        return reading_of(names, self.form, self.columns)

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read the rows of one block."""
        classes: Classes | None = None
        for row in self.rows(block):
            if isinstance(row, Drop):
                yield row
                continue
            try:
                reading = self._reading(tuple(row.values))
                if reading is None:
                    columns = ", ".join(row.values)[:200]
                    yield row.drop("no_layout", f"no texts and label among {columns}")
                elif reading.other is None:
                    classes = classes or self._classes(look=True)
                    yield self._member(row, reading, classes)
                else:
                    yield from self._row(row, reading, reading.other)
            except ValueError as error:
                yield row.drop("bad_value", str(error))

    # -- two texts ---------------------------------------------------------------------------------

    def _row(self, row: Row, reading: Reading, other_name: str) -> Iterator[Found]:
        text, other = text_in(row.values.get(reading.text)), text_in(row.values.get(other_name))
        if not text or not other:
            yield row.drop("empty", "one of the texts")
            return
        if text == other:
            yield row.drop("same_text", "both texts", text=text)
            return
        value = row.values.get(reading.label)
        if reading.form == "sts" and self.min_score is None:
            yield self._graded(row, text, other, number_in(value))
            return
        role = self._role(reading.form, value)
        if isinstance(role, tuple):
            yield row.drop(*role, text=text)
        elif role == "positive":
            yield Piece(_key(text), self._positive(row, reading, text, other))
        else:
            yield row.drop(
                "negative", "has no pair of its own, but serves as a negative", text=text
            )
            yield Piece(_key(text), {"negative": other}, counts=False)
            if reading.form != "nli":
                yield Piece(_key(other), {"negative": text}, counts=False)

    def _role(self, form: Form, value: Any) -> Role | tuple[str, str]:
        """Return what a row is to its first text, or why it is nothing."""
        plain = text_in(str(value)).casefold() if value is not None else ""
        if form == "nli":
            if plain in self.entailment:
                return "positive"
            if plain in self.contradiction:
                return "negative"
            return ("neutral", f"the label {plain!r}") if _is_label(plain) else _no_label(plain)
        number = _TRUE[plain] if plain in _TRUE else number_in(value)
        if number is None:
            return _no_label(plain)
        if form == "duplicates":
            return "positive" if number >= 0.5 else "negative"
        assert self.min_score is not None
        if number >= self.min_score:
            return "positive"
        if self.max_score is not None and number <= self.max_score:
            return "negative"
        return "low_label", f"{number:g} is below {self.min_score:g}"

    def _graded(self, row: Row, text: str, other: str, grade: float | None) -> list[Record] | Drop:
        if grade is None:
            return row.drop(*_no_label(""))
        shared = self._shared(row)
        group = shared.pop("group") or _key(text)
        doc = Doc(other, label=grade)
        kind = self.kind or _KINDS["sts"]
        return [Pair(kind, text, [doc], group=group, symmetric=True, **shared)]

    def _positive(self, row: Row, reading: Reading, text: str, other: str) -> dict[str, Any]:
        label = number_in(row.values.get(reading.label)) if reading.form == "sts" else None
        ends = {"form": reading.form, "text": text, "other": other, "label": label}
        return {**ends, "where": row.where, "shared": self._shared(row)}

    # -- classes -----------------------------------------------------------------------------------

    def _member(self, row: Row, reading: Reading, classes: Classes) -> Piece | Drop:
        text, label = _member_of(row, reading)
        if not text:
            return row.drop("empty", "the text")
        if not label:
            return row.drop(*_no_label(""))
        bucket = classes.bucket(label, text)
        data = {"form": reading.form, "text": text, "class": label, "where": row.where}
        return Piece(f"{bucket} {label}", {**data, "shared": self._shared(row)})

    def _classes(self, *, look: bool = False) -> Classes:
        """Return what one pass over the set tells; it is made once by each worker.

        :param look: whether to look if the files are still the same.
        """
        known = _SURVEYS.get(self)
        if known is None or look:
            files = ((f.path, f.path.stat()) for f in self.files())
            stats = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in files]
            if known is None or known[0] != stats:
                known = stats, survey(self.seed, self._members())
                _SURVEYS.clear()
                _SURVEYS[self] = known
        return known[1]

    def _members(self) -> Iterator[tuple[str, str]]:
        """Give (class, text) of all rows that have both."""
        for unit in map(_unit, self.files()):
            for block in self.cut(unit):
                for row in self.rows(block) if isinstance(block.payload, Block) else ():
                    if isinstance(row, Row) and (member := self._known_member(row)):
                        yield member

    def _known_member(self, row: Row) -> tuple[str, str] | None:
        try:
            reading = self._reading(tuple(row.values))
            text, label = _member_of(row, reading) if reading else ("", "")
        except ValueError:
            return None
        return (label, text) if text and label else None

    def _ring(self, ring: list[dict[str, Any]]) -> Iterator[list[Record]]:
        classes = self._classes()
        group = content_id("class", ring[0]["class"], ring[0]["text"])
        for number, data in enumerate(ring):
            text, positive = data["text"], ring[(number + 1) % len(ring)]["text"]
            chosen = classes.negatives(self.seed, data["class"], (text, positive), self.negatives)
            shared = dict(data["shared"])
            meta = {**json.loads(shared.pop("meta")), "class": data["class"]}
            pair = Pair(
                self.kind or _KINDS[data["form"]],
                text,
                [Doc(positive)],
                group=shared.pop("group") or group,
                symmetric=True,
                negatives=[Doc(negative, origin="gold") for negative in chosen],
                meta=json.dumps(meta, ensure_ascii=False),
                **shared,
            )
            yield [pair]

    # -- joining -----------------------------------------------------------------------------------

    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        """Make pairs of the rows with one first text, or of the texts of (a part of) one class."""
        counting = [piece.data for piece in pieces if piece.counts]
        if counting and "class" in counting[0]:
            yield from self._join_class(counting)
        else:
            negatives = [piece.data["negative"] for piece in pieces if not piece.counts]
            yield from self._join_text(key, counting, negatives)

    def _join_class(self, members: list[dict[str, Any]]) -> Iterator[list[Record] | Drop]:
        first: dict[str, dict[str, Any]] = {}
        for data in members:
            if first.setdefault(data["text"], data) is not data:
                yield Drop("duplicate", f"{data['where']}: the class has the same text twice")
        if len(first) == 1:
            (data,) = first.values()
            yield Drop("single", f"{data['where']}: no other text of its class")
            return
        order = sorted(
            first.values(), key=lambda data: (rank(self.seed, data["text"]), data["text"])
        )
        rings = max(1, len(order) // RING_TEXTS)
        for i in range(rings):
            yield from self._ring(order[i * len(order) // rings : (i + 1) * len(order) // rings])

    def _join_text(
        self, key: str, positives: list[dict[str, Any]], negatives: list[str]
    ) -> Iterator[list[Record] | Drop]:
        texts = {data["other"] for data in positives}
        usable = list(dict.fromkeys(text for text in negatives if text not in texts))
        seen: set[str] = set()
        for data in positives:
            if data["other"] in seen:
                yield Drop("duplicate", f"{data['where']}: the same texts again")
                continue
            seen.add(data["other"])
            yield [self._triplet(key, data, usable)]

    def _triplet(self, key: str, data: dict[str, Any], negatives: list[str]) -> Pair:
        def order(text: str) -> int:
            return rank(self.seed, data["other"], text)

        chosen = sorted(negatives, key=order)[: self.negatives]
        shared = dict(data["shared"])
        return Pair(
            self.kind or _KINDS[data["form"]],
            data["text"],
            [Doc(data["other"], label=data["label"])],
            group=shared.pop("group") or key,
            symmetric=data["form"] != "nli",
            negatives=[Doc(text, origin="gold") for text in chosen],
            **shared,
        )

    # -- both --------------------------------------------------------------------------------------

    def _shared(self, row: Row) -> dict[str, Any]:
        named = {
            name: _plain(row.values.get(column)) if column else None
            for name, column in self.columns.model_dump().items()
            if name in ("language", "license", "url", "group", "id")
        }
        own_id = named.pop("id")
        meta = {**row.origin, "id": own_id} if own_id else row.origin
        return {
            **named,
            "language": named["language"] or self.language,
            "license": named["license"] or self.license,
            "source": self.source,
            "task": self.task,
            "meta": json.dumps(meta, ensure_ascii=False),
        }


def _key(text: str) -> str:
    return content_id("text", text)


def _is_label(plain: str) -> bool:
    return plain not in ("", "-", "-1", "none", "nan")


def _no_label(plain: str) -> tuple[str, str]:
    return "no_label", f"{plain!r} is no label"


def _plain(value: Any) -> str | None:
    return text_in(str(value)) or None if isinstance(value, str | int | float) else None


def _member_of(row: Row, reading: Reading) -> tuple[str, str]:
    label = _plain(row.values.get(reading.label)) or ""
    return text_in(row.values.get(reading.text)), label if _is_label(label) else ""


def _unit(file: File) -> Unit:
    return Unit(file.name, "", file)
