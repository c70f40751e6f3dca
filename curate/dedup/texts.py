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
                yield some if _is_text(some) else _taken(*_firsts(some, np.arange(len(some))))

    def take(self, rows: np.ndarray) -> pa.Array:
        """Return the texts of some rows, int64, ascending."""
        found = [_taken(values, places) for values, places in self._found(rows)]
        return pa.concat_arrays([*found, pa.array([], pa.string())])

    def shingles(
        self, rows: np.ndarray, shingling: Shingling
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the shingles of the texts of some rows, as `shingle_chunks` does."""
        chunks = shingle_chunks(self.take(rows), shingling)
        return ((hashes, offsets) for _, hashes, offsets in chunks)

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Return the sizes of the texts of some rows, int64, ascending, in bytes."""
        sizes = pc.fill_null(pc.binary_length(self.take(rows)), 0)
        return np.asarray(sizes.to_numpy(zero_copy_only=False).astype(np.int64))

    def _found(self, rows: np.ndarray) -> Iterator[tuple[pa.Array, np.ndarray]]:
        """Give for each batch that is asked for its texts, and the places of the rows among them."""
        ends = np.searchsorted(rows, self._starts)
        for number in np.flatnonzero(ends[:-1] < ends[1:]):
            chunk, some = self._chunks[number], rows[ends[number] : ends[number + 1]]
            some = some - self._starts[number]
            yield (chunk, some) if _is_text(chunk) else _firsts(chunk, some)


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


def _is_text(chunk: pa.Array) -> bool:
    return not pa.types.is_list(chunk.type)


def _firsts(chunk: pa.Array, rows: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Return the texts of lists of documents, and where the first one of each row stands among them.

    :return: -1 is the place where there is none.
    """
    starts, ends = chunk.offsets.to_numpy()[[rows, rows + 1]].astype(np.int64)
    none = starts == ends
    if chunk.null_count:  # what a null list spans means nothing
        none |= chunk.is_null().to_numpy(zero_copy_only=False)[rows]
    return pc.struct_field(chunk.values, "text"), np.where(none, -1, starts)


def _taken(values: pa.Array, places: np.ndarray) -> pa.Array:
    return values.take(pa.array(places, mask=places < 0))
