"""How many tokens a request reads: by the model's own tokenizer where it can be had."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from curate.errors import CurateError
from curate.llm.base import Generate, Request, Score
from curate.llm.budget import size
from curate.llm.settings import LLM

_BYTES_PER_TOKEN = 4
_SECONDS = 10.0
_REPLY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts tokens.

    :param count: returns the tokens that each request reads.
    :param by: what counts them, in words.
    :param exact: whether the model will count the same.
    """

    count: Callable[[Sequence[Request]], list[float]]
    by: str
    exact: bool = False


def tokens_of(llm: LLM) -> Tokens:
    """Return what counts the tokens of a model's prompts best.

    A server is asked to tokenize if it offers that, as vLLM's and llama.cpp's do.
    """
    if llm.backend in ("local", "vllm"):
        with suppress(CurateError):
            return _own(llm.model)
        return _BY_SIZE
    return _of_server(llm) or _BY_SIZE


def _by_size(requests: Sequence[Request]) -> list[float]:
    return [size(request) / _BYTES_PER_TOKEN for request in requests]


_BY_SIZE = Tokens(_by_size, f"a token for every {_BYTES_PER_TOKEN} bytes")


def _own(model: str) -> Tokens:
    """Count as the model in this process does.

    :raises CurateError: if the model, or a package that it needs, is not there.
    """
    from curate.llm.local.tokens import load_tokenizer

    tokenizer = load_tokenizer(model)

    def count(requests: Sequence[Request]) -> list[float]:
        prompts = tokenizer.prompts([request.prompt for request in requests])
        after = tokenizer.texts([r.continuation if isinstance(r, Score) else "" for r in requests])
        return [len(before) + len(rest) for before, rest in zip(prompts, after, strict=True)]

    return Tokens(count, "the model's tokenizer", exact=True)


def _of_server(llm: LLM) -> Tokens | None:
    """Count by a server's own tokenizer; None if it does not offer that."""
    parts = urlsplit(llm.url)
    path = f"{parts.path.rstrip('/').removesuffix('/v1')}/tokenize"
    key = os.environ.get(llm.key_variable, "").strip()
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}

    def count(requests: Sequence[Request]) -> list[float]:
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        with closing(kind(parts.hostname or "", parts.port, timeout=_SECONDS)) as connection:
            told: list[float] = []
            for request in requests:
                body = json.dumps(_question(llm.model, request))
                connection.request("POST", path, body, headers)
                told.append(_told(connection.getresponse()))
            return told

    with suppress(OSError, HTTPException, ValueError):
        if count([Score("One, two,", " three")])[0] > 0:
            return Tokens(count, "the server's tokenizer")
    return None


def _question(model: str, request: Request) -> dict[str, Any]:
    """Return a request to tokenize: vLLM reads `prompt` or `messages`, llama.cpp's server `content`."""
    if isinstance(request, Generate) and not isinstance(request.prompt, str):
        turns = [{"role": turn.role, "content": turn.content} for turn in request.prompt]
        text = "\n".join(turn.content for turn in request.prompt)
        return {"model": model, "messages": turns, "content": text, "add_special": True}
    text = f"{request.prompt}{request.continuation if isinstance(request, Score) else ''}"
    return {"model": model, "prompt": text, "content": text, "add_special": True}


def _told(reply: HTTPResponse) -> int:
    """Return how many tokens a server counted.

    :raises ValueError: if it did not.
    """
    content = reply.read(_REPLY_BYTES)
    if reply.status != HTTPStatus.OK:
        raise ValueError(f"status {reply.status}")
    told = json.loads(content)
    found = told.get("count", told.get("tokens")) if isinstance(told, dict) else None
    if not isinstance(found, int | list):
        raise ValueError("no tokens are told")
    return found if isinstance(found, int) else len(found)
