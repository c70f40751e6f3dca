"""Shards: uncompressed Arrow IPC files of records, written atomically and listed in a manifest.

Uncompressed because a memory-mapped shard is then read at the speed of memory, a column or a row at a
time, without copying. Every path may be local or a URI that `pyarrow.fs` knows (`s3://`, `gs://`).

A manifest names its shards by paths relative to its own folder, so a folder of them can be moved.
It groups them by *side*: `main` is what a stage keeps, `dropped` what it rejects with the reason,
and a stage may have others (`held_out`). What opens a shard compares length and checksum first.
"""

from __future__ import annotations

import json
import os
import posixpath
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import xxhash

from curate.errors import CurateError
from curate.schema import SCHEMAS, Kind, drop_schema

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1
MANIFEST = "manifest.json"
# Rows in one Arrow record batch. Fixed, so that the bytes of a shard depend on its rows alone and
# not on the batches in which they arrived.
ROWS_PER_BATCH = 4096
_HASH_BLOCK = 1 << 24

PathLike = str | Path


class ShardError(CurateError):
    """A shard or manifest is missing, damaged or of another format. The message names the file."""


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """What a manifest knows of a shard; `path` is relative to the manifest's folder."""

    path: str
    rows: int
    bytes: int
    checksum: str


@dataclass(slots=True)
class Side:
    """One group of shards with one schema."""

    kind: Kind
    shards: list[ShardInfo] = field(default_factory=list)
    dropped: bool = False

    @property
    def schema(self) -> pa.Schema:
        return drop_schema(self.kind) if self.dropped else SCHEMAS[self.kind]

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)


@dataclass(slots=True)
class Manifest:
    """The list of a folder's shards by side; `info` holds what the writer wants remembered."""

    sides: dict[str, Side]
    info: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT


def filesystem(path: PathLike) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a path or URI, and the path inside it."""
    text = str(path)
    if "://" in text:
        fs, inner = pafs.FileSystem.from_uri(text)
        return fs, inner
    return pafs.LocalFileSystem(), text


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write a small file atomically: readers see the old content or the new, never a part."""
    fs, target = filesystem(path)
    temporary = f"{target}.{uuid.uuid4().hex}.tmp"
    with fs.open_output_stream(temporary) as stream:
        stream.write(data)
    fs.move(temporary, target)


def read_bytes(path: PathLike) -> bytes:
    """Read a whole small file."""
    fs, target = filesystem(path)
    with fs.open_input_stream(target) as stream:
        return bytes(stream.read())


class _HashingStream:
    """A sink that counts and hashes what passes through it."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self.stream = stream
        self.hash = xxhash.xxh3_128()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        self.hash.update(data)
        self.bytes += len(data)
        self.stream.write(data)
        return len(data)

    def flush(self) -> None:
        self.stream.flush()

    def close(self) -> None:
        self.closed = True
        self.stream.close()


class ShardWriter:
    """Write one shard from tables as they come; a context manager.

    The file appears under its name only when the block ends without an error. `info` is set then.
    """

    def __init__(self, folder: PathLike, name: str, schema: pa.Schema) -> None:
        self.name = name
        self.schema = schema
        self.rows = 0
        self.info: ShardInfo | None = None
        self._fs, root = filesystem(folder)
        self._target = posixpath.join(root, name)
        self._temporary = f"{self._target}.{uuid.uuid4().hex}.tmp"
        self._stream = _HashingStream(self._fs.open_output_stream(self._temporary))
        self._ipc = pa.ipc.new_file(pa.PythonFile(self._stream, "w"), schema)
        self._pending: list[pa.Table] = []
        self._pending_rows = 0

    def write(self, table: pa.Table) -> None:
        """Add rows. `table` must have the writer's schema."""
        if not table.schema.equals(self.schema):
            raise ValueError(f"{self.name}: schema differs from the shard's: {table.schema.names}")
        self._pending.append(table)
        self._pending_rows += len(table)
        if self._pending_rows >= ROWS_PER_BATCH:
            self._flush(whole_batches=True)

    def _flush(self, whole_batches: bool) -> None:
        rows = pa.concat_tables([*self._pending, self.schema.empty_table()])
        end = len(rows) - len(rows) % ROWS_PER_BATCH if whole_batches else len(rows)
        for start in range(0, end, ROWS_PER_BATCH):
            piece = rows.slice(start, min(ROWS_PER_BATCH, end - start)).combine_chunks()
            # Taken, not only cut: a slice is written with the padding of the table that it is cut
            # from, and with what lies under its nulls.
            piece = piece.take(pa.array(range(len(piece))))
            self._ipc.write_table(piece, max_chunksize=ROWS_PER_BATCH)
        self._pending = [rows.slice(end)]
        self._pending_rows = len(rows) - end
        self.rows += end

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed is None:
            self._flush(whole_batches=False)
        self._ipc.close()
        self._stream.close()
        if failed is not None:
            self._fs.delete_file(self._temporary)
            return
        self._fs.move(self._temporary, self._target)
        self.info = ShardInfo(
            self.name, self.rows, self._stream.bytes, self._stream.hash.hexdigest()
        )


