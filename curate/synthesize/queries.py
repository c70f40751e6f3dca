"""Queries of mixed kinds for passages, and the way to a family of one's own."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from curate.synthesize.conditions import Vary
from curate.synthesize.passages import FromPassages
from curate.synthesize.pools import Pool


class Queries(FromPassages):
    """Have a language model write queries of mixed kinds for passages.

    Bonifacio et al. 2022 (InPars), arXiv:2202.05144; Dai et al. 2023 (Promptagator), arXiv:2209.11755,
    whose round trip is `filter.consistency` with the passages as its corpus. What is not usable is as
    in `synthesize.fret`, but a query of up to three words may stand in its passage.

    With a `prompt` of your own this is a family of your own. The prompt's variables are `passage`,
    `name` (its title) and `language`, the names in `vary`, and `task` if there are `tasks`. Of the
    fields of its schema `query` is the pair's query; `task`, `positive` and `negatives` (a list) are
    what they are called, if it has them; others are ignored, so a model may reason before it answers.
    """

    name: ClassVar[str] = "synthesize.queries"
    quotable: ClassVar[int] = 3

    prompt: str = "queries-text"
    """The prompt file: it takes `passage` and may take other values of the record, and what is drawn;
    its schema has `query`, and may have `task`, `positive` and `negatives`."""
    candidates: int = Field(3, ge=1)
    """Queries to draw for each passage."""
    vary: Vary = Field({"kind": ["question", "keyword", "claim"]})
    """Conditions that are drawn for each query: values by name, or values with weights. The prompt takes
    them as variables of type `text`; values of `language` are tags (`en`) that it takes as names."""
    tasks: Pool | None = Field(
        [
            {"kind": "question", "task": "Given a question, find a passage that answers it"},
            {"kind": "keyword", "task": "Given keywords, find a passage about them"},
            {"kind": "claim", "task": "Given a claim, find a passage that supports it"},
        ]
    )
    """Tasks to draw from for each query: a list, or a file with one a line, as text or as JSON with
    `task` and the conditions that it is for. What is drawn is the pair's task; null leaves it to the
    prompt."""
    min_words: int = Field(2, ge=1)
    """Words that a query must have; 1 for languages that write none apart."""
