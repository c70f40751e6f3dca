"""The lines of the files that a batch leaves: answers, and why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import orjson

from curate.llm.base import Generated
from curate.llm.batch.ledger import State
from curate.llm.openai.bodies import only_json
from curate.llm.openai.replies import generated, no_choice
from curate.llm.openai.server import FailedError, RefusedError, Server, may_pass

_UNTREATED = ("batch_expired", "batch_cancelled")

Result = tuple[str, State, str]
"""The key of a request, its state, and the answer as JSON or why there is none."""


def read_results(server: Server, lines: Iterator[bytes], by_words: bool) -> Iterator[Result]:
    """Read the lines of an output file or of an error file.

    A line that is broken is left out, and one of a request that the server did not come to.

    :param by_words: whether the model was asked for JSON in words, so that it may say more.
    """
    for line in lines:
        try:
            content = orjson.loads(line)
            key = content["custom_id"]
            response, error = content.get("response") or {}, content.get("error")
            status, body = int(response.get("status_code") or 0), response.get("body")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if not isinstance(key, str) or _code(error) in _UNTREATED:
            continue
        if error or not 200 <= status < 300:
            yield key, *_refused(server, status, error or body)
        else:
            yield key, *_answered(body, by_words)


def _code(error: Any) -> object:
    return error.get("code") if isinstance(error, dict) else None


def _answered(body: Any, by_words: bool) -> tuple[State, str]:
    if problem := no_choice(body):
        return "again", problem
    try:
        answer = generated(body)
    except (ValueError, TypeError, AttributeError):
        return "again", "an answer that cannot be read"
    return "answered", answer_text(only_json(answer) if by_words else answer)


def _refused(server: Server, status: int, body: Any) -> tuple[State, str]:
    """Return what a refusal means.

    :param status: of HTTP; 0 if there was no answer of HTTP.
    """
    inner = body.get("error", body) if isinstance(body, dict) else body
    said = server.said(inner if inner is not None else "no reason given")
    if not status or may_pass(status):
        return "again", f"{status}: {said}" if status else said
    refusal = server.refusal(status, said)
    if isinstance(refusal, RefusedError):
        return "answered", answer_text(Generated("", "refused", 0, 0))
    return ("failed" if isinstance(refusal, FailedError) else "again"), str(refusal)


def answer_text(answer: Generated) -> str:
    """Write an answer as JSON; lone surrogates survive."""
    return json.dumps(asdict(answer))


def read_answer(text: str) -> Generated:
    """Read what `answer_text` wrote."""
    return Generated(**json.loads(text))
