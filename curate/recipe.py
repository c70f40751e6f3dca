"""A recipe: parameters and named stages, from YAML or from Python, checked as a whole.

    params: {k: 2}
    licenses: {deny: ["*-NC-*"]}
    llm: {model: smollm2}
    stages:
      code:   {harvest.python: {}}
      clean:  {filter.rules: {min_query_chars: 10}}
      parts:  {split: {held_out: 0.02}}
      noisy:  {train.contrastive: {loss: infonce}}
      trusted: {filter.consistency: {from: parts, encoder: noisy, k: "${k}"}}

Names are inputs: a stage takes the one above it unless `from` or a field names others; `parts.held_out`
names another side than the main one. `licenses` holds for every source, `llm` is the language model of
every stage that asks one, unless a stage has its own. Everything that can be known to be wrong is
reported before anything runs, a line for each problem, with the line of the file, the stage and the
field.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from curate.errors import CurateError, RecipeError
from curate.licenses import Licenses
from curate.llm.settings import LLM
from curate.registry import registry, stage_class
from curate.schema import Kind
from curate.stage import (
    DROPPED,
    MAIN,
    Ask,
    Build,
    ModelSort,
    Ref,
    Source,
    Stage,
    model_sort,
)
from curate.yaml12 import Loader

if TYPE_CHECKING:
    from curate.engine.run import Run

_SHARED: dict[str, tuple[type[BaseModel], type[Stage]]] = {
    "licenses": (Licenses, Source),
    "llm": (LLM, Ask),
}
"""Sections that are settings of all stages of a shape: what is in them, and the shape."""
_SECTIONS = ("params", *_SHARED, "stages")
_PARAM = re.compile(r"\$\{([^}]*)\}")
_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """One input of a stage: another stage's side, or a folder outside the recipe."""

    stage: str | None
    side: str = MAIN
    path: Path | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        return f"{self.stage}" if self.side == MAIN else f"{self.stage}.{self.side}"


@dataclass(frozen=True, slots=True)
class Node:
    """A stage with its inputs resolved."""

    name: str
    stage: Stage
    main: list[Reference]
    refs: dict[str, list[Reference]]
    kinds: dict[str, Kind]
    """The kinds of its sides."""

    @property
    def kind(self) -> Kind:
        return self.kinds[MAIN]

    @property
    def written(self) -> dict[str, Kind]:
        """Return the kinds of its sides and of what it drops."""
        return {**self.kinds, DROPPED: self.stage.drops or self.kind}


@dataclass(slots=True)
class Problems:
    """Collects what is wrong with a recipe, so that all of it is reported at once."""

    file: str
    lines: Mapping[_Path, int] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    def add(self, path: _Path, message: str) -> None:
        """Add a problem at `path` of the document: ("stages", "clean", "filter.rules", "k")."""
        while path and path not in self.lines:
            path = path[:-1]
        line = f":{self.lines[path]}" if path in self.lines else ""
        self.found.append(f"{self.file}{line}: {message}")

    def stop(self) -> None:
        """:raises RecipeError: if anything was added."""
        if self.found:
            raise RecipeError("\n".join(self.found))


