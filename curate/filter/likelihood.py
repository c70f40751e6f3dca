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
    from curate.llm.base import Ability
    from curate.llm.recorded import Recorded

MARGIN = "likelihood_margin"
LIFT = "likelihood_lift"
LIKELIHOOD = "query_likelihood"


class LikelihoodFilter(Ask):
    """Keep pairs whose passage makes the query likelier than other queries, and than no passage does.

    The query likelihood, mean log p(token | passage) in nats (Sachan et al. 2022, arXiv:2204.07496),
    depends on the passage and on the query as much as on how they fit. So it is held against the
    passage's own average, the mean over the queries of the prompt's examples, which are of the same
    domain and about other passages; and against the same query after an empty passage. Kept as scores
    are `query_likelihood`, and the differences: `likelihood_margin` and `likelihood_lift`.
    """

    name: ClassVar[str] = "filter.likelihood"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    prompt_fields: ClassVar[tuple[str, ...]] = ("prompt",)

    prompt: str = "query-likelihood-code"
    """The prompt file: it takes `passage`, ends where a query begins, and has examples with `query`."""
    margin: float = 0.5
    """Nats per token by which the query must be likelier than the passage's average."""
    lift: float | None = None
    """Nats per token by which the passage must make the query likelier than an empty one does."""
    max_chars: int = Field(1_500, ge=1)
    """Characters of a passage that are read: its beginning."""

    def check(self) -> None:
        """Refuse a prompt without examples: there would be no average."""
        super().check()
        if not self.prompt_of("prompt").examples:
            raise ValueError(f"prompt: {self.prompt} has no examples to average over")

    def needs(self) -> set[Ability]:
        """Return what query likelihood needs."""
        return {"score"}

    def ask(self, table: pa.Table, fitted: Any, model: Recorded) -> Outcome:
        """Score the queries of a batch, and the examples' queries on the same passages."""
        texts = first_positive(table).to_pylist()
        queries = table["query"].to_pylist()
        rows = [r for r, (q, t) in enumerate(zip(queries, texts, strict=True)) if q and t]
        others = [str(example["query"]) for example in self.prompt_of("prompt").examples]
        asked = [(texts[row], query) for row in rows for query in (queries[row], *others)]
        empty = [("", queries[row]) for row in rows]
        means = self._means([*asked, *empty], model)
        own, margin, lift = np.full((3, len(table)), np.nan, np.float32)
        per_row = means[: len(asked)].reshape(len(rows), 1 + len(others))
        own[rows] = per_row[:, 0]
        margin[rows] = per_row[:, 0] - per_row[:, 1:].mean(axis=1)
        lift[rows] = per_row[:, 0] - means[len(asked) :]
        for name, values in ((LIKELIHOOD, own), (MARGIN, margin), (LIFT, lift)):
            table = with_score(table, name, values)
        fates = [self._fate(*both) for both in zip(margin.tolist(), lift.tolist(), strict=True)]
        return decide(table, [reason for reason, _ in fates], [detail for _, detail in fates])

    def _means(self, asked: list[tuple[str, str]], model: Recorded) -> np.ndarray:
        """Return the likelihood of each (passage, query) in nats per token."""
        prompt = self.prompt_of("prompt")
        requests = [
            Score(prompt.render(passage=passage[: self.max_chars].strip()), f" {query}")
            for passage, query in asked
        ]
        return np.array([answer.mean for answer in model.score(requests)], np.float32)

    def _fate(self, margin: float, lift: float) -> tuple[str | None, str | None]:
        """Return the reason and the detail of a drop; None where the pair stays."""
        if np.isnan(margin):
            return "no_text", None
        if margin < self.margin:
            return "unlikely", f"margin {margin:.2f}, minimum {self.margin}"
        if self.lift is not None and lift < self.lift:
            return "likely_anyway", f"lift {lift:.2f}, minimum {self.lift}"
        return None, None
