"""Asking a server for texts, and for JSON of a schema whether it can enforce one or not."""

from __future__ import annotations

from collections.abc import Sequence

from curate.llm.base import Generate, Generated, Message, without_answer
from curate.llm.openai.bodies import Bodies, only_json, turns_of
from curate.llm.openai.probe import PATHS, Endpoint, SchemaForm
from curate.llm.openai.replies import generated
from curate.llm.openai.server import FailedError, RefusedError
from curate.llm.openai.transport import Transport
from curate.llm.schemas import violation

_REPAIR = "That cannot be used: {problem}. Give the whole answer again, corrected, as JSON alone."


class Generator:
    """Generates texts on a server."""

    def __init__(self, transport: Transport, bodies: Bodies) -> None:
        self._transport = transport
        self._bodies = bodies

    async def generate(self, request: Generate) -> Generated:
        """Answer a request.

        :raises FailedError: if it cannot be answered.
        """
        try:
            endpoint, form = await self._bodies.way(request)
            if request.schema is None or form is not None:
                return await self._plain(request, endpoint, form)
            return await self._by_words(request, endpoint)
        except RefusedError:
            answer = without_answer(request, "refused")
            assert isinstance(answer, Generated)
            return answer

    async def _plain(
        self, request: Generate, endpoint: Endpoint, form: SchemaForm | None
    ) -> Generated:
        """Ask once; a schema that the server will not have is asked for in words."""
        try:
            return await self._ask(request, endpoint, turns_of(request), form)
        except FailedError as error:
            if not form or error.status not in (400, 422) or "schema" not in str(error).lower():
                raise
            assert request.schema is not None
            self._bodies.not_enforced(request.schema)
            return await self._by_words(request, endpoint)

    async def _by_words(self, request: Generate, endpoint: Endpoint) -> Generated:
        """Ask for JSON in words, and once more where the answer is not of the schema."""
        if endpoint == "completions":  # a text to continue cannot be told anything
            return only_json(await self._ask(request, endpoint, [], None))
        turns = turns_of(request, told=True)
        first = only_json(await self._ask(request, endpoint, turns, None))
        problem = violation(request.schema or "", first.text) if first.finish == "stop" else None
        if problem is None:
            return first
        turns += [
            Message("assistant", first.text),
            Message("user", _REPAIR.format(problem=problem)),
        ]
        second = only_json(await self._ask(request, endpoint, turns, None))
        return Generated(
            second.text,
            second.finish,
            first.prompt_tokens + second.prompt_tokens,
            first.completion_tokens + second.completion_tokens,
        )

    async def _ask(
        self,
        request: Generate,
        endpoint: Endpoint,
        turns: Sequence[Message],
        form: SchemaForm | None,
    ) -> Generated:
        body = self._bodies.body(request, endpoint, turns, form)
        try:
            return generated(await self._transport.ask(PATHS[endpoint], body))
        except FailedError as error:
            if error.status != 400 or not self._bodies.other_limit(str(error), body):
                raise
        return await self._ask(request, endpoint, turns, form)
