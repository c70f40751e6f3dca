"""Prompt templates: one file each, a YAML header and a jinja2 body.

    ---
    purpose: Write a query for a passage.
    source: Lee et al. 2024, arXiv:2403.20327, section 3.1
    variables: {passage: data}
    examples: [{passage: ..., query: ...}]
    ---
    {% for example in examples %}
    {{ example.passage }}
    Query: {{ example.query }}
    {% endfor %}
    {{ passage | fence("python") }}
    Query:

A variable is `data` (foreign text), `line` (foreign too, but reduced to one short line of words),
`text` (the recipe's own, verbatim) or `list` (of such texts). A field of an example that is named like
a `data` or `line` variable is treated as one too, so the model sees one form.

Data appears whole, and only between fences that it cannot close: more backticks than stand together
anywhere inside (CommonMark 0.31, section 4.5). Characters that nobody sees are removed from it, and
special tokens of chat templates (`<|im_end|>`, `</s>`, `[INST]`) are broken by a space after their
bracket, which every tokenizer leaves in place.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, ValidationError

from curate.errors import RecipeError
from curate.yaml12 import Loader

if TYPE_CHECKING:
    from jinja2 import Environment, Template

FOLDER = Path(__file__).parent.parent / "prompts"
"""The prompts that come with curate."""

VariableType = Literal["data", "line", "text", "list"]

_SUFFIX = ".j2"
_EXAMPLES = "examples"
_INFO = re.compile(r"[\w+.#-]*")
_PROBE = "data of a variable"
_NOT_OF_A_LINE = re.compile(r"[^\w ().,'-]+")
_LINE_CHARS = 100

# Controls but tab and newline, zero-width and bidirectional marks, tags, lone surrogates. Joiners
# (U+200C, U+200D) stay: scripts and emoji need them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# What a special token begins with: `<|` of ChatML, Llama 3, Phi and others, DeepSeek's with a
# full-width bar; and the names in sentencepiece, Llama 2, Mistral, Gemma, BERT and StarCoder.
_SPECIAL = re.compile(
    r"<(?=[|\uff5c])"
    r"|<(?=/?(?:s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|think|tool_call|tool_response"
    r"|fim_(?:prefix|middle|suffix|pad)|repo_?name|file_sep|filename|gh_stars|empty_output"
    r"|(?:issue|jupyter|commit|intermediate)_\w+)>)"
    r"|<(?=</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG|CLS|SEP"
    r"|PAD|UNK|MASK)\])"
)


class PromptError(RecipeError, ValueError):
    """A prompt file is wrong, or is given other values than it declares."""


class Header(BaseModel):
    """What a prompt file says about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: str = Field(min_length=1)
    """What the prompt is for, in a sentence."""
    source: str = Field(min_length=1)
    """The paper and section that it follows."""
    variables: dict[Annotated[str, Field(pattern=r"^[a-z]\w*$")], VariableType]
    """The values that it takes: foreign text, own text, a list of own texts."""
    schema_: dict[str, JsonValue] | None = Field(None, alias="schema")
    """The JSON schema that an answer must follow."""
    labels: dict[Annotated[str, Field(min_length=1)], FiniteFloat] | None = Field(
        None, min_length=2
    )
    """The labels to choose among, with their grades."""
    examples: list[dict[str, JsonValue]] = []
    """Few-shot examples, as the body shows them."""


