"""The Python text of the environment: what programmers wrote beside their code becomes pairs.

| source            | kind                | query                     | passage             |
|-------------------|---------------------|---------------------------|---------------------|
| python-docstrings | docstring-code      | a docstring's first prose | the code without it |
| python-topics     | topic-text          | title of a `pydoc` topic  | its text            |
| package-summaries | summary-description | one-line summary          | long description    |

Nothing that is read is imported or run: code is parsed by `ast`, topics by `ast.literal_eval`.
How is said in `definitions`.
"""

from __future__ import annotations

import ast
import csv
import difflib
import fnmatch
import hashlib
import io
import json
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import Field

from curate.harvest.code.definitions import (
    MAX_FILE_BYTES,
    RULE,
    SKIP_PYTHON,
    WHY,
    Definition,
    Text,
    UnparsedError,
    collector_off,
    decode,
    definitions,
    fault,
    has_definitions,
    parse,
    plain,
    reason_against,
    summary_of,
)
from curate.harvest.code.packages import home_page, normal_name, stated_license
from curate.schema import Doc, Kind, Pair, Passage, Record
from curate.stage import Drop, Source, Unit

DOCSTRINGS, TOPICS, SUMMARIES = "python-docstrings", "python-topics", "package-summaries"
STDLIB = "stdlib"
OWN = "curate"
TOPICS_FILE = "pydoc_data/topics.py"

UNIT_BYTES = 3_000_000
MAX_DESCRIPTION_CHARS = 200_000

SKIP = (*SKIP_PYTHON, "/_sysconfigdata*", "/config-*", "*/__editable__*")


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
            if normal_name(package) not in installed:
                near = difflib.get_close_matches(normal_name(package), installed, n=1)
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
        return {name: installed[name] for name in sorted(set(map(normal_name, self.packages)))}

    def _read_file(self, origin: _Origin, path: str) -> list[list[Record] | Drop]:
        try:
            text = _decode(origin.root, path)
        except (OSError, SyntaxError, ValueError, LookupError) as error:
            return [Drop("unreadable", f"{origin.group}: {path}: {fault(error)}", DOCSTRINGS)]
        if not has_definitions(text):
            return []
        with collector_off():
            return list(self._read_code(origin, path, text))

    def _read_code(self, origin: _Origin, path: str, text: str) -> Iterator[list[Record] | Drop]:
        try:
            tree = parse(text)
        except UnparsedError as error:
            detail = f"{origin.group}: {path}{error.at}: {error}"
            yield Drop(error.reason, detail, DOCSTRINGS, origin.url)
            return
        source = Text(text)
        for node, owner, qualname in definitions(tree):
            fate = self._read_definition(origin, path, source, node, owner, qualname)
            if fate is not None:
                yield fate

    def _read_definition(
        self,
        origin: _Origin,
        path: str,
        source: Text,
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
        reason = reason_against(node, query, code, self.min_query_chars, self.max_chars)
        if reason:
            detail = f"{origin.group}: {path}:{node.lineno}: {qualname}: {WHY[reason]}"
            return Drop(reason, detail, DOCSTRINGS, origin.url, query or code[: self.max_chars])
        place = {
            "module": _module(path),
            "qualname": qualname,
            "path": path,
            "line": node.lineno,
        }
        return _records("docstring-code", query, code, DOCSTRINGS, origin, place)

    def _read_topics(self, origin: _Origin) -> Iterator[list[Record] | Drop]:
        try:
            tree = ast.parse(_decode(origin.root, TOPICS_FILE))
            values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
            topics: dict[str, str] = ast.literal_eval(values[0])
        except (OSError, SyntaxError, ValueError, IndexError) as error:
            yield Drop("unreadable", f"{TOPICS_FILE}: {fault(error)}", TOPICS, origin.url)
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
        summary = plain(" ".join(str(meta["Summary"] or "").split()))
        if len(summary) < self.min_query_chars:
            return Drop("short_summary", f"{name}: {summary!r}", SUMMARIES, origin.url, summary)
        text = _description(meta, summary)
        if not text:
            return Drop("no_text", f"{name}: no description", SUMMARIES, origin.url, summary)
        text = _cut(text, self.max_chars)
        place = {"version": str(meta["Version"])}
        return _records("summary-description", summary, text, SUMMARIES, origin, place)


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
            found.setdefault(normal_name(message["Name"]), (dist, message))
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
    """Read a source file (see `definitions.decode`).

    :raises OSError: if it cannot be read.
    :raises SyntaxError, ValueError, LookupError: if it is too large or cannot be decoded.
    """
    with open(os.path.join(root, path), "rb") as stream:
        return decode(stream.read(MAX_FILE_BYTES + 1))


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# --- topics ---------------------------------------------------------------------------------------


def _topic(label: str, text: str) -> tuple[str, str]:
    """Split a topic into its title (the heading, else the words of the label) and the rest."""
    title, _, rest = text.partition("\n")
    rule, _, body = rest.partition("\n")
    if title.strip() and RULE.fullmatch(rule):
        return plain(title.strip()), plain(body.strip())
    return plain(label.replace("-", " ")), plain(text.strip())


def _cut(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters, at the end of a paragraph where there is one."""
    if len(text) <= limit:
        return text
    end = text.rfind("\n\n", limit // 2, limit)
    return text[: end if end > 0 else limit].rstrip()


# --- metadata of distributions --------------------------------------------------------------------


def _origin(name: str, meta: Message, root: str = "") -> _Origin:
    return _Origin(name, stated_license(meta), home_page(meta), root)


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
    text = _BADGE.sub("", plain(str(text or "")[:MAX_DESCRIPTION_CHARS]))
    asked = _words(summary)
    lines = [line.rstrip() for line in text.split("\n") if not line or _words(line) != asked]
    return _BLANKS.sub("\n\n", "\n".join(lines)).strip()


def _words(line: str) -> list[str]:
    return re.findall(r"\w+", line.lower())
