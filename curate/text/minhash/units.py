"""Texts to units: the words or characters of many texts as one array of integers.

The bytes of a chunk of texts are treated together, with a byte between two texts that no UTF-8 holds.
ASCII is folded by a table; the runs of other characters between two white spaces, few and mostly the
same, by `curate.text.normalise`. A word is hashed eight bytes at a time where it lies; none is cut out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curate.text.minhash.hashing import mix
from curate.text.normalise import normalise, words


class Chunked(Protocol):
    """Texts that are read while they are gone through."""

    def __len__(self) -> int: ...

    @property
    def chunks(self) -> Iterable[pa.Array]: ...


Texts: TypeAlias = "pa.Array | pa.ChunkedArray | Chunked"
Unit: TypeAlias = Literal["words", "chars"]

_SPACE = 0x20
_BETWEEN = 0xFF
_NOTHING = (
    0x00  # what stands between two texts once they are folded; control characters are spaces then
)
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_PIECE_BYTES = 1 << 23  # what polars brings to normal form at once
_CHUNK_BYTES = 1 << 20  # treated together: threads seldom wait for each other
_CHUNK_TEXTS = 1 << 12  # `verify` counts on that many at most


@dataclass(frozen=True, slots=True)
class Units:
    """The units of n texts.

    :param values: u unsigned integers, equal for equal units; between two texts there may be others.
    :param starts: int64 [n], where the units of each text start.
    :param ends: int64 [n], where they end.
    """

    values: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def units_of(texts: pa.Array, unit: Unit) -> Iterator[tuple[int, Units]]:
    """Find the units of some texts, chunk by chunk, each with the number of its first text.

    Words have no punctuation (`normalise.words`), characters keep it (`normalise.normalise`). A chunk
    has at most 4,096 texts; a text is never cut.

    :param texts: n strings, some megabytes at best (`pieces`); a null is as an empty text.
    """
    data = _joined(texts)
    form = words if unit == "words" else normalise
    foreign = np.flatnonzero((data > 0x7F) & (data != _BETWEEN))
    if len(foreign):
        data = _respelled(data, foreign, form)
    ends = np.flatnonzero(data == _BETWEEN) + 1
    for begin, end in _runs_of(ends, _CHUNK_BYTES, _CHUNK_TEXTS):
        chunk = data[ends[begin - 1] if begin else 0 : ends[end - 1]].tobytes()
        folded = np.frombuffer(chunk.translate(_ascii_form(unit)), np.uint8)
        found = _words(folded) if unit == "words" else _characters(folded)
        yield begin, found


def _joined(texts: pa.Array) -> np.ndarray:
    """Return the bytes of n texts with `_BETWEEN` after each."""
    binary = pc.fill_null(texts.cast(pa.large_string()).cast(pa.large_binary()), b"")
    ends = pa.concat_arrays([binary, pa.array([b""], pa.large_binary())])
    one = pa.LargeListArray.from_arrays(pa.array([0, len(ends)], pa.int64()), ends)
    joined = pc.binary_join(one, pa.scalar(bytes([_BETWEEN]), pa.large_binary()))
    return np.frombuffer(joined[0].as_buffer(), np.uint8)


def _respelled(
    data: np.ndarray, foreign: np.ndarray, form: Callable[[pl.Series], pl.Series]
) -> np.ndarray:
    """Bring what is not ASCII to its normal form, with all that stands up to the next white space.

    No rule of Unicode looks across ASCII white space: neither composition nor the case of a final
    sigma.

    :param foreign: where bytes of such characters stand.
    """
    blank = np.flatnonzero((data <= _SPACE) | (data == 0x7F) | (data == _BETWEEN))
    place = np.searchsorted(blank, foreign[_steps(foreign, 1)])
    place = place[_steps(place, 0)]
    starts = np.where(place > 0, blank[place - 1] + 1, 0)
    cuts = np.stack([starts, blank[place]], 1).ravel()
    pieces = _slices(data, np.concatenate([[0], cuts, [len(data)]]))
    runs = pieces.take(pa.array(np.arange(1, len(pieces), 2))).cast(pa.large_string())
    runs = runs.dictionary_encode()
    formed = form(pl.Series(runs.dictionary)).to_arrow().cast(pa.large_binary())
    order = np.arange(len(pieces))
    order[1::2] = len(pieces) + runs.indices.to_numpy()
    spelled = pa.concat_arrays([pieces, formed]).take(pa.array(order))
    return np.frombuffer(spelled.buffers()[2], np.uint8)


def _steps(ascending: np.ndarray, least: int) -> np.ndarray:
    """Tell which of some integers, not none, exceed the one before by more than `least`: booleans."""
    steps = np.ones(len(ascending), bool)
    np.greater(ascending[1:] - ascending[:-1], least, out=steps[1:])
    return steps


def _slices(data: np.ndarray, cuts: np.ndarray) -> pa.Array:
    buffers = [None, pa.py_buffer(cuts.astype(np.int64)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(cuts) - 1, buffers)


@lru_cache
def _ascii_form(unit: Unit) -> bytes:
    """Return for each byte what it counts as: lower case; a space for what separates."""
    table = bytearray(range(256))
    for letter in range(ord("A"), ord("Z") + 1):
        table[letter] += 32
    for byte in range(128):
        separates = not chr(byte).isalnum() if unit == "words" else byte <= _SPACE or byte == 0x7F
        if separates:
            table[byte] = _SPACE
    table[_BETWEEN] = _NOTHING
    return bytes(table)


def _words(data: np.ndarray) -> Units:
    """Hash the words of folded texts, each text followed by `_NOTHING`."""
    solid = (data != _SPACE) & (data != _NOTHING)
    turns = np.empty(len(data), bool)
    turns[:1] = solid[:1]
    np.not_equal(solid[1:], solid[:-1], out=turns[1:])
    edges = np.flatnonzero(turns)  # a word begins, a word ends, a word begins, ..
    starts = edges[::2]
    values = mix(_hash_spans(data, starts, edges[1::2] - starts))
    ends = np.searchsorted(starts, np.flatnonzero(data == _NOTHING))
    return Units(values, np.append(0, ends[:-1]), ends)


def _hash_spans(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Hash spans of bytes, none of them 0, eight bytes at a time: most words have no more."""
    padded = np.zeros(len(data) + 8, np.uint8)
    padded[: len(data)] = data
    eights = np.ndarray(len(data) + 1, "<u8", padded, strides=(1,))
    hashes: np.ndarray = eights[starts] & _FIRST_BYTES[np.minimum(lengths, 8)]
    done, long = 8, np.flatnonzero(lengths > 8)
    while len(long):
        more = eights[starts[long] + done] & _FIRST_BYTES[np.minimum(lengths[long] - done, 8)]
        hashes[long] = mix(hashes[long]) + more
        done += 8
        long = long[lengths[long] > done]
    return hashes


