import numpy as np

from curate.evaluate.datasets import RetrievalSet
from curate.evaluate.metrics import Qrels, ndcg
from curate.evaluate.tuning import tune_bm25
from curate.text.bm25 import BM25


def random_set(queries=40, passages=60):
    """Zipfian words; the relevant passage holds the query's words, among much else."""
    generator = np.random.default_rng(0)
    words = np.array([f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(200)])
    chances = 1 / np.arange(1, 201)
    lengths = generator.integers(3, 120, passages)
    texts = [generator.choice(words, n, p=chances / chances.sum()) for n in lengths]
    chosen = generator.permutation(passages)[:queries]
    asked = [" ".join(generator.choice(texts[row], 3)) for row in chosen]
    grade = np.ones(queries, np.float32)
    ids = [str(n) for n in range(passages)]
    return RetrievalSet(
        name="random",
        query_ids=ids[:queries],
        queries=asked,
        corpus_ids=ids,
        texts=[" ".join(text) for text in texts],
        qrels=Qrels(np.arange(queries), chosen, grade, queries, passages),
    )


def test_the_best_point_of_the_grid_wins():
    data = random_set()
    tuning = tune_bm25(data, [0.5, 1.5, 3.0], [0.0, 0.5, 1.0])
    by_hand = {
        (k1, b): ndcg(BM25(data.texts, k1, b).top_k(data.queries, 10)[1], data.qrels).mean()
        for k1 in (0.5, 1.5, 3.0)
        for b in (0.0, 0.5, 1.0)
    }
    assert {(point["k1"], point["b"]): point["ndcg"] for point in tuning.grid} == by_hand
    assert by_hand[tuning.k1, tuning.b] == max(by_hand.values())
    assert len(set(by_hand.values())) > 3
    assert (tuning.queries, tuning.passages) == (40, 60)


def test_of_equal_points_the_first_wins():
    ones = np.ones(1, np.float32)
    qrels = Qrels(np.array([0]), np.array([1]), ones, 1, 2)
    data = RetrievalSet("tiny", ["q"], ["needle"], ["a", "b"], ["hay", "needle"], qrels)
    tuning = tune_bm25(data, [2.0, 1.0], [0.9, 0.1])
    assert (tuning.k1, tuning.b) == (2.0, 0.9)
