"""The texts that a deduplicating stage compares, read from memory-mapped shards when they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import first_positive
from curate.shards import Shards
from curate.text.minhash import Shingling
from curate.text.minhash.shingling import shingle_chunks

TextOf = Literal["query", "passage"]


def texts_of(table: pa.Table, side: TextOf) -> pa.ChunkedArray:
    """Return the text of each record: the query, or the passage, of pairs the first positive's."""
    if "text" in table.column_names:
        return table["text"]
    return table["query"] if side == "query" else first_positive(table)


class RecordTexts:
    """The texts of one side of n records, by row: queries, or passages, of pairs the first positives.

    Nothing is held but where each batch of records starts.
    """

    def __init__(self, records: Shards, side: TextOf) -> None:
        pairs = "query" if side == "query" else "positives"
        name = "text" if records.kind == "passages" else pairs
        self._chunks = records.to_arrow([name])[name].chunks
        self._starts = np.cumsum([0, *map(len, self._chunks)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def slice(self, start: int, stop: int) -> TextRun:
        """Return the texts of some rows that follow each other."""
        return TextRun(self, start, stop)

    def of_chunks(self, start: int, stop: int) -> Iterator[pa.Array]:
        """Give the texts from `start` to `stop`, some thousand at a time."""
        for chunk, begin in zip(self._chunks, self._starts, strict=False):
            low, high = max(start - begin, 0), min(stop - begin, len(chunk))
            if low < high:
                some = chunk.slice(low, high - low)
                values, places = _first_places(some)
                yield values if values is some else values.take(pa.array(places, mask=places < 0))

    def take(self, rows: np.ndarray) -> pa.Array:
        """Return the texts of some rows, int64, ascending."""
        found = [
            values.take(pa.array(places, mask=places < 0)) for values, places in self._found(rows)
        ]
        return pa.concat_arrays([*found, pa.array([], pa.string())])

    def shingles(
        self, rows: np.ndarray, shingling: Shingling
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the shingles of the texts of some rows, as `shingle_chunks` does."""
        chunks = shingle_chunks(self.take(rows), shingling)
        return ((hashes, offsets) for _, hashes, offsets in chunks)

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Return the sizes of the texts of some rows, int64, ascending, in bytes."""
        found = [np.zeros(0, np.int64)]
        for values, places in self._found(rows):
            sizes = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)
            found.append(np.where(places < 0, 0, np.append(sizes, 0)[places]))
        return np.concatenate(found)

    def _found(self, rows: np.ndarray) -> Iterator[tuple[pa.Array, np.ndarray]]:
        """Give for each batch that is asked for its texts, and the places of the rows among them."""
        ends = np.searchsorted(rows, self._starts)
        for number in np.flatnonzero(ends[:-1] < ends[1:]):
            values, places = _first_places(self._chunks[number])
            yield values, places[rows[ends[number] : ends[number + 1]] - self._starts[number]]


@dataclass(frozen=True, slots=True)
class TextRun:
    """Texts that follow each other; they are read while `chunks` is gone through."""

    texts: RecordTexts
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def chunks(self) -> Iterator[pa.Array]:
        return self.texts.of_chunks(self.start, self.stop)


def _first_places(chunk: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return texts, and where that of each row stands among them; -1 where there is none."""
    if not pa.types.is_list(chunk.type):
        return chunk, np.arange(len(chunk))
    lengths = pc.fill_null(pc.list_value_length(chunk), 0).to_numpy(zero_copy_only=False)
    starts = chunk.offsets.to_numpy()[:-1].astype(np.int64)
    return pc.struct_field(chunk.values, "text"), np.where(lengths > 0, starts, -1)
