"""What a language model is: it generates text, scores text, and chooses among labels.

Requests are plain, immutable data, so that an answer can be recorded under the request it answers. A
backend yields answers as they come, in any order; `curate.llm.recorded` records each before it is used.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from curate.errors import CurateError

Ability = Literal["generate", "schema", "score", "choose"]
"""What a backend may be able to do; `schema` is to generate JSON that follows one."""
Finish = Literal["stop", "length", "refused", "invalid", "failed"]
"""How an answer ended. `stop`: whole. `length`: cut off at `max_tokens`. `refused`: the model would not
answer, or a filter before it. `invalid`: blank, not of the schema, or without a probability of any
label. `failed`: the backend gave none, though it was asked again and again."""


class Sampling(BaseModel):
    """How tokens are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
    :param attempt: counts from 0 how often the same was asked before, and not answered usably.
    """

    prompt: str | tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    schema: str | None = None
    seed: int = 0
    stop: str | None = None
    attempt: int = 0

    @property
    def draw(self) -> int:
        """The number that draws the answer: of the first attempt the seed, then others."""
        if not self.attempt:
            return self.seed
        text = f"{self.seed} {self.attempt}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


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
    """A generated text; it can be used if `finish` is `stop`."""

    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Scored:
    """The log-likelihood of a continuation.

    :param logprob: the sum over its tokens, in nats; nan if `finish` is not `stop`.
    :param tokens: how many tokens it has.
    """

    logprob: float
    tokens: int
    prompt_tokens: int
    finish: Finish = "stop"

    @property
    def mean(self) -> float:
        """Nats per token."""
        return self.logprob / self.tokens if self.tokens else math.nan


@dataclass(frozen=True, slots=True)
class Chosen:
    """The probabilities of the labels, in their order.

    They sum to 1 over the labels; they are nan if `finish` is not `stop`.
    """

    probabilities: tuple[float, ...]
    prompt_tokens: int
    finish: Finish = "stop"

    @classmethod
    def of(cls, logprobs: Sequence[float], prompt_tokens: int) -> Chosen:
        """Make probabilities of the labels' log-likelihoods, of which one at least is finite."""
        largest = max(logprobs)
        weights = [math.exp(value - largest) for value in logprobs]
        return cls(tuple(weight / math.fsum(weights) for weight in weights), prompt_tokens)


Request = Generate | Score | Choose
Answer = Generated | Scored | Chosen


class UnusableServerError(CurateError):
    """A server answers no request: nobody is there, the key is refused, the model is not known."""


class UnansweredError(CurateError):
    """Some requests have no answer. A backend raises it when it has yielded all the answers it has."""

    def __init__(self, message: str, failed: Mapping[int, str], *, stopped: bool = False) -> None:
        """:param failed: why, by index, for requests that were asked as often as the settings allow.
        :param stopped: whether there are others, which were not asked to the end.
        """
        super().__init__(message)
        self.failed = dict(failed)
        self.stopped = stopped


class LaterError(Exception):
    """A `Deferred` backend has taken requests, and answers them after `settle`."""


def without_answer(request: Request, finish: Finish, prompt_tokens: int = 0) -> Answer:
    """Return what stands for the answer to a request that got none."""
    if isinstance(request, Generate):
        return Generated("", finish, prompt_tokens, 0)
    if isinstance(request, Score):
        return Scored(math.nan, 0, prompt_tokens, finish)
    return Chosen((math.nan,) * len(request.labels), prompt_tokens, finish)


class LanguageModel(Protocol):
    """A backend. Each method takes any number of requests and yields (index, answer), in any order.

    Answers come as soon as they are there, alone or in groups; what prompts share is computed once. The
    answer to a request may differ in the last bits with what it is computed together with. Each
    request is answered, or else an `UnansweredError` ends the answers.
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


class Deferred(ABC):
    """What else a backend is that collects requests and answers them together, much later.

    Its methods raise `LaterError` if not all of their requests are answered yet, and take those that are
    not; to be asked the same again after `settle` gives the answers.
    """

    @abstractmethod
    def settle(self, tell: Callable[[str], None]) -> None:
        """Wait until what was taken is answered, or must be asked for once more.

        :param tell: is told how far it is.
        """

    @abstractmethod
    def recorded(self, requests: Sequence[Request]) -> None:
        """Forget answers that are recorded now."""
