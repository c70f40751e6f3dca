"""What stages there are, and the settings of each."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
import types
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from curate.report.blocks import Item, Lines, Report, Section, Table
from curate.report.text import one_line
from curate.stage import MAIN, Ask, Build, Global, Map, Ref, Source, Stage, is_execution, ref_of

_SHAPES: dict[type[Stage], str] = {
    Source: "reads its input unit by unit, in parallel",
    Map: "treats records batch by batch, in parallel",
    Ask: "asks a language model about records batch by batch, and records every answer",
    Global: "sees all records, then treats them batch by batch",
    Build: "makes one thing out of all records",
}


def list_stages(stages: dict[str, type[Stage]]) -> Report:
    """List stages with one line of help each."""
    rows = [(name, _takes(cls), _gives(cls), cls.help()) for name, cls in stages.items()]
    table = Table(("stage", "takes", "gives", "what it does"), rows)
    return Report("Stages", [Section(f"{len(rows)} stages", [table])])


def describe_stage(cls: type[Stage]) -> Report:
    """Show all settings of a stage."""
    shape = next(text for base, text in _SHAPES.items() if issubclass(cls, base))
    facts = [f"takes {_takes(cls)}", f"gives {_gives(cls)}", shape, f"version {cls.version}"]
    text = inspect.cleandoc(cls.__doc__ or "")
    sections = [
        Section("What it does", [Item(cls.name, [("", text)]), Lines(facts)]),
        Section(
            "Settings", [Table(("setting", "type", "default", "meaning"), list(_settings(cls)))]
        ),
    ]
    return Report(cls.name, sections)


def _takes(cls: type[Stage]) -> str:
    return " or ".join(cls.takes) or "nothing"


def _gives(cls: type[Stage]) -> str:
    sides = []
    for side, kind in cls.sides.items():
        what = kind or ("the same" if len(cls.takes) > 1 else cls.takes[0])
        sides.append(what if side == MAIN else f"{side}: {what}")
    return ", ".join(sides)


def _settings(
    cls: type[BaseModel], prefix: str = "", given: BaseModel | None = None
) -> Iterator[tuple[str, str, str, str]]:
    """Describe the fields of `cls`.

    :param given: settings inside settings: the default of the whole, which has the defaults of its parts.
    """
    meanings = meanings_of(cls)
    for name, info in cls.model_fields.items():
        shown = f"{prefix}{info.alias or name}"
        if shown == "from" and issubclass(cls, Stage) and not cls.takes:
            continue
        if _is_settings(info.annotation):
            whole = info.get_default(call_default_factory=True)
            yield from _settings(info.annotation, f"{shown}.", whole)
            continue
        meaning = one_line(meanings.get(name, ""), 400)
        if is_execution(info):
            meaning += " (of execution: changes no row)"
        value = getattr(given, name) if given else info.get_default(call_default_factory=True)
        yield shown, type_text(info), _default(info, value), meaning
        for inner in get_args(info.annotation):
            if _is_settings(inner):  # none, one or several of them
                yield from _settings(inner, f"{shown}.")


def meanings_of(cls: type[BaseModel]) -> dict[str, str]:
    """Return the docstring under each setting, by the setting's name.

    pydantic can read them when a class is made (`use_attribute_docstrings`); that is a tenth of a second
    in every process that starts, and only the help needs them.
    """
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if not issubclass(owner, BaseModel) or owner.__module__.startswith("pydantic."):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for field, under in pairwise(tree.body):
            if isinstance(field, ast.AnnAssign) and isinstance(under, ast.Expr):
                text = under.value.value if isinstance(under.value, ast.Constant) else None
                if isinstance(field.target, ast.Name) and isinstance(text, str):
                    found[field.target.id] = inspect.cleandoc(text)
    return found


def _is_settings(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _default(info: FieldInfo, value: Any) -> str:
    if info.is_required():
        return "required"
    return one_line(
        value if value and isinstance(value, str) else json.dumps(value, default=str), 60
    )


def type_text(info: FieldInfo) -> str:
    """Write the type of a setting as its user would: `whole number >= 1`, `words | chars`."""
    if ref := ref_of(info):
        return _ref(ref, info)
    return f"{_type(info.annotation)} {_limits(info.metadata)}".strip()


def _limits(metadata: Iterable[Any]) -> str:
    return ", ".join(
        f"{sign} {getattr(mark, name)}"
        for mark in metadata
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if getattr(mark, name, None) is not None
    )


def _ref(ref: Ref, info: FieldInfo) -> str:
    what = f"stage that gives {ref.kind}" if ref.kind else "stage"
    several = any(
        get_origin(t) in (list, tuple) for t in (info.annotation, *get_args(info.annotation))
    )
    words = [repr(word) for word in ref.words] + (["a folder"] if ref.path else [])
    return " or ".join([what, *words]) + (", or several" if several else "")


_NAMES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
}


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        marks = [m for a in annotation.__metadata__ for m in getattr(a, "metadata", [a])]
        return f"{_type(arguments[0])} {_limits(marks)}".strip()
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(_type(argument) for argument in arguments)
    if origin in (list, tuple, set):
        return f"list of {_type(arguments[0])}"
    if _is_settings(annotation):
        return "settings"
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    return _NAMES.get(annotation, str(getattr(annotation, "__name__", annotation)).lower())