class Recipe:
    """Named stages in order, each checked against the ones above it."""

    def __init__(
        self,
        stages: Mapping[str, Stage],
        name: str = "recipe",
        params: Mapping[str, Any] | None = None,
        *,
        _problems: Problems | None = None,
    ) -> None:
        """:raises RecipeError: listing every problem."""
        self.name = name
        self.params = dict(params or {})
        self.nodes: dict[str, Node] = {}
        problems = _problems or Problems(name)
        for stage_name, stage in stages.items():
            _check_name(stage_name, problems)
            self.nodes[stage_name] = _Wiring(self.nodes, stage_name, stage, problems).node()
        problems.stop()

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
        """Read a recipe file.

        :param overrides: settings of the form `params.k=5`, `llm.model=NAME` or `STAGE.FIELD=VALUE`,
            values in YAML.
        :raises RecipeError: listing every problem with its line.
        """
        path = Path(path)
        text = read_settings(path, "recipe")
        return cls.parse(text, path.stem, overrides, file=str(path))

    @classmethod
    def parse(
        cls, text: str, name: str = "recipe", overrides: Iterable[str] = (), file: str | None = None
    ) -> Recipe:
        """Read a recipe from YAML text; see `load`."""
        document, lines = parse_yaml(text, file or name)
        for override in overrides:
            _override(document, override)
        return cls.from_document(document, name, Problems(file or name, lines))

    @classmethod
    def from_document(cls, document: Mapping[str, Any], name: str, problems: Problems) -> Recipe:
        """Check and wire what a recipe file holds.

        :param problems: knows the file and the line of each entry.
        :raises RecipeError: listing every problem with its line.
        """
        for key in document:
            if key not in _SECTIONS:
                problems.add(
                    (key,), f"unknown section {key!r}: a recipe has {', '.join(_SECTIONS)}"
                )
        params = document.get("params") or {}
        entries = document.get("stages")
        if not isinstance(params, dict) or not isinstance(entries, dict) or not entries:
            problems.add(("stages",), "a recipe needs `stages`: a mapping of names to stages")
            problems.stop()
        shared: dict[str, BaseModel] = {}
        for section, (cls_, _) in _SHARED.items():
            settings = _fill(document.get(section) or {}, params, (section,), problems)
            if found := _validate(cls_, settings, (section,), section, problems):
                shared[section] = found
        stages = {}
        for stage_name, entry in (entries or {}).items():
            stage = _build_stage(str(stage_name), entry, params, shared, problems)
            if stage is not None:
                stages[str(stage_name)] = stage
        if len(shared) < len(_SHARED) or len(stages) < len(entries or {}):
            problems.stop()  # wiring would only repeat what is already reported
        return cls(stages, name, params, _problems=problems)

    def run(self, output: str | Path = "output", **options: Any) -> Run:
        """Run the recipe on this machine; see `curate.engine.local.run` for the options."""
        from curate.engine.local import run

        return run(self, Path(output), **options)

    def __repr__(self) -> str:
        stages = ", ".join(f"{n}: {node.stage.name}" for n, node in self.nodes.items())
        return f"Recipe({self.name!r}, {stages})"


