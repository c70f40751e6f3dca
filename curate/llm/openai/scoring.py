"""Log-likelihoods of continuations, and probabilities of labels, as far as a server gives them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from curate.errors import CurateError
from curate.llm.base import Ability, Choose, Chosen, Score, Scored, without_answer
from curate.llm.openai.probe import PATHS, Endpoint, Probe, prompt_field, top_field
from curate.llm.openai.replies import next_tokens, prompt_tokens, usage
from curate.llm.openai.server import FailedError, RefusedError
from curate.llm.openai.transport import Transport

_PROMPTS = 256  # whose tokens are held
_DEEP = 4  # tokens that labels may have in common at their beginning

_LACKS: dict[Ability, str] = {
    "score": "does not give the log-probabilities of prompts",
    "choose": "gives no log-probabilities",
}
_HAVE: dict[Ability, str] = {"score": "vLLM's", "choose": "vLLM's, llama.cpp's"}

Token = tuple[str, float | None]


def cannot(ability: Ability, url: str) -> str:
    """Say that a server cannot do something, and what to use instead."""
    return (
        f"the server at {url} {_LACKS[ability]}, so it cannot `{ability}`: use a server that does "
        f"({_HAVE[ability]}), or the backend `local`, or leave out what asks for it"
    )


class Scorer:
    """Scores continuations and labels on a server.

    :param fields: what every request has.
    """

    def __init__(self, transport: Transport, probe: Probe, fields: dict[str, Any]) -> None:
        self._transport = transport
        self._probe = probe
        self._fields = fields
        self._prompts: OrderedDict[str, list[Token]] = OrderedDict()

    async def score(self, request: Score) -> Scored:
        """Return the log-likelihood of a continuation: the sum over exactly its tokens.

        :raises CurateError: if the server does not give it.
        :raises FailedError: if the request cannot be answered.
        """
        if await self._probe.echo() is None:
            raise CurateError(cannot("score", self._transport.url))
        try:
            read = await self._echo(request.prompt + request.continuation)
            first = await self._first(request, read)
        except RefusedError:
            return Scored(math.nan, 0, 0, "refused")
        values = [value for _, value in read[first:]]
        if not values or None in values:
            raise FailedError("the server gives no log-probability of a text's first token")
        return Scored(math.fsum(v for v in values if v is not None), len(values), first)

    async def choose(self, request: Choose) -> Chosen:
        """Return the probabilities of labels: by their log-likelihoods, else by the next tokens.

        :raises CurateError: if the server gives neither.
        :raises FailedError: if the request cannot be answered.
        """
        if await self._probe.echo() is not None:
            return await self._by_likelihood(request)
        try:
            return await self._by_next_tokens(request)
        except RefusedError:
            answer = without_answer(request, "refused")
            assert isinstance(answer, Chosen)
            return answer

    async def _by_likelihood(self, request: Choose) -> Chosen:
        scored = [await self.score(Score(request.prompt, label)) for label in request.labels]
        finish = next((one.finish for one in scored if one.finish != "stop"), "stop")
        return _chosen([one.logprob for one in scored], scored[0].prompt_tokens, finish)

    # -- by echo -------------------------------------------------------------------------

    async def _echo(self, text: str) -> list[Token]:
        """Return the tokens of a text."""
        body = self._fields | {
            "prompt": text,
            "max_tokens": await self._probe.echo(),
            "echo": True,
            "logprobs": 1,
            "temperature": 0,
        }
        read = prompt_tokens(await self._transport.ask(PATHS["completions"], body))
        if read is None:
            raise FailedError("the server did not echo this prompt's tokens")
        return read

    async def _first(self, request: Score, read: list[Token]) -> int:
        """Return the number of the continuation's first token among those of both texts.

        :raises FailedError: if a token is of both.
        """
        texts = [text for text, _ in read]
        whole = request.prompt + request.continuation
        joined = "".join(texts)
        if joined.endswith(whole):  # what may come before is the token that begins a text
            boundary = len(joined) - len(request.continuation)
            number = place = 0
            while place < boundary:
                place += len(texts[number])
                number += 1
            fits = place == boundary
        else:  # of a character in several tokens no token has the text: compare with the prompt alone
            alone = [text for text, _ in await self._tokens_of_prompt(request.prompt)]
            number, fits = len(alone), alone == texts[: len(alone)]
        if not fits:
            raise FailedError(
                "the prompt ends within a token of prompt and continuation; it must end where a word "
                f"does: {request.prompt[-40:]!r} + {request.continuation[:40]!r}"
            )
        return number

    async def _tokens_of_prompt(self, prompt: str) -> list[Token]:
        if prompt not in self._prompts:
            self._prompts[prompt] = await self._echo(prompt)
            if len(self._prompts) > _PROMPTS:
                self._prompts.popitem(last=False)
        return self._prompts[prompt]

    # -- by the next tokens --------------------------------------------------------------

    async def _by_next_tokens(self, request: Choose) -> Chosen:
        """Weigh labels by the token that each begins with, and by those that it goes on with.

        A label whose tokens are not among those that the server tells has at most the smallest
        probability of these; it is given 0. In a conversation only the first token can be asked for.
        """
        endpoint: Endpoint = "completions" if await self._probe.serves("completions") else "chat"
        count = await self._probe.top(endpoint)
        if count is None:
            raise CurateError(cannot("choose", self._transport.url))
        labels = request.labels
        if endpoint == "chat":  # an answer does not begin with a space
            labels = tuple(label.strip() for label in labels)
        values, read = await self._descend(endpoint, count, request.prompt, labels, 0)
        if all(value == -math.inf for value in values):
            return _chosen(values, read, "invalid")
        return _chosen(values, read, "stop")

    async def _descend(
        self, endpoint: Endpoint, count: int, prompt: str, labels: Sequence[str], depth: int
    ) -> tuple[list[float], int]:
        """Return log p(label | prompt), -inf where it is not known; and the prompt's tokens."""
        body = self._fields | {"max_tokens": 1, "temperature": 0}
        body |= prompt_field(endpoint, prompt) | top_field(endpoint, count)
        reply = await self._transport.ask(PATHS[endpoint], body)
        values = [-math.inf] * len(labels)
        begun: dict[str, list[int]] = {}
        told = dict(next_tokens(reply))
        for number, label in enumerate(labels):
            # The longest token is the one that the label is written with.
            begin = max((t for t in told if t and label.startswith(t)), key=len, default=None)
            if begin is not None:
                values[number] = told[begin]
                if begin != label:
                    begun.setdefault(begin, []).append(number)
        for begin, numbers in begun.items():
            if endpoint == "completions" and depth < _DEEP:
                rest = [labels[number][len(begin) :] for number in numbers]
                further, _ = await self._descend(endpoint, count, prompt + begin, rest, depth + 1)
                for number, value in zip(numbers, further, strict=True):
                    values[number] += value
        return values, usage(reply)[0]


def _chosen(values: list[float], prompt_tokens: int, finish: Any) -> Chosen:
    """Make log-probabilities into probabilities that sum to 1; nan if there is no answer."""
    if finish != "stop":
        return Chosen((math.nan,) * len(values), prompt_tokens, finish)
    return Chosen.of(values, prompt_tokens)
