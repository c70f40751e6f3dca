"""Retrieve: the passages that an encoder finds for each query, as candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.encode import load_encoder
from curate.encode.neighbours import top_k
from curate.mine import SIMILARITY
from curate.schema import (
    Kind,
    docs,
    first_positive,
    replace_docs,
    with_first_positive_score,
)
from curate.stage import Context, Global, Inputs, Outcome, Ref, keep_all


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for each of n pairs.

    :param ids: the ids of the corpus.
    :param rows: int32 [n, k], rows of the corpus, best first.
    :param scores: float32 [n, k], their similarities.
    :param own: float32 [n], the similarity of the pair's first positive; NaN without one.
    """

    ids: pa.Array
    rows: np.ndarray
    scores: np.ndarray
    own: np.ndarray


class Retrieve(Global):
    """Attach the passages of a corpus that are nearest to each query, as candidates.

    Candidates carry ids and the score `similarity`, no text (`shards` fills texts in). The first
    positive gets its own `similarity`, to compare with. The search is exact. Held in memory: the
    vectors of the corpus and of all queries, 4 bytes times the dimension each.
    """

    name: ClassVar[str] = "mine.retrieve"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)

    encoder: Annotated[str, Ref("model", path=True)]
    """The model that retrieves: a training stage, or a model folder."""
    corpus: Annotated[str | None, Ref("passages")] = None
    """Passages to search; by default the first positives of all the pairs."""
    top: int = Field(30, ge=1)
    """Candidates for each pair."""

    def fit(self, inputs: Inputs, context: Context) -> Found:
        """Encode the corpus and the queries, and search."""
        corpus = _corpus(inputs)
        table = context.memo("found", lambda: self._search(inputs, context, corpus))
        rows, scores = (
            table[name].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
            for name in ("rows", "scores")
        )
        context.note(corpus=len(corpus))
        ids = corpus["id"].to_arrow().cast(pa.string())
        return Found(ids, rows, scores, table["own"].to_numpy())

    def _search(self, inputs: Inputs, context: Context, corpus: pl.DataFrame) -> pa.Table:
        pairs = inputs.main.to_arrow(["query", "positives"])
        positives = pl.Series(pl.from_arrow(first_positive(pairs)))
        encoder = load_encoder(inputs.model("encoder"), context.threads)
        context.progress(0, 0, "vectors")
        queries = encoder.encode_queries(pairs["query"].fill_null("").to_pylist())
        own = encoder.encode_passages(positives.fill_null("").to_list())
        similarity = np.einsum("nd,nd->n", queries, own)
        similarity[positives.is_null().to_numpy()] = np.nan
        scores, rows = top_k(
            queries,
            encoder.encode_passages(corpus["text"].to_list()),
            self.top,
            lambda done, n: context.progress(done, n, "queries"),
        )
        width = rows.shape[1]
        return pa.table(
            {
                "rows": pa.FixedSizeListArray.from_arrays(rows.ravel().astype(np.int32), width),
                "scores": pa.FixedSizeListArray.from_arrays(scores.ravel(), width),
                "own": similarity,
            }
        )

    def apply(self, table: pa.Table, start: int, fitted: Found) -> Outcome:
        """Replace the candidates of each pair."""
        here = slice(start, start + len(table))
        rows, scores = fitted.rows[here], fitted.scores[here]
        found = docs(fitted.ids.take(pa.array(rows.ravel())), "mined", {SIMILARITY: scores.ravel()})
        table = replace_docs(table, "candidates", found, np.full(len(rows), rows.shape[1]))
        return keep_all(with_first_positive_score(table, SIMILARITY, fitted.own[here]))


def _corpus(inputs: Inputs) -> pl.DataFrame:
    """Return the distinct passages to search, `id` and `text`, ordered by id."""
    if "corpus" in inputs.records:
        passages = inputs.records["corpus"].to_arrow(["id", "text"])
        ids, texts = passages["id"], passages["text"]
    else:
        pairs = inputs.main.to_arrow(["positives"])
        ids, texts = first_positive(pairs, "id"), first_positive(pairs)
    frame = pl.DataFrame({"id": pl.from_arrow(ids), "text": pl.from_arrow(texts)})
    return frame.drop_nulls().unique("id", keep="first", maintain_order=True).sort("id")
