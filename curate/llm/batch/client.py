"""What a server is told and asked of batches, by the `openai` package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from curate.errors import CurateError, MissingExtraError
from curate.llm.base import UnusableServerError
from curate.llm.openai.server import RefusedError, Server, may_pass

if TYPE_CHECKING:
    from openai import APIStatusError

_NAME = "curate"  # of the field of a batch's metadata that holds its name
_PAGE = 100  # batches in one list
_SKEW = 86_400.0  # seconds by which the server's clock may be behind
_CONNECT_SECONDS = 10.0
_ERRORS = 3  # messages of a batch that are shown
ENDED = {"completed", "expired", "cancelled", "failed"}


class UnsureError(Exception):
    """Whether the batch was made is not known, or it may be made later.

    :param limited: whether the server refused it because it is asked too much.
    """

    def __init__(self, reason: str, *, limited: bool = False) -> None:
        super().__init__(reason)
        self.limited = limited


class AwayError(CurateError):
    """The server is not there, or cannot do it now."""


class UnknownError(CurateError):
    """The server does not know what it is asked for."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a server says of a batch.

    :param done: requests that are treated.
    :param files: ids of the files with the results.
    :param errors: why it failed as a whole.
    :param full: whether it failed because too much is queued already.
    """

    status: str
    done: int
    files: list[str]
    errors: str
    full: bool


class Client:
    """Asks one server.

    :param timeout: seconds that it may take to say anything.
    :param tries: how often it is asked the same, where that does no harm.
    """

    def __init__(self, server: Server, timeout: float, tries: int) -> None:
        if find_spec("openai") is None:
            raise MissingExtraError("openai", "openai")
        from openai import OpenAI, Timeout

        self._server = server
        self._client = OpenAI(
            base_url=server.url,
            api_key=server.key or "none",  # the client insists on one
            timeout=Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout)),
            max_retries=tries - 1,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def upload(self, path: Path) -> str:
        """Send a file; return its id."""
        with self._explained(f"the file of {path.stat().st_size:,} bytes"), path.open("rb") as file:
            return self._client.files.create(file=(path.name, file), purpose="batch").id

    def create(self, file_id: str, endpoint: str, name: str) -> str:
        """Submit a batch once; return its id.

        :raises UnsureError: if it is not known whether there is one now.
        """
        from openai import APIConnectionError, APIStatusError

        once = self._client.with_options(max_retries=0)
        try:
            return once.batches.create(
                input_file_id=file_id,
                endpoint=cast(Any, endpoint),
                completion_window="24h",
                metadata={_NAME: name},
            ).id
        except APIStatusError as error:
            said = self._said(error)
            if no_credit := self._server.no_credit(error.status_code, said):
                raise no_credit from None
            if not may_pass(error.status_code):
                raise self._meaning(error, "the batch") from None
            limited = error.status_code == 429
            raise UnsureError(f"{error.status_code}: {said}", limited=limited) from None
        except APIConnectionError as error:
            raise UnsureError(_cause(error)) from None

    def find(self, file_id: str | None, name: str, since: float) -> str | None:
        """Return the id of the batch that was made of a file, if one was.

        :param since: when it was submitted, in seconds since 1970. The list is the newest first.
        """
        with self._explained("the list of batches"):
            for batch in self._client.batches.list(limit=_PAGE):
                if batch.input_file_id == file_id or (batch.metadata or {}).get(_NAME) == name:
                    return batch.id
                if batch.created_at and batch.created_at < since - _SKEW:
                    break
        return None

    def look(self, identifier: str) -> Look:
        """Return how far a batch is.

        :raises UnknownError: if the server does not know it.
        """
        with self._explained(f"the batch {identifier}"):
            batch = self._client.batches.retrieve(identifier)
        counts = batch.request_counts
        errors = (batch.errors.data if batch.errors else None) or []
        told = [f"{e.message}{f' (line {e.line})' if e.line else ''}" for e in errors[:_ERRORS]]
        return Look(
            batch.status,
            counts.completed + counts.failed if counts else 0,
            [file for file in (batch.output_file_id, batch.error_file_id) if file],
            self._server.said("; ".join(told) or "no reason given"),
            any(error.code == "token_limit_exceeded" for error in errors),
        )

    def lines(self, file_id: str) -> Iterator[bytes]:
        """Read the lines of a file as they come."""
        with (
            self._explained(f"the file {file_id}"),
            self._client.files.with_streaming_response.content(file_id) as response,
        ):
            for line in response.iter_lines():
                if line:
                    yield line.encode()

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turn errors into lines for the user.

        :param what: is sent or asked for.
        """
        from httpx2 import HTTPError
        from openai import APIConnectionError, APIStatusError

        try:
            yield
        except APIStatusError as error:
            raise self._meaning(error, what) from None
        except APIConnectionError as error:
            raise AwayError(str(self._server.nobody(_cause(error)))) from None
        except HTTPError as error:
            raise AwayError(
                f"{self._server.url}: {what}: the connection broke ({error or type(error).__name__});"
                " run again to go on"
            ) from None

    def _meaning(self, error: APIStatusError, what: str) -> CurateError:
        """Return what an error of HTTP means that does not pass."""
        status, said = error.status_code, self._said(error)
        if no_credit := self._server.no_credit(status, said):
            return no_credit
        refusal = self._server.refusal(status, said)
        if isinstance(refusal, UnusableServerError):
            return refusal
        where = f"{self._server.url} answers {status} to {what}"
        if status == 413:
            return CurateError(f"{where}: set `llm.file_mb` or `llm.file_requests` lower: {said}")
        if status == 404:
            return UnknownError(f"{where}: it knows no such thing, or takes no batches: {said}")
        if may_pass(status):
            return AwayError(f"{where}: {said}")
        policy = " (its filter)" if isinstance(refusal, RefusedError) else ""
        return CurateError(f"{where}{policy}: {said}")

    def _said(self, error: APIStatusError) -> str:
        return self._server.said(error.body or error)


def _cause(error: BaseException) -> str:
    """Return what the end of a connection was; the package calls all of them connection errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
