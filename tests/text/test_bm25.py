import math
import re
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.bm25 import BM25, Terms

words = st.sampled_from(["get", "set", "user", "name", "list", "of", "file"])
texts = st.lists(st.lists(words, max_size=8).map(" ".join), min_size=1, max_size=12)


def scores_by_hand(passages, query, k1, b):
    """BM25 as the paper writes it, one passage and one term at a time."""
    counts = [Counter(p.split()) for p in passages]
    mean = sum(c.total() for c in counts) / len(counts)
    scores = []
    for count in counts:
        score = 0.0
        for term in query.split():
            df = sum(term in c for c in counts)
            if count[term]:
                idf = math.log(1 + (len(counts) - df + 0.5) / (df + 0.5))
                norm = k1 * (1 - b + b * count.total() / mean)
                score += idf * count[term] / (count[term] + norm)
        scores.append(score)
    return np.array(scores)


@given(texts, texts, st.sampled_from([0.0, 0.9, 2.0]), st.sampled_from([0.0, 0.4, 1.0]))
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_the_formula(passages, queries, k1, b):
    scores, rows = BM25(passages, k1, b).top_k(queries, len(passages))
    for query, row_scores, found in zip(queries, scores, rows, strict=True):
        expected = scores_by_hand(passages, query, k1, b)
        hits = found[found >= 0]
        assert set(hits) == set(np.flatnonzero(expected))
        np.testing.assert_allclose(row_scores[: len(hits)], expected[hits], rtol=1e-5)
        assert not row_scores[len(hits) :].any()
        assert (np.diff(row_scores) <= 0).all()


@given(texts, texts, st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_given_passages_are_scored_by_the_formula(passages, queries, drawn):
    pairs = np.array(drawn, np.int64).reshape(-1, 2) % [len(queries), len(passages)]
    found = BM25(passages, 1.5, 0.5).score(queries, pairs)
    by_hand = [scores_by_hand(passages, query, 1.5, 0.5) for query in queries]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [by_hand[q][p] for q, p in pairs], rtol=1e-5)


@given(texts, texts, st.integers(1, 15))
@settings(max_examples=60, deadline=None)
def test_ranking_is_the_start_of_the_whole_ranking_with_ties_by_row(passages, queries, k):
    index = BM25(passages)
    scores, rows = index.top_k(queries, k)
    all_scores, all_rows = index.top_k(queries, len(passages))
    width = min(k, len(passages))
    assert scores.shape == rows.shape == (len(queries), width)
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(rows, all_rows[:, :width])
    for row_scores, found in zip(all_scores, all_rows, strict=True):
        hits = found >= 0
        order = np.lexsort((found[hits], -row_scores[hits]))
        np.testing.assert_array_equal(order, np.arange(hits.sum()))


def test_equal_passages_come_in_the_order_of_rows():
    _, rows = BM25(["other words", *["get user name"] * 500]).top_k(["user"], 100)
    assert rows[0].tolist() == list(range(1, 101))


def test_identifiers_meet_words():
    passages = ["def get_userName(self):", "def HTTPServer():", "class Other: pass"]
    _, rows = BM25(passages).top_k(["the name of the user", "http server", "GETUSERNAME"], 1)
    assert rows[:, 0].tolist() == [0, 1, -1]


def test_characters_are_terms_where_there_are_no_spaces():
    _, rows = BM25(["データを保存する", "ファイルを開く", "保存"]).top_k(["保存する方法"], 3)
    assert rows[0].tolist() == [0, 2, -1]
    assert Terms(["漢字abc ユーザー"]).lists.to_list() == [["漢", "字", "abc", *"ユーザー"]]


@pytest.mark.parametrize("query", ["", "  ", "zebra", "!?", None, "\U0001f600", "\x00"])
def test_a_query_without_known_terms_finds_nothing(query):
    scores, rows = BM25(["a b", "b c"]).top_k([query], 2)
    assert not scores.any()
    assert (rows == -1).all()


@pytest.mark.parametrize("passages", [[], [""], ["", "!", None]])
def test_passages_without_terms_are_never_found(passages):
    scores, rows = BM25(passages).top_k(["a", ""], 2)
    assert scores.shape == rows.shape == (2, min(2, len(passages)))
    assert (rows == -1).all()


def test_no_queries():
    scores, rows = BM25(["a b", "c"]).top_k([], 5)
    assert scores.shape == rows.shape == (0, 2)


def test_a_query_does_not_depend_on_the_others(monkeypatch):
    generator = np.random.default_rng(0)
    passages = [" ".join(generator.choice(list("abcdefghij"), 9)) for _ in range(50)]
    queries = [" ".join(generator.choice(list("abcdefghij"), 3)) for _ in range(40)]
    index = BM25(passages)
    together = index.top_k(queries, 20)
    monkeypatch.setattr("curate.text.bm25._CELLS", 120)
    for one, other in zip(together, index.top_k(queries, 20), strict=True):
        np.testing.assert_array_equal(one, other)
    alone = np.concatenate([index.top_k([query], 20)[1] for query in queries])
    np.testing.assert_array_equal(together[1], alone)


def test_prints_nothing(capfd):
    BM25(["a b", "b c"] * 50).top_k(["a"] * 50, 10)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("k1", "b"), [(-1, 0.5), (1, -0.1), (1, 1.1)])
def test_parameters_out_of_range_are_refused(k1, b):
    with pytest.raises(ValueError, match=re.escape(f"got k1 {k1} and b {b}")):
        BM25(["a"], k1, b)


def test_k_below_one_is_refused():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        BM25(["a"]).top_k(["a"], 0)


def test_a_huge_text_among_many_is_indexed_in_seconds():
    begin = time.perf_counter()
    _, rows = BM25(["word " * 500_000, "needle", *["filler text"] * 5000]).top_k(["needle"], 5)
    assert rows[0, 0] == 1
    assert time.perf_counter() - begin < 20


def test_english_stems_words_and_leaves_out_stop_words():
    texts = ["sorts the listed values", "a graph of nodes", None, "the of and"]
    index = BM25(texts, english=True)
    assert index.vocabulary.categories.to_list() == ["graph", "list", "node", "sort", "valu"]
    _, rows = index.top_k(["sorting lists", "the node", "the", ""], 2)
    assert rows.tolist() == [[0, -1], [1, -1], [-1, -1], [-1, -1]]


def test_english_with_nothing_but_stop_words():
    _, rows = BM25(["the", ""], english=True).top_k(["the of"], 1)
    assert rows.tolist() == [[-1]]
