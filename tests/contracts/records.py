"""Records to run stages on: seeded, realistic and hostile, from a source made for tests."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import Doc, Kind, Pair, Passage, Record
from curate.stage import Drop, Map, Outcome, Source, Unit, keep_all
from curate.synthesize.coverage import FAMILIES, Cell

VERBS = ["read", "write", "open", "close", "sort", "merge", "delete", "copy", "parse", "count"]
NOUNS = ["file", "socket", "list", "tree", "graph", "table", "matrix", "token", "stream", "row"]
SOURCES = ["python", "forum", "wiki/é x", None]
LANGUAGES = ["en", "de", None]

HOSTILE = [
    "",
    " \n\t ",
    "\x00",
    "nul \x00 inside a text of several words",
    "e\u0301a\u0308o\u0302 combining marks over every letter",
    "\u202eright to left override and back \u202c",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd, \u05de\u05d4 \u05e9\u05dc\u05d5\u05de\u05da",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u306b\u306f\u7a7a\u767d\u304c\u306a\u3044",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 "
    * 4,
    "\u0130stanbul stra\u00dfe \u1e9e \ufb01ne \ufeff\u2028\u2029 \U0010ffff \ufffd",
    "{} {0} {name} %s %d ${x} \\1 \\g<1> \\N{BULLET}",
    "'; DROP TABLE pairs; -- <script>alert(1)</script>",
    "https://example.org/a?b=c " * 30,
    "1234567890 " * 20,
    "!?!?!?...---***",
    "the same line of text\n" * 40,
    "word",
    "x" * 150_000,
    "many words again and again " * 3_000,
]


def texts(random: random.Random) -> tuple[str, str]:
    """Draw a query and the function that it describes."""
    verb, noun, other = random.choice(VERBS), random.choice(NOUNS), random.choice(NOUNS)
    query = f"{verb.title()} the {noun} of a {other} and return how many there were."
    lines = [f"    {random.choice(VERBS)}_{noun}({other})" for _ in range(random.randint(1, 6))]
    return query, f"def {verb}{noun.title()}({other}):\n" + "\n".join(lines)


def make_pairs(seed: int, rows: int, hostile: float = 0.3) -> list[Pair]:
    """Make pairs with candidates, negatives and scores; about a share `hostile` of them are odd.

    Candidates come without text, as mining leaves them; each is the first positive of some pair.
    """
    rng = random.Random(seed)
    pairs: list[Pair] = []
    for _ in range(rows):
        pair = _plain_pair(rng)
        pairs.append(_odd(rng, pair, pairs) if rng.random() < hostile else pair)
    untold = [pair for pair in pairs if rng.random() < hostile / 10]
    told = [pair for pair in pairs if pair not in untold and pair.positives]
    known = sorted({pair.positives[0].id for pair in told if pair.positives[0].text is not None})
    for pair in pairs if known else ():
        pair.candidates = [_mined(rng, known) for _ in range(rng.randint(0, 6))]
        pair.negatives = pair.candidates[:2] if rng.random() < 0.3 else []
    for pair in untold if known else ():
        pair.positives = [Doc(None, id=rng.choice(known))]
    return pairs


def _plain_pair(rng: random.Random) -> Pair:
    query, passage = texts(rng)
    return Pair(
        "docstring-code",
        query,
        [Doc(passage, scores={"similarity": round(0.5 + rng.random() / 2, 3)})],
        rng.choice(SOURCES),  # type: ignore[arg-type]
        f"package-{rng.randint(0, 9)}",
        language=rng.choice(LANGUAGES),
        license=rng.choice(["MIT", None]),
        url="https://example.org/\u00fc",
        scores={"quality": rng.random()} if rng.random() < 0.7 else {},
    )


def _mined(rng: random.Random, known: list[str]) -> Doc:
    score = round(rng.random(), 3)
    return Doc(None, id=rng.choice(known), origin="mined", scores={"similarity": score})


def _odd(rng: random.Random, pair: Pair, before: list[Pair]) -> Pair:
    """Spoil one thing about a pair."""
    shared = {"source": pair.source, "group": pair.group}
    hostile = rng.choice(HOSTILE)
    match rng.randrange(9):
        case 0:
            return Pair("docstring-code", hostile, pair.positives, **shared)
        case 1:
            return Pair("docstring-code", pair.query, [Doc(hostile)], **shared)
        case 2:
            return Pair("odd", rng.choice(HOSTILE), [Doc(hostile)], **shared, meta=hostile)
        case 3:
            return Pair("docstring-code", None, pair.positives, **shared)  # type: ignore[arg-type]
        case 4:
            return Pair("docstring-code", pair.query, [], **shared)
        case 5:  # several positives, the second of them odd
            return Pair("docstring-code", pair.query, [*pair.positives, Doc(hostile)], **shared)
        case 6 if before:  # an exact copy
            return replace(rng.choice(before))
        case 7 if before:  # another query for the same passage
            return Pair("docstring-code", pair.query, rng.choice(before).positives, **shared)
        case _:
            return Pair("", pair.query, pair.positives, hostile[:50], None)  # type: ignore[arg-type]


_CELLS = [
    "{}",
    '{"cell": ["sts"]}',
    *(
        json.dumps({"cell": Cell(family, "en", "short", "college")._asdict()})
        for family in FAMILIES
    ),
]
"""What some passages say they are: tasks of every family."""


def make_passages(seed: int, rows: int, hostile: float = 0.3) -> list[Passage]:
    """Make passages: the positives of `make_pairs` as far as they have a text, then odd ones."""
    rng = random.Random(seed)
    pairs = make_pairs(seed, 2 * rows, hostile)
    docs = [doc for pair in pairs for doc in pair.positives if doc.text is not None]
    passages = [
        Passage(
            doc.text or "",
            rng.choice(SOURCES),  # type: ignore[arg-type]
            rng.choice(["a", "b", "c", None]),  # type: ignore[arg-type]
            title=rng.choice([None, "", *HOSTILE[4:8]]),
            language=rng.choice(LANGUAGES),
            scores={"quality": rng.random()} if rng.random() < 0.5 else {},
            meta=_CELLS[number % len(_CELLS)],
            id=doc.id,
        )
        for number, doc in enumerate(docs)
    ]
    if len(passages) > 2 and hostile:
        passages[1] = Passage(None, "python", "a")  # type: ignore[arg-type]
    return passages[:rows]


class Records(Source):
    """Give the seeded pairs and passages of this module, in several units."""

    name: ClassVar[str] = "tests.records"
    sides: ClassVar[dict[str, Kind | None]] = {"main": "pairs", "passages": "passages"}

    seed: int = 0
    """Draws the records."""
    rows: int = 100
    """How many pairs, and how many passages."""
    shards: int = 3
    """Units that they come in."""
    hostile: float = 0.3
    """The share of pairs that are odd."""
    barren: bool = False
    """Give records that have neither query, positives nor text."""

    def units(self) -> list[Unit]:
        """List the units."""
        return [Unit(f"unit {i}", f"{i} of {self.shards}", i) for i in range(self.shards)]

    def harvest(self, unit: Unit) -> Iterator[list[Record] | Drop]:
        """Give the unit's share of both kinds; each pair is an input, and each passage."""
        pairs: list[Pair] = make_pairs(self.seed, self.rows, self.hostile)
        passages: list[Passage] = make_passages(self.seed, self.rows, self.hostile)
        if self.barren:
            pairs = [Pair("", None, [], "none", "g") for _ in pairs]  # type: ignore[arg-type]
            passages = [Passage(None, "none", "g") for _ in passages]  # type: ignore[arg-type]
        for records in (pairs, passages):
            low, high = (len(records) * (unit.payload + i) // self.shards for i in (0, 1))
            yield from ([record] for record in records[low:high])


class Nulls(Map):
    """Make every list of every third record null, as a table made elsewhere may have it."""

    name: ClassVar[str] = "tests.nulls"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")

    def map(self, table: pa.Table) -> Outcome:
        """Replace the lists; which records follows from their ids."""
        whole = pc.not_equal(pc.utf8_slice_codeunits(table["id"], 0, 1), "0")
        whole = pc.and_(whole, pc.less(pc.utf8_slice_codeunits(table["id"], 0, 1), "b"))
        for index, field in enumerate(table.schema):
            if pa.types.is_list(field.type):
                column = pc.if_else(whole, table[field.name], pa.scalar(None, field.type))
                table = table.set_column(index, field, column)
        return keep_all(table, "pairs" if "query" in table.column_names else "passages")


def static_model(folder: Path) -> Path:
    """Save a static model whose vectors are drawn, not trained: the same on every machine."""
    import torch

    from curate.encode.static import StaticEncoder
    from curate.encode.tokenizer import TokenizerSettings, train_tokenizer

    pairs = make_pairs(1, 200, hostile=0)
    seen = [pair.query for pair in pairs] + [pair.positives[0].text or "" for pair in pairs]
    tokenizer, _ = train_tokenizer(seen, TokenizerSettings(vocabulary=300))
    shape = (tokenizer.get_vocab_size(), 16)
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    StaticEncoder(tokenizer, torch.from_numpy(weights)).save(folder)
    return folder


def ngram_model(folder: Path) -> Path:
    """Save a small n-gram model, unless it is there."""
    from curate.text.ngram.model import NgramModel
    from curate.text.ngram.tokens import read, train_tokenizer

    if not folder.exists():
        clean = pl.Series([pair.positives[0].text for pair in make_pairs(1, 200, hostile=0)])
        tokenizer = train_tokenizer(clean, 300)
        folder.mkdir()
        NgramModel.train(tokenizer, read(tokenizer, clean), order=3, prune=0).save(folder)
    return folder
