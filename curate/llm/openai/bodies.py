"""What a server is sent for a text: where, how a schema is told, and the names of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.llm.base import Generate, Generated, Message
from curate.llm.openai.probe import Endpoint, Probe, SchemaForm, schema_field
from curate.llm.schemas import json_part

_SEEDS = 1 << 31
_LIMIT, _OTHER_LIMIT = "max_tokens", "max_completion_tokens"
_FOLLOW = "Answer with JSON that follows this JSON schema, and with nothing else:\n{schema}"


class Bodies:
    """Writes the bodies of requests.

    :param fields: what every request has.
    :param extra: fields that the user adds, or takes away by None.
    """

    def __init__(self, probe: Probe, fields: dict[str, Any], extra: dict[str, Any]) -> None:
        self._probe = probe
        self._fields = fields
        self._extra = extra
        self._limit_name = _LIMIT
        self._not_enforced: set[str] = set()

    async def way(self, request: Generate) -> tuple[Endpoint, SchemaForm | None]:
        """Return where to ask, and how the schema is enforced there; None if it is not."""
        texts = isinstance(request.prompt, str) and await self._probe.serves("completions")
        endpoint: Endpoint = "completions" if texts else "chat"
        if request.schema is None or request.schema in self._not_enforced:
            return endpoint, None
        form = await self._probe.schema_form(endpoint)
        if form is None and endpoint == "completions" and await self._probe.serves("chat"):
            return "chat", await self._probe.schema_form("chat")
        return endpoint, form

    def body(
        self,
        request: Generate,
        endpoint: Endpoint,
        turns: Sequence[Message],
        form: SchemaForm | None,
    ) -> dict[str, Any]:
        """Return a body.

        :param turns: the conversation, if it goes to `chat`.
        """
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
        body = {name: value for name, value in body.items() if value is not None}
        if endpoint == "chat":
            body["messages"] = [{"role": turn.role, "content": turn.content} for turn in turns]
        else:
            body["prompt"] = request.prompt
        return body | (schema_field(form, request.schema) if form and request.schema else {})

    def not_enforced(self, schema: str) -> None:
        """Remember that the server will not have a schema."""
        self._not_enforced.add(schema)

    def other_limit(self, refusal: str, body: Mapping[str, Any]) -> bool:
        """Take the other name of the limit from now on, if the refusal of a body names it.

        Models that think take the limit by that name.
        """
        if _OTHER_LIMIT not in refusal or _OTHER_LIMIT in body:
            return False
        self._limit_name = _OTHER_LIMIT
        return True


def turns_of(request: Generate, *, told: bool = False) -> list[Message]:
    """Return a request as a conversation.

    :param told: whether its schema is told in words.
    """
    prompt = request.prompt
    turns = [Message("user", prompt)] if isinstance(prompt, str) else list(prompt)
    if told:
        last = turns[-1]
        content = f"{last.content}\n\n{_FOLLOW.format(schema=request.schema)}"
        turns[-1] = Message(last.role, content)
    return turns


def only_json(answer: Generated) -> Generated:
    """Leave out what an answer says besides its JSON."""
    if answer.finish != "stop":
        return answer
    return Generated(json_part(answer.text), "stop", answer.prompt_tokens, answer.completion_tokens)
