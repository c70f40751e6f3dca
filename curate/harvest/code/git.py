"""A local git repository as commits: their messages and their diffs, read by the `git` executable.

A repository that came from elsewhere may hold settings, hooks and attributes that run commands, and name
servers to fetch from. None of them is ever read: git works in an empty folder of its own and is lent
nothing but the repository's objects. It fetches nothing, and what it may allocate and take is bounded.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from curate.harvest.code.packages import (
    MAX_MANIFEST_BYTES,
    Package,
    is_manifest,
    merged,
    package_of,
    web_address,
)
from curate.harvest.reading.charset import decoded

BLOCK_COMMITS = 200
MAX_FILES = 50
"""A commit that touches more is an import, a reformatting or a merge of histories."""
_MAX_BLOB = "512k"
_MAX_ALLOC = "512m"
_MAX_LINE = 1 << 20
_MAX_SECTION = 1 << 16
_SECONDS = 300.0
_SMALL = 1 << 16
_READ_BYTES = 1 << 16

_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"ref: (refs/[\w./@+-]{1,400})")
_PACKED = re.compile(rb"^([0-9a-f]{40,64}) (refs/\S+)$", re.MULTILINE)
_ORIGIN = re.compile(r"\[remote \"origin\"\][^\[]{0,2000}?^\s*url\s*=\s*(\S+)", re.MULTILINE)


class GitError(Exception):
    """Git could not read what it was asked for."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository: the folder that holds `objects` and `refs`, and the commit it stands at.

    :param name: as the user sees it, below the folder that is harvested.
    """

    folder: Path
    name: str
    tip: str


@dataclass(slots=True)
class Commit:
    """A commit, as far as it was read.

    :param reason: why it is dropped; None while there is none.
    :param detail: what git said, where it could not read the commit.
    :param diff: (path, text) of each file with changed lines, each cut to a bound.
    """

    id: str
    parents: int = 0
    author: str = ""
    time: int = 0
    message: str = ""
    reason: str | None = None
    detail: str = ""
    diff: list[tuple[str, str]] = field(default_factory=list)


def is_repository(folder: Path) -> bool:
    """Tell whether a folder is what git keeps in `.git`."""
    return (folder / "HEAD").is_file() and all((folder / d).is_dir() for d in ("objects", "refs"))


def has_git() -> bool:
    """Tell whether the `git` executable is installed."""
    return shutil.which("git") is not None


def opened(folder: Path, name: str) -> Repository:
    """Find the commit that a repository stands at.

    :raises GitError: if there is none, or its objects lie elsewhere.
    """
    objects = folder / "objects"
    if objects.is_symlink() or (objects / "info" / "alternates").exists():
        raise GitError("its objects lie outside of it")
    ref = _small(folder / "HEAD").strip()
    for _ in range(5):
        if _ID.fullmatch(ref):
            return Repository(folder, name, ref)
        found = _REF.fullmatch(ref)
        if found is None or ".." in found.group(1):
            break
        ref = _ref(folder, found.group(1))
    raise GitError("it stands at no commit")


def _ref(folder: Path, name: str) -> str:
    if loose := _small(folder / name).strip():
        return loose
    try:
        packed = (folder / "packed-refs").read_bytes()
    except OSError:
        return ""
    found = (f.group(1) for f in _PACKED.finditer(packed) if f.group(2) == name.encode())
    return next(found, b"").decode()


def _small(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_SMALL).decode("utf-8", "replace")
    except OSError:
        return ""


def _shallow(repository: Repository) -> list[str]:
    return [line for line in _small(repository.folder / "shallow").split() if _ID.fullmatch(line)]


def facts_of(repository: Repository) -> list[str]:
    """Return what decides the rows of a repository: its last commit, which hashes all before it."""
    address = address_of(repository.folder)
    return [repository.tip, *_shallow(repository), _stem(repository.folder), str(address)]


def _stem(folder: Path) -> str:
    folder = folder.resolve()
    return folder.parent.name if folder.name == ".git" else folder.name.removesuffix(".git")


def size_of(repository: Repository) -> int:
    """Return the bytes of the repository's packs."""
    return sum(path.stat().st_size for path in (repository.folder / "objects/pack").glob("*.pack"))