@dataclass(frozen=True)
class Prompt:
    """A prompt template.

    :param name: the file's name without its suffix.
    :param text: the whole file.
    """

    name: str
    text: str
    header: Header
    _template: Template = field(repr=False, compare=False)

    @classmethod
    def load(cls, name: str | Path) -> Prompt:
        """Load a prompt that comes with curate by its name, or any other by the path of its file.

        :param name: a path if it has a separator or the suffix `.j2`.
        :raises PromptError: if there is no such file, or if it is not a prompt.
        """
        path = _locate(name)
        return _parse(path, _read(path))

    @property
    def variables(self) -> dict[str, VariableType]:
        """The type of each value that `render` takes, by name."""
        return self.header.variables

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema that an answer must follow."""
        return self.header.schema_

    @property
    def labels(self) -> dict[str, float] | None:
        """The labels to choose among, with their grades."""
        return self.header.labels

    @property
    def examples(self) -> list[dict[str, Any]]:
        """The few-shot examples."""
        return self.header.examples

    def render(self, **values: str | Sequence[str]) -> str:
        """Fill in the values.

        :raises PromptError: if a value is missing, not declared or of another type.
        """
        if values.keys() != self.variables.keys():
            raise PromptError(
                f"prompt {self.name}: takes {_listed(self.variables)}, was given {_listed(values)}"
            )
        for name, value in values.items():
            if not _fits(value, self.variables[name]):
                raise PromptError(
                    f"prompt {self.name}: {name} is of type {self.variables[name]}, which"
                    f" {value!r:.80} is not"
                )
        return self._template.render(
            self._mark(values), **{_EXAMPLES: [self._mark(e) for e in self.examples]}
        )

    def _mark(self, values: dict[str, Any]) -> dict[str, Any]:
        """Mark what is data, and reduce what is a line."""
        return {name: _treat(value, self.variables.get(name)) for name, value in values.items()}

    def _try(self, path: Path, start: int) -> None:
        """Render once, to refuse now what would fail in the middle of a run.

        :param start: the line of the file on which the body begins.
        """
        from jinja2 import TemplateError

        trial = {"data": _Data(_PROBE), "line": "line", "text": "text", "list": ["text"]}
        values = {name: trial[kind] for name, kind in self.variables.items()}
        examples = [
            {name: values.get(name, value) for name, value in example.items()}
            for example in self.examples
        ]
        try:
            rendered = self._template.render(values, **{_EXAMPLES: examples})
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno or 1 for frame in frames if frame.filename == "<template>"]
            place = f"{path}:{start - 1 + lines[-1]}" if lines else f"{path}"
            raise PromptError(f"{place}: this cannot be filled in: {error}") from None
        alone = rf"(?<![^\n])```{_INFO.pattern}\n{_PROBE}\n```(?![^\n])"
        if len(re.findall(alone, rendered)) < rendered.count(_PROBE):
            raise PromptError(
                f"{path}: a data variable shares its line with other text, so its fence would not"
                " be one: put it on a line of its own, without indentation"
            )


class _Data:
    """Foreign text, which a template can only show whole, between fences."""

    __slots__ = ("_info", "_text")

    def __init__(self, text: str, info: str = "") -> None:
        self._text = text
        self._info = info

    def __bool__(self) -> bool:
        return bool(self._text)

    def __str__(self) -> str:
        raise TypeError('data is shown as it is, {{ name }}, or as {{ name | fence("python") }}')

    __repr__ = __str__  # a list that holds data is not a way to show it either

    @property
    def _fenced(self) -> str:
        text = _harmless(self._text).strip("\n")
        longest = max((len(run) for run in re.findall("`+", text)), default=0)
        ticks = "`" * max(3, longest + 1)
        return f"{ticks}{self._info}\n{text}\n{ticks}"


def _harmless(text: str) -> str:
    """Remove what nobody sees from a foreign text, and break the special tokens in it."""
    text = _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _SPECIAL.sub(lambda bracket: f"{bracket[0]} ", text)


def _line(text: str) -> str:
    """Reduce a foreign text to words on one line: nothing in it can end a line or a fence."""
    return " ".join(_NOT_OF_A_LINE.sub(" ", text).split())[:_LINE_CHARS]


def _treat(value: Any, kind: VariableType | None) -> Any:
    if kind == "data":
        return _Data(str(value))
    return _line(str(value)) if kind == "line" else value


def _fence(value: Any, info: str = "") -> _Data:
    """Fence a value; the template filter `fence`.

    :param info: the language that the opening fence names.
    """
    if not _INFO.fullmatch(info):
        raise ValueError(f"a fence cannot name the language {info!r}: use letters and digits")
    return _Data(value._text if isinstance(value, _Data) else str(value), info)


def _to_json(value: Any) -> str:
    """Write JSON as models know it; the template filter `tojson`, whose own form is made for HTML."""
    return json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> Any:
    """Turn the value of an expression into what appears in the prompt."""
    return value._fenced if isinstance(value, _Data) else value


def _environment() -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        finalize=_shown,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.globals.clear()
    environment.filters["fence"] = _fence
    environment.filters["tojson"] = _to_json
    del environment.filters["random"]  # the same values must give the same prompt
    return environment


def _compile(path: Path, header: Header, body: str, start: int) -> Template:
    """Compile the body.

    :param start: the line of the file on which the body begins.
    :raises PromptError: if it is no template, or uses other names than the header declares.
    """
    from jinja2 import TemplateSyntaxError, meta, nodes

    environment = _environment()
    try:
        tree = environment.parse(body)
        template = environment.from_string(body)
    except TemplateSyntaxError as error:
        raise PromptError(f"{path}:{start - 1 + error.lineno}: {error.message}") from None
    other_files = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)
    for node in tree.find_all(other_files):
        raise PromptError(f"{path}:{start - 1 + node.lineno}: a prompt is one file, write it out")
    used = meta.find_undeclared_variables(tree)
    for name in sorted(used - header.variables.keys() - {_EXAMPLES}):
        line = next(node.lineno for node in tree.find_all(nodes.Name) if node.name == name)
        raise PromptError(
            f"{path}:{start - 1 + line}: {name!r} is not declared: the header's `variables` are"
            f" {_listed(header.variables)}"
        )
    if unused := header.variables.keys() - used:
        raise PromptError(f"{path}: the body never uses {_listed(unused)}: use it or remove it")
    return template


@lru_cache(maxsize=64)  # a stage loads its prompts for its key, its checks and each batch
def _parse(path: Path, text: str) -> Prompt:
    """Make a prompt of the text of a file."""
    head, body, start = _split(path, text)
    header = _parse_header(path, head)
    template = _compile(path, header, body, start)
    prompt = Prompt(path.name.removesuffix(_SUFFIX), text, header, template)
    prompt._try(path, start)
    return prompt


def _locate(name: str | Path) -> Path:
    if isinstance(name, Path) or name.endswith(_SUFFIX) or "/" in name or "\\" in name:
        return Path(name)
    path = FOLDER / f"{name}{_SUFFIX}"
    if not path.is_file():
        known = _listed(file.name.removesuffix(_SUFFIX) for file in FOLDER.glob(f"*{_SUFFIX}"))
        raise PromptError(
            f"there is no prompt {name!r}: name one of {known}, or the path of a file"
        )
    return path


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(f"{path}: not UTF-8 text: {error.reason}") from None
    except OSError as error:
        raise PromptError(f"{path}: cannot read the prompt file: {error.strerror}") from None


def _split(path: Path, text: str) -> tuple[str, str, int]:
    """Return the header, the body, and the line on which the body begins."""
    lines = text.split("\n")
    rules = [index for index, line in enumerate(lines) if line.rstrip() == "---"]
    if len(rules) < 2 or rules[0] != 0:
        raise PromptError(f"{path}:1: a prompt file begins with a YAML header between lines `---`")
    end = rules[1]
    return "\n".join(lines[1:end]), "\n".join(lines[end + 1 :]), end + 2


def _parse_header(path: Path, head: str) -> Header:
    """Read the header, which begins on the second line of the file."""
    try:
        root = yaml.compose(head, Loader)
        content = yaml.load(head, Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 2}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise PromptError(f"{path}{line}: not valid YAML: {problem}") from None
    if not isinstance(root, yaml.MappingNode):
        raise PromptError(f"{path}:2: the header is a mapping with purpose, source and variables")
    _refuse_twice(path, root)
    lines = {key.value: key.start_mark.line + 2 for key, _ in root.value}
    try:
        header = Header.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        line = lines.get(first["loc"][0], 2)
        raise PromptError(f"{path}:{line}: {place}: {first['msg']}") from None
    if _EXAMPLES in header.variables:
        raise PromptError(f"{path}:{lines['variables']}: `examples` are the header's, not a value")
    return header


def _refuse_twice(path: Path, node: yaml.Node) -> None:
    """Refuse a key that stands twice in one mapping: YAML would keep the last."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        for index, (key, value) in enumerate(node.value):
            if key.value in keys[:index]:
                line = key.start_mark.line + 2
                raise PromptError(f"{path}:{line}: {key.value!r} appears twice")
            _refuse_twice(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_twice(path, value)


def _fits(value: Any, kind: VariableType) -> bool:
    if kind == "list":
        return isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
    return isinstance(value, str)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
