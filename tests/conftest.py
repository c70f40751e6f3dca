from dataclasses import dataclass, field
from types import SimpleNamespace

import pyarrow as pa
import pytest

from curate.schema import SCHEMAS, drop_schema, to_table
from curate.shards import Shards, write_shard
from curate.stage import Inputs
from tests.contracts.records import static_model


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A tiny static model that is the same wherever the tests run."""
    return static_model(tmp_path_factory.mktemp("model"))


@dataclass
class MemoryContext:
    """A context whose memos live as long as it does."""

    threads: int = 2
    folder: object = None
    vectors: object = None
    memos: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)

    def memo(self, name, compute):
        if name not in self.memos:
            self.memos[name] = compute()
        return self.memos[name]

    def progress(self, done, total, unit="rows"):
        assert 0 <= done <= total

    def note(self, **facts):
        self.notes.update(facts)


@pytest.fixture
def run_global(tmp_path):
    """Run a global stage over records, cut into shards and batches, and check its accounts."""

    def run(stage, records, kind="pairs", shards=2, batch=7):
        stage.check()
        stage.gives(kind)
        table = to_table(records, kind)
        size = max(-(-len(table) // shards), 1)
        files = []
        for number in range(shards):
            name = f"{len(list(tmp_path.iterdir()))}.arrow"
            info = write_shard(tmp_path, name, table.slice(number * size, size))
            files.append((str(tmp_path / name), info))
        main, context = Shards(kind, files), MemoryContext()
        fitted = stage.fit(Inputs(main), context)
        outcomes, start = [], 0
        for shard in main.tables():
            for offset in range(0, len(shard), batch):
                rows = shard.slice(offset, batch)
                outcomes.append(stage.apply(rows, start, fitted))
                start += len(rows)
        kept = pa.concat_tables([SCHEMAS[kind].empty_table(), *(o.kept for o in outcomes)])
        dropped = pa.concat_tables(
            [drop_schema(kind).empty_table(), *(o.dropped for o in outcomes)]
        )
        sides = {
            name: pa.concat_tables([o.sides[name] for o in outcomes])
            for name in (outcomes[0].sides if outcomes else {})
        }
        assert kept.schema.equals(SCHEMAS[kind])
        assert dropped.schema.equals(drop_schema(kind))
        assert sum(o.kept_inputs for o in outcomes) + len(dropped) == len(table)
        return SimpleNamespace(kept=kept, dropped=dropped, sides=sides, notes=context.notes)

    return run
