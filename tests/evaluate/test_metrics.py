import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, R, nDCG
from scipy.stats import spearmanr

from curate.evaluate.metrics import (
    MRR,
    NDCG,
    RECALL,
    Qrels,
    bootstrap_interval,
    ndcg,
    recall,
    retrieval_metrics,
    spearman,
)

cases = st.integers(0, 2**32 - 1)


def random_case(seed, queries=6, passages=30):
    """Judgements with grades -1 to 3, unjudged queries, and rankings with gaps, in random order."""
    generator = np.random.default_rng(seed)
    judged = generator.random((queries, passages)) < generator.choice([0, 0.1, 0.6], (queries, 1))
    query, passage = np.nonzero(judged)
    order = generator.permutation(len(query))
    grade = generator.integers(-1, 4, len(query)).astype(np.float32)
    qrels = Qrels(query[order], passage[order], grade, queries, passages)
    k = int(generator.integers(1, passages + 1))
    ranking = np.argsort(generator.random((queries, passages)))[:, :k]
    found = generator.integers(0, k + 1, queries)
    return np.where(np.arange(k) < found[:, None], ranking, -1), qrels


def by_ir_measures(ranking, qrels, measure):
    judged = [
        ir_measures.Qrel(str(q), str(p), int(g))
        for q, p, g in zip(qrels.query, qrels.passage, qrels.grade, strict=True)
    ]
    run = [
        ir_measures.ScoredDoc(str(q), str(p), -float(rank))
        for q, row in enumerate(ranking)
        for rank, p in enumerate(row)
        if p >= 0
    ]
    values = np.zeros(qrels.queries)
    if judged:
        for value in ir_measures.iter_calc([measure], judged, run):
            values[int(value.query_id)] = value.value
    return values


@given(cases)
@settings(max_examples=40, deadline=None)
def test_metrics_are_those_of_trec_eval(seed):
    ranking, qrels = random_case(seed)
    ours = retrieval_metrics(ranking, qrels)
    for name, measure in ((NDCG, nDCG @ 10), (MRR, RR @ 10), (RECALL, R @ 100)):
        np.testing.assert_allclose(
            ours[name], by_ir_measures(ranking, qrels, measure), atol=1e-6, err_msg=name
        )


@given(cases, st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_any_cutoff(seed, k):
    ranking, qrels = random_case(seed)
    np.testing.assert_allclose(
        ndcg(ranking, qrels, k), by_ir_measures(ranking, qrels, nDCG @ k), atol=1e-6
    )
    np.testing.assert_allclose(
        recall(ranking, qrels, k), by_ir_measures(ranking, qrels, R @ k), atol=1e-6
    )


def test_ndcg_by_hand():
    qrels = Qrels(np.array([0, 0]), np.array([4, 2]), np.array([1, 3], np.float32), 1, 5)
    expected = (1 / np.log2(2) + 3 / np.log2(4)) / (3 / np.log2(2) + 1 / np.log2(3))
    assert ndcg(np.array([[4, 0, 2]]), qrels)[0] == pytest.approx(expected)


def test_no_relevant_passage_and_no_judgement_score_zero():
    none = np.zeros(0, np.int64)
    empty = Qrels(none, none, np.zeros(0, np.float32), 2, 3)
    zero = Qrels(np.array([0]), np.array([1]), np.zeros(1, np.float32), 2, 3)
    for qrels in (empty, zero):
        for values in retrieval_metrics(np.array([[0, 1, 2], [-1, -1, -1]]), qrels).values():
            assert values.tolist() == [0, 0]


def test_a_ranking_of_another_shape_is_refused():
    _, qrels = random_case(0)
    with pytest.raises(ValueError, match=r"shape \(6, k\), got \(2, 3\)"):
        ndcg(np.zeros((2, 3), np.int64), qrels)


@given(cases)
@settings(max_examples=20, deadline=None)
def test_spearman_with_ties_is_scipys(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 5, (2, 40)).astype(float)
    expected = spearmanr(first, second).statistic
    assert spearman(first, second) == pytest.approx(expected)


def test_spearman_of_a_constant_is_nan():
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_interval_is_that_of_resampled_means():
    values = np.random.default_rng(1).random(50)
    generator = np.random.default_rng(7)
    means = [values[generator.integers(50, size=50)].mean() for _ in range(500)]
    interval = bootstrap_interval(values, samples=500, seed=7)
    assert interval.mean == pytest.approx(values.mean())
    np.testing.assert_allclose([interval.low, interval.high], np.percentile(means, [2.5, 97.5]))


def test_interval_covers_the_true_mean_about_95_times_of_100():
    generator = np.random.default_rng(3)
    intervals = [bootstrap_interval(generator.normal(5, 2, 100), 500, n) for n in range(300)]
    covered = sum(interval.low <= 5 <= interval.high for interval in intervals)
    assert 0.90 <= covered / 300 <= 0.98


def test_interval_does_not_depend_on_the_block(monkeypatch):
    values = np.random.default_rng(1).random(33)
    whole = bootstrap_interval(values, 100, 5)
    monkeypatch.setattr("curate.evaluate.metrics._DRAWS", 100)
    assert bootstrap_interval(values, 100, 5) == whole


def test_paired_interval_is_narrower_than_the_two():
    generator = np.random.default_rng(0)
    first = generator.random(200)
    second = first + 0.02 + generator.normal(0, 0.01, 200)
    assert bootstrap_interval(first).high > bootstrap_interval(second).low
    assert bootstrap_interval(second - first).low > 0.015


def test_interval_of_one_value_and_of_none():
    assert str(bootstrap_interval(np.array([0.5]))) == "0.500 [0.500, 0.500]"
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_interval(np.zeros(0))