def read_settings(path: Path, what: str) -> str:
    """Read a file that the user wrote.

    :param what: what the file is, in a word.
    :raises RecipeError: if it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the {what}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text: {error.reason}") from None


# -- YAML ------------------------------------------------------------------------------------


def parse_yaml(text: str, file: str) -> tuple[dict[str, Any], dict[_Path, int]]:
    """Read YAML and the line of each of its entries.

    :raises RecipeError: if it is not valid YAML, not a mapping, or has a key twice.
    """
    loader = Loader(text)
    document: Any = {}
    lines: dict[_Path, int] = {}
    try:
        root = loader.get_single_node()
        if root is not None:
            document = loader.construct_document(root)
            _collect_lines(root, (), lines, file)
    except RecursionError:
        raise RecipeError(f"{file}: nested too deeply, or in itself") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise RecipeError(f"{file}{line}: not valid YAML: {problem}") from None
    finally:
        loader.dispose()
    if not isinstance(document, dict):
        raise RecipeError(f"{file}: a recipe is a mapping with `params` and `stages`")
    return document, lines


def _collect_lines(node: yaml.Node, path: _Path, lines: dict[_Path, int], file: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            if here in lines:
                raise RecipeError(f"{file}:{key.start_mark.line + 1}: {key.value!r} appears twice")
            lines[here] = key.start_mark.line + 1
            _collect_lines(value, here, lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            _collect_lines(value, (*path, index), lines, file)


def _override(document: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    path = name.split(".")
    if not equals or len(path) < 2 or not all(path):
        raise RecipeError(
            f"--set {override}: write params.NAME=VALUE, STAGE.FIELD=VALUE or SECTION.NAME=VALUE, "
            f"where the section is {' or '.join(_SHARED)}"
        )
    try:
        value = yaml.load(text, Loader)
    except yaml.YAMLError:
        raise RecipeError(f"--set {override}: {text!r} is not a YAML value") from None
    target = _settings_of(document, path, override)
    for step in path[1:-1]:
        target = target.setdefault(step, {})
        if not isinstance(target, dict):
            raise RecipeError(f"--set {override}: {step} is {target!r}, which has no parts to set")
    target[path[-1]] = value


def _settings_of(document: dict[str, Any], path: list[str], override: str) -> dict[str, Any]:
    """Return the parameters, a section, or the settings of the stage of an override."""
    if (section := path[0]) in _SHARED:
        document[section] = document.get(section) or {}
        if not isinstance(document[section], dict):
            found = document[section]
            raise RecipeError(f"--set {override}: {section} holds {found!r}, not settings")
        return cast(dict[str, Any], document[section])
    if path[0] == "params":
        params = document.get("params") or {}
        if not isinstance(params, dict) or path[1] not in params:
            raise RecipeError(f"--set {override}: no such parameter{_hint(path[1], params)}")
        return params
    stages = document.get("stages")
    stages = stages if isinstance(stages, dict) else {}
    if isinstance(stages.get(path[0]), str):  # `name: STAGE` is short for `name: {STAGE: {}}`
        stages[path[0]] = {stages[path[0]]: {}}
    entry = stages.get(path[0])
    if not isinstance(entry, dict) or len(entry) != 1:
        raise RecipeError(f"--set {override}: no such stage{_hint(path[0], stages)}")
    ((kind, settings),) = entry.items()
    if settings is not None and not isinstance(settings, dict):
        raise RecipeError(f"--set {override}: stage {path[0]} holds {settings!r}, not settings")
    entry[kind] = settings or {}
    return cast(dict[str, Any], entry[kind])


def _fill(value: Any, params: Mapping[str, Any], path: _Path, problems: Problems) -> Any:
    """Replace `${name}` by parameters; a whole value keeps the parameter's type."""
    if isinstance(value, dict):
        return {k: _fill(v, params, (*path, str(k)), problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, params, (*path, i), problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in _PARAM.findall(value):
        if name not in params:
            problems.add(path, f"{_place(path)}: no parameter {name!r}{_hint(name, params)}")
            return value
    if whole := _PARAM.fullmatch(value):
        return params[whole.group(1)]
    return _PARAM.sub(lambda match: str(params[match.group(1)]), value)


def _place(path: _Path) -> str:
    """Describe where a value of the document stands."""
    if path[0] != "stages":
        return ".".join(map(str, path))
    _, stage, kind, *where = map(str, path)
    return f"stage {stage} ({kind}), {'.'.join(where)}"


def _build_stage(
    name: str,
    entry: Any,
    params: Mapping[str, Any],
    shared: Mapping[str, BaseModel],
    problems: Problems,
) -> Stage | None:
    path: _Path = ("stages", name)
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, dict) or len(entry) != 1:
        problems.add(path, f"stage {name}: write `{name}: {{STAGE: {{setting: value}}}}`")
        return None
    ((kind, settings),) = entry.items()
    cls = stage_class(str(kind))
    if cls is None:
        hint = _hint(str(kind), registry())
        problems.add(path, f"stage {name}: no stage is called {kind!r}{hint}")
        return None
    before = len(problems.found)
    settings = _fill(settings or {}, params, (*path, kind), problems)
    if len(problems.found) > before:
        return None
    if isinstance(settings, dict):
        of_its_shape = {s: value for s, value in shared.items() if issubclass(cls, _SHARED[s][1])}
        settings = {**of_its_shape, **settings}
    return _validate(cls, settings, (*path, kind), f"stage {name} ({kind})", problems)


_Settings = TypeVar("_Settings", bound=BaseModel)


def _validate(
    cls: type[_Settings], settings: Any, path: _Path, place: str, problems: Problems
) -> _Settings | None:
    """Make settings out of what the document holds at `path`, or report what is wrong with it."""
    try:
        return cls.model_validate(settings)
    except ValidationError as error:
        for problem in error.errors():
            location = tuple(problem["loc"])
            where = "".join(
                f", {step}" if n == 0 else f".{step}" for n, step in enumerate(location)
            )
            problems.add((*path, *location), f"{place}{where}: {_explain(problem, cls)}")
        return None


def _explain(problem: Any, cls: type[BaseModel]) -> str:
    if problem["type"] == "extra_forbidden":
        names = [info.alias or name for name, info in cls.model_fields.items()]
        return f"no such setting{_hint(str(problem['loc'][-1]), names)}"
    if problem["type"] == "missing":
        return "this setting is required"
    return f"{problem['msg']}, got {problem['input']!r}"


def _hint(wrong: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(wrong, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(names)}" if names else ""


def _check_name(name: str, problems: Problems) -> None:
    if name in _SECTIONS:
        problems.add(("stages", name), f"stage {name!r}: this is the name of a section of recipes")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        problems.add(
            ("stages", name), f"stage {name!r}: a name is a letter, then letters, digits, _ or -"
        )


# -- wiring ----------------------------------------------------------------------------------


class _Wiring:
    """Resolves the inputs of one stage against the stages above it."""

    def __init__(
        self, above: Mapping[str, Node], name: str, stage: Stage, problems: Problems
    ) -> None:
        self.above = above
        self.name = name
        self.stage = stage
        self.problems = problems

    def node(self) -> Node:
        main = self._main()
        refs = {
            field_name: self._resolve_field(field_name, ref)
            for field_name, ref in self.stage.refs().items()
        }
        try:
            self.stage.check()
        except (ValueError, CurateError) as error:
            self._problem(None, str(error))
        kinds: dict[str, Kind] = {}
        try:
            first = self._kind(main[0]) if main else None
            kinds = self.stage.gives(first or (self.stage.takes[0] if self.stage.takes else None))
        except ValueError as error:
            self._problem("from", str(error))
        return Node(self.name, self.stage, main, refs, kinds)

    def _problem(self, field_name: str | None, message: str) -> None:
        path: _Path = ("stages", self.name, self.stage.name)
        where = f"stage {self.name} ({self.stage.name})"
        if field_name:
            path, where = (*path, field_name), f"{where}, {field_name}"
        self.problems.add(path, f"{where}: {message}")

    def _main(self) -> list[Reference]:
        names = self.stage.referred("from_")
        if not self.stage.takes:
            if names:
                what = "a source" if isinstance(self.stage, Source) else "this"
                self._problem("from", f"{what} takes no stage as input")
            return []
        if not names:
            if not self.above:
                self._problem(None, f"needs {_or(self.stage.takes)} from a stage above it")
                return []
            names = [list(self.above)[-1]]
        found = [r for name in names if (r := self._stage_side("from", name)) is not None]
        kinds = {self._kind(reference) for reference in found}
        for kind in kinds - set(self.stage.takes):
            given = ", ".join(str(r) for r in found if self._kind(r) == kind)
            self._problem("from", f"takes {_or(self.stage.takes)}, but {given} gives {kind}")
        if len(kinds) > 1:
            self._problem("from", f"cannot join {_or(sorted(kinds))}")
        return found

    def _resolve_field(self, field_name: str, ref: Ref) -> list[Reference]:
        found = []
        for value in self.stage.referred(field_name):
            if value in ref.words:
                continue
            if ref.path and value.split(".")[0] not in self.above:
                if Path(value).is_dir():
                    self._check_model(field_name, ref, value, model_sort(Path(value)))
                    # Links are followed now: `runs/latest` is another folder once the run begins.
                    found.append(Reference(None, path=Path(value).resolve()))
                    continue
                self._problem(
                    field_name, f"{value!r} is neither a stage above nor a folder that exists"
                )
                continue
            reference = self._stage_side(field_name, value)
            if reference is None:
                continue
            if (kind := self._kind(reference)) != ref.kind:
                self._problem(field_name, f"takes a {ref.kind}, but {value} gives {kind}")
            elif isinstance(maker := self._maker(reference), Build):
                self._check_model(field_name, ref, value, maker.makes)
            found.append(reference)
        return found

    def _maker(self, reference: Reference) -> Stage:
        assert reference.stage is not None
        return self.above[reference.stage].stage

    def _check_model(self, field_name: str, ref: Ref, value: str, sort: ModelSort | None) -> None:
        """Refuse an encoder where an n-gram model is needed, and the other way round."""
        if ref.kind == "model" and sort not in (None, ref.model):
            self._problem(field_name, f"takes an {ref.model}, but {value} is an {sort}")

    def _stage_side(self, field_name: str, value: str) -> Reference | None:
        name, _, side = value.partition(".")
        node = self.above.get(name)
        if node is None:
            hint = _hint(name, self.above) if self.above else "; it is the first stage"
            self._problem(field_name, f"no stage above is named {name!r}{hint}")
            return None
        if (side or MAIN) not in node.kinds:
            self._problem(field_name, f"{name} has no side {side!r}{_hint(side, node.kinds)}")
            return None
        return Reference(name, side or MAIN)

    def _kind(self, reference: Reference) -> Kind:
        assert reference.stage is not None
        return self.above[reference.stage].kinds[reference.side]


def _or(kinds: Iterable[str]) -> str:
    return " or ".join(kinds)
