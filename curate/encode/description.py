"""`encoder.json`: what a model folder says beyond the format of sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from curate.errors import CurateError
from curate.shards import write_bytes

Sort = Literal["endpoint", "sentence"]
_FILE = "encoder.json"
_FORMAT = 1


class Description(NamedTuple):
    """What a folder holds, and the settings that it is opened with."""

    sort: Sort
    settings: dict[str, Any]


def describe(folder: Path, sort: Sort, settings: dict[str, Any]) -> None:
    """Write `encoder.json`."""
    content = {"format": _FORMAT, "sort": sort, "settings": settings}
    write_bytes(folder / _FILE, json.dumps(content, indent=1).encode())


def description_of(folder: Path) -> Description | None:
    """Read `encoder.json`; None where there is none.

    :raises CurateError: if it is damaged, or of another version.
    """
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
        if content["format"] == _FORMAT:
            return Description(content["sort"], dict(content["settings"]))
        problem = f"format {content['format']!r}, this version of curate reads {_FORMAT}"
    except (ValueError, KeyError, TypeError) as error:
        problem = f"damaged ({error!r})"
    raise CurateError(f"{path}: {problem}; make the folder again")
