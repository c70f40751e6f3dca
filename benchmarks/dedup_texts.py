"""Texts to find near-duplicates in: real ones with planted copies, queries, and rows without end."""

from __future__ import annotations

import gzip
import html
import random
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.schema import PASSAGE
from curate.shards import Manifest, Side, write_manifest, write_shard

_TAGS = re.compile(r"<[^>]*>|\{\{[^}]*\}\}|[\[\]{}|=]{2,}")
_WORDS = 150
_ROWS_A_SHARD = 12_500


# -- real texts ------------------------------------------------------------------------------------


def prose(data: Path) -> Iterator[str]:
    """Give the words of the real samples below CURATE_DATA, document after document."""
    for pattern in (
        "science/arxiv_oai/*.gz",
        "stackexchange/*/Posts.xml.gz",
        "wikipedia/*.gz",
        "science/*.xml.gz",
        "eval_ir/*/corpus.jsonl.gz",
        "glossary/foldoc.dict.dz",
        *(f"bitext/debian-descriptions/Translation-{code}.gz" for code in ("en", "de", "fr", "ru")),
    ):
        for path in sorted(data.glob(pattern)):
            yield from _words(gzip.decompress(path.read_bytes()))
    with tarfile.open(data / "science" / "scisummnet2019.tar.xz") as archive:
        for member in archive:
            if member.name.endswith(".xml") and (file := archive.extractfile(member)) is not None:
                yield from _words(file.read())


def _words(raw: bytes) -> list[str]:
    text = html.unescape(html.unescape(raw.decode("utf-8", "replace")))
    return _TAGS.sub(" ", text).split()


def real_texts(data: Path, count: int, seed: int = 0) -> list[str]:
    """Cut real prose into texts of about 150 words, and plant near-duplicates among them.

    Three in ten are copies of others, with nothing changed, with up to ten words replaced, or with a
    run of words left out or put in: similarities of 0.4 to 1.
    """
    rng = random.Random(seed)
    words, texts, start = list(prose(data)), [], 0
    while len(texts) < count * 7 // 10:
        length = rng.randint(_WORDS - 30, _WORDS + 30)
        if start + length > len(words):
            raise SystemExit(f"the samples give {len(texts):,} texts, too few for {count:,}")
        texts.append(" ".join(words[start : start + length]))
        start += length
    copies = [_copy(rng, rng.choice(texts).split(), words) for _ in range(count - len(texts))]
    texts += copies
    rng.shuffle(texts)
    return texts


def _copy(rng: random.Random, text: list[str], words: list[str]) -> str:
    """Change a text a little."""
    if rng.random() < 0.2:
        place, length = rng.randrange(len(text) // 2), rng.randint(1, 40)
        if rng.random() < 0.5:
            return " ".join(text[:place] + text[place + length :])
        other = rng.randrange(len(words) - length)
        return " ".join(text[:place] + words[other : other + length] + text[place:])
    for place in rng.sample(range(len(text)), rng.randint(0, 10)):
        text[place] = rng.choice(words)
    return " ".join(text)


# -- queries, and rows without end -----------------------------------------------------------------


def queries(data: Path, count: int, seed: int = 0) -> list[str]:
    """Cut real prose into queries of about 8 words; one in ten is another one with a word changed.

    There is less prose than that, so every query after the first round skips words of it.
    """
    rng = random.Random(seed)
    words = list(prose(data))
    found: list[str] = []
    while len(found) < count:
        if found and rng.random() < 0.1:
            query = rng.choice(found).split()
            query[rng.randrange(len(query))] = rng.choice(words)
        else:
            place = rng.randrange(len(words) - 30)
            query = words[place : place + 30 : rng.randint(1, 3)][: rng.randint(6, 10)]
        found.append(" ".join(query))
    return found


def generated(start: int, count: int) -> pa.Array:
    """Make texts of 20 words; of every ten, one copies an earlier one with a word changed.

    :param start: the number of the first; the texts of a number are always the same.
    """
    numbers = np.arange(start, start + count, dtype=np.uint64)
    copies = numbers % np.uint64(10) == 9
    origins = np.where(copies, _mixed(numbers) % np.maximum(numbers // 10, 1) * 10, numbers)
    places = np.arange(20, dtype=np.uint64)
    drawn = _mixed(origins.astype(np.uint64)[:, None] * np.uint64(20) + places) % np.uint64(50_000)
    drawn[copies, numbers[copies] % np.uint64(20)] = np.uint64(50_000) + numbers[copies] % 1000
    vocabulary = pa.array(
        [f"{_mixed(np.array([i], np.uint64))[0] % 10**7:x}" for i in range(51_000)]
    )
    words = vocabulary.take(pa.array(drawn.ravel().astype(np.int64)))
    offsets = np.arange(0, 20 * count + 1, 20, dtype=np.int32)
    return pa.compute.binary_join(pa.ListArray.from_arrays(offsets, words), " ")


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (SplitMix64)."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return mixed ^ mixed >> np.uint64(31)


# -- shards ----------------------------------------------------------------------------------------


def write_passages(folder: Path, arrays: Iterator[pa.Array]) -> None:
    """Write a folder of shards, one of each array of texts."""
    shards, row = [], 0
    for number, texts in enumerate(arrays):
        shards.append(write_shard(folder, f"{number:04d}.arrow", _passages(texts, row)))
        row += len(texts)
    write_manifest(folder, Manifest({"main": Side("passages", shards)}))


def _passages(texts: pa.Array, row: int) -> pa.Table:
    """Make passages, each with an id that tells its row."""
    n = len(texts)
    known = {
        "id": pa.array([f"{number:032x}" for number in range(row, row + n)]),
        "text": texts,
        "source": pa.repeat(pa.scalar("made"), n),
        "group": pa.repeat(pa.scalar("made"), n),
        "parents": pa.ListArray.from_arrays(np.zeros(n + 1, np.int32), pa.array([], pa.string())),
        "scores": pa.array([[]] * n, PASSAGE.field("scores").type),
        "meta": pa.repeat(pa.scalar("{}"), n),
    }
    columns = [known.get(f.name, pa.nulls(n, f.type)) for f in PASSAGE]
    return pa.table([c.cast(f.type) for c, f in zip(columns, PASSAGE, strict=True)], PASSAGE)


def in_shards(texts: list[str]) -> Iterator[pa.Array]:
    """Cut texts into what a shard holds."""
    for start in range(0, len(texts), _ROWS_A_SHARD):
        yield pa.array(texts[start : start + _ROWS_A_SHARD])