def write_shard(folder: PathLike, name: str, table: pa.Table) -> ShardInfo:
    """Write `table` as the shard `name` of `folder`, atomically."""
    with ShardWriter(folder, name, table.schema) as writer:
        writer.write(table)
    assert writer.info is not None
    return writer.info


def checksum(path: PathLike) -> str:
    """Return the XXH3 128-bit hash of a file, in hexadecimal."""
    fs, target = filesystem(path)
    digest = xxhash.xxh3_128()
    if isinstance(fs, pafs.LocalFileSystem):
        if fs.get_file_info(target).size:
            with pa.memory_map(target) as mapped:
                while block := mapped.read_buffer(_HASH_BLOCK):
                    digest.update(block)
    else:
        with fs.open_input_stream(target) as stream:
            while block := stream.read_buffer(_HASH_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def verify(path: PathLike, info: ShardInfo) -> None:
    """Compare a shard with its manifest entry.

    :raises ShardError: if it is missing, truncated or has a byte changed.
    """
    fs, target = filesystem(path)
    found = fs.get_file_info(target)
    if found.type != pafs.FileType.File:
        raise ShardError(f"{path}: the shard is missing; remove the artefact and run again")
    if found.size != info.bytes:
        raise ShardError(
            f"{path}: {found.size:,} bytes where the manifest says {info.bytes:,}: truncated or "
            "replaced; restore it, or delete its folder and run again"
        )
    actual = checksum(path)
    if actual != info.checksum:
        raise ShardError(
            f"{path}: checksum {actual} where the manifest says {info.checksum}: damaged; restore "
            "it, or delete its folder and run again"
        )


def open_shard(path: PathLike, info: ShardInfo | None = None) -> pa.Table:
    """Open a shard, memory-mapped where it is local; verify it first where `info` is given.

    :raises ShardError: if it is missing, damaged, or not an Arrow IPC file.
    """
    if info is not None:
        verify(path, info)
    fs, target = filesystem(path)
    try:
        local = isinstance(fs, pafs.LocalFileSystem)
        source = pa.memory_map(target) if local else fs.open_input_file(target)
        return pa.ipc.open_file(source).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise ShardError(f"{path}: not a readable Arrow IPC file: {error}") from error


def join(folder: PathLike, relative: str) -> str:
    """Join a manifest's folder and a shard's relative path; works for URIs too."""
    text = str(folder)
    if "://" in text:
        scheme, rest = text.split("://", 1)
        return f"{scheme}://{posixpath.normpath(posixpath.join(rest, relative))}"
    # A run refers to artefacts by links: `..` must start from where the folder really lies.
    return posixpath.normpath(posixpath.join(os.path.realpath(text), relative))


def write_manifest(folder: PathLike, manifest: Manifest) -> None:
    """Write `manifest.json`, last and atomically: its presence says that the folder is complete."""
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False)
    write_bytes(join(folder, MANIFEST), text.encode())


