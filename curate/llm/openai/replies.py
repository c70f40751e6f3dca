"""What servers answer: texts, how they ended, and log-probabilities in the two forms there are."""

from __future__ import annotations

import math
from typing import Any

from curate.llm.base import Finish, Generated

_FINISHES: dict[Any, Finish] = {"length": "length", "content_filter": "refused"}


def no_choice(reply: Any) -> str | None:
    """Return what is wrong with what came as a reply, if it holds no answer."""
    if not isinstance(reply, dict) or not isinstance(reply.get("choices"), list):
        return "an answer without choices"
    if not reply["choices"] or not isinstance(reply["choices"][0], dict):
        return "an answer with no choice"
    return None


def generated(reply: Any) -> Generated:
    """Read a reply to a text or to a conversation."""
    choice = reply["choices"][0]
    message = choice.get("message") or {}
    finish = _FINISHES.get(choice.get("finish_reason"), "stop")
    if message.get("refusal"):
        finish = "refused"
    text = choice.get("text") or message.get("content") or message.get("refusal") or ""
    return Generated(str(text), finish, *usage(reply))


def usage(reply: Any) -> tuple[int, int]:
    """Return how many tokens the server read and wrote; 0 where it does not say."""
    told = reply.get("usage") or {}
    return int(told.get("prompt_tokens") or 0), int(told.get("completion_tokens") or 0)


def next_tokens(reply: Any) -> list[tuple[str, float]]:
    """Return the most probable first tokens of an answer with their log-probabilities, in nats.

    :return: none if the server told none.
    """
    told = reply["choices"][0].get("logprobs") or {}
    if content := told.get("content"):  # the form of conversations, which llama.cpp has everywhere
        pairs = [
            (top.get("token"), top.get("logprob")) for top in content[0].get("top_logprobs") or ()
        ]
    else:
        pairs = list(((told.get("top_logprobs") or [None])[0] or {}).items())
    return [(t, float(p)) for t, p in pairs if isinstance(t, str) and isinstance(p, int | float)]


def prompt_tokens(reply: Any) -> list[tuple[str, float | None]] | None:
    """Return the tokens of an echoed prompt, without those generated, and their log-probabilities.

    :return: None if the server did not echo the prompt. The first token has no log-probability.
    """
    told = reply["choices"][0].get("logprobs") or {}
    tokens, values = told.get("tokens"), told.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
        return None
    read, written = usage(reply)
    if len(tokens) != read + written or not read:
        return None
    if any(not _is_log_probability(value) for value in values[1:read]):
        return None
    return list(zip(map(str, tokens[:read]), values[:read], strict=True))


def _is_log_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not math.isnan(value) and value < 1e-3
