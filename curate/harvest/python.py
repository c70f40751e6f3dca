"""The Python text of the environment: what programmers wrote beside their code becomes pairs.

| source            | kind                | query                     | passage             |
|-------------------|---------------------|---------------------------|---------------------|
| python-docstrings | docstring-code      | a docstring's first prose | the code without it |
| python-topics     | topic-text          | title of a `pydoc` topic  | its text            |
| package-summaries | summary-description | one-line summary          | long description    |

Nothing that is read is imported or run: code is parsed by `ast`, topics by `ast.literal_eval`.
Parsing is most of the time; it is 2.4 times as fast (6 MB/s a core) with the garbage collector
switched off, which is safe for one file at a time because syntax trees have no cycles.
"""

from __future__ import annotations

import ast
import csv
import difflib
import fnmatch
import gc
import hashlib
import inspect
import io
import json
import os
import platform
import re
import sys
import sysconfig
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from importlib import metadata
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import Field

from curate.schema import Doc, Kind, Pair, Passage, Record
from curate.stage import Drop, Source, Unit

DOCSTRINGS, TOPICS, SUMMARIES = "python-docstrings", "python-topics", "package-summaries"
STDLIB = "stdlib"
OWN = "curate"
TOPICS_FILE = "pydoc_data/topics.py"

UNIT_BYTES = 3_000_000
MAX_FILE_BYTES = 8_000_000
"""A larger file is data rather than code; parsing takes about 30 times its size in memory."""
MAX_QUERY_CHARS = 2_000
MAX_DESCRIPTION_CHARS = 200_000

