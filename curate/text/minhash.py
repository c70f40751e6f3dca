"""MinHash near-duplicates (Broder 1997), in whole arrays: shingle, sign, band, verify, cluster.

A text is the set of its shingles: runs of `size` words or characters. Its signature keeps, for each
of P permutations, the smallest permuted shingle; two signatures agree in a share of places that
estimates the Jaccard similarity of the sets, with a standard error of sqrt(J (1 - J) / P). Texts
that agree in all rows of one band of the signature are candidates; the true similarity decides.

The hash of a shingle is a polynomial over its bytes modulo 2^64, so that every shingle's hash is a
difference of two prefix sums, and no shingle is ever cut out. All constants are defined here, so
results are the same for all versions of NumPy, platforms, numbers of threads and batch sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curate.text.normalise import normalise, words

Texts: TypeAlias = "pa.Array | pa.ChunkedArray"

EMPTY = np.uint32(0xFFFFFFFF)
"""What a signature holds in every place if the text has no shingles."""
_PIECE_BYTES = 1 << 24  # what polars brings to normal form at once
_CHUNK_BYTES = 1 << 19  # what is shingled and signed at once: it stays in the cache
_BUCKET_WINDOW = 16
_PAIRS_AT_ONCE = 1 << 14
_ROWS_AT_ONCE = 1 << 12
_SPACE = 0x20
_BASE = 0x9E3779B97F4A7C15  # 5 modulo 8: its powers repeat only after 2^62


@dataclass(frozen=True, slots=True)
class Shingling:
    """How a text becomes a set.

    Words have no punctuation (`normalise.words`); characters keep it (`normalise.normalise`), so
    they suit short texts, where `c++` and `c#` must differ. A text shorter than `size` is one
    shingle.
    """

    unit: Literal["words", "chars"] = "words"
    size: int = 5


def shingles(texts: Texts, shingling: Shingling) -> tuple[np.ndarray, np.ndarray]:
    """Hash the shingles of some texts; a shingle that occurs twice is listed twice.

    :param texts: n strings; a null is as an empty text.
    :return: s unsigned 64-bit hashes, and n + 1 offsets: those of text i are
        `hashes[offsets[i]:offsets[i + 1]]`. A text without words (or characters) has none.
    """
    return _shingle(_plain(texts, shingling), shingling)


def _shingle(plain: pa.Array, shingling: Shingling) -> tuple[np.ndarray, np.ndarray]:
    data, offsets = _bytes_of(plain)
    data, starts, ends = _squeeze(data, offsets, shingling)
    unit_starts, unit_ends, units = _units(data, starts, ends, shingling)
    counts = np.diff(units)
    per_text = np.where(counts > 0, np.maximum(counts - shingling.size + 1, 1), 0)
    shingle_offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(per_text, out=shingle_offsets[1:])
    first = np.arange(shingle_offsets[-1]) + np.repeat(units[:-1] - shingle_offsets[:-1], per_text)
    last = first + np.repeat(np.minimum(counts, shingling.size) - 1, per_text)
    return _hash_spans(data, unit_starts[first], unit_ends[last]), shingle_offsets


def signatures(
    texts: Texts, shingling: Shingling, permutations: int, seed: int, threads: int = 1
) -> np.ndarray:
    """Sign texts.

    :param texts: n strings; a null is as an empty text.
    :param permutations: P, the length of a signature.
    :return: unsigned 32-bit integers of shape (n, P); all `EMPTY` for a text without shingles.
    """
    signed = np.full((len(texts), permutations), EMPTY, np.uint32)
    factors, shifts = _permutations(permutations, seed)

    def sign(chunk: tuple[int, pa.Array]) -> None:
        start, plain = chunk
        hashes, offsets = _shingle(plain, shingling)
        _minima(hashes, offsets, factors, shifts, signed[start : start + len(plain)])

    for start, piece in _cut(texts, _PIECE_BYTES):
        chunks = _cut(_plain(piece, shingling), _CHUNK_BYTES)
        _in_threads(sign, ((start + begin, chunk) for begin, chunk in chunks), threads)
    return signed


def bands_and_rows(threshold: float, permutations: int, recall: float) -> tuple[int, int]:
    """Choose how to cut signatures into bands: b bands of r rows, b * r <= P.

    A pair of similarity s becomes a candidate with probability 1 - (1 - s^r)^b (Leskovec,
    Rajaraman, Ullman, "Mining of Massive Datasets", 3.4.2). The most rows are taken, hence the
    fewest false candidates, with which a pair *at* the threshold is found with probability
    `recall`. The optimum of datasketch weighs the areas of false positives and negatives instead,
    which for threshold 0.8 and 128 permutations (9 x 13) finds 40% of the pairs at the threshold;
    where candidates are verified, false ones cost time alone.

    :param threshold: Jaccard similarity, above 0 and at most 1.
    :raises ValueError: if the permutations are too few.
    """
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if chance(threshold, bands, rows) >= recall:
            return bands, rows
    needed = int(np.ceil(np.log1p(-recall) / np.log1p(-threshold)))
    raise ValueError(
        f"permutations: {permutations} find pairs of similarity {threshold} with less than the "
        f"recall {recall}: use at least {needed}"
    )


def chance(similarity: float, bands: int, rows: int) -> float:
    """Return the probability that a pair of this similarity becomes a candidate."""
    return float(1 - (1 - similarity**rows) ** bands)


def candidates(signed: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """Find the pairs of texts that agree in at least one band.

    Texts with the same whole signature are paired with the first of them alone, and only that one
    is compared further. In a bucket each text is paired with the next 15 and with the first, so a
    bucket of b texts leaves at most 16 b pairs instead of b^2 / 2; up to 16 texts leave them all.

    :param signed: n signatures, shape (n, P).
    :return: int64 of shape (m, 2), each (i, j) once, i < j, sorted; none of texts without shingles.
    """
    filled = _filled(signed)
    (whole,) = _band_keys(signed, filled, 1, signed.shape[1])
    ordered, first = _buckets(whole, filled)
    twins = np.stack([first, ordered], 1)[ordered != first]
    found = _codes(twins)
    distinct = np.setdiff1d(filled, twins[:, 1], assume_unique=True)
    for keys in _band_keys(signed, distinct, bands, rows):
        found = np.union1d(found, _codes(_bucket_pairs(*_buckets(keys, distinct))))
    return _pairs_of(found)


def candidates_between(
    left: np.ndarray, right: np.ndarray, bands: int, rows: int, most: int = _BUCKET_WINDOW
) -> np.ndarray:
    """Find for the texts of one side those of the other that agree with them in at least one band.

    :param left: n signatures, shape (n, P).
    :param right: m signatures, shape (m, P).
    :param most: per left text and band, the first so many of the right texts.
    :return: int64 of shape (k, 2), each (left row, right row) once, sorted.
    """
    here, there = _filled(left), _filled(right)
    found = np.zeros(0, np.uint64)
    wanted, offered = _band_keys(left, here, bands, rows), _band_keys(right, there, bands, rows)
    for band in range(bands):
        order = np.argsort(offered[band], kind="stable")
        keys = offered[band][order]
        low = np.searchsorted(keys, wanted[band])
        high = np.searchsorted(keys, wanted[band], "right")
        counts = np.minimum(high - low, most)
        hits = np.repeat(low - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        pairs = np.stack([np.repeat(here, counts), there[order[hits]]], 1)
        found = np.union1d(found, _codes(pairs))
    return _pairs_of(found)


def agreement(left: np.ndarray, right: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Estimate Jaccard similarities from signatures.

    :param pairs: shape (m, 2): rows of `left` and of `right`, which may be the same array.
    :return: m float64 numbers: the share of places in which the two signatures agree.
    """
    blocks = [
        (left[block[:, 0]] == right[block[:, 1]]).mean(1)
        for block in _blocks(pairs, _PAIRS_AT_ONCE)
    ]
    return np.concatenate([*blocks, np.zeros(0)])