def _characters(data: np.ndarray) -> Units:
    """List the characters of folded texts, each text followed by `_NOTHING`."""
    solid = (data != _SPACE) & (data != _NOTHING)
    keep = data != _SPACE
    keep[:-1] |= solid[1:]  # of several spaces the last, none at the end of a text
    if not keep.all():
        data = data[keep]
    if (data > 0x7F).any():
        data = np.frombuffer(data.tobytes().decode().encode("utf-32-le"), np.uint32)
    ends = np.flatnonzero(data == _NOTHING)
    starts = np.append(0, ends[:-1] + 1)
    starts += data[starts] == _SPACE
    return Units(data, starts, ends)


def pieces(texts: Texts) -> Iterator[tuple[int, pa.Array]]:
    """Cut texts into pieces of some megabytes, with the number of the first text of each."""
    start = 0
    for array in [texts] if isinstance(texts, pa.Array) else texts.chunks:
        sizes = pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False)
        for begin, end in _runs_of(np.cumsum(sizes), _PIECE_BYTES, len(array)):
            yield start + begin, array.slice(begin, end - begin)
        start += len(array)


def _runs_of(ends: np.ndarray, size: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut n items into runs of at least one, and else of at most `size` bytes and `most` items.

    :param ends: int [n], where the bytes of each item end.
    """
    begin = 0
    while begin < len(ends):
        base = ends[begin - 1] if begin else 0
        end = int(np.searchsorted(ends, base + size, "right"))
        end = min(max(end, begin + 1), begin + most)
        yield begin, end
        begin = end


In = TypeVar("In")
Out = TypeVar("Out")


def in_threads(work: Callable[[In], Out], items: Iterator[In], threads: int) -> Iterator[Out]:
    """Apply `work` to all items, in order; few are taken before they are needed.

    NumPy lets go of the interpreter while it computes.
    """
    if threads <= 1:
        yield from map(work, items)
        return
    begun: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > 2 * threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
