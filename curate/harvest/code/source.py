"""Code and its doc comments, commits and their diffs: from wheels, npm archives, source trees, git.

| source                              | kind           | query                        | passage      |
|-------------------------------------|----------------|------------------------------|--------------|
| code/python, code/javascript, ...   | docstring-code | a doc comment's first prose  | the code     |
| code/git                            | commit-diff    | a commit's message           | its diff     |

Nothing is installed, imported, run or written to disk. Python is read by `ast`, the other languages by
tree-sitter, a git repository by the `git` executable, which sees the objects of the repository and
nothing else of it.
"""

from __future__ import annotations

import ast
import fnmatch
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import xxhash
from pydantic import Field

from curate.harvest.base import FileSource
from curate.harvest.code import commits as code_commits
from curate.harvest.code import git as code_git
from curate.harvest.code import syntax as code_syntax
from curate.harvest.code.comments import is_query, prose_of
from curate.harvest.code.definitions import (
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
    reason_against,
)
from curate.harvest.code.git import Commit, GitError, Repository
from curate.harvest.code.grammars import NAMES, header_language, language_of
from curate.harvest.code.packages import MAX_MANIFEST_BYTES, Package, is_manifest, package_of
from curate.harvest.code.tree import (
    Folder,
    is_archive_name,
    is_source_name,
    package_in,
    search,
)
from curate.harvest.code.tree import Found as Tree
from curate.harvest.reading.charset import decoded
from curate.harvest.reading.documents import Document, document_blocks, document_units, documents
from curate.harvest.reading.files import File, find, fingerprint
from curate.schema import Doc, Pair, Record
from curate.stage import Drop, Found, Unit

GIT = "code/git"

SKIP = (
    *SKIP_PYTHON,
    "*/__tests__/*",
    "*/spec/*",
    "*/specs/*",
    "*/testdata/*",
    "*/fixtures/*",
    "*[._]test.*",
    "*[._]spec.*",
    "*Test.java",
    "*Tests.java",
    "*Tests.cs",
    "*/node_modules/*",
    "*/bower_components/*",
    "*/vendor/*",
    "*[.-]min.*js",
    "*.bundle.js",
    "*_pb2.py",
    "*_pb2_grpc.py",
    "*.pb.go",
    "*.Designer.cs",
    "*.g.cs",
)
_GENERATED = re.compile(
    rb"@generated\b|generated[^\n]{0,100}\bdo not (?:edit|modify)"
    rb"|do not (?:edit|modify)[^\n]{0,100}generated",
    re.IGNORECASE,
)
_HEAD_BYTES = 2_000
_MINIFIED_LINE = 200
"""A file whose lines are longer in the mean was made by a program."""

_WHY = WHY | {
    "no_code": "an empty body",
    "short_summary": "the doc comment has no prose, or little",
    "syntax_error": "does not parse",
}


@dataclass(frozen=True, slots=True)
class _Commits:
    repository: Repository
    package: Package
    ids: list[str]


@dataclass(frozen=True, slots=True)
class _Sources:
    """Source files of one package, as `documents` reads them."""

    package: Package
    items: list[File | Document | Drop]


@dataclass(frozen=True, slots=True)
class _Files:
    """Source files of one package, which is not known yet."""

    chain: tuple[Folder, ...]
    fallback: str
    files: tuple[File, ...]


