"""What a server can do, found by asking: none says it, and some ignore in silence what they cannot.

Each finding is made when it is first needed, and held for the process.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from curate.llm.openai.replies import generated, next_tokens, prompt_tokens
from curate.llm.openai.server import FailedError, RefusedError
from curate.llm.openai.transport import Transport
from curate.llm.schemas import formed, violation

Endpoint = Literal["completions", "chat"]
SchemaForm = Literal["response_format", "json_schema"]
"""The field of a request that takes a JSON schema; the second is llama.cpp's, for texts to continue."""

PATHS: dict[Endpoint, str] = {"completions": "/completions", "chat": "/chat/completions"}
_TEXT = "One, two, three, four, five, six, seven,"
_FORCED = '{"type": "object", "properties": {"word": {"type": "string", "enum": ["quokka"]}}, \
"required": ["word"], "additionalProperties": false}'
_FORCED_TOKENS = (
    64,
    1024,
)  # the second where the answer was cut, or there was none after all thought
_TOP = (20, 5)  # how many of the most probable tokens to ask for; hosted ones may give five
_SAME = 0.25  # nats by which two computations of a log-probability may differ

_found: dict[str, dict[str, Any]] = {}


def schema_field(form: SchemaForm, schema: str) -> dict[str, Any]:
    """Return the field of a request that has the answer follow a schema."""
    if form == "json_schema":
        return {"json_schema": formed(schema)}
    named = {"name": "answer", "strict": True, "schema": json.loads(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


class Probe:
    """Finds out what a server does with one model.

    :param fields: what every request to the server has: its model, and what the user adds.
    """

    def __init__(self, transport: Transport, fields: dict[str, Any]) -> None:
        self._transport = transport
        self._fields = fields
        key = json.dumps([transport.url, fields], sort_keys=True)
        self._known = _found.setdefault(key, {})
        self._running: dict[str, asyncio.Future[Any]] = {}

    async def serves(self, endpoint: Endpoint) -> bool:
        """Tell whether texts can be continued, or conversations answered."""
        return bool(await self._once(f"serves {endpoint}", lambda: self._serves(endpoint)))

    async def schema_form(self, endpoint: Endpoint) -> SchemaForm | None:
        """Return how the server is told a schema that it then enforces; None if it enforces none."""
        form: SchemaForm | None = await self._once(
            f"schema {endpoint}", lambda: self._schema_form(endpoint)
        )
        return form

    async def echo(self) -> int | None:
        """Return how many tokens must be generated to get the log-probabilities of a prompt.

        :return: None if the server does not give them, or gives wrong ones.
        """
        tokens: int | None = await self._once("echo", self._echo)
        return tokens

    async def top(self, endpoint: Endpoint) -> int | None:
        """Return how many of the most probable next tokens the server tells; None if it tells none."""
        count: int | None = await self._once(f"top {endpoint}", lambda: self._top(endpoint))
        return count

    async def chooses(self) -> bool:
        """Tell whether the server gives the probabilities of labels in any way."""
        if await self.echo() is not None:
            return True
        endpoint: Endpoint = "completions" if await self.serves("completions") else "chat"
        return await self.top(endpoint) is not None

    async def _once(self, what: str, find: Callable[[], Awaitable[Any]]) -> Any:
        """Find something out, unless it is known."""
        if what not in self._known:
            running = self._running.get(what) or asyncio.ensure_future(find())
            self._running[what] = running
            try:  # many wait for it, and that one of them is given up does not end it
                self._known[what] = await asyncio.shield(running)
            finally:
                if running.done():
                    self._running.pop(what, None)
        return self._known[what]

    async def _ask(self, endpoint: Endpoint, text: str, **more: Any) -> Any:
        """Ask for little; return None if the server will not have it."""
        body = self._fields | {"temperature": 0} | prompt_field(endpoint, text) | more
        try:
            return await self._transport.ask(PATHS[endpoint], body, probe=True)
        except (FailedError, RefusedError):
            return None

    async def _serves(self, endpoint: Endpoint) -> bool:
        return await self._ask(endpoint, _TEXT, max_tokens=1) is not None

    async def _schema_form(self, endpoint: Endpoint) -> SchemaForm | None:
        forms: tuple[SchemaForm, ...] = ("response_format", "json_schema")
        for form in forms[: 2 if endpoint == "completions" else 1]:
            for tokens in _FORCED_TOKENS:
                field = schema_field(form, _FORCED)
                reply = await self._ask(endpoint, "Hello!", max_tokens=tokens, **field)
                if reply is None:
                    break
                text = generated(reply).text.strip()
                if violation(_FORCED, text) is None:
                    return form
                if text and not text.startswith("{"):
                    break
        return None

    async def _top(self, endpoint: Endpoint) -> int | None:
        for count in _TOP:
            reply = await self._ask(endpoint, _TEXT, max_tokens=1, **top_field(endpoint, count))
            if reply is not None and next_tokens(reply):
                return count
        return None

    async def _echo(self) -> int | None:
        """Ask for a prompt's log-probabilities, and compare one with what the model generates."""
        if not await self.serves("completions"):
            return None
        count = await self.top("completions")
        reply = await self._ask(
            "completions", _TEXT, max_tokens=1, **top_field("completions", count or 1)
        )
        following = next_tokens(reply) if reply is not None else []
        if not following:
            return None
        token, expected = max(following, key=lambda pair: pair[1])
        for more in (0, 1):
            reply = await self._ask(
                "completions", _TEXT + token, max_tokens=more, echo=True, logprobs=1
            )
            read = prompt_tokens(reply) if reply is not None else None
            if read is None or "".join(text for text, _ in read)[-len(token) :] != token:
                continue
            last = read[-1][1]
            if last is not None and math.isclose(last, expected, abs_tol=_SAME):
                return more
        return None


def prompt_field(endpoint: Endpoint, text: str) -> dict[str, Any]:
    """Return the field with a text to continue; where only conversations are answered it is a turn."""
    if endpoint == "completions":
        return {"prompt": text}
    return {"messages": [{"role": "user", "content": text}]}


def top_field(endpoint: Endpoint, count: int) -> dict[str, Any]:
    """Return the fields that ask for the most probable tokens."""
    if endpoint == "completions":
        return {"logprobs": count}
    return {"logprobs": True, "top_logprobs": count}
