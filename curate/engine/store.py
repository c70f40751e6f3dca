"""The store: every artefact under its key, shared by all runs, safe against kills.

    STORE/
      format.json                           the layout's version
      artefacts/<stage>-<key>/manifest.json written last: an artefact that has one is complete
      parts/<stage>-<key>/part.json         the result of one shard or unit; kept between runs
      work/<stage>-<key>/                   scratch of an unfinished stage: checkpoints, memos
      answers.sqlite                        what language models answered, under the questions
      batches.sqlite                        which questions a server was handed in which batch
      vectors.sqlite                        what embedding endpoints answered, under the texts
      locks/                                who is computing what
      tmp/                                  folders that become parts and artefacts by one rename

Everything is content-addressed and immutable once renamed into place, so a kill leaves at most
rubbish in `tmp/`. All paths inside are relative: a store can be moved or copied as a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock

from curate.account import Account
from curate.errors import BusyError, CurateError
from curate.schema import Kind
from curate.shards import (
    MANIFEST,
    Manifest,
    ShardError,
    ShardInfo,
    Shards,
    Side,
    checksum,
    join,
    open_side,
    read_manifest,
    verify,
    write_bytes,
)

STORE_FORMAT = 1
PART = "part.json"
_LOCK_POLL_SECONDS = 0.2
_RUN_LOCK = "run~"
_CLEANING = "cleaning"


def make_key(material: Any) -> str:
    """Hash JSON data to 20 hexadecimal digits; the order of dictionary keys does not matter."""
    text = json.dumps(material, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True)
class Artefact:
    """A finished artefact: its folder and what its manifest says."""

    folder: Path
    manifest: Manifest

    @property
    def key(self) -> str:
        return str(self.manifest.info["key"])

    @property
    def account(self) -> Account:
        return Account.from_dict(self.manifest.info["account"])

    @property
    def kind(self) -> Kind:
        kind: Kind = self.manifest.info["kind"]
        return kind

    def shards(self, side: str) -> Shards:
        """Open a side: `main`, `dropped` or another."""
        return open_side(self.folder, self.manifest.sides[side])

    def verified_folder(self) -> Path:
        """Return the folder of a model, after comparing its files with their checksums.

        :raises ShardError: naming the file that is missing or damaged.
        """
        found = folder_checksums(self.folder)
        for path, listed in self.manifest.info["notes"]["files"].items():
            if found.get(path) != listed:
                raise ShardError(
                    f"{self.folder / path}: missing or damaged; delete the folder {self.folder} and "
                    "run again"
                )
        return self.folder


@dataclass(frozen=True, slots=True)
class Part:
    """The finished result of one shard or unit: its shards by side, and its account."""

    folder: Path
    sides: dict[str, ShardInfo]
    account: Account

    @classmethod
    def read(cls, folder: Path) -> Part:
        """Read `part.json`.

        :raises ShardError: if it is missing or unreadable.
        """
        try:
            data = json.loads((folder / PART).read_bytes())
            sides = {name: ShardInfo(**info) for name, info in data["sides"].items()}
            return cls(folder, sides, Account.from_dict(data["account"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShardError(
                f"{folder / PART}: missing or damaged ({error}); delete its folder and run again"
            ) from None

    def write(self, folder: Path) -> None:
        """Write `part.json` into `folder`, which is still temporary."""
        data = {
            "sides": {name: asdict(info) for name, info in self.sides.items()},
            "account": self.account.to_dict(),
        }
        write_bytes(folder / PART, json.dumps(data).encode())


class Store:
    """A folder of artefacts and parts."""

    def __init__(self, root: Path, create: bool = True) -> None:
        """:param create: make the folder if it is missing; without it a missing store is empty."""
        self.root = root.absolute()
        self._check_format(create)

    def _check_format(self, create: bool) -> None:
        path = self.root / "format.json"
        if path.exists():
            found = _format_in(path)
            if found != STORE_FORMAT:
                raise CurateError(
                    f"{self.root}: store format {found!r}, this version reads {STORE_FORMAT}; "
                    "use another --output folder"
                )
            return
        if not create:
            return
        for name in ("artefacts", "parts", "work", "locks", "tmp"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps({"format": STORE_FORMAT}).encode())

    @property
    def answers(self) -> Path:
        """Where the answers of language models are recorded."""
        return self.root / "answers.sqlite"

    @property
    def batches(self) -> Path:
        """Where the batches that language models were handed are noted."""
        return self.root / "batches.sqlite"

    @property
    def vectors(self) -> Path:
        """Where the vectors of embedding endpoints are recorded."""
        return self.root / "vectors.sqlite"

    # -- artefacts ---------------------------------------------------------------------------

    def artefact_folder(self, name: str) -> Path:
        """Return where the artefact `<stage>-<key>` lies, or would lie."""
        return self.root / "artefacts" / name

    def find(self, name: str) -> Artefact | None:
        """Return a finished artefact, or None.

        :raises ShardError: if its manifest is missing or unreadable, or one of its shards is missing
            or has another length.
        """
        folder = self.artefact_folder(name)
        if not folder.exists():
            return None
        if not (folder / MANIFEST).exists():
            raise ShardError(f"{folder}: its {MANIFEST} is gone; delete the folder and run again")
        artefact = Artefact(folder, read_manifest(folder))
        for side in artefact.manifest.sides.values():
            for info in side.shards:
                path = Path(join(folder, info.path))
                if not path.is_file() or path.stat().st_size != info.bytes:
                    raise ShardError(
                        f"{path}: missing or cut; delete the folders {path.parent} and {folder}, "
                        "and run again"
                    )
        return artefact

    # -- parts -------------------------------------------------------------------------------

    def part_folder(self, name: str) -> Path:
        """Return where the part `<stage>-<key>` lies, or would lie."""
        return self.root / "parts" / name

    def find_part(self, name: str) -> Part | None:
        """Return a finished part, or None.

        :raises ShardError: naming the file, if it is damaged.
        """
        folder = self.part_folder(name)
        if not folder.exists():
            return None
        part = Part.read(folder)
        for info in part.sides.values():
            verify(folder / info.path, info)
        return part

    # -- writing -----------------------------------------------------------------------------

    @contextmanager
    def new_folder(self, target: Path) -> Iterator[Path]:
        """Give a temporary folder that becomes `target` by one rename when the block succeeds.

        If another process was faster, its folder stays: same key, same content.
        """
        with self._temporary() as temporary:
            yield temporary
            try:
                temporary.rename(target)
            except OSError:
                if not target.exists():
                    raise

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        owner = f"{os.getpid()}@{socket.gethostname()}"
        temporary = self.root / "tmp" / f"{owner}~{uuid.uuid4().hex}"
        temporary.mkdir(parents=True)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def work_folder(self, name: str) -> Path:
        """Return the scratch folder of the artefact `name`; it outlives a kill."""
        folder = self.root / "work" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget_work(self, name: str) -> None:
        """Remove the scratch of a finished artefact."""
        shutil.rmtree(self.root / "work" / name, ignore_errors=True)

    def discard(self, folder: Path) -> None:
        """Remove a folder: it vanishes at once, also if this process is killed meanwhile."""
        with self._temporary() as temporary:
            folder.rename(temporary / folder.name)

    def sweep(self) -> None:
        """Remove the temporary folders that killed processes of this host left behind."""
        for folder in (self.root / "tmp").iterdir():
            pid, _, host = folder.name.split("~")[0].partition("@")
            if host == socket.gethostname() and not _alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)

    # -- locks -------------------------------------------------------------------------------

    @contextmanager
    def in_use(self, on_wait: Callable[[str], None]) -> Iterator[None]:
        """Tell others that a run works here; waits while the store is being cleaned."""
        path = self.root / "locks" / f"{_RUN_LOCK}{os.getpid()}~{uuid.uuid4().hex}.lock"
        mine = filelock.FileLock(path)
        with self.lock(_CLEANING, True, on_wait, "the store is being cleaned"):
            mine.acquire()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            mine.release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep runs out of the store: those that begin meanwhile wait.

        :raises BusyError: if a run works in it, or another process is cleaning it.
        """
        with self.lock(_CLEANING, False, _say_nothing, "the store is being cleaned"):
            for path in sorted((self.root / "locks").glob(f"{_RUN_LOCK}*.lock")):
                left_behind = filelock.FileLock(path)
                try:
                    left_behind.acquire(blocking=False)
                except filelock.Timeout:
                    pid = path.name.removeprefix(_RUN_LOCK).split("~")[0]
                    raise BusyError(
                        f"{self.root}: the run of process {pid} works here; clean when it has ended"
                    ) from None
                path.unlink()
                left_behind.release()
            yield

    @contextmanager
    def lock(
        self, name: str, wait: bool, on_wait: Callable[[str], None], doing: str | None = None
    ) -> Iterator[None]:
        """Hold the artefact `name`; a second run waits, or is told who holds it.

        :param on_wait: called once, with a sentence, before waiting.
        :param doing: what the holder does, in words; by default it computes the artefact.
        :raises BusyError: if it is held and `wait` is false.
        """
        path = self.root / "locks" / f"{name}.lock"
        lock = filelock.FileLock(path)
        holder = path.with_suffix(".json")
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            message = f"{doing or f'{name} is being computed'} by {_read_holder(holder)}"
            if not wait:
                raise BusyError(f"{message}; wait for it, or run without --no-wait") from None
            on_wait(f"{message}; waiting")
            lock.acquire(poll_interval=_LOCK_POLL_SECONDS)
        try:
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            who = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
            write_bytes(holder, json.dumps(who).encode())
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def _format_in(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())["format"]
    except (ValueError, KeyError, TypeError):
        return "unknown"


def _say_nothing(_: str) -> None:
    """Ignore a sentence: who does not wait has nothing to tell."""


def _read_holder(path: Path) -> str:
    try:
        who = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return "another run"
    return f"process {who['pid']} on {who['host']} since {who['since']}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def folder_checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of every file below `folder`, by relative path, in order."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): checksum(p) for p in files}


def side_from_parts(parts: list[Part], side: str, kind: Kind, folder: Path) -> Side:
    """List the shards of one side of all parts, by paths relative to the artefact's folder."""
    shards = []
    for part in parts:
        if (info := part.sides.get(side)) is not None and info.rows:
            path = os.path.relpath(join(part.folder, info.path), folder)
            shards.append(ShardInfo(path, info.rows, info.bytes, info.checksum))
    return Side(kind, shards, dropped=side == "dropped")
