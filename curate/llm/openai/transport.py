"""One request to a server, asked again until it is answered or cannot be.

The `openai` package sends and receives; what it would do beyond that is done here, because it does not
know of the other requests under way: a server that says when to come back says it for all of them.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import orjson

from curate.errors import MissingExtraError
from curate.llm.base import UnusableServerError
from curate.llm.openai.pace import Pace
from curate.llm.openai.replies import no_choice
from curate.llm.openai.server import FailedError, Server, may_pass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openai import APIStatusError

_SHOWN = 300  # characters of a server's own message
_CONNECT_SECONDS = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 60.0
_LONGEST_PAUSE = 900.0  # seconds that a server may ask to be left alone


@dataclass(slots=True)
class _TryError(Exception):
    """A try failed that may be repeated.

    :param too_much: whether it says that the server is asked too much.
    :param limited: whether it is a rate limit, which says nothing of the request.
    :param away: whether the server could not be reached.
    """

    message: str
    too_much: bool = True
    limited: bool = False
    away: bool = False
    pause: float | None = None


class Transport:
    """Sends requests to one server.

    :param tries: how often a request is sent, at most. A rate limit does not count while others are
        answered.
    :param timeout: seconds that a try may take.
    """

    def __init__(self, server: Server, pace: Pace, tries: int, timeout: float) -> None:
        for package in ("openai", "aiohttp"):
            if find_spec(package) is None:
                raise MissingExtraError(package, "openai")
        from openai import AsyncOpenAI, DefaultAioHttpClient, Timeout

        self.url = server.url
        self.pace = pace
        self._session, self._sent = uuid.uuid4().hex, 0
        self._server = server
        self._tries = tries
        self._timeout = timeout
        self._reached = False
        self._client = AsyncOpenAI(
            base_url=server.url,
            api_key=server.key or "none",  # the client insists on one
            http_client=DefaultAioHttpClient(),
            timeout=Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout)),
            max_retries=0,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def ask(self, path: str, body: Mapping[str, Any], *, probe: bool = False) -> Any:
        """Send a request until it is answered; return the JSON object of the answer.

        :param probe: whether it is sent to see if the server takes it, so that not to know the path or
            the model fails the request alone.
        :raises RefusedError: if the server's filter will not have it answered.
        :raises FailedError: if it cannot be answered, or was tried often enough.
        :raises UnusableServerError: if no request can be answered.
        """
        content = _encode(body)
        self._sent += 1
        # One key for all tries of a request. The package would draw one for each, a tenth of its time.
        options = _JSON | {"idempotency_key": f"{self._session}-{self._sent}"}
        failed = 0
        while True:
            await self.pace.ready()
            answered, asked_at = self.pace.answered, time.monotonic()
            try:
                reply = await self._send(path, content, options, probe)
            except _TryError as trouble:
                if trouble.too_much:
                    self.pace.refusal(asked_at, trouble.pause)
                if not trouble.limited or self.pace.answered == answered:
                    failed += 1
                if failed >= self._tries:
                    raise self._given_up(trouble) from None
                if trouble.pause is None:
                    await asyncio.sleep(_delay(failed))
            else:
                self.pace.success()
                return reply

    async def _send(self, path: str, content: bytes, options: Any, probe: bool) -> Any:
        """Send a request once.

        :raises _TryError: if it may be sent again.
        """
        from openai import APIConnectionError, APIStatusError

        try:
            async with asyncio.timeout(self._timeout):
                raw = await self._client.post(path, cast_to=bytes, content=content, options=options)
        except TimeoutError:
            raise self._too_late() from None
        except APIStatusError as error:
            self._reached = True
            raise self._status(error, probe) from None
        except APIConnectionError as error:
            raise self._connection(error) from None
        self._reached = True
        return _decoded(raw)

    def _status(self, error: APIStatusError, probe: bool) -> Exception:
        """Return what an error of HTTP means."""
        status, said = error.status_code, self._server.said(error.body or error)
        if no_credit := self._server.no_credit(status, said):
            return no_credit
        if may_pass(status):
            pause = _pause(error.response.headers)
            limited = status == 429
            return _TryError(f"{status}: {said}", status >= 500 or limited, limited, pause=pause)
        refusal = self._server.refusal(status, said)
        if isinstance(refusal, FailedError) and status in (404, 405) and not probe:
            return UnusableServerError(
                f"{self.url} answers {status}; set the model as the server names it: {said}"
            )
        return refusal

    def _connection(self, error: BaseException) -> Exception:
        """Return what the end of a connection, or none at all, means.

        The package calls all of them timeouts; what aiohttp said is further down.
        """
        from aiohttp import ClientConnectorError, ConnectionTimeoutError, ServerTimeoutError

        while error.__cause__ is not None:
            error = error.__cause__
            away = isinstance(error, ClientConnectorError | ConnectionTimeoutError)
            if away and not self._reached:
                return self._server.nobody(str(error))
            if away:
                return _TryError(str(error), away=True)
            if isinstance(error, ServerTimeoutError):
                return self._too_late()
        return _TryError(f"the connection broke: {error or type(error).__name__}")

    def _too_late(self) -> Exception:
        return _TryError(f"no answer within {self._timeout:g} s")

    def _given_up(self, trouble: _TryError) -> Exception:
        if trouble.away:
            return self._server.nobody(trouble.message)
        return FailedError(trouble.message)


_JSON: dict[str, Any] = {"headers": {"Content-Type": "application/json"}}


def _encode(body: Mapping[str, Any]) -> bytes:
    """Write JSON; lone surrogates, which no JSON in UTF-8 can hold, as `?`."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return orjson.dumps(_without_surrogates(body))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _without_surrogates(part) for name, part in value.items()}
    return [_without_surrogates(part) for part in value] if isinstance(value, list) else value


def _decoded(raw: bytes) -> Any:
    """Read the JSON of an answer with status 200, which may yet be cut or hold an error."""
    try:
        reply = orjson.loads(raw)
    except ValueError:
        raise _TryError("an answer that is not JSON", too_much=False) from None
    if problem := no_choice(reply):
        raise _TryError(f"{problem}: {raw[:_SHOWN]!r}", too_much=False)
    return reply


def _pause(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds the server wants not to be asked, if it says so."""
    seconds: float | None = None
    try:
        if text := headers.get("retry-after-ms"):
            seconds = float(text) / 1000
        elif text := headers.get("retry-after"):
            try:
                seconds = float(text)
            except ValueError:
                until = parsedate_to_datetime(text)
                seconds = (until - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_PAUSE)


def _delay(failed: int) -> float:
    """Return how long to wait after a number of failures: doubling, with jitter."""
    delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** max(failed - 1, 0))
    return delay * random.uniform(0.5, 1)
