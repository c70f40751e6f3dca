"""A language model's own judgement of a pair: does the passage make the query likelier than others?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.llm.base import Score
from curate.schema import Kind, first_positive, with_score
from curate.stage import Ask, Outcome, decide

if TYPE_CHECKING:
    from curate.llm.recorded import Recorded

MARGIN = "likelihood_margin"
LIKELIHOOD = "query_likelihood"


class LikelihoodFilter(Ask):
    """Keep pairs whose passage makes the query likelier than it makes unrelated queries.

    The query likelihood, mean log p(token | passage) in nats (Sachan et al. 2022, arXiv:2204.07496),
    depends on the passage as much as on the query: a long one makes every query likelier. So it is
    held against the passage's own average, the mean over the queries of the prompt's examples, which
    are of the same domain and about other passages. Both are kept as scores: `query_likelihood`, and
    the difference as `likelihood_margin`.
    """

    name: ClassVar[str] = "filter.likelihood"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    prompt_fields: ClassVar[tuple[str, ...]] = ("prompt",)

    prompt: str = "query-likelihood-code"
    """The prompt file: it takes `passage`, ends where a query begins, and has examples with `query`."""
    margin: float = 0.5
    """Nats per token by which the query must be likelier than the passage's average."""
    max_chars: int = Field(1_500, ge=1)
    """Characters of a passage that are read: its beginning."""

    def check(self) -> None:
        """Refuse a prompt without examples: there would be no average."""
        super().check()
        if not self.prompt_of("prompt").examples:
            raise ValueError(f"prompt: {self.prompt} has no examples to average over")

    def ask(self, table: pa.Table, fitted: Any, model: Recorded) -> Outcome:
        """Score the queries of a batch, and the examples' queries on the same passages."""
        prompt = self.prompt_of("prompt")
        others = [str(example["query"]) for example in prompt.examples]
        texts = first_positive(table).to_pylist()
        queries = table["query"].to_pylist()
        rows = [r for r, (q, t) in enumerate(zip(queries, texts, strict=True)) if q and t]
        requests = [
            Score(prompt.render(passage=texts[row][: self.max_chars].strip()), f" {query}")
            for row in rows
            for query in (queries[row], *others)
        ]
        means = np.array([answer.mean for answer in model.score(requests)], np.float32)
        means = means.reshape(len(rows), 1 + len(others))
        own, margin = np.full((2, len(table)), np.nan, np.float32)
        own[rows] = means[:, 0]
        margin[rows] = means[:, 0] - means[:, 1:].mean(axis=1)
        table = with_score(with_score(table, LIKELIHOOD, own), MARGIN, margin)
        return decide(table, *self._fates(margin))

    def _fates(self, margins: np.ndarray) -> tuple[list[str | None], list[str | None]]:
        """Return the reason and the detail of each row; None where it stays."""
        reasons: list[str | None] = [None] * len(margins)
        details: list[str | None] = [None] * len(margins)
        for row in np.flatnonzero(~(margins >= self.margin)):
            if np.isnan(margins[row]):
                reasons[row] = "no_text"
            else:
                reasons[row] = "unlikely"
                details[row] = f"margin {margins[row]:.2f}, minimum {self.margin}"
        return reasons, details
