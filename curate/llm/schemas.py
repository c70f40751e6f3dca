"""Whether a generated text follows a JSON schema: one judge for all backends."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

JSON_FORM = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
"""The form of answers to a schema: as Python's json.dumps writes, and so the examples of prompts."""
_MESSAGE = 300  # characters of what is wrong


def formed(schema: str) -> dict[str, Any]:
    """Return a schema with that form told in the words of llguidance; other engines pass over them.

    Small models left to themselves write line breaks until their answer is cut off.

    :param schema: as JSON text.
    """
    content: dict[str, Any] = json.loads(schema)
    return content | {"x-guidance": JSON_FORM}


def violation(schema: str, text: str) -> str | None:
    """Return what is wrong with a text that must be JSON of a schema; None if nothing is.

    :param schema: as JSON text.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:
        return f"not JSON: {error}"
    checker = _checker(schema)
    if checker.is_valid(value):
        return None
    from jsonschema.exceptions import best_match

    worst = best_match(checker.iter_errors(value))
    where = ".".join(str(step) for step in worst.absolute_path)
    return f"{where and f'{where}: '}{worst.message}"[:_MESSAGE]


def json_part(text: str) -> str:
    """Return the first JSON object or array of a text that says more; all of it if there is none.

    Models that are only asked for JSON put it into fences, or explain it.
    """
    decoder = json.JSONDecoder()
    for start, character in enumerate(text):
        if character in "{[":
            try:
                _, end = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                return text
            return text[start:end]
    return text


@lru_cache(maxsize=64)
def _checker(schema: str) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    content = json.loads(schema)
    # A registry of its own: a reference to an address is not fetched.
    return validator_for(content, default=Draft202012Validator)(content, registry=Registry())
