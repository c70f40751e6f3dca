"""Rerank: a language model's scores for each candidate, query likelihood and relevance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.llm.base import Score
from curate.llm.grading import expected_grades
from curate.mine.candidates import flat_candidates, with_doc_score
from curate.schema import Kind, replace_docs
from curate.stage import Ask, Context, Inputs, Outcome, Ref, keep_all

if TYPE_CHECKING:
    from curate.llm.base import Ability
    from curate.llm.recorded import Recorded

QUERY_LIKELIHOOD = "query_likelihood"
RELEVANCE = "relevance"


class _Candidate(NamedTuple):
    """A candidate with text: its place among all candidates of the batch, and what is asked about."""

    place: int
    query: str
    passage: str


class Rerank(Ask):
    """Score each candidate by query likelihood and by relevance, two prompts of a language model.

    Lee et al. 2024 (Gecko), arXiv:2403.20327, section 3.2. Query likelihood (QL) is the mean of
    log p(query token | passage) in nats (Sachan et al. 2022, arXiv:2204.07496); relevance (RC) is the
    expected grade over the prompt's labels by their probabilities (Zhuang et al. 2023,
    arXiv:2310.14122). Both are kept as scores of the candidate; `mine.fuse` makes one ranking of
    them. A candidate without text gets no score. Holds the texts of all candidates in memory.
    """

    name: ClassVar[str] = "mine.rerank"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    prompt_fields: ClassVar[tuple[str, ...]] = (QUERY_LIKELIHOOD, RELEVANCE)

    corpus: Annotated[str | None, Ref("passages")] = None
    """Where the texts of candidates are; by default they are first positives of the pairs."""
    query_likelihood: str | None = "query-likelihood-code"
    """The prompt file of QL: it takes `passage` and ends where a query begins; null leaves QL out."""
    relevance: str | None = "relevance-code"
    """The prompt file of RC: it takes `passage` and `query`, and grades labels; null leaves RC out."""
    max_chars: int = Field(1_500, ge=1)
    """Characters of a passage that are read: its beginning."""

    def check(self) -> None:
        """Refuse to score nothing, and a relevance prompt without labels."""
        super().check()
        if self.query_likelihood is None and self.relevance is None:
            raise ValueError("nothing is scored: name a prompt for query_likelihood or relevance")
        if self.relevance is not None and not self.prompt_of(RELEVANCE).labels:
            raise ValueError(f"relevance: {self.relevance} has no labels with grades")

    def needs(self) -> set[Ability]:
        """Return what the prompts that are set need."""
        needed: dict[str, Ability] = {QUERY_LIKELIHOOD: "score", RELEVANCE: "choose"}
        return {ability for name, ability in needed.items() if getattr(self, name) is not None}

    def fit(self, inputs: Inputs, context: Context) -> dict[str, str]:
        """Collect the texts of the candidates, by id."""
        wanted = _candidate_ids(inputs)
        texts: dict[str, str] = {}
        for shards in (inputs.main, *inputs.records.values()):
            for table in shards.tables():
                texts |= _texts(table, wanted)
        return texts

    def ask(self, table: pa.Table, fitted: dict[str, str], model: Recorded) -> Outcome:
        """Score the candidates of a batch of pairs."""
        flat, counts = flat_candidates(table)
        known = [
            text or fitted.get(doc_id)
            for doc_id, text in zip(
                pc.struct_field(flat, "id").to_pylist(),
                pc.struct_field(flat, "text").to_pylist(),
                strict=True,
            )
        ]
        queries = np.repeat(np.array(table["query"].to_pylist(), object), counts)
        candidates = [
            _Candidate(place, query, text[: self.max_chars].strip())
            for place, (query, text) in enumerate(zip(queries, known, strict=True))
            if query and text
        ]
        asked = {QUERY_LIKELIHOOD: self._likelihoods, RELEVANCE: self._grades}
        for name, ask in asked.items():
            if getattr(self, name) is not None:
                values = np.full(len(flat), np.nan, np.float32)
                values[[c.place for c in candidates]] = ask(candidates, model)
                flat = with_doc_score(flat, name, values)
        return keep_all(replace_docs(table, "candidates", flat, counts))

    def _likelihoods(self, candidates: list[_Candidate], model: Recorded) -> list[float]:
        prompt = self.prompt_of(QUERY_LIKELIHOOD)
        requests = [Score(prompt.render(passage=c.passage), f" {c.query}") for c in candidates]
        return [answer.mean for answer in model.score(requests)]

    def _grades(self, candidates: list[_Candidate], model: Recorded) -> list[float]:
        """Return the expected grade of each candidate."""
        asked = [{"passage": c.passage, "query": c.query} for c in candidates]
        return expected_grades(self.prompt_of(RELEVANCE), asked, model)


def _candidate_ids(inputs: Inputs) -> pl.Series:
    lists = pl.DataFrame(pl.from_arrow(inputs.main.to_arrow(["candidates"])))["candidates"]
    return lists.explode(empty_as_null=True).struct.field("id").drop_nulls().unique()


def _texts(table: pa.Table, wanted: pl.Series) -> dict[str, str]:
    """Return the texts of the wanted passages of a shard of passages, or of positives of pairs."""
    if "positives" in table.column_names:
        docs = pl.Series(pl.from_arrow(table["positives"])).explode(empty_as_null=True).struct
        frame = pl.DataFrame({"id": docs.field("id"), "text": docs.field("text")})
    else:
        frame = pl.DataFrame(pl.from_arrow(table.select(["id", "text"])))
    frame = frame.drop_nulls().filter(pl.col("id").is_in(wanted.implode()))
    return dict(zip(frame["id"], frame["text"], strict=True))
