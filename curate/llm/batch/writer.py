"""Writes requests as a batch has them: the same bodies that the server would be sent one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.llm.base import Generate
from curate.llm.batch.spool import Sort
from curate.llm.openai.bodies import Bodies, turns_of
from curate.llm.openai.pace import Pace
from curate.llm.openai.probe import Probe
from curate.llm.openai.server import Server
from curate.llm.openai.stream import Loop
from curate.llm.openai.transport import Transport

_AT_A_TIME = 8  # of the few requests that find out what the server can do


class Writer:
    """Writes the bodies of requests for one model of one server.

    What the server can do is found out by a few ordinary requests. A model that takes none, because it
    only takes batches, is sent conversations, and schemas in the field for them.
    """

    def __init__(
        self, server: Server, model: str, extra: dict[str, Any], timeout: float, tries: int
    ) -> None:
        self._transport = Transport(server, Pace(_AT_A_TIME), tries, timeout)
        added = {name: value for name, value in extra.items() if value is not None}
        self._probe = Probe(self._transport, {"model": model} | added)
        self._bodies = Bodies(self._probe, {"model": model}, extra)
        self._loop = Loop()

    def close(self) -> None:
        """Close the connections."""
        self._loop.close(self._transport.close())

    def write(self, requests: Sequence[Generate]) -> list[tuple[Sort, Mapping[str, Any]]]:
        """Return for each request its sort and body.

        :raises UnusableServerError: if nobody is there, or the key is refused.
        """
        return self._loop.run(self._write(requests))

    def learns(self, refusal: str) -> bool:
        """Tell whether what a server said of a refused request changes how it is written from now on."""
        return self._bodies.other_limit(refusal, {})

    async def _write(self, requests: Sequence[Generate]) -> list[tuple[Sort, Mapping[str, Any]]]:
        written: list[tuple[Sort, Mapping[str, Any]]] = []
        for request in requests:
            endpoint, form = await self._bodies.way(request)
            if endpoint == "chat" and form is None and not await self._probe.serves("chat"):
                form = "response_format"
            by_words = request.schema is not None and form is None
            turns = turns_of(request, told=by_words)
            body = self._bodies.body(request, endpoint, turns, form)
            written.append((Sort(endpoint, by_words), body))
        return written