def jaccard(
    left: Texts, right: Texts, pairs: np.ndarray, shingling: Shingling, threads: int = 1
) -> np.ndarray:
    """Compute true Jaccard similarities of the sets of shingles.

    :param pairs: shape (m, 2): rows of `left` and of `right`, which may be the same array.
    :return: m float64 numbers; 0 where both texts are without shingles.
    """

    def compare(block: np.ndarray) -> np.ndarray:
        sets = [
            _sets(side, rows, shingling)
            for side, rows in ((left, block[:, 0]), (right, block[:, 1]))
        ]
        return _overlap(*sets)

    blocks = _in_threads(compare, _blocks(pairs, _PAIRS_AT_ONCE // 8), threads)
    return np.concatenate([*blocks, np.zeros(0)])


def components(n: int, pairs: np.ndarray) -> np.ndarray:
    """Find connected components.

    :param pairs: shape (m, 2): edges between rows below n.
    :return: n int64: the smallest row of each row's component.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    count, labels = connected_components(edges, directed=False)
    smallest = np.full(count, n, np.int64)
    np.minimum.at(smallest, labels, np.arange(n))
    first: np.ndarray = smallest[labels]
    return first


# --- texts to bytes -------------------------------------------------------------------------------


def _cut(texts: Texts, size: int) -> Iterator[tuple[int, pa.Array]]:
    """Cut texts into pieces of some `size` bytes, with the number of the first text of each."""
    start = 0
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        sizes = np.cumsum(pc.fill_null(pc.binary_length(chunk), 0).to_numpy(zero_copy_only=False))
        begin = 0
        while begin < len(chunk):
            base = sizes[begin - 1] if begin else 0
            end = max(int(np.searchsorted(sizes, base + size, "right")), begin + 1)
            yield start + begin, chunk.slice(begin, end - begin)
            begin = end
        start += len(chunk)


def _plain(texts: Texts, shingling: Shingling) -> pa.Array:
    """Return the texts with what is not ASCII in its normal form; bytes do the rest."""
    if isinstance(texts, pa.ChunkedArray):
        texts = pa.concat_arrays([*texts.chunks, pa.array([], texts.type)])
    texts = pc.fill_null(texts.cast(pa.large_string()), "")
    data, offsets = _bytes_of(texts)
    foreign = np.flatnonzero(data > 0x7F)
    if not len(foreign):
        return texts
    rows = np.unique(np.searchsorted(offsets, foreign, "right") - 1)
    form = words if shingling.unit == "words" else normalise
    changed = form(pl.Series(texts.take(pa.array(rows)))).to_arrow().cast(pa.large_string())
    order = np.arange(len(texts))
    order[rows] = len(texts) + np.arange(len(rows))
    return pa.concat_arrays([texts, changed]).take(pa.array(order))


def _bytes_of(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of n strings without nulls, and n + 1 offsets that begin at 0."""
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if not len(texts) or data_buffer is None:
        return np.zeros(0, np.uint8), np.zeros(len(texts) + 1, np.int64)
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    return data, offsets - offsets[0]


@lru_cache
def _ascii_form(unit: str) -> np.ndarray:
    """Return for each byte what it counts as: lower case; a space for what separates."""
    table = np.arange(256, dtype=np.uint8)
    table[ord("A") : ord("Z") + 1] += 32
    table[: _SPACE + 1] = _SPACE
    table[0x7F] = _SPACE
    if unit == "words":
        kept = [i for i in range(128) if not chr(i).isalnum()]
        table[kept] = _SPACE
    return table


def _squeeze(
    data: np.ndarray, offsets: np.ndarray, shingling: Shingling
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fold ASCII and leave one space between words, none at either end of a text.

    :return: the bytes left, and where each of the n texts starts and ends in them.
    """
    data = _ascii_form(shingling.unit)[data]
    solid = data != _SPACE
    after_solid = np.zeros(len(data), bool)
    after_solid[1:] = solid[:-1]
    after_solid[offsets[:-1][offsets[:-1] < len(data)]] = False
    keep = solid | after_solid
    kept = np.zeros(len(data) + 1, np.int64)
    np.cumsum(keep, out=kept[1:])
    starts, ends = kept[offsets[:-1]], kept[offsets[1:]]
    data = data[keep]
    filled = ends > starts
    ends[filled] -= data[ends[filled] - 1] == _SPACE
    return data, starts, ends


def _units(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, shingling: Shingling
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the words or characters of n texts: u starts, u ends, and n + 1 offsets into them."""
    begins = np.zeros(len(data) + 1, bool)
    if shingling.unit == "words":
        begins[1:] = data == _SPACE
    else:
        begins[:-1] = (data & 0xC0) != 0x80  # not the continuation of a character
    begins[ends] = False  # the space after a text's last word, if it was kept
    begins[starts[ends > starts]] = True
    begins[-1] = False
    unit_starts = np.flatnonzero(begins)
    unit_offsets = np.append(np.searchsorted(unit_starts, starts), len(unit_starts))
    unit_ends = np.append(unit_starts[1:], 0) - (shingling.unit == "words")
    filled = ends > starts
    unit_ends[unit_offsets[1:][filled] - 1] = ends[filled]
    return unit_starts, unit_ends, unit_offsets


# --- hashing --------------------------------------------------------------------------------------


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers one to one, in place (the finaliser of SplitMix64)."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _random_bits(n: int, seed: int) -> np.ndarray:
    """Return n 64-bit integers: SplitMix64 (Steele et al. 2014) from `seed`."""
    counter = np.arange(1, n + 1, dtype=np.uint64) + _mix(np.array([seed], np.uint64))
    return _mix(counter * np.uint64(0x9E3779B97F4A7C15))


_BYTE_VALUES = _random_bits(256, 0)


@lru_cache(maxsize=4)
def _powers(base: int, length: int) -> np.ndarray:
    powers = np.full(length, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _hash_spans(data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Hash spans of bytes by what they hold, wherever they lie."""
    length = 1 << max(int(np.ceil(np.log2(len(data) + 1))), 20)
    prefix = np.zeros(len(data) + 1, np.uint64)
    np.cumsum(_BYTE_VALUES[data] * _powers(_BASE, length)[: len(data)], out=prefix[1:])
    hashes = prefix[ends] - prefix[starts]
    hashes *= _powers(pow(_BASE, -1, 1 << 64), length)[starts]
    return _mix(hashes)


def _permutations(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the odd factors and the shifts of `count` permutations of the 32-bit integers."""
    bits = _random_bits(2 * count, seed + 1) >> np.uint64(32)
    return (bits[:count] | np.uint64(1)).astype(np.uint32), bits[count:].astype(np.uint32)


def _minima(
    hashes: np.ndarray,
    offsets: np.ndarray,
    factors: np.ndarray,
    shifts: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write the smallest permuted hash of each text, for each permutation, into `out` (n, P)."""
    values = (hashes >> np.uint64(32)).astype(np.uint32)
    rows = np.flatnonzero(np.diff(offsets))
    starts = offsets[:-1][rows]
    permuted = np.empty_like(values)
    minima = np.empty((len(factors), len(rows)), np.uint32)
    for place, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
        np.multiply(values, factor, out=permuted)
        np.add(permuted, shift, out=permuted)
        if len(rows):
            np.minimum.reduceat(permuted, starts, out=minima[place])
    out[rows] = minima.T


# --- bands and buckets ----------------------------------------------------------------------------


def _filled(signed: np.ndarray) -> np.ndarray:
    """Return the rows that have shingles."""
    return np.flatnonzero((signed[:, :1] != EMPTY).any(1))


def _band_keys(signed: np.ndarray, rows: np.ndarray, bands: int, places: int) -> np.ndarray:
    """Hash each band of some rows' signatures to 64 bits: shape (bands, len(rows))."""
    keys = np.empty((bands, len(rows)), np.uint64)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = np.ascontiguousarray(signed[rows[start : start + _ROWS_AT_ONCE]].T)
        for band in range(bands):
            key = np.full(block.shape[1], band, np.uint64)
            for place in range(band * places, (band + 1) * places):
                key = _mix(key + block[place])
            keys[band, start : start + _ROWS_AT_ONCE] = key
    return keys


def _buckets(keys: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows (ascending) that share their key with another row.

    :return: those rows, bucket by bucket, ascending in each; and for each the first of its bucket.
    """
    order = np.argsort(keys)  # twice as fast as a stable sort; the few ties are put right below
    same = keys[order[1:]] == keys[order[:-1]]
    shared = np.zeros(len(keys), bool)
    shared[1:] = same
    shared[:-1] |= same
    order = order[shared]
    order = order[np.lexsort((order, keys[order]))]
    starts = np.arange(len(order))
    starts[1:][keys[order[1:]] == keys[order[:-1]]] = 0
    ordered = rows[order]
    return ordered, ordered[np.maximum.accumulate(starts)]


def _bucket_pairs(ordered: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Pair each row with the next ones of its bucket and with the first: shape (m, 2)."""
    found = [np.stack([first, ordered], 1)[first != ordered]]
    for step in range(1, _BUCKET_WINDOW):
        near = np.flatnonzero(first[step:] == first[:-step])
        if not len(near):
            break
        found.append(np.stack([ordered[near], ordered[near + step]], 1))
    return np.concatenate(found)


def _codes(pairs: np.ndarray) -> np.ndarray:
    """Pack pairs of row numbers below 2^32 into sorted, distinct 64-bit integers."""
    unsigned = pairs.astype(np.uint64)
    return np.unique(unsigned[:, 0] << np.uint64(32) | unsigned[:, 1])


def _pairs_of(codes: np.ndarray) -> np.ndarray:
    return np.stack([codes >> np.uint64(32), codes & np.uint64(0xFFFFFFFF)], 1).astype(np.int64)


# --- verification ---------------------------------------------------------------------------------


def _sets(texts: Texts, rows: np.ndarray, shingling: Shingling) -> Any:
    """Return the sets of shingles of some texts as a sparse boolean matrix, one row for each."""
    from scipy.sparse import csr_array

    distinct, place = np.unique(rows, return_inverse=True)
    hashes, offsets = shingles(texts.take(pa.array(distinct)), shingling)
    owner = np.repeat(np.arange(len(distinct)), np.diff(offsets))
    order = np.lexsort((hashes, owner))
    hashes, owner = hashes[order] >> np.uint64(2), owner[order]
    fresh = np.ones(len(hashes), bool)
    fresh[1:] = (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
    columns = hashes[fresh].astype(np.int64)
    starts = np.searchsorted(owner[fresh], np.arange(len(distinct) + 1)).astype(np.int64)
    ones = np.ones(len(columns), np.int32)
    return csr_array((ones, columns, starts), shape=(len(distinct), 1 << 62))[place]


def _overlap(left: Any, right: Any) -> np.ndarray:
    """Return the Jaccard similarity of each row of one matrix with the same row of the other."""
    shared = left.multiply(right).sum(axis=1)
    either = np.diff(left.indptr) + np.diff(right.indptr) - shared
    return np.asarray(shared / np.maximum(either, 1), np.float64)


def _blocks(pairs: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (pairs[start : start + size] for start in range(0, len(pairs), size))


In = TypeVar("In")
Out = TypeVar("Out")


def _in_threads(work: Callable[[In], Out], items: Iterator[In], threads: int) -> list[Out]:
    """Apply `work` to all items, in order. NumPy lets go of the interpreter while it computes."""
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))
