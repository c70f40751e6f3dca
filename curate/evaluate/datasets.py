"""The one loader of evaluation sets: BEIR folders, shards of pairs, STS tables.

A retrieval set holds texts and judgements by row number, so that metrics are array operations.
A file that does not fit is refused with its name, the line and what is wrong: a score over half of
a test set is worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.evaluate.metrics import Qrels
from curate.shards import MANIFEST, PathLike, Shards, read_shards
from curate.text.testsets import (
    Beir,
    DatasetError,
    json_rows,
    judgements,
    number_of,
    table_rows,
)

SENTENCE1 = "sentence1"
SENTENCE2 = "sentence2"
SCORE = "score"
_TABLES = {".tsv": "\t", ".csv": ","}


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """Queries, the passages to search, and which of them are relevant.

    :param qrels: judgements by row of `queries` and row of `texts`.
    :param facets: properties of the queries to report by: a value per query, by name (`group`).
    :param left_out: how many queries or pairs of the input are not in here, by reason.
    """

    name: str
    query_ids: list[str]
    queries: list[str]
    corpus_ids: list[str]
    texts: list[str]
    qrels: Qrels
    facets: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def sample(self, queries: int, passages: int, seed: int) -> RetrievalSet:
        """Return a random part: some queries, what is relevant to them, and other passages.

        :param passages: size of the corpus; more where more are judged for the chosen queries.
        """
        generator = np.random.default_rng(seed)
        chosen = np.sort(generator.permutation(len(self.queries))[:queries])
        of_chosen = np.isin(self.qrels.query, chosen)
        judged = np.unique(self.qrels.passage[of_chosen])
        others = generator.permutation(np.setdiff1d(np.arange(len(self.texts)), judged))
        corpus = np.sort(np.concatenate([judged, others[: max(0, passages - len(judged))]]))
        return RetrievalSet(
            name=self.name,
            query_ids=[self.query_ids[row] for row in chosen],
            queries=[self.queries[row] for row in chosen],
            corpus_ids=[self.corpus_ids[row] for row in corpus],
            texts=[self.texts[row] for row in corpus],
            qrels=Qrels(
                query=np.searchsorted(chosen, self.qrels.query[of_chosen]),
                passage=np.searchsorted(corpus, self.qrels.passage[of_chosen]),
                grade=self.qrels.grade[of_chosen],
                queries=len(chosen),
                passages=len(corpus),
            ),
            facets={name: [values[row] for row in chosen] for name, values in self.facets.items()},
        )


@dataclass(frozen=True, slots=True)
class StsSet:
    """Pairs of sentences and how similar people find them: two lists of n and float64 [n]."""

    name: str
    first: list[str]
    second: list[str]
    scores: np.ndarray


def load_evaluation_set(
    path: PathLike, score: str = SCORE, columns: tuple[str, str] = (SENTENCE1, SENTENCE2)
) -> RetrievalSet | StsSet:
    """Load an evaluation set of any of the three forms, told apart by what lies at `path`.

    :param path: a folder with `corpus.jsonl`, a folder of shards of pairs, or an STS file.
    :param score: for STS: the column or key of the gold score.
    :param columns: for STS: the columns or keys of the two sentences.
    :raises DatasetError: if there is nothing of the kind, or a line of it is wrong.
    """
    folder = Path(path)
    if (folder / MANIFEST).is_file():
        return from_pairs(read_shards(folder), folder.resolve().name)
    if folder.is_dir():
        return read_beir(folder)
    return read_sts(folder, score, columns)


def read_beir(folder: PathLike, split: str = "test") -> RetrievalSet:
    """Read a BEIR folder (Thakur et al. 2021): corpus.jsonl, queries.jsonl, and judgements.

    The judgements are `qrels/SPLIT.tsv` or `qrels.tsv`; the first two files may be gzipped. A
    passage is its title and text joined by a space, as BEIR's own models read it. Queries without
    any judgement are left out, as BEIR leaves them out.

    :raises DatasetError: if a file is missing or a line of it is wrong.
    """
    beir = Beir(folder)
    corpus, asked = beir.corpus(), beir.queries()
    corpus_ids, query_ids, queries = list(corpus), list(asked), list(asked.values())
    judged = _read_qrels(beir.qrels(split), query_ids, corpus_ids)
    used, rows = np.unique(judged[:, 0].astype(np.int64), return_inverse=True)
    return RetrievalSet(
        name=beir.name,
        query_ids=[query_ids[row] for row in used],
        queries=[queries[row] for row in used],
        corpus_ids=corpus_ids,
        texts=list(map(str, corpus.values())),
        qrels=Qrels(
            query=rows.astype(np.int64),
            passage=judged[:, 1].astype(np.int64),
            grade=judged[:, 2].astype(np.float32),
            queries=len(used),
            passages=len(corpus),
        ),
        left_out={"not_judged": len(query_ids) - len(used)},
    )


def from_pairs(pairs: Shards, name: str, min_query_words: int = 1) -> RetrievalSet:
    """Make a retrieval set of pairs: every positive is in the corpus, every query is searched.

    Passages with one text are one passage, and pairs with one query text are one query, to which
    all their positives are relevant, with the gold label as grade if there is one and 1 if not. A
    query of fewer than `min_query_words` words (as spaces divide it) is not searched, because it
    names no passage in particular; its positives stay in the corpus. The group and the source of a
    query are those of its first pair.

    :raises DatasetError: if no query is left.
    """
    frame = pairs.to_polars(["query_id", "query", "positives", "source", "group"])
    docs = (
        frame.with_row_index("pair")
        .explode("positives")
        .with_columns(pl.col("positives").struct.field("id", "text", "label"))
        .filter(pl.col("text").is_not_null() & pl.col("query").is_not_null())
    )
    corpus = docs.unique("text", keep="first", maintain_order=True).select("id", "text")
    words = pl.col("query").str.strip_chars().str.count_matches(r"\S+")
    long = docs.filter(words >= min_query_words)
    queries = long.unique("query", keep="first", maintain_order=True)
    if not len(queries):
        raise DatasetError(
            f"{name}: no pair with a positive text and a query of at least {min_query_words} words"
        )
    usable, searched = docs["pair"].n_unique(), long["pair"].n_unique()
    return RetrievalSet(
        name=name,
        query_ids=queries["query_id"].to_list(),
        queries=queries["query"].to_list(),
        corpus_ids=corpus["id"].to_list(),
        texts=corpus["text"].to_list(),
        qrels=_qrels_of(long, queries, corpus),
        facets={key: queries[key].fill_null("").to_list() for key in ("source", "group")},
        left_out={"no_text": len(frame) - usable, "short_query": usable - searched},
    )


def _qrels_of(docs: pl.DataFrame, queries: pl.DataFrame, corpus: pl.DataFrame) -> Qrels:
    """Number the queries and passages of `docs`; of several grades the highest counts."""
    judged = (
        docs.join(queries.with_row_index("q").select("q", "query"), on="query")
        .join(corpus.with_row_index("p").select("p", "text"), on="text")
        .group_by("q", "p")
        .agg(pl.col("label").fill_null(1).max())
        .sort("q", "p")
    )
    return Qrels(
        query=judged["q"].to_numpy().astype(np.int64),
        passage=judged["p"].to_numpy().astype(np.int64),
        grade=judged["label"].to_numpy(),
        queries=len(queries),
        passages=len(corpus),
    )


def read_sts(
    path: PathLike, score: str = SCORE, columns: tuple[str, str] = (SENTENCE1, SENTENCE2)
) -> StsSet:
    """Read an STS table: .tsv (no quoting), .csv or .jsonl, also gzipped, with named columns.

    :raises DatasetError: if the file, a column or a value is missing, or a score is no number.
    """
    file = Path(path)
    suffix = Path(file.stem).suffix if file.suffix == ".gz" else file.suffix
    if suffix not in {*_TABLES, ".jsonl"}:
        raise DatasetError(
            f"{file}: not an evaluation set; give a BEIR folder, a folder of shards of pairs, or "
            "an STS table (.tsv, .csv, .jsonl, also with .gz)"
        )
    wanted = (*columns, score)
    rows = json_rows(file) if suffix == ".jsonl" else table_rows(file, _TABLES[suffix])
    values = [_sts_row(row, wanted, where) for where, row in rows]
    if not values:
        raise DatasetError(f"{file}: no rows")
    first, second, scores = zip(*values, strict=True)
    return StsSet(file.name.split(".")[0], list(first), list(second), np.array(scores))


def _sts_row(row: dict[str, Any], wanted: Sequence[str], where: str) -> tuple[str, str, float]:
    missing = [name for name in wanted if row.get(name) is None]
    if missing:
        raise DatasetError(f"{where}: no value for {missing[0]!r}; it has {sorted(map(str, row))}")
    return str(row[wanted[0]]), str(row[wanted[1]]), number_of(row[wanted[2]], where)


def _read_qrels(path: Path, query_ids: list[str], corpus_ids: list[str]) -> np.ndarray:
    """Return query row, passage row and grade of each judgement, float64 [m, 3]."""
    rows_of = [{name: row for row, name in enumerate(ids)} for ids in (query_ids, corpus_ids)]
    judged: dict[tuple[int, int], float] = {}
    for line in judgements(path):
        names = (line.query_id, line.passage_id)
        for name, rows, kind in zip(names, rows_of, ("query", "passage"), strict=True):
            if name not in rows:
                raise DatasetError(f"{line.where}: there is no {kind} {name!r}")
        place = (rows_of[0][names[0]], rows_of[1][names[1]])
        if judged.setdefault(place, line.grade) != line.grade:
            raise DatasetError(
                f"{line.where}: {names[1]!r} has another grade for {names[0]!r} before"
            )
    return np.array([(*place, grade) for place, grade in judged.items()])
