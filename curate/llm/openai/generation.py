"""Asking a server for texts, and for JSON of a schema whether it can enforce one or not."""

from __future__ import annotations

from typing import Any

from curate.llm.base import Generate, Generated, Message, without_answer
from curate.llm.openai.probe import PATHS, Endpoint, Probe, SchemaForm, schema_field
from curate.llm.openai.replies import generated
from curate.llm.openai.transport import FailedError, RefusedError, Transport
from curate.llm.schemas import json_part, violation

_SEEDS = 1 << 31
_FOLLOW = "Answer with JSON that follows this JSON schema, and with nothing else:\n{schema}"
_REPAIR = "That cannot be used: {problem}. Give the whole answer again, corrected, as JSON alone."


class Generator:
    """Generates texts on a server.

    :param fields: what every request has.
    :param extra: fields that the user adds, or takes away by None.
    """

    def __init__(
        self, transport: Transport, probe: Probe, fields: dict[str, Any], extra: dict[str, Any]
    ) -> None:
        self._transport = transport
        self._probe = probe
        self._fields = fields
        self._extra = extra
        self._limit_name = "max_tokens"
        self._not_enforced: set[str] = set()

    async def generate(self, request: Generate) -> Generated:
        """Answer a request.

        :raises FailedError: if it cannot be answered.
        """
        try:
            endpoint, form = await self._way(request)
            if request.schema is None or form is not None:
                return await self._plain(request, endpoint, form)
            return await self._by_words(request, endpoint)
        except RefusedError:
            answer = without_answer(request, "refused")
            assert isinstance(answer, Generated)
            return answer

    async def _way(self, request: Generate) -> tuple[Endpoint, SchemaForm | None]:
        """Return where to ask, and how the schema is enforced there."""
        texts = isinstance(request.prompt, str) and await self._probe.serves("completions")
        endpoint: Endpoint = "completions" if texts else "chat"
        if request.schema is None or request.schema in self._not_enforced:
            return endpoint, None
        form = await self._probe.schema_form(endpoint)
        if form is None and endpoint == "completions" and await self._probe.serves("chat"):
            return "chat", await self._probe.schema_form("chat")
        return endpoint, form

    async def _plain(
        self, request: Generate, endpoint: Endpoint, form: SchemaForm | None
    ) -> Generated:
        """Ask once; a schema that the server will not have is asked for in words."""
        field = schema_field(form, request.schema) if form and request.schema else {}
        try:
            return await self._ask(request, endpoint, _messages(request.prompt), field)
        except FailedError as error:
            if not field or error.status not in (400, 422) or "schema" not in str(error).lower():
                raise
            assert request.schema is not None
            self._not_enforced.add(request.schema)
            return await self._by_words(request, endpoint)

    async def _by_words(self, request: Generate, endpoint: Endpoint) -> Generated:
        """Ask for JSON in words, and once more where the answer is not of the schema."""
        schema = request.schema or ""
        if endpoint == "completions":  # a text to continue cannot be told anything
            return _only_json(await self._ask(request, endpoint, [], {}))
        *before, last = _messages(request.prompt)
        told = f"{last.content}\n\n{_FOLLOW.format(schema=schema)}"
        turns = [*before, Message(last.role, told)]
        first = _only_json(await self._ask(request, endpoint, turns, {}))
        problem = violation(schema, first.text) if first.finish == "stop" else None
        if problem is None:
            return first
        turns += [
            Message("assistant", first.text),
            Message("user", _REPAIR.format(problem=problem)),
        ]
        second = _only_json(await self._ask(request, endpoint, turns, {}))
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
        turns: list[Message],
        field: dict[str, Any],
    ) -> Generated:
        prompt: dict[str, Any] = {"prompt": request.prompt}
        if endpoint == "chat":
            prompt = {"messages": [{"role": t.role, "content": t.content} for t in turns]}
        body = self._body(request) | prompt | field
        try:
            return generated(await self._transport.ask(PATHS[endpoint], body))
        except FailedError as error:
            # Models that think take the limit by another name.
            name = "max_completion_tokens"
            if name in body or error.status != 400 or name not in str(error):
                raise
            self._limit_name = name
        return await self._ask(request, endpoint, turns, field)

    def _body(self, request: Generate) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = self._fields | {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._limit_name: sampling.max_tokens,
            "seed": request.draw % _SEEDS,
        }
        if request.stop is not None:
            body["stop"] = request.stop
        body |= self._extra
        return {name: value for name, value in body.items() if value is not None}


def _messages(prompt: str | tuple[Message, ...]) -> list[Message]:
    return [Message("user", prompt)] if isinstance(prompt, str) else list(prompt)


def _only_json(answer: Generated) -> Generated:
    """Leave out what an answer says besides its JSON."""
    if answer.finish != "stop":
        return answer
    return Generated(json_part(answer.text), "stop", answer.prompt_tokens, answer.completion_tokens)
