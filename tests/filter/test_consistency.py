"""`filter.consistency` against ranks by brute force, and its fixed pool."""

import shutil

import numpy as np
import pytest
import torch

from curate.encode import load_encoder
from curate.encode import pairs as encode_pairs
from curate.encode.folds import LeftOut
from curate.engine.local import LocalContext
from curate.errors import CurateError
from curate.filter import consistency as module
from curate.filter.consistency import RANK, ConsistencyFilter
from curate.schema import Doc, Pair, Passage, to_table
from curate.stage import Inputs
from tests.contracts.harness import Quiet, shards_of, treat
from tests.contracts.records import make_pairs


@pytest.fixture
def consistency(model, tmp_path):
    def consistency(records, cuts=2, **options):
        models = options.pop("models", [("m", model)])
        inputs = Inputs(shards_of(records, "pairs", tmp_path, cuts), {}, {"encoder": models})
        stage = ConsistencyFilter(encoder=[name for name, _ in models], **options)
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


def rounded(vectors) -> np.ndarray:
    """Return the first vector as the stage compares it."""
    return torch.from_numpy(vectors).bfloat16().double().numpy()[0]


def expected(encoder, records, pool: list[str], margin=1e-4):
    """Rank each pair's passage within the ids of a pool; None for a pair that has none."""
    texts = texts_of(records)
    vectors = {i: rounded(encoder.encode_passages([t])) for i, t in texts.items()}
    for pair in records:
        own = first(pair)
        if own is None:
            yield None
            continue
        query = rounded(encoder.encode_queries([pair.query]))
        score = np.einsum("d,d->", query, vectors[own.id]) + margin
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


def test_a_margin_of_zero_counts_near_copies(consistency, model):
    records = [pair for pair in make_pairs(6, 80, hostile=0) if not untold(pair)]
    encoder, ids = load_encoder(model), sorted(texts_of(records))
    for margin in (0.0, 0.2):
        found = consistency(records, k=1000, margin=margin)
        ranks = list(expected(encoder, records, ids, margin))
        assert [pair.scores[RANK] for pair in found.kept] == ranks


def test_a_positive_known_by_id_alone_is_looked_up(consistency, model):
    records = make_pairs(6, 200)
    told = set(texts_of(records))
    found = consistency(records, k=10**6)
    kept = {pair.id for pair in found.kept if untold(pair)}
    asked = [pair for pair in records if untold(pair) and pair.query is not None]
    looked_up = {pair.id for pair in asked if pair.positives[0].id in told}
    assert looked_up
    assert kept == looked_up


def test_each_source_has_its_k(consistency, model):
    records = [pair for pair in make_pairs(6, 120, hostile=0) if not untold(pair)]
    ranks = list(expected(load_encoder(model), records, sorted(texts_of(records))))
    found = consistency(records, k=3, per_source={"for*": {"k": 30}, "wiki*": {"k": "auto"}})
    auto = found.notes["tables"][0]["rows"]
    ks = {"forum": 30, "wiki/é x": next(int(row[-1]) for row in auto if row[0] == "wiki/é x")}
    kept = [p.id for p, r in zip(records, ranks, strict=True) if r <= ks.get(p.source, 3)]
    assert [pair.id for pair in found.kept] == kept


def fold_models(model, tmp_path, parts):
    """Copy a model, each copy with another part left out and other vectors."""
    for number, part in enumerate(parts):
        folder = shutil.copytree(model, tmp_path / f"fold{number}")
        if part is not None:
            part.save(folder)
        encoder = load_encoder(folder)
        encoder.weights = encoder.weights.roll(number, 0)
        encoder.save(folder)
        yield f"m{number}", folder


