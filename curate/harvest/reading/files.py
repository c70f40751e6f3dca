"""Outside files, as the user names them."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import xxhash

from curate.harvest.reading import bounds

_WHOLE_BYTES = 1 << 30
SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
"""What a packed file's name ends in; how it is packed is read from its content."""


@dataclass(frozen=True, slots=True)
class File:
    """A file, or the member of an archive that is to be read as a stream.

    :param name: the path below the folder that the user named, with `/`; of a member `archive/member`.
    """

    path: Path
    name: str
    member: str | None = None


def find(path: str, patterns: Iterable[str] = ("*",)) -> list[File]:
    """List files in a fixed order: one file, all that match in a folder, or a glob.

    :param path: a file, a folder, or a glob (`dumps/RC_*.zst`; `**` for any depth).
    :param patterns: globs of the names to read below a folder; each also matches with a suffix of
        `SUFFIXES` behind it.
    :raises ValueError: if nothing is there, or nothing in it matches.
    """
    root = Path(path).expanduser()
    if root.is_file():
        return [File(root, _shown(root.name))]
    if root.is_dir():
        wanted = [*patterns, *(f"{p}{suffix}" for p in patterns for suffix in SUFFIXES)]
        found = {f for pattern in wanted for f in root.rglob(pattern) if f.is_file()}
        found = {f for f in found if not any(p.startswith(".") for p in f.relative_to(root).parts)}
        if not found:
            raise ValueError(f"path: {path!r} holds no {' or '.join(patterns)}")
        files = (File(f, _shown(f.relative_to(root).as_posix())) for f in found)
        return sorted(files, key=_by_name)
    paths = [Path(p) for p in sorted(glob.glob(str(root), recursive=True)) if Path(p).is_file()]
    if not paths:
        raise ValueError(f"path: {path!r} is neither a file nor a folder, and matches none")
    return [File(p, _shown(p.name)) for p in paths]


def _shown(name: str) -> str:
    """Return a file's name as text; one that is not in UTF-8 has lone surrogates."""
    return name.encode("utf-8", "replace").decode()


def _by_name(file: File) -> str:
    return file.name


def fingerprint(path: Path) -> str:
    """Hash the content of a file; of one above 1 GiB its size and 64 samples of 1 MiB."""
    size = path.stat().st_size
    digest = xxhash.xxh3_128(str(size).encode())
    with path.open("rb") as opened:
        if size <= _WHOLE_BYTES:
            while data := opened.read(bounds.READ_BYTES):
                digest.update(data)
        else:
            for sample in range(64):
                opened.seek(sample * (size - bounds.READ_BYTES) // 63)
                digest.update(opened.read(bounds.READ_BYTES))
    return digest.hexdigest()


def plain_name(name: str) -> str:
    """Return a name without the suffix of a packed file."""
    return next((name[: -len(s)] for s in SUFFIXES if name.lower().endswith(s)), name)
