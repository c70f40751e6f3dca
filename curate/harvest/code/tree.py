"""Finds code below a folder: source files with the package they belong to, archives, repositories.

Links are not followed: what they lead to inside the folder is read where it lies, and what lies outside
was not given to be read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from curate.harvest.code.definitions import plain
from curate.harvest.code.git import GitError, Repository, address_of, is_repository, opened
from curate.harvest.code.grammars import language_of
from curate.harvest.code.packages import (
    MAX_MANIFEST_BYTES,
    Package,
    is_manifest,
    merged,
    package_of,
)
from curate.harvest.reading.files import File, fingerprint
from curate.stage import Drop

ARCHIVES = (".whl", ".zip", ".jar", ".tar", ".tgz", ".crate")
PACKED_ARCHIVES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_GIT = ".git"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that says something of the package it holds.

    :param name: the path below the folder that is harvested; "" for that folder itself.
    :param manifests: manifests and licence texts that lie in it.
    """

    path: Path
    name: str
    manifests: tuple[File, ...]

    def facts(self) -> list[str]:
        """Return what decides what the folder says."""
        said = [f"{file.name}\0{fingerprint(file.path)}" for file in self.manifests]
        return [self.name, str(address_of(self.path / _GIT)), *said]

    def package(self) -> Package:
        """Read what the folder says."""
        contents: dict[str, bytes] = {}
        for file in self.manifests:
            try:
                if file.path.stat().st_size <= MAX_MANIFEST_BYTES:
                    contents[file.name] = file.path.read_bytes()
            except OSError:
                continue  # what cannot be read says nothing
        return merged([package_of(contents), Package(url=address_of(self.path / _GIT))])


@dataclass(slots=True)
class Found:
    """What lies below a folder, in a fixed order.

    :param sources: source files by the folders that say something of their package, outermost first.
    """

    sources: dict[tuple[Folder, ...], list[File]] = field(default_factory=dict)
    archives: list[File] = field(default_factory=list)
    repositories: list[Repository] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)


def is_archive_name(name: str) -> bool:
    """Tell by its name whether a file is an archive of code."""
    return name.lower().endswith((*ARCHIVES, *PACKED_ARCHIVES))


def is_source_name(path: str, skip: re.Pattern[str] | None) -> bool:
    """Tell by its name whether a file is code that is to be read."""
    return language_of(path) is not None and not (skip and skip.match(f"/{path}"))


def search(root: Path, skip: re.Pattern[str] | None) -> Found:
    """Walk through a folder, sorted, past hidden folders and those that are skipped."""
    found = Found()
    if is_repository(root):
        _add_repository(found, root, plain(root.name))
        return found
    stack: list[tuple[Path, str, tuple[Folder, ...]]] = [(root, "", ())]
    while stack:
        folder, name, chain = stack.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            detail = f"{name or plain(root.name)}: {error.strerror or error}"
            found.drops.append(Drop("unreadable", detail))
            continue
        files = [_file(entry, name) for entry in entries if entry.is_file(follow_symlinks=False)]
        chain = (*chain, *_says(folder, name, files))
        _sort(files, chain, skip, found)
        below = []
        for entry in entries:
            path, label = Path(entry.path), _below(name, entry.name)
            if entry.is_symlink():
                found.drops += _leads_out(root, path, label, skip)
            elif entry.is_dir(follow_symlinks=False):
                if is_repository(path):
                    _add_repository(found, path, label)
                elif not entry.name.startswith(".") and not (skip and skip.match(f"/{label}/")):
                    below.append((path, label, chain))
        stack.extend(reversed(below))
    return found


def _below(folder: str, name: str) -> str:
    return plain(f"{folder}/{name}" if folder else name)


def _file(entry: os.DirEntry[str], folder: str) -> File:
    return File(Path(entry.path), _below(folder, entry.name))


def _says(folder: Path, name: str, files: list[File]) -> Iterator[Folder]:
    manifests = tuple(file for file in files if is_manifest(file.name))
    if manifests or (folder / _GIT).is_dir():
        yield Folder(folder, name, manifests)


def _sort(
    files: list[File], chain: tuple[Folder, ...], skip: re.Pattern[str] | None, found: Found
) -> None:
    for file in files:
        if file.path.name.startswith("."):
            continue
        if is_archive_name(file.name):
            if not (skip and skip.match(f"/{file.name}")):
                found.archives.append(file)
        elif is_source_name(file.name, skip):
            found.sources.setdefault(chain, []).append(file)


def _add_repository(found: Found, folder: Path, name: str) -> None:
    try:
        found.repositories.append(opened(folder, name))
    except GitError as error:
        found.drops.append(Drop("unreadable", f"{name}: a git repository: {error}", "code/git"))


def _leads_out(root: Path, path: Path, name: str, skip: re.Pattern[str] | None) -> Iterator[Drop]:
    """Drop a link that leads out of the folder to what would be read."""
    try:
        target = path.resolve()
        inside = target.is_relative_to(root.resolve())
        wanted = target.is_dir() or is_source_name(name, skip) or is_archive_name(name)
    except (OSError, RuntimeError):  # a loop
        return
    if wanted and not inside:
        yield Drop("outside", f"{name}: a link that leads out of the folder")


def package_in(chain: tuple[Folder, ...], fallback: str) -> Package:
    """Return the package that files belong to: named by the outermost folder, licensed by the nearest.

    :param fallback: its name where no manifest gives one.
    """
    stated = [folder.package() for folder in chain]
    if not stated:
        return Package(fallback)
    outer = stated[0]
    licenses = [Package(license=package.license) for package in reversed(stated)]
    named = Package(outer.name, outer.version, url=outer.url)
    return merged(
        [*licenses, named, Package(chain[0].name.rpartition("/")[2] or fallback), *stated]
    )
