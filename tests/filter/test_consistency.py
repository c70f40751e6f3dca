"""`filter.consistency` against ranks by brute force, and its fixed pool."""

import numpy as np
import pytest

from curate.encode import load_encoder
from curate.filter.consistency import RANK, ConsistencyFilter
from curate.schema import Doc, Pair, Passage
from curate.stage import Inputs
from tests.contracts.harness import shards_of, treat
from tests.contracts.records import make_pairs


@pytest.fixture
def consistency(model, tmp_path):
    def consistency(records, cuts=2, **options):
        inputs = Inputs(
            shards_of(records, "pairs", tmp_path, cuts), {}, {"encoder": [("m", model)]}
        )
        stage = ConsistencyFilter(encoder=str(model), **options)
        return treat(stage, inputs, tmp_path / f"work{len(list(tmp_path.iterdir()))}")

    return consistency


def first(pair):
    """Return a pair's first positive, if it has a query and a text."""
    if pair.query is None or not pair.positives or pair.positives[0].text is None:
        return None
    return pair.positives[0]


def texts_of(records) -> dict[str, str]:
    """Return the passages by id: every first positive with a text."""
    firsts = [pair.positives[0] for pair in records if pair.positives]
    return {doc.id: doc.text for doc in firsts if doc.text is not None}


def expected(encoder, records, pool: list[str]):
    """Rank each pair's passage within the ids of a pool; None for a pair that has none."""
    texts = texts_of(records)
    vectors = {i: encoder.encode_passages([t])[0].astype(np.float64) for i, t in texts.items()}
    for pair in records:
        own = first(pair)
        if own is None:
            yield None
            continue
        query = encoder.encode_queries([pair.query])[0].astype(np.float64)
        score = np.einsum("d,d->", query, vectors[own.id])
        others = [np.einsum("d,d->", query, vectors[i]) for i in pool if i != own.id]
        yield 1 + sum(other > score for other in others)


@pytest.mark.parametrize("k", [1, 3, 20])
def test_pairs_stay_within_the_best_k(consistency, model, k):
    records = [pair for pair in make_pairs(6, 80) if not untold(pair)]
    ranks = list(expected(load_encoder(model), records, sorted(texts_of(records))))
    found = consistency(records, k=k)
    kept = [pair.id for pair, rank in zip(records, ranks, strict=True) if rank and rank <= k]
    assert [pair.id for pair in found.kept] == kept
    assert 0 < len(kept) < len(records)
    scores = [pair.scores[RANK] for pair in found.kept]
    assert scores == [rank for rank in ranks if rank and rank <= k]
    reasons = [row["drop_reason"] for row in found.dropped]
    assert reasons == [
        "inconsistent" if rank else "no_positive" for rank in ranks if not rank or rank > k
    ]
    for row, rank in zip(found.dropped, [r for r in ranks if not r or r > k], strict=True):
        stored = [s["value"] for s in row["scores"] if s["name"] == RANK]
        assert stored == ([rank] if rank else [])
        if rank:
            assert row["drop_detail"] == f"rank {rank} of {found.notes['pool']}, k is {k}"


def untold(pair):
    """Tell whether a pair's positive is known by id alone."""
    return bool(pair.positives) and pair.positives[0].text is None


def test_the_curve_tells_the_share_within_each_k(consistency, model):
    records = make_pairs(6, 80, hostile=0)
    ranks = list(expected(load_encoder(model), records, sorted(texts_of(records))))
    notes = consistency(records, k=1).notes
    assert notes["pool"] == len(texts_of(records))
    assert notes["share_within"]["1"] == pytest.approx(np.mean([r <= 1 for r in ranks]), abs=1e-4)
    assert notes["share_within"]["1000"] == 1
    shares = list(notes["share_within"].values())
    assert shares == sorted(shares)


def test_the_pool_is_a_fixed_sample(consistency, model):
    """The pool follows from the seed and the ids; the own passage runs, in the pool or not."""
    records = make_pairs(6, 120, hostile=0)
    ids = sorted(texts_of(records))
    chosen = np.random.default_rng(3).choice(len(ids), 20, replace=False)
    ranks = list(expected(load_encoder(model), records, [ids[i] for i in sorted(chosen)]))
    found = consistency(records, k=1000, pool=20, seed=3)
    assert [pair.scores[RANK] for pair in found.kept] == ranks
    assert found.notes["pool"] == 20
    turned = consistency(records[::-1], k=1000, pool=20, seed=3, cuts=5)
    assert [pair.scores[RANK] for pair in turned.kept] == ranks[::-1]
    other = consistency(records, k=1000, pool=20, seed=4)
    assert [pair.scores[RANK] for pair in other.kept] != ranks


def test_copies_never_count_against_a_pair(consistency):
    text = "def readFile(tree): return read_file(tree)"
    records = [Pair("k", f"read the file {i}", [Doc(text)], "s", "g") for i in range(5)]
    records.append(Pair("k", "sort the list", [Doc("def sort(list): pass")], "s", "g"))
    found = consistency(records, k=1)
    assert [pair.scores[RANK] for pair in found.kept][:5] == [1] * 5


def test_nothing_to_rank(consistency):
    records = [Pair("k", None, [Doc("x")], "s", "g"), Pair("k", "q", [], "s", "g")]
    found = consistency(records)
    assert [row["drop_reason"] for row in found.dropped] == ["no_positive"] * 2
    assert consistency([]).kept == []


def test_a_corpus_joins_the_running(model, tmp_path):
    """The round trip: few queries, ranked among all passages, copies of their own left out."""
    records = [pair for pair in make_pairs(5, 60) if first(pair)]
    other = [pair for pair in make_pairs(6, 200) if first(pair)]
    passages = [Passage(first(p).text, "here", "g", id=first(p).id) for p in (*other, *records)]
    inputs = Inputs(
        shards_of(records, "pairs", tmp_path, 2),
        {"corpus": shards_of(passages, "passages", tmp_path, 3)},
        {"encoder": [("m", model)]},
    )
    stage = ConsistencyFilter(encoder=str(model), corpus="passages", k=10**6)
    treated = treat(stage, inputs, tmp_path / "work")
    pool = sorted(texts_of([*records, *other]))
    encoder = load_encoder(model)
    ranks = [pair.scores[RANK] for pair in treated.kept]
    assert ranks == list(expected(encoder, [*records, *other], pool))[: len(records)]
    assert treated.notes["pool"] == len(pool)
