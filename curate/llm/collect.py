"""What a stage would ask, found without asking: requests are collected and given made answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from curate.errors import CurateError
from curate.llm.answers import Answers
from curate.llm.base import (
    Answer,
    Choose,
    Chosen,
    Generate,
    Generated,
    LanguageModel,
    Request,
    Score,
    Scored,
)
from curate.llm.recorded import A, OnFailure, R, Recorded
from curate.llm.schemas import violation

_DEEP = 8  # schemas within schemas that are filled
_WORD = "made"


class NoExampleError(CurateError):
    """No answer can be made up for a schema, so what is asked after it is not known."""


class Collected(Recorded):
    """Answers from a record; what is not there it hands to `collect`, and gives it a made answer.

    Nothing is asked and nothing is recorded. A request is collected once, however often it comes.

    :param collect: is handed the requests of one call that have no recorded answer and were not
        collected before. What it raises ends the call.
    :param written: texts that the model wrote, by schema (None: free texts), as JSON text; a made text
        is one of these where there are some, so that what is asked with it in hand is as it will be.
    """

    def __init__(
        self,
        model_id: str,
        answers: Answers,
        collect: Callable[[Sequence[Request]], None],
        *,
        attempts: int = 1,
        on_failure: OnFailure = "stop",
        written: Mapping[str | None, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(model_id, _not_opened, answers, attempts=attempts, on_failure=on_failure)
        self._collect = collect
        self._written = written or {}
        self._seen: set[bytes] = set()

    def _ask_backend(
        self,
        rest: Sequence[R],
        call: Callable[[LanguageModel, Sequence[R]], Iterator[tuple[int, A]]],
    ) -> dict[Request, Answer]:
        new = [request for request in rest if self._is_new(request)]
        if new:
            self._collect(new)
        return {request: made_answer(request, self._written) for request in rest}

    def _is_new(self, request: Request) -> bool:
        mark, before = digest_of(request), len(self._seen)
        self._seen.add(mark)
        return len(self._seen) > before


def made_answer(
    request: Request, written: Mapping[str | None, Sequence[str]] | None = None
) -> Answer:
    """Return an answer that can be used, always the same to the same request.

    :param written: texts to take, by schema; see `Collected`.
    """
    if isinstance(request, Score):
        tokens = max(1, len(request.continuation.split()))
        return Scored(-1.0 * tokens, tokens, 0)
    if isinstance(request, Choose):
        return Chosen((1 / len(request.labels),) * len(request.labels), 0)
    if texts := (written or {}).get(request.schema):
        place = int.from_bytes(digest_of(request)[:8])
        return Generated(texts[place % len(texts)], "stop", 0, 0)
    return Generated(made_text(request), "stop", 0, 0)


def made_text(request: Generate) -> str:
    """Return a text that answers a request: of its schema if it has one, and short."""
    if request.schema is None:
        return _WORD
    schema = json.loads(request.schema)
    text = json.dumps(_filled(schema, schema, 0))
    if problem := violation(request.schema, text):
        raise NoExampleError(
            f"no example can be made of this schema, so what is asked after it is not known ({problem}):"
            f" {request.schema}"
        )
    return text


def _filled(schema: Any, whole: Any, depth: int) -> Any:
    """Return a small value of a schema.

    :param whole: the schema that it is a part of, to which it may refer.
    """
    if not isinstance(schema, dict) or depth > _DEEP:
        return _WORD
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if reference := schema.get("$ref"):
        return _filled(_part(whole, str(reference)), whole, depth + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return _filled(schema[name][0], whole, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _value(kind[0] if isinstance(kind, list) else kind, schema, whole, depth)


def _value(kind: str, schema: Mapping[str, Any], whole: Any, depth: int) -> Any:
    """Return a small value of a type."""
    if kind == "object":
        parts = schema.get("properties", {})
        needed = schema.get("required", parts)
        return {
            name: _filled(parts.get(name), whole, depth + 1) for name in parts if name in needed
        }
    if kind == "array":
        count = max(1, schema.get("minItems", 1))
        return [_filled(schema.get("items"), whole, depth + 1)] * min(
            count, schema.get("maxItems", count)
        )
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        return low + ("exclusiveMinimum" in schema)
    if kind == "string":
        words = " ".join([_WORD] * (1 + schema.get("minLength", 0) // len(_WORD)))
        return words[: schema.get("maxLength")]
    return {"boolean": False, "null": None}.get(kind, _WORD)


def _part(whole: Any, reference: str) -> Any:
    """Return the part of a schema that a reference (`#/$defs/name`) names."""
    for step in reference.removeprefix("#").strip("/").split("/"):
        whole = whole.get(step) if isinstance(whole, dict) else None
    return whole


def digest_of(request: Request) -> bytes:
    """Return what tells requests apart, which is as good as drawn by chance."""
    return hashlib.blake2b(repr(request).encode("utf-8", "replace"), digest_size=16).digest()


def _not_opened() -> LanguageModel:
    raise AssertionError("what is collected is not asked")
