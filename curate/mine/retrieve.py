"""Retrieve: the passages that an encoder finds for each query, as candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.encode import load_encoder
from curate.encode.neighbours import top_k
from curate.encode.passages import Passages, own_rows, passages_of
from curate.mine import SIMILARITY
from curate.schema import (
    Kind,
    docs,
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
        corpus = passages_of(inputs.records.get("corpus", inputs.main))
        if not len(corpus.ids):
            return _nothing(len(inputs.main))
        table = context.memo("found", lambda: self._search(inputs, context, corpus))
        rows, scores = (
            table[name].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
            for name in ("rows", "scores")
        )
        context.note(corpus=len(corpus.ids))
        ids = corpus.ids.to_arrow().cast(pa.string())
        return Found(ids, rows, scores, table["own"].to_numpy())

    def _search(self, inputs: Inputs, context: Context, corpus: Passages) -> pa.Table:
        encoder = load_encoder(inputs.model("encoder"), context.threads)
        context.progress(0, 0, "vectors")
        texts = inputs.main.to_arrow(["query"])["query"].fill_null("")
        queries = encoder.encode_queries(texts.to_pylist())
        vectors = encoder.encode_passages(corpus.texts)
        positives, known = corpus, vectors
        if "corpus" in inputs.records:
            positives = passages_of(inputs.main)
            known = encoder.encode_passages(positives.texts)
        rows = own_rows(inputs.main, positives)
        own = np.full(len(rows), np.nan, np.float32)
        has = rows >= 0
        own[has] = np.einsum("nd,nd->n", queries[has], known[rows[has]])
        scores, found = top_k(
            queries, vectors, self.top, lambda done, n: context.progress(done, n, "queries")
        )
        width = found.shape[1]
        return pa.table(
            {
                "rows": pa.FixedSizeListArray.from_arrays(found.ravel().astype(np.int32), width),
                "scores": pa.FixedSizeListArray.from_arrays(scores.ravel(), width),
                "own": own,
            }
        )

    def apply(self, table: pa.Table, start: int, fitted: Found) -> Outcome:
        """Replace the candidates of each pair."""
        here = slice(start, start + len(table))
        rows, scores = fitted.rows[here], fitted.scores[here]
        found = docs(fitted.ids.take(pa.array(rows.ravel())), "mined", {SIMILARITY: scores.ravel()})
        table = replace_docs(table, "candidates", found, np.full(len(rows), rows.shape[1]))
        return keep_all(with_first_positive_score(table, SIMILARITY, fitted.own[here]))


def _nothing(n: int) -> Found:
    """Return what is found for n pairs where there is no passage to search."""
    none = np.zeros((n, 0), np.float32)
    return Found(pa.array([], pa.string()), none.astype(np.int32), none, np.full(n, np.nan))
