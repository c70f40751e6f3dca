"""A language model that vLLM runs for this process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import weakref
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.errors import MissingExtraError
from curate.llm.base import Choose, Chosen, Finish, Generate, Generated, Score, Scored
from curate.llm.local.lanes import Tokens
from curate.llm.local.tokens import load_tokenizer
from curate.llm.openai.server import FailedError
from curate.llm.openai.stream import Loop
from curate.llm.packaged import source_of
from curate.llm.schemas import formed
from curate.llm.vllm.engine import Engine

if TYPE_CHECKING:
    from vllm import SamplingParams


class VllmModel:
    """Answers from vLLM's engine, all requests at a time.

    Texts have the same tokens as with `local`, and answers to a schema the same form. A draw depends on
    the seed and the prompt; other than with `local` it is vLLM's, so the texts are others.
    """

    def __init__(self, name_or_path: str, **settings: Any) -> None:
        """Start the engine.

        :param name_or_path: a packaged model, a folder with a checkpoint, or a name on a hub, which
            alone may need the network.
        :param settings: as for `Engine`.
        :raises CurateError: if the model, or a package that it needs, is not there, or the engine does
            not start.
        """
        if find_spec("vllm") is None:
            raise MissingExtraError("vllm", "vllm")
        source, _ = source_of(name_or_path)
        self._tokenizer = load_tokenizer(name_or_path)

        async def start() -> Engine:
            return Engine(source, **settings)

        self._loop = Loop()
        try:
            self._engine = self._loop.run(start())
        except BaseException:
            self._loop.close(asyncio.sleep(0))
            raise
        self._close = weakref.finalize(self, _close, self._loop, self._engine)

    def generate(self, requests: Sequence[Generate]) -> Iterator[tuple[int, Generated]]:
        """Generate a text for each request.

        :raises CurateError: if a schema cannot be followed, the model answers no conversations, or the
            engine ends.
        :raises UnansweredError: if some requests cannot be answered, as where a prompt is too long.
        :raises ValueError: if a prompt has no token.
        """
        for schema in {request.schema for request in requests} - {None}:
            self._tokenizer.matcher(str(schema))
        prompts = self._tokenizer.prompts([request.prompt for request in requests])
        pairs = list(zip(requests, prompts, strict=True))
        yield from self._loop.stream(pairs, self._generate, self._engine)

    def score(self, requests: Sequence[Score]) -> Iterator[tuple[int, Scored]]:
        """Score a continuation for each request.

        :raises ValueError: if a prompt or continuation has no token.
        :raises UnansweredError: if some requests are too long.
        :raises CurateError: if the engine ends.
        """
        prompts = self._tokenizer.prompts([request.prompt for request in requests])
        pairs = list(
            zip(prompts, self._continuations([r.continuation for r in requests]), strict=True)
        )
        yield from self._loop.stream(pairs, self._score, self._engine)

    def choose(self, requests: Sequence[Choose]) -> Iterator[tuple[int, Chosen]]:
        """Weigh the labels of each request.

        :raises ValueError: if a request has no labels, or a prompt or label has no token.
        :raises UnansweredError: if some requests are too long.
        :raises CurateError: if the engine ends.
        """
        for number, request in enumerate(requests):
            if not request.labels:
                raise ValueError(f"request {number} has no labels: {request.prompt[-80:]!r}")
        prompts = self._tokenizer.prompts([request.prompt for request in requests])
        labels = [self._continuations(request.labels) for request in requests]
        pairs = list(zip(prompts, labels, strict=True))
        yield from self._loop.stream(pairs, self._choose, self._engine)

    def close(self) -> None:
        """End the engine; it also happens when the object is let go."""
        self._close()

    def _continuations(self, texts: Sequence[str]) -> list[Tokens]:
        many = self._tokenizer.texts(texts)
        for number, tokens in enumerate(many):
            if not tokens:
                raise ValueError(f"continuation {number} has no token: there is nothing to score")
        return many

    async def _generate(self, asked: tuple[Generate, Tokens]) -> Generated:
        request, prompt = asked
        self._check(len(prompt) + request.sampling.max_tokens)
        output = await self._engine.complete(prompt, self._sampling(request, prompt))
        answer = output.outputs[0]
        finish: Finish = "stop" if answer.finish_reason == "stop" else "length"
        return Generated(answer.text, finish, len(prompt), len(answer.token_ids))

    def _sampling(self, request: Generate, prompt: Tokens) -> SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        schema = None
        if request.schema is not None:
            schema = StructuredOutputsParams(json=json.dumps(formed(request.schema)))
        return SamplingParams(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            max_tokens=request.sampling.max_tokens,
            seed=_seed(request.draw, prompt),
            stop=request.stop if schema is None else None,
            stop_token_ids=self._tokenizer.ends,
            structured_outputs=schema,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def _score(self, pair: tuple[Tokens, Tokens]) -> Scored:
        prompt, continuation = pair
        value = await self._log_likelihood(prompt, continuation)
        return Scored(value, len(continuation), len(prompt))

    async def _choose(self, asked: tuple[Tokens, list[Tokens]]) -> Chosen:
        prompt, labels = asked
        values = [await self._log_likelihood(prompt, label) for label in labels]
        return Chosen.of(values, len(prompt))

    async def _log_likelihood(self, prompt: Tokens, continuation: Tokens) -> float:
        """Return log p(continuation | prompt), in nats.

        By itself vLLM computes a prompt anew where it is to tell log-probabilities, for it has none of
        what is cached. Here those of the prompt are not needed, so it may be read from the cache, which
        is ten times as fast where prompts are shared; only if more than that was cached is it asked
        again.
        """
        from vllm import SamplingParams

        self._check(len(prompt) + len(continuation) + 1)
        for anew in (False, True):
            sampling = SamplingParams(
                temperature=0,
                max_tokens=1,
                prompt_logprobs=0,
                detokenize=False,
                skip_reading_prefix_cache=anew,
            )
            output = await self._engine.complete(prompt + continuation, sampling)
            # The last token of the prompt predicts the first of the continuation.
            if (output.num_cached_tokens or 0) < len(prompt):
                break
        told = (output.prompt_logprobs or [])[-len(continuation) :]
        return math.fsum(
            of[token].logprob
            for token, of in zip(continuation, told, strict=True)
            if of is not None
        )

    def _check(self, length: int) -> None:
        if length > self._engine.context:
            raise FailedError(
                f"a text has {length} tokens with what may follow its prompt, but the engine reads "
                f"{self._engine.context}: cut the prompt, or raise `llm.max_model_len`"
            )


def _seed(draw: int, prompt: Tokens) -> int:
    """Return the seed of an answer, with 63 bits.

    The prompt takes part, or the answers to all prompts with one seed would be drawn alike.
    """
    text = np.asarray(prompt, np.int64).tobytes()
    digest = hashlib.blake2b(text, digest_size=8, key=str(draw).encode()[:64])
    return int.from_bytes(digest.digest()) >> 1


def _close(loop: Loop, engine: Engine) -> None:
    loop.close(engine.close())
