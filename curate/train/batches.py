"""Training pairs as token ids, and the batches of every step.

The batches of a step follow from (seed, epoch, step) alone: a run that was killed goes on with the
very batch it had stopped at, and nothing but these three numbers needs to be remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import first_positive
from curate.shards import Shards

_TEXTS = pa.list_(pa.string())
Homogeneous = Literal["none", "source", "group"]


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """Pairs by number: texts once each, pairs as rows of them.

    :param queries: the distinct query texts.
    :param passages: the distinct passage texts, positives and negatives.
    :param query: int64 [n], the query of each pair.
    :param positive: int64 [n], the passage that is its positive.
    :param negatives: int64 [n, h], passages that are its hard negatives; -1 where it has fewer.
    :param domain: int64 [n], its source or group, for batches of one domain.
    """

    queries: list[str]
    passages: list[str]
    query: np.ndarray
    positive: np.ndarray
    negatives: np.ndarray
    domain: np.ndarray

    def __len__(self) -> int:
        return len(self.query)

    def take(self, rows: np.ndarray) -> TrainingPairs:
        """Return some of the pairs, over the same texts."""
        parts = ("query", "positive", "negatives", "domain")
        return replace(self, **{part: getattr(self, part)[rows] for part in parts})


def read_pairs(
    shards: Shards,
    negatives: int,
    homogeneous: Homogeneous,
    left_out: Callable[[pa.Table], np.ndarray] | None = None,
) -> TrainingPairs:
    """Read the pairs that have a query and a positive with text.

    Equal texts become one number, so a batch can tell that a negative is really a positive.

    :param negatives: hard negatives to read of each pair, at most.
    :param left_out: tells which rows of a table not to read, bool [n].
    """
    column = "source" if homogeneous == "none" else homogeneous
    queries, positives, lists, domains = [], [], [], []
    for table in shards.tables():
        positive = first_positive(table)
        usable = pc.and_(pc.is_valid(table["query"]), pc.is_valid(positive))
        if left_out is not None:
            usable = pc.and_(usable, pa.chunked_array([pa.array(~left_out(table))]))
        queries.append(table["query"].filter(usable))
        positives.append(positive.filter(usable))
        lists.append(_hard_texts(table["negatives"], negatives).filter(usable))
        domains.append(pc.fill_null(table[column], "").filter(usable))
    hard = _one(lists, _TEXTS)
    query = pc.dictionary_encode(_one(queries, pa.string()))
    positive = _one(positives, pa.string())
    passage = pc.dictionary_encode(pa.concat_arrays([positive, hard.flatten()]))
    numbers = pc.fill_null(passage.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    domain = pc.dictionary_encode(_one(domains, pa.string()))
    return TrainingPairs(
        query.dictionary.to_pylist(),
        passage.dictionary.to_pylist(),
        query.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        numbers[: len(positive)],
        _padded(hard, numbers[len(positive) :], negatives),
        domain.indices.to_numpy(zero_copy_only=False),
    )


def _hard_texts(negatives: pa.ChunkedArray, most: int) -> pa.ChunkedArray:
    """Return the texts of each pair's first negatives; only these are copied out of the shards."""
    chunks = []
    for chunk in negatives.chunks:
        if most == 0:
            chunks.append(pa.array([[]] * len(chunk), _TEXTS))
            continue
        first = pc.list_slice(chunk, 0, most, return_fixed_size_list=False)
        texts = pc.struct_field(first.flatten(), "text")
        counts = pc.fill_null(pc.list_value_length(first), 0).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        chunks.append(pa.ListArray.from_arrays(pa.array(offsets), texts).cast(_TEXTS))
    return pa.chunked_array(chunks, _TEXTS)


def _one(columns: list[pa.ChunkedArray], dtype: pa.DataType) -> pa.Array:
    return pa.concat_arrays(
        [*(c for column in columns for c in column.chunks), pa.array([], dtype)]
    )


def _padded(lists: pa.ListArray, flat: np.ndarray, width: int) -> np.ndarray:
    """Lay lists out as rows of `width` numbers, -1 where a list is shorter."""
    padded = np.full((len(lists), width), -1, np.int64)
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    places = np.arange(len(flat)) - np.searchsorted(rows, rows)
    inside = places < width
    padded[rows[inside], places[inside]] = flat[inside]
    return padded


def epoch_batches(
    pairs: TrainingPairs, size: int, seed: int, epoch: int, homogeneous: Homogeneous
) -> list[np.ndarray]:
    """Return the batches of an epoch, each int64 [size], in order.

    Within `homogeneous` domains a batch is drawn from as few domains as its size allows, so that its
    in-batch negatives are near its positives (Arctic-Embed, arXiv:2405.05374, stratified batches).
    Pairs that do not fill a last batch sit out this epoch.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = random.permutation(len(pairs))
    if homogeneous != "none":
        order = order[np.argsort(pairs.domain[order], kind="stable")]
    size = min(size, len(pairs))
    count = len(pairs) // size if size else 0
    spare = len(pairs) - count * size
    skip = int(random.integers(0, spare + 1))
    batches = np.split(order[skip : skip + count * size], count) if count else []
    return [batches[i] for i in random.permutation(count)]


def steps(
    pairs: TrainingPairs,
    size: int,
    epochs: int,
    seed: int,
    homogeneous: Homogeneous,
    first: int = 0,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (step, batch) from step `first` on, epoch after epoch."""
    per_epoch = steps_per_epoch(pairs, size)
    for epoch in range(first // per_epoch if per_epoch else 0, epochs):
        batches = epoch_batches(pairs, size, seed, epoch, homogeneous)
        for index, batch in enumerate(batches):
            step = epoch * per_epoch + index
            if step >= first:
                yield step, batch


def steps_per_epoch(pairs: TrainingPairs, size: int) -> int:
    """Return how many whole batches there are; a set smaller than one is one batch."""
    return len(pairs) // min(size, len(pairs)) if len(pairs) else 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on.

    :param queries: int64 [B], rows of `TrainingPairs.queries`.
    :param passages: int64 [P], rows of `TrainingPairs.passages`: B positives, then hard negatives.
    :param masked: bool [B, P], passages that are no negatives of a query: equal to its positive, or
        positive for an equal query in the batch.
    """

    queries: np.ndarray
    passages: np.ndarray
    masked: np.ndarray


def make_batch(pairs: TrainingPairs, rows: np.ndarray) -> Batch:
    """Collect the texts of a batch and find which in-batch passages are false negatives."""
    queries, positives = pairs.query[rows], pairs.positive[rows]
    hard = pairs.negatives[rows].ravel()
    passages = np.concatenate([positives, hard[hard >= 0]])
    masked = positives[:, None] == passages[None]
    # A passage that is positive for an equal query of the batch is no negative either.
    same_query = queries[:, None] == queries[None]
    twins, others = np.nonzero(same_query & ~np.eye(len(rows), dtype=bool))
    for twin, other in zip(twins, others, strict=True):
        masked[twin] |= passages == positives[other]
    np.fill_diagonal(masked, False)
    return Batch(queries, passages, masked)
