"""What a language model is: it generates text, scores text, and chooses among labels.

Requests are plain, immutable data, so that an answer can be recorded under the request it answers. A
backend yields answers as they come, in any order; `curate.llm.recorded` records each before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field


class Sampling(BaseModel):
    """How tokens are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    temperature: float = Field(0.0, ge=0)
    """0 takes the most probable token; 1 draws from the model's own distribution."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw only from the most probable tokens that together have this probability."""
    max_tokens: int = Field(128, ge=1)
    """Where an answer is cut off."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Generate:
    """Asks for text.

    :param prompt: a text to continue, or a conversation to answer.
    :param schema: a JSON schema, as JSON text, that the answer must follow; None: free text.
    :param seed: draws the answer: the same seed gives the same draw, another seed another one.
    :param stop: where free text ends; the stop itself is not part of the answer.
    """

    prompt: str | tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    schema: str | None = None
    seed: int = 0
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Asks how probable a continuation is.

    The tokens are those of `prompt` followed by those of `continuation`, tokenized apart, so begin the
    continuation where a word begins, with its space.
    """

    prompt: str
    continuation: str


@dataclass(frozen=True, slots=True)
class Choose:
    """Asks which of some labels follows a prompt; each label is a continuation as in `Score`."""

    prompt: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated text.

    :param finish: `stop` if the model ended it, `length` if it was cut off at `max_tokens`, `refused`
        if the model would not answer.
    """

    text: str
    finish: Literal["stop", "length", "refused"]
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Scored:
    """The log-likelihood of a continuation.

    :param logprob: the sum over its tokens, in nats.
    :param tokens: how many tokens it has.
    """

    logprob: float
    tokens: int
    prompt_tokens: int

    @property
    def mean(self) -> float:
        """Nats per token."""
        return self.logprob / self.tokens


@dataclass(frozen=True, slots=True)
class Chosen:
    """The probabilities of the labels, in their order; they sum to 1 over the labels."""

    probabilities: tuple[float, ...]
    prompt_tokens: int


Request = Generate | Score | Choose
Answer = Generated | Scored | Chosen


class LanguageModel(Protocol):
    """A backend. Each method takes any number of requests and yields (index, answer), in any order.

    Answers come in groups, as soon as a group is done; what prompts share is computed once. The answer
    to a request may differ in the last bits with what it is computed together with.
    """

    def generate(self, requests: Sequence[Generate]) -> Iterator[tuple[int, Generated]]:
        """Generate a text for each request."""
        ...

    def score(self, requests: Sequence[Score]) -> Iterator[tuple[int, Scored]]:
        """Score a continuation for each request.

        :raises ValueError: if a continuation has no token.
        """
        ...

    def choose(self, requests: Sequence[Choose]) -> Iterator[tuple[int, Chosen]]:
        """Weigh the labels of each request.

        :raises ValueError: if a request has no labels, or a label has no token.
        """
        ...
