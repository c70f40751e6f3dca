"""Training pairs, the batches of every step and the masks of false negatives, against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.schema import Doc, Pair, to_table
from curate.shards import Shards, write_shard
from curate.train.batches import (
    TrainingPairs,
    epoch_batches,
    make_batch,
    read_pairs,
    steps,
    steps_per_epoch,
)
from tests.contracts.records import make_pairs


def drawn(seed: int, n: int, texts: int = 5, width: int = 3, domains: int = 3) -> TrainingPairs:
    """Draw pairs of few texts, so that many are equal."""
    rng = np.random.default_rng(seed)
    return TrainingPairs(
        [f"q{i}" for i in range(texts)],
        [f"p{i}" for i in range(texts)],
        rng.integers(0, texts, n),
        rng.integers(0, texts, n),
        rng.integers(-1, texts, (n, width)),
        rng.integers(0, domains, n),
    )


# -- reading ---------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path):
    def shards(records, cuts=2):
        table = to_table(records, "pairs")
        size, files = -(-len(table) // cuts), []
        for i in range(cuts):
            info = write_shard(tmp_path, f"{i}.arrow", table.slice(i * size, size))
            files.append((str(tmp_path / f"{i}.arrow"), info))
        return Shards("pairs", files)

    return shards


@pytest.mark.parametrize("negatives", [0, 1, 3])
@pytest.mark.parametrize("homogeneous", ["none", "source", "group"])
def test_pairs_are_read(shards, negatives, homogeneous):
    records = make_pairs(3, 60)
    for index, pair in enumerate(records):
        pair.negatives = [Doc(f"negative {i % 4}") for i in range(index % 5)]
        if index % 7 == 0 and pair.positives:
            pair.negatives = [Doc(pair.positives[0].text or "x"), *pair.negatives]
    usable = [
        p
        for p in records
        if p.query is not None and p.positives and p.positives[0].text is not None
    ]
    found = read_pairs(shards(records), negatives, homogeneous)
    assert len(found) == len(usable) < len(records)
    assert len(set(found.queries)) == len(found.queries)
    assert len(set(found.passages)) == len(found.passages)
    assert [found.queries[i] for i in found.query] == [p.query for p in usable]
    assert [found.passages[i] for i in found.positive] == [p.positives[0].text for p in usable]
    assert found.negatives.shape == (len(usable), negatives)
    for row, pair in zip(found.negatives, usable, strict=True):
        texts = [doc.text for doc in pair.negatives[:negatives]]
        assert [found.passages[i] for i in row if i >= 0] == texts
        assert (row[len(texts) :] == -1).all()
    if homogeneous != "none":
        values = [getattr(pair, homogeneous) or "" for pair in usable]
        same = np.equal.outer(found.domain, found.domain)
        assert same.tolist() == [[a == b for b in values] for a in values]


def test_negatives_without_text_are_none(shards):
    pair = Pair("k", "a query", [Doc("text")], "s", "g")
    pair.negatives = [Doc(None, id="x"), Doc("known"), Doc(None, id="y")]
    found = read_pairs(shards([pair]), 3, "none")
    assert found.negatives.tolist() == [[-1, found.passages.index("known"), -1]]


@pytest.mark.parametrize("cuts", [1, 3])
def test_no_pairs_are_read_from_nothing(shards, cuts):
    found = read_pairs(shards([], cuts), 2, "none")
    assert (len(found), found.negatives.shape) == (0, (0, 2))
    assert list(steps(found, 8, 3, 0, "none")) == []
    assert len(read_pairs(Shards("pairs", []), 0, "source")) == 0


# -- batches ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 200),
    size=st.integers(2, 64),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 5),
    homogeneous=st.sampled_from(["none", "source", "group"]),
)
def test_every_pair_at_most_once_an_epoch(n, size, seed, epoch, homogeneous):
    pairs = drawn(seed, n)
    batches = epoch_batches(pairs, size, seed, epoch, homogeneous)
    rows = np.concatenate(batches)
    width = min(size, n)
    assert all(len(batch) == width for batch in batches)
    assert len(set(rows.tolist())) == len(rows) == n - n % width
    assert rows.min() >= 0
    assert rows.max() < n
    again = epoch_batches(pairs, size, seed, epoch, homogeneous)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_epochs_and_seeds_differ():
    pairs = drawn(0, 1000)
    orders = {
        tuple(np.concatenate(epoch_batches(pairs, 50, seed, epoch, "none")))
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(orders) == 4


def test_pairs_that_sit_out_change():
    pairs = drawn(0, 105)
    inside = [
        set(np.concatenate(epoch_batches(pairs, 10, 0, e, "none")).tolist()) for e in range(40)
    ]
    assert all(len(rows) == 100 for rows in inside)
    assert set.union(*inside) == set(range(105))
    grouped = [
        set(np.concatenate(epoch_batches(pairs, 10, 0, e, "group")).tolist()) for e in range(40)
    ]
    assert len(set.union(*grouped)) > 100


def test_homogeneous_batches_have_few_domains():
    """Each domain is larger than a batch, so no batch needs more than two."""
    pairs = drawn(1, 900, domains=4)
    assert np.bincount(pairs.domain).min() > 64
    batches = epoch_batches(pairs, 64, 0, 0, "source")
    assert max(len(set(pairs.domain[batch])) for batch in batches) <= 2
    pure = sum(len(set(pairs.domain[batch])) == 1 for batch in batches)
    assert pure >= len(batches) - 3
    mixed = epoch_batches(pairs, 64, 0, 0, "none")
    assert min(len(set(pairs.domain[batch])) for batch in mixed) == 4
    order = [pairs.domain[batch[0]] for batch in batches]
    assert order != sorted(order), "the batches of one domain come in a row"


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 90),
    size=st.integers(2, 30),
    epochs=st.integers(1, 4),
    first=st.integers(0, 40),
)
def test_steps_go_on_where_they_stopped(n, size, epochs, first):
    pairs = drawn(2, n)
    every = list(steps(pairs, size, epochs, 5, "none"))
    assert [step for step, _ in every] == list(range(epochs * steps_per_epoch(pairs, size)))
    rest = list(steps(pairs, size, epochs, 5, "none", first))
    assert [step for step, _ in rest] == [step for step, _ in every[first:]]
    for (_, one), (_, other) in zip(rest, every[first:], strict=True):
        np.testing.assert_array_equal(one, other)


# -- masks -----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 20), texts=st.integers(1, 12))
def test_masks_are_those_of_a_plain_loop(seed, size, texts):
    pairs = drawn(seed, 40, texts)
    rows = np.random.default_rng(seed).permutation(40)[:size]
    batch = make_batch(pairs, rows)
    positives = [pairs.positive[row] for row in rows]
    hard = [p for row in rows for p in pairs.negatives[row] if p >= 0]
    assert batch.queries.tolist() == [pairs.query[row] for row in rows]
    assert batch.passages.tolist() == positives + hard
    answers = {}
    for row in rows:
        answers.setdefault(pairs.query[row], set()).add(pairs.positive[row])
    expected = [
        [place != i and passage in answers[query] for place, passage in enumerate(batch.passages)]
        for i, query in enumerate(batch.queries)
    ]
    assert batch.masked.tolist() == expected