class CodeHarvest(FileSource):
    """Pair doc comments with the code they describe, and commit messages with their diffs.

    Inputs are: every function, method and class with a doc comment (docstring, JSDoc, Javadoc, PHPDoc,
    Doxygen, XML documentation, the comments of Go, Ruby and Rust) directly in front of it; every commit
    of a git repository; and every file, archive or repository that cannot be read. No inputs are: a
    definition without a doc comment, a declaration without a body and, but for JavaScript and TypeScript,
    a definition inside a function. Of a folder all source files, archives (wheels, sdists, npm, crates,
    zip) and repositories are read, but not what `skip` names, what is hidden, and what links lead to.

    The passage of a function is its code without the doc comment, attributes and decorators included;
    that of a method stands under a line that names its class; that of a class is an outline, its own
    statements and its members' signatures, or the whole without doc comments where it has no statements
    of its own. That of a commit is its diff, source files first, without lock
    files and what is generated.

    The group is the package or repository, so that what is read of it twice is never on both sides of
    a split; the licence is what the nearest manifest or licence text states beyond doubt.
    """

    name: ClassVar[str] = "harvest.code"

    definitions: bool = True
    """Whether to read doc comments and code."""
    commits: bool = True
    """Whether to read the commits of git repositories."""
    skip: tuple[str, ...] = SKIP
    """Globs of files not to read, matched against `/folder/file.py`; `*` matches `/` too."""
    min_query_chars: int = Field(10, ge=1)
    """A definition or commit that says less of itself is dropped."""
    max_chars: int = Field(8_000, ge=100)
    """Longer code is dropped, longer diffs are cut at the end of a line."""

    def check(self) -> None:
        """Refuse a path where no code is, and repositories where there is no git."""
        tree = self._search()
        if not (tree.sources or tree.archives or tree.repositories or tree.drops):
            raise ValueError(f"path: {self.path!r} holds no source files, archives or repositories")
        if tree.repositories and not code_git.has_git():
            raise ValueError(
                f"commits: {tree.repositories[0].name!r} is a git repository and the executable `git`"
                " is not installed: install it, or set `commits: false`"
            )

    def row_settings(self) -> dict[str, Any]:
        """Leave out what only chooses units, which are in the key themselves."""
        chooses = {"definitions", "commits"}
        return {n: value for n, value in super().row_settings().items() if n not in chooses}

    def units(self) -> list[Unit]:
        """List repositories, archives, and source files: of one package together, about a block each."""
        tree = self._search()
        units = [_repository_unit(repository) for repository in tree.repositories]
        units += [
            Unit(f.name, fingerprint(f.path), f, f.path.stat().st_size) for f in tree.archives
        ]
        for chain, files in tree.sources.items():
            units += _source_units(chain, files, Path(self.path).resolve().name)
        if tree.drops:
            lines = "\n".join(drop.detail for drop in tree.drops)
            units.append(Unit("not read", xxhash.xxh3_128(lines.encode()).hexdigest(), tree.drops))
        return units

    def cut(self, unit: Unit) -> Iterator[Unit]:
        """Cut a repository into runs of commits, an archive between members, files not at all."""
        if isinstance(unit.payload, Repository):
            yield from _commit_blocks(unit, unit.payload)
        elif isinstance(unit.payload, File):
            yield from self._archive_blocks(unit, unit.payload)
        elif isinstance(unit.payload, _Files):
            payload = unit.payload
            package = package_in(payload.chain, payload.fallback)
            yield Unit(unit.name, unit.fingerprint, _Sources(package, list(payload.files)))
        else:
            yield unit

    def harvest(self, block: Unit) -> Iterator[Found]:
        """Read one block: definitions of files, or commits."""
        if isinstance(block.payload, _Commits):
            yield from self._read_commits(block.payload)
        elif isinstance(block.payload, _Sources):
            sources = block.payload
            for document in documents(Unit(block.name, block.fingerprint, sources.items)):
                if isinstance(document, Drop):
                    yield document
                else:
                    yield from self._read(document, sources.package)
        else:
            yield from block.payload

    def _search(self) -> Tree:
        skip = re.compile("|".join(map(fnmatch.translate, self.skip))) if self.skip else None
        root = Path(self.path).expanduser()
        if root.is_dir():
            tree = search(root, skip)
        else:
            files = find(self.path)
            sources = [file for file in files if language_of(file.name)]
            archives = [file for file in files if is_archive_name(file.name)]
            tree = Tree({(): sources} if sources else {}, archives)
        if not self.commits:
            tree.repositories = []
        if not self.definitions:
            tree.sources, tree.archives = {}, []
        return tree

    # --- source files ---

    def _archive_blocks(self, unit: Unit, file: File) -> Iterator[Unit]:
        """Cut an archive, whose manifests are read first: every block needs what they say."""
        skip = re.compile("|".join(map(fnmatch.translate, self.skip))) if self.skip else None
        whole = Unit(unit.name, unit.fingerprint, (file,))
        try:
            package = _package_in(whole, file)
            for block in document_blocks(whole, lambda name: is_source_name(name, skip)):
                yield Unit(block.name, block.fingerprint, _Sources(package, list(block.payload)))
        except OSError as error:
            drop = Drop("unreadable", f"{file.name}: {error.strerror or error}")
            yield Unit(unit.name, unit.fingerprint, [drop])

    def _read(self, document: Document, package: Package) -> Iterator[Found]:
        """Read the definitions of one file."""
        language = language_of(document.name)
        if language is None:
            return
        if language == "c" and document.name.endswith(".h"):
            language = header_language(document.data)
        place = _Place(document.name, NAMES.get(language, language), package)
        if reason := _unfit(document.data, language):
            yield place.drop(reason, _UNFIT[reason])
        elif language == "python":
            with collector_off():
                yield from list(self._read_python(document.data, place))
        else:
            yield from self._read_syntax(document.data, language, place)

    def _read_python(self, data: bytes, place: _Place) -> Iterator[Found]:
        try:
            text = decode(data)
        except (SyntaxError, ValueError, LookupError) as error:
            yield place.drop("unreadable", fault(error))
            return
        if not has_definitions(text):
            return
        try:
            tree = parse(text)
        except UnparsedError as error:
            yield place.drop(error.reason, str(error), error.at)
            return
        source = Text(text)
        for node, owner, qualname in definitions(tree):
            docstring = ast.get_docstring(node, clean=False)
            if docstring is None:
                continue
            query = prose_of(docstring, "python")
            code = source.code(node, owner, bare_whole=True)
            reason = reason_against(node, query, code, self.min_query_chars, self.max_chars)
            if reason is None and _is_abstract(node):
                reason = "no_code"
            yield self._fate(place, qualname, node.lineno, query, code, reason)

    def _read_syntax(self, data: bytes, language: str, place: _Place) -> Iterator[Found]:
        text = decoded(data).replace("\r\n", "\n").encode("utf-8", "replace")
        try:
            found = code_syntax.documented(text, language, self.max_chars)
        except code_syntax.TooDeepError as error:
            yield place.drop("too_deep", str(error))
            return
        for definition in found:
            query = prose_of(definition.comment, place.language)
            reason = definition.fault
            if reason is None and len(query) < self.min_query_chars:
                reason = "short_summary"
            if reason is None and definition.code is None:
                reason = "long_code"
            code = definition.code or ""
            yield self._fate(place, definition.qualname, definition.line, query, code, reason)

    def _fate(
        self, place: _Place, qualname: str, line: int, query: str, code: str, reason: str | None
    ) -> list[Record] | Drop:
        if reason is None and not is_query(query):
            reason = "short_summary"
        if reason is not None:
            return place.drop(reason, f"{qualname}: {_WHY[reason]}", f":{line}", query or None)
        package = place.package
        facts = {
            "path": place.name,
            "line": line,
            "qualname": qualname,
            "language": place.language,
            "version": package.version,
        }
        return [
            self._pair("docstring-code", query, code, place.source, package, package.url, facts)
        ]

    def _pair(
        self,
        kind: str,
        query: str,
        text: str,
        source: str,
        package: Package,
        url: str | None,
        facts: dict[str, Any],
    ) -> Pair:
        return Pair(
            kind,
            query,
            [Doc(text)],
            source,
            package.name or source,
            language=self.language,
            license=package.license or self.license,
            url=url,
            meta=json.dumps({name: value for name, value in facts.items() if value is not None}),
        )

    # --- commits ---

    def _read_commits(self, block: _Commits) -> Iterator[Found]:
        def refusal(commit: Commit) -> str | None:
            return code_commits.refusal(commit, self.min_query_chars)

        repository, package = block.repository, block.package
        try:
            found = code_git.read_commits(repository, block.ids, refusal)
        except OSError as error:
            found = [Commit(i, reason="unreadable", detail=str(error.strerror)) for i in block.ids]
        for commit in found:
            url = _commit_url(package.url, commit.id)
            text = None
            reason = commit.reason
            if reason is None:
                text = code_commits.passage_of(commit.diff, self.max_chars)
                reason = None if text else "generated" if commit.diff else "no_text"
            if text is None or reason is not None:
                said = commit.detail or repr(commit.message[:80].partition("\n")[0])
                detail = f"{repository.name}: {commit.id}: {said}"
                yield Drop(reason or "no_text", detail, GIT, url)
                continue
            query = code_commits.query_of(commit.message)
            facts = {"commit": commit.id, "time": commit.time, "files": len(commit.diff)}
            yield [self._pair("commit-diff", query, text, GIT, package, url, facts)]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where definitions come from: a file in a language, of a package."""

    name: str
    language: str
    package: Package

    @property
    def source(self) -> str:
        return f"code/{self.language}"

    def drop(self, reason: str, why: str, at: str = "", text: str | None = None) -> Drop:
        """Return a drop that says where, and what is wrong there."""
        return Drop(reason, f"{self.name}{at}: {why}", self.source, self.package.url, text)


def _is_abstract(node: Definition) -> bool:
    """Tell whether a function does nothing but raise `NotImplementedError`."""
    *documentation, last = node.body
    if len(documentation) > 1 or not isinstance(last, ast.Raise):
        return False
    raised = last.exc.func if isinstance(last.exc, ast.Call) else last.exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


_UNFIT = {
    "binary": "holds NUL, so it is no text",
    "generated": "made by a program",
    "too_long": "longer than source files are",
}


def _unfit(data: bytes, language: str) -> str | None:
    """Return why a file is not worth parsing."""
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "binary"
    if _GENERATED.search(data[:_HEAD_BYTES]):
        return "generated"
    if language == "python":
        return None
    if len(data) > code_syntax.MAX_FILE_BYTES:
        return "too_long"
    if len(data) > _HEAD_BYTES and len(data) > _MINIFIED_LINE * (data.count(b"\n") + 1):
        return "generated"
    return None


# --- units ----------------------------------------------------------------------------------------


def _repository_unit(repository: Repository) -> Unit:
    stamp = xxhash.xxh3_128("\n".join(code_git.facts_of(repository)).encode()).hexdigest()
    return Unit(f"{repository.name} commits", stamp, repository, code_git.size_of(repository))


def _source_units(chain: tuple[Folder, ...], files: list[File], root: str) -> Iterator[Unit]:
    """Group files of one package; what it says of itself is in their fingerprint."""
    first = files[0].name.partition("/")
    fallback = first[0] if first[1] and not chain else root
    said = [fallback, *(fact for folder in chain for fact in folder.facts())]
    for unit in document_units(files):
        stamp = xxhash.xxh3_128("\n".join([unit.fingerprint, *said]).encode()).hexdigest()
        yield Unit(unit.name, stamp, _Files(chain, fallback, unit.payload), unit.size)


def _commit_blocks(unit: Unit, repository: Repository) -> Iterator[Unit]:
    try:
        package = code_git.package_at(repository)
        for ids in code_git.commit_ids(repository):
            payload = _Commits(repository, package, ids)
            yield Unit(f"{unit.name} @ {ids[0]}", unit.fingerprint, payload)
    except (GitError, OSError) as error:
        drop = Drop("damaged", f"{repository.name}: its list of commits: {error}", GIT)
        yield Unit(f"{unit.name} @ end", unit.fingerprint, [drop])


_VERSION = re.compile(r"[-_]v?\d[\w.+!-]*$")


def _package_in(unit: Unit, file: File) -> Package:
    """Read the manifests at the top of an archive."""
    contents: dict[str, bytes] = {}
    for block in document_blocks(unit, _is_top_manifest):
        for member in block.payload:
            if isinstance(member, Document) and len(member.data) <= MAX_MANIFEST_BYTES:
                contents[member.name.removeprefix(f"{file.name}/")] = member.data
    package = package_of(contents)
    if package.name:
        return package
    stem = re.sub(r"\.(?:whl|zip|jar|tar|tgz|crate|tar\.\w+)$", "", file.path.name)
    return Package(_VERSION.sub("", stem) or stem, package.version, package.license, package.url)


def _is_top_manifest(name: str) -> bool:
    parts = PurePosixPath(name).parts
    inside = len(parts) > 1 and parts[0].endswith(".dist-info")
    return is_manifest(name) and (inside or len(parts) <= 2)


_HOSTS = (
    "https://github.com/",
    "https://gitlab.com/",
    "https://codeberg.org/",
    "https://gitea.com/",
)


def _commit_url(address: str | None, commit: str) -> str | None:
    """Return the page of a commit where the host is known to have one, else that of the repository."""
    if address and address.startswith(_HOSTS) and address.count("/") == 4:
        return f"{address}/commit/{commit}"
    return address