def read_manifest(folder: PathLike) -> Manifest:
    """Read `manifest.json`.

    :raises ShardError: if there is none, or it is of another format.
    """
    path = join(folder, MANIFEST)
    try:
        data = json.loads(read_bytes(path))
    except FileNotFoundError:
        raise ShardError(f"{path}: no manifest here; give the folder that holds one") from None
    except ValueError as error:
        raise ShardError(f"{path}: not valid JSON: {error}") from error
    try:
        if data["format"] != FORMAT:
            raise ShardError(f"{path}: format {data['format']!r}, this version reads {FORMAT}")
        sides = {
            name: Side(side["kind"], [ShardInfo(**s) for s in side["shards"]], side["dropped"])
            for name, side in data["sides"].items()
        }
        return Manifest(sides, data["info"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ShardError(f"{path}: not a manifest of shards: {error!r}") from None


class Shards:
    """The shards of one side of one or several manifests: a read-only table, never loaded whole.

    A shard is verified when it is first opened. In a notebook it shows itself as a table.
    """

    def __init__(
        self, kind: Kind, shards: Sequence[tuple[str, ShardInfo]], dropped: bool = False
    ) -> None:
        """:param shards: the path and the manifest entry of each shard, in order."""
        self.kind = kind
        self.dropped = dropped
        self.files = list(shards)
        self._open: dict[int, pa.Table] = {}

    @property
    def schema(self) -> pa.Schema:
        return drop_schema(self.kind) if self.dropped else SCHEMAS[self.kind]

    @property
    def count(self) -> int:
        """The number of shards."""
        return len(self.files)

    def __len__(self) -> int:
        return sum(info.rows for _, info in self.files)

    def __add__(self, other: Shards) -> Shards:
        if (self.kind, self.dropped) != (other.kind, other.dropped):
            raise ValueError(f"cannot join {self.kind} and {other.kind}")
        return Shards(self.kind, self.files + other.files, self.dropped)

    def shard(self, index: int) -> pa.Table:
        """Return shard `index`, memory-mapped and verified."""
        if index not in self._open:
            self._open[index] = open_shard(*self.files[index])
        return self._open[index]

    def tables(self) -> Iterator[pa.Table]:
        """Yield the shards one after another."""
        return (self.shard(index) for index in range(self.count))

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """Yield tables of at most `rows` rows; none spans two shards."""
        for table in self.tables():
            for start in range(0, len(table), rows):
                yield table.slice(start, rows)

    def to_arrow(self, columns: list[str] | None = None) -> pa.Table:
        """Return all rows as one table over the memory-mapped files, nothing copied."""
        names = columns or self.schema.names
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.concat_tables([*(t.select(names) for t in self.tables()), schema.empty_table()])

    def to_polars(self, columns: list[str] | None = None) -> pl.DataFrame:
        """Return all rows, or some columns of them, as a polars DataFrame."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow(columns))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def find(self, record_id: str) -> pa.Table:
        """Return the rows whose `id` is, or starts with, `record_id`."""
        hits = [t.filter(pc.starts_with(t["id"], record_id)) for t in self.tables()]
        return pa.concat_tables([*hits, self.schema.empty_table()])

    def __repr__(self) -> str:
        dropped = "dropped " if self.dropped else ""
        return f"Shards({len(self):,} {dropped}{self.kind} in {self.count} shards)"

    def _repr_html_(self) -> str:
        import polars as pl

        head = next(self.batches(10), self.schema.empty_table())
        wanted = ("kind", "query", "title", "text", "source", "license", "group", "drop_reason")
        shown = head.select([name for name in wanted if name in self.schema.names])
        frame = pl.from_arrow(shown)
        assert isinstance(frame, pl.DataFrame)
        return f"<p>{escape(repr(self))}</p>{frame._repr_html_()}"


def read_shards(path: PathLike, side: str = "main") -> Shards:
    """Open a folder of shards with a manifest: a stage's artefact or the output of `shards`.

    :param side: `main`, `dropped`, or another side that the manifest lists.
    :raises ShardError: if there is no manifest or no such side.
    """
    manifest = read_manifest(path)
    if side not in manifest.sides:
        raise ShardError(f"{path}: no side {side!r}; it has {sorted(manifest.sides)}")
    return open_side(path, manifest.sides[side])


def open_side(folder: PathLike, side: Side) -> Shards:
    """Return the shards of one side of the manifest that lies in `folder`."""
    files = [(join(folder, info.path), info) for info in side.shards]
    return Shards(side.kind, files, side.dropped)
