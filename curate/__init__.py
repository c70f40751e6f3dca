"""Raw text in, training data for text-embedding models out, and the proof that it helped."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from curate.recipe import Recipe as Recipe
    from curate.schema import Doc as Doc
    from curate.schema import Pair as Pair
    from curate.schema import Passage as Passage
    from curate.shards import Shards as Shards
    from curate.shards import read_shards as read_shards

_HOMES = {
    "Recipe": "curate.recipe",
    "Doc": "curate.schema",
    "Pair": "curate.schema",
    "Passage": "curate.schema",
    "Shards": "curate.shards",
    "read_shards": "curate.shards",
}
__all__ = ["Doc", "Pair", "Passage", "Recipe", "Shards", "__version__", "read_shards"]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `import curate` is light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
