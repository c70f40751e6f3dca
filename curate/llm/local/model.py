"""A language model of the transformers library in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.encode.neighbours import fast_bfloat16
from curate.errors import CurateError
from curate.llm.base import Choose, Chosen, Generate, Generated, Score, Scored
from curate.llm.local.generation import generate
from curate.llm.local.lanes import Tokens
from curate.llm.local.network import Network
from curate.llm.local.scoring import log_likelihoods
from curate.llm.local.tokens import Tokenizer
from curate.llm.packaged import require, source_of

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class LocalModel:
    """Answers from a transformers model in this process.

    A text to continue is tokenized by itself, after the token that the tokenizer begins texts with, if
    it has one; what follows it is tokenized apart. A conversation has the model's chat template.

    :param batch: texts that are generated at a time.
    """

    def __init__(self, network: Network, tokenizer: Tokenizer, batch: int) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._batch = batch

    @classmethod
    def load(
        cls,
        name_or_path: str,
        device: Device = "auto",
        dtype: Dtype = "auto",
        batch: int = 32,
    ) -> LocalModel:
        """Load a model.

        :param name_or_path: a packaged model, a folder with a checkpoint, or a name on a hub, which
            alone may need the network.
        :param device: `auto` is a GPU if there is one.
        :param dtype: `auto` is bfloat16 where the processor multiplies it faster than float32.
        :raises CurateError: if the model, or a package that it needs, is not there.
        """
        require("torch", "transformers")
        name, local = source_of(name_or_path)
        place = _device(device)
        try:
            network = Network(name, place, _dtype(dtype, place), local)
            return cls(network, Tokenizer(name, network.vocabulary, local), batch)
        except OSError as error:
            raise CurateError(f"the model {name!r} cannot be loaded: {error}") from error

    def generate(self, requests: Sequence[Generate]) -> Iterator[tuple[int, Generated]]:
        """Generate a text for each request.

        :raises CurateError: if a schema cannot be followed, or the model answers no conversations.
        :raises ValueError: if a prompt has no token, or is too long.
        """
        prompts = self._tokenizer.prompts([request.prompt for request in requests])
        self._check(len(p) + r.sampling.max_tokens for p, r in zip(prompts, requests, strict=True))
        for answers in generate(self._network, self._tokenizer, requests, prompts, self._batch):
            yield from answers

    def score(self, requests: Sequence[Score]) -> Iterator[tuple[int, Scored]]:
        """Score a continuation for each request.

        :raises ValueError: if a prompt or continuation has no token, or they are too long.
        """
        prompts = self._tokenizer.prompts([request.prompt for request in requests])
        continuations = self._tokenizer.texts([request.continuation for request in requests])
        for group in self._log_likelihoods(prompts, continuations):
            for i, value in group:
                yield i, Scored(value, len(continuations[i]), len(prompts[i]))

    def choose(self, requests: Sequence[Choose]) -> Iterator[tuple[int, Chosen]]:
        """Weigh the labels of each request.

        :raises ValueError: if a request has no labels, a prompt or label has no token, or they are too
            long.
        """
        for number, request in enumerate(requests):
            if not request.labels:
                raise ValueError(f"request {number} has no labels: {request.prompt[-80:]!r}")
        prompts = self._tokenizer.prompts([request.prompt for request in requests])
        owners = [(number, at) for number, r in enumerate(requests) for at in range(len(r.labels))]
        labels = self._tokenizer.texts([label for r in requests for label in r.labels])
        values = [np.full(len(request.labels), np.nan) for request in requests]
        for group in self._log_likelihoods([prompts[number] for number, _ in owners], labels):
            for pair, value in group:
                number, at = owners[pair]
                values[number][at] = value
                if not np.isnan(values[number]).any():
                    yield number, Chosen.of(values[number].tolist(), len(prompts[number]))

    def _log_likelihoods(
        self, prompts: list[Tokens], continuations: list[Tokens]
    ) -> Iterator[list[tuple[int, float]]]:
        for number, continuation in enumerate(continuations):
            if not continuation:
                raise ValueError(f"continuation {number} has no token: there is nothing to score")
        pairs = list(zip(prompts, continuations, strict=True))
        self._check(len(prompt) + len(continuation) for prompt, continuation in pairs)
        return log_likelihoods(self._network, pairs)

    def _check(self, lengths: Iterable[int]) -> None:
        """Refuse texts that are longer than the model was made for."""
        limit = self._network.context
        for number, length in enumerate(lengths):
            if limit is not None and length > limit:
                raise ValueError(
                    f"text {number} has {length} tokens with what may follow its prompt, but the model "
                    f"reads {limit}: cut the prompt"
                )


def _device(device: Device) -> str:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise CurateError("device 'cuda': there is no GPU here that torch can use; use 'auto'")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _dtype(dtype: Dtype, device: str) -> torch.dtype:
    import torch

    if dtype == "auto":
        dtype = "bfloat16" if device == "cuda" or fast_bfloat16() else "float32"
    chosen: torch.dtype = getattr(torch, dtype)
    return chosen
