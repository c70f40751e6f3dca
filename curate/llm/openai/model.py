"""A language model behind an OpenAI-compatible server."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from curate.llm.base import Ability, Choose, Chosen, Generate, Generated, Score, Scored
from curate.llm.openai.bodies import Bodies
from curate.llm.openai.generation import Generator
from curate.llm.openai.pace import Pace
from curate.llm.openai.probe import Probe
from curate.llm.openai.scoring import Scorer
from curate.llm.openai.server import Server
from curate.llm.openai.stream import Loop
from curate.llm.openai.transport import Transport


class ServerModel:
    """Answers from a server: hosted, vLLM's, llama.cpp's, or another that is OpenAI-compatible.

    A text to continue goes to `/completions`; where the server has none it is a user's turn of a
    conversation. A schema is enforced by the server if a probe shows that it can, else it is told in
    words, the answer read and, if it is not of the schema, asked for once more.

    :param url: what comes before `/completions` and `/chat/completions`.
    :param key_variable: the environment variable that holds the key.
    :param concurrency: requests under way, at most.
    :param timeout: seconds that a request may take.
    :param tries: how often a request is sent, at most.
    :param extra: fields to add to a request's body, or to take away from it by None.
    """

    def __init__(
        self,
        model: str,
        url: str,
        *,
        key_variable: str,
        concurrency: int,
        timeout: float,
        tries: int,
        extra: dict[str, Any],
    ) -> None:
        """:raises MissingExtraError: if a package is not installed."""
        key = os.environ.get(key_variable, "").strip()
        self._pace = Pace(concurrency)
        server = Server(url.rstrip("/"), key, key_variable)
        transport = Transport(server, self._pace, tries, timeout)
        fields = {"model": model}
        added = {name: value for name, value in extra.items() if value is not None}
        self._probe = Probe(transport, fields | added)
        self._generator = Generator(transport, Bodies(self._probe, fields, extra))
        self._scorer = Scorer(transport, self._probe, fields | added)
        self._loop = Loop()
        # Nothing that the loop's thread holds knows of this object, so it ends where it is let go; while
        # answers come, they hold it.
        self._close = weakref.finalize(self, _close, self._loop, transport)

    def abilities(self) -> set[Ability]:
        """Find out what the server can do.

        :raises UnusableServerError: if it is not there.
        """
        found: set[Ability] = {"generate", "schema"}
        if self._loop.run(self._probe.echo()) is not None:
            found.add("score")
        if self._loop.run(self._probe.chooses()):
            found.add("choose")
        return found

    def generate(self, requests: Sequence[Generate]) -> Iterator[tuple[int, Generated]]:
        """Generate a text for each request.

        :raises UnansweredError: if the server does not answer some of them.
        :raises CurateError: if it cannot be used.
        """
        yield from self._loop.stream(requests, self._generator.generate, self._pace)

    def score(self, requests: Sequence[Score]) -> Iterator[tuple[int, Scored]]:
        """Score a continuation for each request.

        :raises ValueError: if a continuation is empty.
        :raises UnansweredError: if the server does not answer some of them.
        :raises CurateError: if it cannot be used, or gives no log-probabilities of prompts.
        """
        for number, request in enumerate(requests):
            if not request.continuation:
                raise ValueError(f"continuation {number} has no token: there is nothing to score")
        yield from self._loop.stream(requests, self._scorer.score, self._pace)

    def choose(self, requests: Sequence[Choose]) -> Iterator[tuple[int, Chosen]]:
        """Weigh the labels of each request.

        :raises ValueError: if a request has no labels, or an empty one.
        :raises UnansweredError: if the server does not answer some of them.
        :raises CurateError: if it cannot be used, or gives no log-probabilities.
        """
        for number, request in enumerate(requests):
            if not request.labels or "" in request.labels:
                raise ValueError(f"request {number} has no labels: {request.prompt[-80:]!r}")
        yield from self._loop.stream(requests, self._scorer.choose, self._pace)

    def close(self) -> None:
        """Close the connections and end the thread; it also happens when the object is let go."""
        self._close()


def _close(loop: Loop, transport: Transport) -> None:
    loop.close(transport.close())