def test_each_encoder_ranks_what_it_left_out(consistency, model, tmp_path):
    """The order of the encoders does not matter, and the ranks are those of each alone."""
    records = [pair for pair in make_pairs(6, 120) if not untold(pair)]
    parts = [LeftOut(fold=1, of=2, by="group"), LeftOut(fold=0, of=2, by="group")]
    models = list(fold_models(model, tmp_path, parts))
    alone = [consistency(records, k=10**6, models=[one]).kept for one in models]
    crossed = consistency(records, k=10**6, models=models).kept
    groups = to_table(crossed, "pairs")
    rows = [part.rows(groups) for part in parts]
    assert min(map(sum, rows)) > 10
    for number, pair in enumerate(crossed):
        judge = 0 if rows[0][number] else 1
        assert pair.scores[RANK] == alone[judge][number].scores[RANK]
    assert [p.scores for p in alone[0]] != [p.scores for p in alone[1]]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([LeftOut(fold=0), None], "'m1' was trained on all pairs"),
        ([LeftOut(fold=0), LeftOut(fold=0)], "fold 0 of 2 by query, fold 0 of 2 by query"),
        ([LeftOut(fold=0, of=3), LeftOut(fold=1, of=3)], "one for each fold from 0 to 2"),
        ([LeftOut(fold=0), LeftOut(fold=1, by="group")], "fold 1 of 2 by group"),
    ],
)
def test_encoders_that_do_not_share_the_pairs_are_refused(
    consistency, model, tmp_path, parts, told
):
    with pytest.raises(CurateError, match=told):
        consistency(make_pairs(6, 10), models=list(fold_models(model, tmp_path, parts)))


def test_the_report_shows_the_edges(consistency, model):
    """For each k the last ranks it keeps and the first it drops, five each where there are."""
    records = [pair for pair in make_pairs(6, 150, hostile=0) if not untold(pair)]
    ranks = sorted(expected(load_encoder(model), records, sorted(texts_of(records))))
    curve, edges = consistency(records).notes["tables"]
    assert curve["rows"][0][:2] == ["all", str(len(records))]
    assert curve["rows"][0][3] == f"{np.mean([rank <= 2 for rank in ranks]):.1%}"
    by_source = {row[0]: int(row[1]) for row in curve["rows"][1:]}
    assert sum(by_source.values()) == len(records)
    assert set(by_source) == {"python", "forum", "wiki/é x", "unknown"}
    for k in (1, 2, 5, 10, 100):
        kept = [int(row[2]) for row in edges["rows"] if row[:2] == [str(k), "kept"]]
        dropped = [int(row[2]) for row in edges["rows"] if row[:2] == [str(k), "dropped"]]
        assert kept == [rank for rank in ranks if rank <= k][-5:]
        assert dropped == [rank for rank in ranks if rank > k][:5]


@pytest.mark.parametrize("pool", [10, 10**6])
def test_batches_and_pieces_change_no_rank(consistency, monkeypatch, pool):
    """Encoded and ranked in small parts, in the pool and outside: the same."""
    records = make_pairs(6, 120)
    whole = consistency(records, k=10**6, pool=pool)
    monkeypatch.setattr(module, "_PIECE", 16)
    monkeypatch.setattr(encode_pairs, "BATCH", 9)
    parts = consistency(records, k=10**6, pool=pool, cuts=4)
    assert parts.kept == whole.kept
    assert parts.notes == whole.notes


def test_a_killed_ranking_goes_on(model, tmp_path, monkeypatch):
    """What is ranked is not ranked again: the encoder is not even opened where nothing is left."""
    inputs = Inputs(
        shards_of(make_pairs(6, 60), "pairs", tmp_path), {}, {"encoder": [("m", model)]}
    )
    context = LocalContext(tmp_path, 1, Quiet())
    stage = ConsistencyFilter(encoder=str(model))
    whole = stage.fit(inputs, context)
    monkeypatch.setattr(module, "load_encoder", None)
    np.testing.assert_array_equal(stage.fit(inputs, context).ranks, whole.ranks)


def test_a_broken_encoder_is_refused(consistency, model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "broken")
    encoder = load_encoder(folder)
    encoder.weights[::2] = float("nan")
    encoder.save(folder)
    with pytest.raises(CurateError, match=r"the encoder gave \d+ of \d+ texts vectors"):
        consistency(make_pairs(6, 10), models=[("m", folder)])


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
