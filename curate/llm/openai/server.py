"""Where a server is, and what its errors mean, in words for the user."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from curate.llm.base import UnusableServerError

_SHOWN = 300  # characters of a server's own message
_TRY_AGAIN = {408, 409, 425, 429}
_POLICY = ("content_filter", "content_policy", "responsible_ai", "moderation", "safety")


class RefusedError(Exception):
    """The server's own filter will not have the request answered."""


class FailedError(Exception):
    """The request cannot be answered, or was asked as often as the settings allow."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Server:
    """A server.

    :param url: what comes before `/completions`.
    :param key: empty if there is none.
    :param key_variable: the environment variable that it comes from.
    """

    url: str
    key: str = field(repr=False)
    key_variable: str

    def said(self, body: object) -> str:
        """Return a server's message in one line, without the key, which some repeat.

        :param body: what came with an error: often an object with a message, or a text.
        """
        text = orjson.dumps(body).decode() if isinstance(body, dict | list) else str(body)
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            codes = [str(body[name]) for name in ("code", "type") if body.get(name)]
            text = " ".join([body["message"], f"({', '.join(codes)})" if codes else ""])
        text = " ".join(text.split())
        return (text.replace(self.key, "[key]") if self.key else text)[:_SHOWN]

    def refusal(self, status: int, said: str) -> RefusedError | UnusableServerError | FailedError:
        """Return what an error means that would come again.

        :param status: of HTTP.
        """
        if any(word in said.lower() for word in _POLICY):
            return RefusedError(said)
        if status in (401, 403):
            state = "is refused" if self.key else "is not set"
            return UnusableServerError(
                f"{self.url} answers {status}; the environment variable {self.key_variable} {state}:"
                f" {said}"
            )
        return FailedError(f"{status}: {said}", status)

    def no_credit(self, status: int, said: str) -> UnusableServerError | None:
        """Return an error if the account is empty, which is told as a rate limit."""
        if status == 429 and "insufficient_quota" in said:
            return UnusableServerError(f"{self.url}: the account has no credit left: {said}")
        return None

    def nobody(self, reason: str) -> UnusableServerError:
        """Return the error that no server is there."""
        return UnusableServerError(
            f"no server answers at {self.url}: start it, or set the right `llm.url`"
            f" ({' '.join(reason.split())[:_SHOWN]})"
        )


def may_pass(status: int) -> bool:
    """Tell whether a request that got this status of HTTP may be answered when it is sent again."""
    return status in _TRY_AGAIN or status >= 500
