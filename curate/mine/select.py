"""Select: a better positive and hard negatives out of the candidates."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.mine import SIMILARITY
from curate.mine.candidates import candidate_frame, first_positive_scores, flat_candidates
from curate.mine.promote import promote
from curate.schema import DOC, Kind, first_positive, replace_docs
from curate.shards import Shards
from curate.stage import Context, Global, Inputs, Outcome, decide

_ROWS = 8192
_EXAMPLES = 2
_EXAMPLE_CHARS = 200


class SelectNegatives(Global):
    """Choose hard negatives among each pair's candidates and, if asked, a better positive.

    `negatives: below` takes candidates below a share of the positive's score, best first. Moreira et
    al. 2024 (NV-Retriever), arXiv:2407.15831: those above 95% of it are probably false negatives.
    `negatives: lowest` takes those with the lowest score, and with `positive: best` the one with the
    highest becomes the positive: Lee et al. 2024 (Gecko), arXiv:2403.20327, section 3.2, where a
    language model has scored all candidates and the pair's own passage among them. The passage that
    gives way, the seed, stays in `parents`. A seed that no other passage beats stays, with its scores
    as a candidate; what is marked `same` does not count as another.

    Never a negative: a positive of the same query in any pair, old or new, and what is marked
    `same`. Of the others `skip` are passed over and `count` taken. The candidates are then removed.
    Holds the ids of all positives in memory.
    """

    name: ClassVar[str] = "mine.select"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)

    score: str = SIMILARITY
    """The name of the score that candidates and positive are compared by."""
    positive: Literal["keep", "best"] = "keep"
    """Keep the positive, or let the best candidate take its place."""
    negatives: Literal["below", "lowest"] = "below"
    """The best candidates below a share of the positive's score, or those with the lowest scores."""
    count: int = Field(4, ge=1)
    """Negatives for each pair, at most."""
    skip: int = Field(0, ge=0)
    """Candidates to pass over, of those that would be taken first."""
    below: float = Field(0.95, gt=0, le=1)
    """The highest share of the positive's score that a negative may have."""
    required: bool = False
    """Drop pairs for which no negative is left."""

    def fit(self, inputs: Inputs, context: Context) -> pl.DataFrame:
        """Collect the positives of every query: `query_id` and `doc`."""
        pairs = inputs.main.to_arrow(["query_id", "positives"])
        frame = pl.DataFrame(pl.from_arrow(pairs)).explode("positives", empty_as_null=True)
        positives = frame.select("query_id", doc=pl.col("positives").struct.field("id"))
        if self.positive == "best":
            positives = pl.concat([positives, self._promoted(inputs.main, context)])
        return positives.drop_nulls().unique()

    def _promoted(self, pairs: Shards, context: Context) -> pl.DataFrame:
        """Collect the new positives, and note how many there are, of how many pairs, and examples."""
        new = pl.DataFrame(schema={"query_id": pl.String, "doc": pl.String})
        examples: list[dict[str, str]] = []
        judged = 0
        for batch in pairs.batches(_ROWS):
            table, moved = promote(batch, self.score)
            before, after = batch.filter(pa.array(moved)), table.filter(pa.array(moved))
            ids = {"query_id": after["query_id"], "doc": first_positive(after, "id")}
            new.extend(pl.DataFrame(pl.from_arrow(pa.table(ids))))
            examples += _examples(before[:_EXAMPLES], after[:_EXAMPLES])
            judged += int((flat_candidates(batch)[1] > 0).sum())
        share = round(len(new) / judged, 4) if judged else 0.0
        context.note(with_candidates=judged, moved=len(new), moved_share=share)
        context.note(moved_examples=examples[:_EXAMPLES])
        return new

    def apply(self, table: pa.Table, start: int, fitted: pl.DataFrame) -> Outcome:
        """Choose for each pair of a batch."""
        if self.positive == "best":
            table, _ = promote(table, self.score)
        flat, counts = flat_candidates(table)
        chosen = self._choose(table, candidate_frame(flat, counts, self.score), fitted)
        taken = np.bincount(chosen["row"].to_numpy(), minlength=len(table))
        picked = flat.take(pa.array(chosen["place"].to_numpy()))
        table = replace_docs(table, "negatives", picked, taken)
        table = replace_docs(table, "candidates", pa.array([], DOC), np.zeros(len(table), int))
        missing = (taken == 0) & self.required
        return decide(table, ["no_negative" if row else None for row in missing])

    def _choose(
        self, table: pa.Table, candidates: pl.DataFrame, positives: pl.DataFrame
    ) -> pl.DataFrame:
        """Return the rows of `candidates` that are taken, in the order of the pairs."""
        queries = pl.Series(pl.from_arrow(table["query_id"]), dtype=pl.String)
        own = pl.Series(first_positive_scores(table, self.score)).fill_nan(None)
        row = candidates["row"]
        # A share of a negative score would lie above it: take the distance off instead.
        limit = pl.col("own") - (1 - self.below) * pl.col("own").abs()
        hard = self.negatives == "below"
        return (
            candidates.with_columns(query_id=queries.gather(row), own=own.gather(row))
            .filter(pl.col("same").is_null(), pl.col("score").is_not_null())
            .filter(pl.col("score") <= limit if hard else True)
            .join(positives, left_on=["query_id", "id"], right_on=["query_id", "doc"], how="anti")
            .unique(["row", "id"], keep="first")
            .sort(["row", "score", "place"], descending=[False, hard, not hard])
            .with_columns(rank=pl.int_range(pl.len()).over("row"))
            .filter(pl.col("rank").is_between(self.skip, self.skip + self.count - 1))
        )


def _examples(before: pa.Table, after: pa.Table) -> list[dict[str, str]]:
    """Say for each pair which passage gave way to which: ids, and texts as far as they are known."""
    columns = {
        "query": before["query"],
        "seed": first_positive(before, "id"),
        "seed_text": first_positive(before),
        "positive": first_positive(after, "id"),
        "positive_text": first_positive(after),
    }
    rows = pa.table(columns).to_pylist()
    return [{k: v[:_EXAMPLE_CHARS] for k, v in row.items() if v is not None} for row in rows]
