"""Which stages exist: every `Stage` with a name in the stage families, and in installed plug-ins.

A package adds stages of its own by an entry point in the group `curate.stages` that names a module.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec

from curate.stage import Stage

FAMILIES = (
    "harvest",
    "filter",
    "dedup",
    "arrange",
    "synthesize",
    "mine",
    "encode",
    "train",
    "evaluate",
)


@cache
def stage_class(name: str) -> type[Stage] | None:
    """Return a stage by its name: from the module that should hold it, else from all of them.

    `filter.rules` is expected in `curate.filter.rules`, `split` in `curate.arrange.split`; to import all
    stages takes most of a second.
    """
    family, _, module = name.rpartition(".")
    place = f"curate.{family or 'arrange'}.{module}"
    if (family or "arrange") in FAMILIES and module.isidentifier() and find_spec(place):
        importlib.import_module(place)
        if found := _named().get(name):
            return found
    return registry().get(name)


@cache
def registry() -> dict[str, type[Stage]]:
    """Return every stage class by its name, sorted."""
    for family in FAMILIES:
        package = importlib.import_module(f"curate.{family}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for plugin in entry_points(group="curate.stages"):
        plugin.load()
    return dict(sorted(_named().items()))


def _named() -> dict[str, type[Stage]]:
    """Return the stages that are imported by now."""
    found: dict[str, type[Stage]] = {}
    for cls in _subclasses(Stage):
        if "name" in vars(cls) and cls.name:
            if found.get(cls.name, cls) is not cls:
                raise TypeError(f"two stages are named {cls.name!r}: {found[cls.name]} and {cls}")
            found[cls.name] = cls
    return found


def _subclasses(cls: type[Stage]) -> Iterator[type[Stage]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)