SKIP = (
    "*/tests/*",
    "*/test/*",
    "*/testing/_internal/*",
    "*/idle_test/*",
    "*/test_*.py",
    "*/conftest.py",
    "*/_vendor/*",
    "*/_vendored/*",
    "*/externals/*",
    "*/extern/*",
    "*/third_party/*",
    "/_sysconfigdata*",
    "/config-*",
    "*/__editable__*",
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


@dataclass(frozen=True, slots=True)
class _Origin:
    """What all records of one distribution share, and where its files lie."""

    group: str
    license: str | None
    url: str | None
    root: str


@dataclass(frozen=True, slots=True)
class _Code:
    origin: _Origin
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Topics:
    origin: _Origin


@dataclass(frozen=True, slots=True)
class _Summaries:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """A file of an installation: path below its root, bytes, and what tells its content."""

    path: str
    size: int
    stamp: str


class PythonHarvest(Source):
    """Read docstrings, `pydoc` topics and package summaries of the Python environment as pairs.

    Inputs are: every module-level function, class and method with a docstring; every one without a
    docstring whose code has `min_lines` lines, which becomes a passage of the corpus only; every
    topic; every package's summary; and every file that cannot be read. A definition without a
    docstring and below `min_lines` is no input, nor is one inside a function, whose code it is.

    The passage of a function is its code, decorators and comments included. That of a method stands
    under a line `class Name:`, without which `get(self, key)` says too little. That of a class is
    an outline: its header, its own statements, and the signatures of what it defines; their bodies
    are `...`, because each is a passage itself. The docstring of the definition is taken out.
    """

    name: ClassVar[str] = "harvest.python"
    sides: ClassVar[dict[str, Kind | None]] = {"main": "pairs", "passages": "passages"}

    packages: tuple[str, ...] | None = None
    """Installed distributions to read; null reads all but curate itself."""
    stdlib: bool = True
    """Whether to read the modules of the standard library."""
    topics: bool = True
    """Whether to read the topics of `pydoc` (language reference)."""
    summaries: bool = True
    """Whether to pair the summaries of the distributions with their descriptions."""
    skip: tuple[str, ...] = SKIP
    """Globs of files not to read, matched against `/package/module.py`; `*` matches `/` too."""
    min_query_chars: int = Field(10, ge=1)
    """A documented definition whose summary is shorter is dropped."""
    min_lines: int = Field(8, ge=1)
    """Lines of code that make an undocumented definition a passage."""
    max_chars: int = Field(8_000, ge=100)
    """Longer code is dropped; longer topics and descriptions are cut at a paragraph."""

    def check(self) -> None:
        """Refuse a package that is not installed.

        :raises ValueError: naming it and the nearest installed name.
        """
        installed = _installed()
        for package in self.packages or ():
            if _normal(package) not in installed:
                near = difflib.get_close_matches(_normal(package), installed, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ": install it or leave it out"
                raise ValueError(f"packages: {package!r} is not installed here{hint}")

    def row_settings(self) -> dict[str, Any]:
        """Leave out what only chooses units, which are in the key themselves.

        So a package that is added makes new parts and leaves the others' as they are.
        """
        chooses = {"packages", "stdlib", "topics", "summaries", "skip"}
        return {n: value for n, value in super().row_settings().items() if n not in chooses}

    def units(self) -> list[Unit]:
        """List the files in pieces of about 3 MB, from the installations' own records (`RECORD`).

        Fingerprints hold versions, paths below the root and hashes (sizes for the standard
        library), never a place on this machine: equal pins give equal keys.
        """
        chosen = self._chosen()
        skip = re.compile("|".join(map(fnmatch.translate, self.skip))) if self.skip else None
        units = []
        if self.stdlib:
            units += _code_units(_stdlib_origin(STDLIB), _python(), _stdlib_files(skip))
        for name, (dist, message) in chosen.items():
            origin = _origin(name, message, str(dist.locate_file("")))
            version = f"{message['Version']} {origin.license} {origin.url}"
            units += _code_units(origin, version, _listed(dist, skip))
        if self.topics:
            units.append(Unit("topics", _python(), _Topics(_stdlib_origin(TOPICS))))
        if self.summaries:
            stamp = _fingerprint((name, message) for name, (_, message) in chosen.items())
            units.append(Unit("summaries", stamp, _Summaries(tuple(chosen))))
        return units

    def harvest(self, unit: Unit) -> Iterator[list[Record] | Drop]:
        """Read one unit: pairs with their passages, passages of undocumented code, drops."""
        payload = unit.payload
        if isinstance(payload, _Topics):
            yield from self._read_topics(payload.origin)
        elif isinstance(payload, _Summaries):
            installed = _installed()
            for name in payload.names:
                yield self._read_summary(name, installed[name][1])
        else:
            for path in payload.paths:
                yield from self._read_file(payload.origin, path)

    def _chosen(self) -> dict[str, _Installed]:
        installed = _installed()
        if self.packages is None:
            return {name: found for name, found in installed.items() if name != OWN}
        return {name: installed[name] for name in sorted(set(map(_normal, self.packages)))}

    def _read_file(self, origin: _Origin, path: str) -> list[list[Record] | Drop]:
        try:
            text = _decode(origin.root, path)
        except (OSError, SyntaxError, ValueError, LookupError) as error:
            return [Drop("unreadable", f"{origin.group}: {path}: {_fault(error)}", DOCSTRINGS)]
        if "def " not in text and "class " not in text:
            return []
        collecting = gc.isenabled()
        gc.disable()
        try:
            return list(self._read_code(origin, path, text))
        finally:
            if collecting:
                gc.enable()

    def _read_code(self, origin: _Origin, path: str, text: str) -> Iterator[list[Record] | Drop]:
        where = f"{origin.group}: {path}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            yield Drop("syntax_error", f"{where}:{line}: {_fault(error)}", DOCSTRINGS, origin.url)
            return
        except (RecursionError, MemoryError):
            yield Drop("too_deep", f"{where}: nested too deeply", DOCSTRINGS, origin.url)
            return
        source = _Text(text)
        for node, owner, qualname in _definitions(tree):
            fate = self._read_definition(origin, path, source, node, owner, qualname)
            if fate is not None:
                yield fate

    def _read_definition(
        self,
        origin: _Origin,
        path: str,
        source: _Text,
        node: Definition,
        owner: ast.ClassDef | None,
        qualname: str,
    ) -> list[Record] | Drop | None:
        docstring = ast.get_docstring(node, clean=False)
        if docstring is None and source.lines_of(node) < self.min_lines:
            return None
        code = source.code(node, owner)
        lines = code.count("\n") + (owner is None)  # the line of the owning class is not counted
        if docstring is None and lines < self.min_lines:
            return None
        query = None if docstring is None else summary_of(docstring)
        reason = self._reason(node, query, code)
        if reason:
            detail = f"{origin.group}: {path}:{node.lineno}: {qualname}: {_WHY[reason]}"
            return Drop(reason, detail, DOCSTRINGS, origin.url, query or code[: self.max_chars])
        place = {
            "module": _module(path),
            "qualname": qualname,
            "path": path,
            "line": node.lineno,
        }
        return _records("docstring-code", query, code, DOCSTRINGS, origin, place)

    def _reason(self, node: Definition, query: str | None, code: str) -> str | None:
        if all(map(_is_stub, node.body)):
            return "no_code"
        if query is not None and len(query) < self.min_query_chars:
            return "short_summary"
        return "long_code" if len(code) > self.max_chars else None

    def _read_topics(self, origin: _Origin) -> Iterator[list[Record] | Drop]:
        try:
            tree = ast.parse(_decode(origin.root, TOPICS_FILE))
            values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
            topics: dict[str, str] = ast.literal_eval(values[0])
        except (OSError, SyntaxError, ValueError, IndexError) as error:
            yield Drop("unreadable", f"{TOPICS_FILE}: {_fault(error)}", TOPICS, origin.url)
            return
        for label, text in topics.items():
            title, body = _topic(label, text)
            if not body:
                yield Drop("no_text", f"{TOPICS_FILE}: {label}: no text", TOPICS, origin.url, title)
                continue
            body = _cut(body, self.max_chars)
            yield _records("topic-text", title, body, TOPICS, origin, {"topic": label})

    def _read_summary(self, name: str, meta: Message) -> list[Record] | Drop:
        origin = _origin(name, meta)
        summary = _plain(" ".join(str(meta["Summary"] or "").split()))
        if len(summary) < self.min_query_chars:
            return Drop("short_summary", f"{name}: {summary!r}", SUMMARIES, origin.url, summary)
        text = _description(meta, summary)
        if not text:
            return Drop("no_text", f"{name}: no description", SUMMARIES, origin.url, summary)
        text = _cut(text, self.max_chars)
        place = {"version": str(meta["Version"])}
        return _records("summary-description", summary, text, SUMMARIES, origin, place)


_WHY = {
    "no_code": "nothing but pass, ... or a docstring",
    "short_summary": "the docstring has no summary, or a short one",
    "long_code": "the code is longer than max_chars",
}


def _records(
    kind: str, query: str | None, text: str, source: str, origin: _Origin, place: dict[str, Any]
) -> list[Record]:
    """Return a passage and, if there is a query, before it the pair whose positive it is."""
    shared: dict[str, Any] = {
        "source": source,
        "group": origin.group,
        "license": origin.license,
        "url": origin.url,
        "meta": json.dumps(place),
    }
    passage = Passage(text, **shared)
    if query is None:
        return [passage]
    return [Pair(kind, query, [Doc(text, id=passage.id)], **shared), passage]


# --- which files ----------------------------------------------------------------------------------


def _normal(name: str) -> str:
    """Normalise a distribution's name (PyPA: name normalisation)."""
    return re.sub(r"[-_.]+", "-", name).lower()


_Installed = tuple[metadata.Distribution, Message]


def _installed() -> dict[str, _Installed]:
    """Return distributions with their metadata, sorted by normalised name.

    Of two with one name the first found counts, as for imports; one without metadata, which a
    broken installation leaves, does not.
    """
    found: dict[str, _Installed] = {}
    for dist in metadata.distributions():
        message = _message(dist)
        if message["Name"]:
            found.setdefault(_normal(message["Name"]), (dist, message))
    return dict(sorted(found.items()))


def _message(dist: metadata.Distribution) -> Message:
    """Return a distribution's metadata as the e-mail message that it is; empty if unreadable."""
    try:
        text = dist.read_text("METADATA") or dist.read_text("PKG-INFO")
    except ValueError:
        text = None
    return message_from_string(text or "")


def _listed(dist: metadata.Distribution, skip: re.Pattern[str] | None) -> list[_File]:
    """Return the Python files of an installation; one that has no RECORD lists none."""
    files = []
    for row in csv.reader(io.StringIO(dist.read_text("RECORD") or "")):
        if len(row) == 3 and row[0].endswith(".py") and _is_below(row[0]):
            path, stamp, size = row
            if not (skip and skip.match("/" + path)):
                files.append(_File(path, int(size) if size.isdigit() else 0, stamp or size))
    return sorted(files, key=lambda file: file.path)


def _is_below(path: str) -> bool:
    """Tell whether a path stays below the root that it is joined to."""
    parts = PurePosixPath(path.replace("\\", "/"))
    return not parts.is_absolute() and ".." not in parts.parts and ":" not in path


def _stdlib_files(skip: re.Pattern[str] | None) -> list[_File]:
    root = sysconfig.get_path("stdlib")
    files = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in {"site-packages", "dist-packages"}]
        for name in names:
            if name.endswith(".py"):
                full = os.path.join(folder, name)
                path = Path(full).relative_to(root).as_posix()
                if not (skip and skip.match("/" + path)):
                    size = os.stat(full).st_size
                    files.append(_File(path, size, str(size)))
    return sorted(files, key=lambda file: file.path)


def _stdlib_origin(group: str) -> _Origin:
    return _Origin(group, "PSF-2.0", "https://docs.python.org/3/", sysconfig.get_path("stdlib"))


def _python() -> str:
    return platform.python_version()


def _fingerprint(rows: Iterable[tuple[Any, ...]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        digest.update(json.dumps([str(value) for value in row]).encode())
    return digest.hexdigest()


def _code_units(origin: _Origin, version: str, files: list[_File]) -> list[Unit]:
    """Cut the sorted files into runs of nearly equal size, of about `UNIT_BYTES`.

    The interpreter's minor version is in the fingerprint, as it decides what parses.
    """
    total = sum(file.size for file in files)
    count = max(1, round(total / UNIT_BYTES))
    runs: list[list[_File]] = [[] for _ in range(count)]
    before = 0
    for file in files:
        middle = before + file.size / 2
        runs[min(count - 1, int(middle * count / max(1, total)))].append(file)
        before += file.size
    units = []
    for i, run in enumerate(runs):
        if run:
            facts = [(origin.group, version, *sys.version_info[:2])]
            stamp = _fingerprint([*facts, *((file.path, file.stamp) for file in run)])
            paths = tuple(file.path for file in run)
            units.append(Unit(f"{origin.group} {i + 1}/{count}", stamp, _Code(origin, paths)))
    return units


def _decode(root: str, path: str) -> str:
    """Read a source file: its declared encoding, all line ends as newlines.

    :raises OSError: if it cannot be read.
    :raises SyntaxError, ValueError, LookupError: if it is too large or cannot be decoded.
    """
    with open(os.path.join(root, path), "rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def _fault(error: Exception) -> str:
    """Say what is wrong without naming a place on this machine, as `OSError` does."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return error.msg if isinstance(error, SyntaxError) else str(error)


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# --- code -----------------------------------------------------------------------------------------


def _definitions(tree: ast.Module) -> Iterator[tuple[Definition, ast.ClassDef | None, str]]:
    """Yield functions, classes and methods in their order, with owning class and qualified name.

    An explicit stack, for a chain of `elif` is as deep as it is long.
    """
    stack: list[tuple[ast.AST, ast.ClassDef | None, str]] = [(tree, None, "")]
    while stack:
        node, owner, prefix = stack.pop()
        if isinstance(node, _DEFINITIONS):
            yield node, owner, prefix + node.name
            if not isinstance(node, ast.ClassDef):
                continue
            owner, prefix = node, f"{prefix}{node.name}."
        children = [child for block in _BLOCKS for child in getattr(node, block, ())]
        stack.extend((child, owner, prefix) for child in reversed(children))


def _is_stub(statement: ast.stmt) -> bool:
    """Tell whether a statement does nothing: `pass`, `...`, a string, another constant."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass)


_SAME_LINE = re.compile(r"[ \t\f]*;?[ \t\f]*(?:#[^\n]*)?")
_LINE_ENDS = re.compile(r"(?:[ \t\f]*\n)+")
_Edit = tuple[int, int, str]


class _Text:
    """A source file whose definitions can be cut out; positions of `ast` are bytes of UTF-8."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.starts = [0, *accumulate(len(line) + 1 for line in self.lines)]

    def at(self, line: int, column: int) -> int:
        """Return the offset of a position that `ast` gives (line from 1, column in bytes)."""
        row = self.lines[line - 1]
        if not row.isascii():
            column = len(row.encode()[:column].decode())
        return self.starts[line - 1] + column

    def start(self, node: ast.stmt) -> int:
        """Return the offset of a statement; a decorated one starts at its first `@`."""
        decorators = getattr(node, "decorator_list", None)
        if decorators:
            first = decorators[0]
            return self.text.rindex("@", 0, self.at(first.lineno, first.col_offset))
        return self.at(node.lineno, node.col_offset)

    def end(self, node: ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.at(node.end_lineno, node.end_col_offset)

    def lines_of(self, node: Definition) -> int:
        first = node.decorator_list[0] if node.decorator_list else node
        return (node.end_lineno or node.lineno) - first.lineno + 1

    def code(self, node: Definition, owner: ast.ClassDef | None) -> str:
        """Return the code of a definition without its docstring (see `PythonHarvest`)."""
        edits: list[_Edit] = []
        if ast.get_docstring(node, clean=False) is not None:
            edits.append(self._docstring(node.body[0]))
        if isinstance(node, ast.ClassDef):
            edits += [self._elided(item) for item in node.body if isinstance(item, _DEFINITIONS)]
        start = self.start(node)
        indent = self.text[self.text.rfind("\n", 0, start) + 1 : start]
        assert node.end_lineno is not None
        code = self._edited(start, self.starts[node.end_lineno] - 1, edits)
        if owner is None:
            return _plain(_indented(code, indent, ""))
        return _plain(f"class {owner.name}:\n{_indented(code, indent, '    ')}")

    def _edited(self, start: int, end: int, edits: list[_Edit]) -> str:
        parts = []
        for left, right, replacement in edits:
            parts += [self.text[start:left], replacement]
            start = right
        return "".join([*parts, self.text[start:end]]).rstrip()

    def _docstring(self, statement: ast.stmt) -> _Edit:
        """Take out a docstring with its trailing comment, and the lines that this leaves blank."""
        left, right = self.start(statement), self.end(statement)
        line = self.text.rfind("\n", 0, left) + 1
        after = _SAME_LINE.match(self.text, right)
        assert after is not None
        ends = _LINE_ENDS.match(self.text, after.end())
        if ends and not self.text[line:left].strip():
            return line, ends.end(), ""
        return left, after.end(), ""

    def _elided(self, node: Definition) -> _Edit:
        """Replace the body by `...`, on the line of the signature unless a comment is there."""
        left = colon = self.start(node.body[0])
        while self.text[colon - 1].isspace():
            colon -= 1
        line = self.text[self.text.rfind("\n", 0, colon) + 1 : colon]
        if line.endswith(":") and "#" not in line:
            return colon, self.end(node), " ..."
        return left, self.end(node), "..."


def _indented(code: str, old: str, new: str) -> str:
    """Exchange the indentation; a line inside a string that lacks the old one stays as it is."""
    if old == new:
        return new + code
    lines = code.split("\n")
    rest = [new + line[len(old) :] if line.startswith(old) else line for line in lines[1:]]
    return "\n".join([new + lines[0], *rest])


# --- prose ----------------------------------------------------------------------------------------

_PARAGRAPHS = re.compile(r"\n\s*\n")
_SIGNATURE = re.compile(r"[\w.]+\(.*\)[ \t]*(?:->.*|=.*|:)?(?:\n|$)")
_NOT_PROSE = re.compile(
    r"""\.\.\s|!!!\s    # a directive of reST or Markdown
    | \{\w+\}|%\(\w+\)s  # a template's gap
    | [^\w`'"*(\[<{]*$  # rules and other punctuation
    """,
    re.VERBOSE,
)
_SECTION = re.compile(
    r"""^[ \t]*(?:
      (?:Args|Arguments|Parameters?|Params|Attributes|Returns?|Yields?|Raises|Examples?|Notes?
         |Usage|See\ Also|References|Warnings?|Keyword\ Args|Other\ Parameters):?[ \t]*$
    | [:@](?:param|type|returns?|rtype|raises?|arg|ivar|cvar|var|keyword)\b
    | \*{0,2}\w+[ ]\(.*\):  # a parameter as Google and Hugging Face write it
    | >>>[ ]
    | \.\.[ ]\w
    )""",
    re.VERBOSE | re.MULTILINE,
)
_RULE = re.compile(r"^[ \t]*[=\-~*^#]{3,}[ \t]*$", re.MULTILINE)


def summary_of(docstring: str) -> str:
    """Return the first paragraph of prose, on one line; "" if a section or an example comes first.

    Signatures, rules and directives before it are passed over. It ends where a section of arguments
    or an example starts without a blank line. Roles and other markup stay as they are.
    """
    for paragraph in _PARAGRAPHS.split(inspect.cleandoc(docstring)):
        section = _SECTION.search(paragraph)
        prose = paragraph[: section.start()] if section else paragraph
        prose = next((part for part in _RULE.split(prose) if part.strip()), "").strip()
        prose = _SIGNATURE.sub("", prose, count=1) if _SIGNATURE.match(prose) else prose
        words = " ".join(prose.split())
        if words and not _NOT_PROSE.match(words):
            return _plain(words[:MAX_QUERY_CHARS])
        if section and not paragraph.lstrip().startswith(".. "):
            return ""
    return ""


def _plain(text: str) -> str:
    """Replace lone surrogates, which UTF-8 and so Arrow refuse, by `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _topic(label: str, text: str) -> tuple[str, str]:
    """Split a topic into its title (the heading, else the words of the label) and the rest."""
    title, _, rest = text.partition("\n")
    rule, _, body = rest.partition("\n")
    if title.strip() and _RULE.fullmatch(rule):
        return _plain(title.strip()), _plain(body.strip())
    return _plain(label.replace("-", " ")), _plain(text.strip())


def _cut(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters, at the end of a paragraph where there is one."""
    if len(text) <= limit:
        return text
    end = text.rfind("\n\n", limit // 2, limit)
    return text[: end if end > 0 else limit].rstrip()


# --- metadata of distributions --------------------------------------------------------------------

_HOME = ("homepage", "home", "documentation", "repository", "source", "source code")
_LICENSE_CHARS = 64


def _origin(name: str, meta: Message, root: str = "") -> _Origin:
    return _Origin(name, _license(meta), _url(meta), root)


def _license(meta: Message) -> str | None:
    """Return the SPDX expression, else a short `License` field, else the classifiers."""
    expression = meta.get("License-Expression")
    if expression:
        return str(expression)
    named = str(meta.get("License") or "").strip()
    if named and named != "UNKNOWN" and "\n" not in named and len(named) <= _LICENSE_CHARS:
        return named
    classifiers = [str(value) for value in meta.get_all("Classifier") or []]
    names = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License :: ")]
    return " AND ".join(names) or None


def _url(meta: Message) -> str | None:
    """Return the home page, else the first of the project's web addresses."""
    urls: dict[str, str] = {}
    for value in meta.get_all("Project-URL") or []:
        label, _, url = str(value).partition(",")
        urls.setdefault(label.strip().lower(), url.strip())
    found = [str(meta.get("Home-page") or ""), *(urls.get(h, "") for h in _HOME), *urls.values()]
    return next((url for url in found if url.startswith(("https://", "http://"))), None)


# Repeats are bounded, so that no text, however odd, takes quadratic time.
_TARGET = r"(?:\([^)]{0,500}\)|\[[^\]]{0,500}\])"
_BADGE = re.compile(
    rf"""<!--[\s\S]{{0,2000}}?-->                               # comments of HTML
    | \[!\[[^\]]{{0,500}}\]{_TARGET}\]{_TARGET}                # a linked image
    | !\[[^\]]{{0,500}}\]{_TARGET}                           # an image
    | ^[ \t]*\.\.[ ](?:\|[^|\n]*\|[ ])?(?:image|figure|raw|contents)::.*(?:\n[ \t]+\S.*)*
    | ^[ \t]*\.\.[ ](?:_.*|-\*-.*)$                         # a link's target, an editor's mark
    | ^[ \t]*\[[^\]\n]+\]:[ ]\S+[ \t]*$                     # a link's target
    | ^[ \t]*(?:\|[\w .-]+\|_*[ \t]*)+$                    # substitutions of reST
    | </?(?:p|div|a|img|br|h\d|picture|source|center|b|i|em|strong|span|table|tr|td|su[bp])\b
        [^>]{{0,1000}}>
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
_BLANKS = re.compile(r"\n(?:[ \t]*\n)+")


def _description(meta: Message, summary: str) -> str:
    """Return the long description without badges and without the line that is the summary."""
    payload = meta.get_payload()
    text = payload if isinstance(payload, str) and payload.strip() else meta.get("Description")
    text = _BADGE.sub("", _plain(str(text or "")[:MAX_DESCRIPTION_CHARS]))
    asked = _words(summary)
    lines = [line.rstrip() for line in text.split("\n") if not line or _words(line) != asked]
    return _BLANKS.sub("\n\n", "\n".join(lines)).strip()


def _words(line: str) -> list[str]:
    return re.findall(r"\w+", line.lower())
