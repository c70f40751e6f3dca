"""One part: the result of a stage on one shard, one unit or one batch range, written to the store.

The functions here run in worker processes. A part is written to a temporary folder, batch by batch,
and appears in the store by one rename, so a kill leaves it either whole or absent.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.account import Account, AccountingError
from curate.engine.pieces import PieceWriter, read_pieces
from curate.engine.store import Part, Store
from curate.engine.usage import give_back
from curate.schema import SCHEMAS, Kind, Passage, Record, drop_schema, to_table
from curate.shards import ShardInfo, ShardWriter, open_shard
from curate.stage import (
    DROPPED,
    MAIN,
    Ask,
    Drop,
    Found,
    Global,
    Joined,
    Map,
    Outcome,
    Piece,
    Source,
    Unit,
)

if TYPE_CHECKING:
    from curate.llm.recorded import Recorded


_COLLECT_AFTER = 200_000
"""New objects in a worker between two searches for garbage in circles. Records are many and hold none:
with Python's 700 (2,000 since 3.13) a sixth of the time of a harvest goes into the search."""
_LONG_SECONDS = 0.5
"""After a job of so many seconds a worker gives memory back, which takes 30 ms; others hold little."""


@dataclass(frozen=True, slots=True)
class Job(ABC):
    """All that a worker needs to make one part."""

    store: Path
    part: str
    kinds: dict[str, Kind]
    batch: int

    def make(self) -> int:
        """Make the part and return the number of its inputs."""
        return write_part(Store(self.store), self.part, self.kinds, self.outcomes()).account.inputs

    @abstractmethod
    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Give the number of inputs, and what became of them, batch by batch."""


@dataclass(frozen=True, slots=True)
class MapShard(Job):
    """Map one shard."""

    stage: Map
    shard: tuple[str, ShardInfo]

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        table = open_shard(*self.shard)
        for start in range(0, len(table), self.batch):
            rows = table.slice(start, self.batch)
            yield len(rows), self.stage.map(rows)


@dataclass(frozen=True, slots=True)
class ReadBlock(Job):
    """Read one block of a source."""

    stage: Source
    block: Unit

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        return _outcomes(self.stage, _whole(self.stage.harvest(self.block)), self.batch)


@dataclass(frozen=True, slots=True)
class ReadPieces(ReadBlock):
    """Read one block of a source whose pairs are joined: its pieces go to scratch files."""

    scratch: Path
    buckets: int

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        writer = PieceWriter(self.scratch, self.part, self.buckets)
        whole = self._sorted(writer)
        yield from _outcomes(self.stage, whole, self.batch)
        writer.close()

    def _sorted(self, writer: PieceWriter) -> Iterator[list[Record] | Drop]:
        for found in self.stage.harvest(self.block):
            if isinstance(found, Piece):
                writer.add(found)
            else:
                yield found


@dataclass(frozen=True, slots=True)
class JoinPieces(Job):
    """Join the pieces of some buckets."""

    stage: Joined
    scratch: Path
    blocks: list[str]
    buckets: range

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        return _outcomes(self.stage, self._joined(), self.batch)

    def _joined(self) -> Iterator[list[Record] | Drop]:
        for key, pieces in read_pieces(self.scratch, self.blocks, self.buckets):
            fates = 0
            for fates, fate in enumerate(self.stage.join(key, pieces), 1):  # noqa: B007
                yield fate
            if fates != sum(piece.counts for piece in pieces):
                raise AccountingError(f"{self.part}: {fates} fates for the pieces of {key!r}")


def make(job: Job) -> int:
    """Do a job in a worker."""
    started = time.monotonic()
    made = job.make()
    if time.monotonic() - started > _LONG_SECONDS:
        give_back()
    return made


def apply_global(
    stage: Global, table: pa.Table, start: int, fitted: Any, batch: int
) -> Iterator[tuple[int, Outcome]]:
    """Apply a fitted global stage to one shard, batch by batch."""
    for offset in range(0, len(table), batch):
        rows = table.slice(offset, batch)
        yield len(rows), stage.apply(rows, start + offset, fitted)


def ask_about(
    stage: Ask, table: pa.Table, fitted: Any, model: Recorded
) -> Iterator[tuple[int, Outcome]]:
    """Have a stage ask a language model about some rows."""
    outcome = stage.ask(table, fitted, model)
    outcome.asked = model.take_asked()
    # Without input records the inputs are what the model answered.
    yield len(table) if stage.takes else outcome.kept_inputs + len(outcome.dropped), outcome


def write_part(
    store: Store, name: str, kinds: dict[str, Kind], outcomes: Iterator[tuple[int, Outcome]]
) -> Part:
    """Write the outcomes of some inputs as the part `name`.

    :param kinds: the kind of each side, the dropped one too.
    :param outcomes: the number of inputs, and what became of them, batch by batch.
    :raises AccountingError: if an input got lost.
    """
    account = Account()
    target = store.part_folder(name)
    with store.new_folder(target) as folder, ExitStack() as stack:
        writers = {
            side: stack.enter_context(ShardWriter(folder, f"{side}.arrow", _schema(side, kind)))
            for side, kind in kinds.items()
        }
        for inputs, outcome in outcomes:
            _count(account, inputs, outcome)
            account.check(f"{name}: after {account.inputs} inputs")
            writers[MAIN].write(outcome.kept)
            writers[DROPPED].write(outcome.dropped)
            for side, table in outcome.sides.items():
                writers[side].write(table)
        stack.close()
        sides = {side: writer.info for side, writer in writers.items() if writer.info}
        part = Part(target, sides, account)
        part.write(folder)
    return part


def _schema(side: str, kind: Kind) -> pa.Schema:
    return drop_schema(kind) if side == DROPPED else SCHEMAS[kind]


def _count(account: Account, inputs: int, outcome: Outcome) -> None:
    account.inputs += inputs
    account.kept += outcome.kept_inputs
    account.count_drops(outcome.dropped)
    account.count_asked(outcome.asked)
    account.count_outputs(MAIN, outcome.kept)
    for side, table in outcome.sides.items():
        account.count_outputs(side, table)


def _whole(found: Iterator[Found]) -> Iterator[list[Record] | Drop]:
    """Pass on what a source found that joins nothing."""
    for item in found:
        assert not isinstance(item, Piece), "only a source of the shape `Joined` leaves pieces"
        yield item


def _outcomes(
    stage: Source, found: Iterator[list[Record] | Drop], batch: int
) -> Iterator[tuple[int, Outcome]]:
    main = stage.gives(None)[MAIN]
    if not stage.licenses.any:
        found = (_licensed(stage, fate) for fate in found)
    records: list[Record] = []
    drops: list[Drop] = []
    kept = 0
    for fate in found:
        if isinstance(fate, Drop):
            drops.append(fate)
        else:
            records.extend(fate)
            kept += 1
        if len(records) + len(drops) >= batch:
            yield kept + len(drops), _outcome(stage, main, records, drops, kept)
            records, drops, kept = [], [], 0
    yield kept + len(drops), _outcome(stage, main, records, drops, kept)


def _licensed(stage: Source, found: list[Record] | Drop) -> list[Record] | Drop:
    """Drop an input if a record of it has a licence that the recipe does not take."""
    if isinstance(found, Drop):
        return found
    for record in found:
        if refusal := stage.licenses.refusal(record.license):
            text = record.text if isinstance(record, Passage) else record.query
            return Drop("license", refusal, record.source, record.url, text)
    return found


def _outcome(
    stage: Source, main: Kind, records: list[Record], drops: list[Drop], kept: int
) -> Outcome:
    by_kind: dict[Kind, list[Record]] = {"pairs": [], "passages": []}
    for record in records:
        by_kind["passages" if isinstance(record, Passage) else "pairs"].append(record)
    sides = {
        side: to_table(by_kind[kind], kind)
        for side, kind in stage.gives(None).items()
        if side != MAIN
    }
    return Outcome(to_table(by_kind[main], main), drop_table(drops, main), kept, sides)


def drop_table(drops: list[Drop], kind: Kind) -> pa.Table:
    """Turn the drops of a source into a table with the drop schema of `kind`."""
    schema = drop_schema(kind)
    text_column = "query" if kind == "pairs" else "text"
    known = {
        "source": [drop.source for drop in drops],
        "url": [drop.url for drop in drops],
        text_column: [drop.text for drop in drops],
        "drop_reason": [drop.reason for drop in drops],
        "drop_detail": [drop.detail for drop in drops],
    }
    columns = [
        pa.array(known[f.name], f.type) if f.name in known else pa.nulls(len(drops), f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def start_worker() -> None:
    """Prepare a worker process: it ends when its parent does, however the parent ends."""
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