# --- running git ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _lent(repository: Repository) -> Iterator[dict[str, str]]:
    """Give the environment in which git sees the objects of a repository and nothing else of it."""
    with TemporaryDirectory(prefix="curate-git-") as made:
        folder = Path(made)
        for part in ("objects", "refs"):
            (folder / part).mkdir()
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        sha256 = "\n[extensions]\n objectFormat = sha256" if len(repository.tip) == 64 else ""
        version = 1 if sha256 else 0
        settings = (
            f"[core]\n bare = true\n repositoryFormatVersion = {version}\n quotePath = false\n"
        )
        (folder / "config").write_text(f"{settings} bigFileThreshold = {_MAX_BLOB}{sha256}\n")
        if shallow := _shallow(repository):
            (folder / "shallow").write_text("".join(f"{line}\n" for line in shallow))
        kept = {
            k: v for k, v in os.environ.items() if k in ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP")
        }
        yield kept | {
            "GIT_DIR": made,
            "HOME": made,
            "GIT_OBJECT_DIRECTORY": str((repository.folder / "objects").absolute()),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_ALLOC_LIMIT": _MAX_ALLOC,
            "LC_ALL": "C",
        }


def _output(
    environment: dict[str, str], *arguments: str, asked: Iterable[str] = ()
) -> Iterator[bytes]:
    """Run git and give what it prints, piece by piece.

    :param asked: lines for its standard input; some hundred, as a pipe holds them.
    :raises GitError: behind the last piece, if it failed or took too long.
    """
    errors = Path(environment["GIT_DIR"]) / "errors"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            ["git", "--no-pager", *arguments],
            env=environment,
            cwd=environment["GIT_DIR"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    timer = threading.Timer(_SECONDS, process.kill)
    timer.start()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write("".join(f"{line}\n" for line in asked).encode())
            process.stdin.close()
        while piece := os.read(process.stdout.fileno(), _READ_BYTES):
            yield piece
        if process.wait() != 0:
            raise GitError(_small(errors).strip().rpartition("\n")[2][:300] or "git was stopped")
    finally:
        timer.cancel()
        process.kill()
        process.stdout.close()
        process.wait()


def _split(pieces: Iterable[bytes], separator: bytes) -> Iterator[bytes]:
    """Cut what git prints at a separator; of what is longer than `_MAX_LINE` the beginning counts."""
    held = b""
    for piece in pieces:
        *done, rest = (held + piece).split(separator)
        yield from done
        held = rest[:_MAX_LINE]
    if held:
        yield held


# --- reading --------------------------------------------------------------------------------------


def commit_ids(repository: Repository) -> Iterator[list[str]]:
    """Yield the ids of a repository's commits, the newest first, in blocks of `BLOCK_COMMITS`.

    :raises GitError: behind the last id that can be read.
    """
    held: list[str] = []
    fault: GitError | None = None
    with _lent(repository) as environment:
        try:
            for line in _split(_output(environment, "rev-list", repository.tip, "--"), b"\n"):
                held.append(line.decode())
                if len(held) == BLOCK_COMMITS:
                    yield held
                    held = []
        except GitError as error:
            fault = error
    if held:
        yield held
    if fault:
        raise fault


def package_at(repository: Repository) -> Package:
    """Return what the manifests and licence texts at the top of a repository say.

    Where no manifest names it, it has the name of its folder.
    """
    contents: dict[str, bytes] = {}
    with _lent(repository) as environment, contextlib.suppress(GitError):
        listed = _output(environment, "ls-tree", "-z", "-l", repository.tip)
        for entry in _split(listed, b"\0"):
            facts, _, path = entry.decode("utf-8", "replace").partition("\t")
            _, kind, blob, size = facts.split()
            if kind == "blob" and is_manifest(path) and int(size) <= MAX_MANIFEST_BYTES:
                contents[path] = b"".join(_output(environment, "cat-file", "blob", blob))
    address = address_of(repository.folder)
    return merged([Package(url=address), package_of(contents), Package(_stem(repository.folder))])


def address_of(folder: Path) -> str | None:
    """Return the web page of the repository that a repository was cloned from."""
    found = _ORIGIN.search(_small(folder / "config"))
    address = found.group(1).strip('"') if found else ""
    return web_address(address) if ":" in address else None


def read_commits(
    repository: Repository, ids: list[str], refusal: Callable[[Commit], str | None]
) -> list[Commit]:
    """Read some commits: of those that are not refused the diffs too.

    :param refusal: why a commit is dropped, by what is known without its diff.
    """
    with _lent(repository) as environment:
        read, faults = _tolerant(_described, environment, ids)
        for commit in read.values():
            commit.reason = refusal(commit)
        wanted = [i for i, commit in read.items() if commit.reason is None]
        touched, more = _tolerant(_touched, environment, wanted)
        faults |= more
        for i, files in touched.items():
            if files > MAX_FILES:
                read[i].reason = "huge_diff"
        wanted = [i for i, files in touched.items() if 0 < files <= MAX_FILES]
        diffs, more = _tolerant(_patches, environment, wanted)
        faults |= more
    for i, sections in diffs.items():
        read[i].diff = [(s.path, s.text()) for s in sections if s.path and s.lines]
    for i, detail in faults.items():
        read[i] = Commit(i, reason="damaged", detail=detail)
    return [
        read.get(i) or Commit(i, reason="damaged", detail="git said nothing of it") for i in ids
    ]


T = TypeVar("T")
_Reader = Callable[[dict[str, str], list[str]], dict[str, T]]


def _tolerant(
    reader: _Reader[T], environment: dict[str, str], ids: list[str]
) -> tuple[dict[str, T], dict[str, str]]:
    """Read commits together or, if one cannot be read, each alone; return the faults by id."""
    if not ids:
        return {}, {}
    try:
        return reader(environment, ids), {}
    except GitError:
        pass
    found: dict[str, T] = {}
    faults: dict[str, str] = {}
    for i in ids:
        try:
            found |= reader(environment, [i])
        except GitError as error:
            faults[i] = str(error)
    return found, faults


_FORMAT = "--format=tformat:%H%x00%P%x00%an <%ae>%x00%ct%x00%B"
_FIELDS = 5
_TREE = ("diff-tree", "--stdin", "-r", "--root", "--find-renames", "-l100")
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short")


def _described(environment: dict[str, str], ids: list[str]) -> dict[str, Commit]:
    log = ("log", "--no-walk=unsorted", "--stdin", "--no-patch", "-z", "--encoding=UTF-8", _FORMAT)
    printed = _split(_output(environment, *log, asked=ids), b"\0")
    fields = [part.decode("utf-8", "replace") for part in printed]
    found: dict[str, Commit] = {}
    for at in range(0, len(fields) - _FIELDS + 1, _FIELDS):
        i, parents, author, seconds, message = fields[at : at + _FIELDS]
        time = int(seconds) if seconds.isdigit() else 0
        found[i] = Commit(i, len(parents.split()), author, time, message)
    return found


def _touched(environment: dict[str, str], ids: list[str]) -> dict[str, int]:
    """Count the files that commits touch; no content is read but for renames."""
    counts = dict.fromkeys(ids, 0)
    current = ""
    for part in _split(_output(environment, *_TREE, "--raw", "-z", asked=ids), b"\0"):
        if part.startswith(b":"):
            counts[current] += 1
        elif len(part) in (40, 64) and (name := part.decode("ascii", "replace")) in counts:
            current = name
    return counts


@dataclass(slots=True)
class _Section:
    """The part of a diff that belongs to one file.

    :param lines: from its first hunk on.
    """

    old: str = ""
    path: str = ""
    lines: list[bytes] = field(default_factory=list)
    size: int = 0

    def read(self, line: bytes) -> None:
        """Take in a line: of the head the names, of the hunks all, up to a bound."""
        if self.lines or line.startswith(b"@@"):
            self.size += len(line) + 1
            if self.size <= _MAX_SECTION:
                self.lines.append(line)
        elif line.startswith(b"--- "):
            self.old = _path(line)
        elif line.startswith(b"+++ "):
            self.path = _path(line) or self.old

    def text(self) -> str:
        """Return names and hunks as a patch has them."""
        old = f"a/{self.old}" if self.old else "/dev/null"
        return f"--- {old}\n+++ b/{self.path}\n{decoded(chr(10).encode().join(self.lines))}"


def _path(line: bytes) -> str:
    """Return the path of a line `--- a/path` or `+++ b/path`; "" for none."""
    name = line[4:].rstrip(b"\t\r").strip(b'"').decode("utf-8", "replace")
    return "" if name == "/dev/null" else name[2:]


def _patches(environment: dict[str, str], ids: list[str]) -> dict[str, list[_Section]]:
    """Read diffs. A line of a hunk never begins as the line of a commit or of a file does."""
    found: dict[str, list[_Section]] = {i: [] for i in ids}
    current = found[ids[0]]
    for line in _split(_output(environment, *_TREE, *_PLAIN, "--patch", asked=ids), b"\n"):
        if line.startswith(b"diff --git "):
            current.append(_Section())
        elif len(line) in (40, 64) and (name := line.decode("ascii", "replace")) in found:
            current = found[name]
        elif current:
            current[-1].read(line)
    return found
