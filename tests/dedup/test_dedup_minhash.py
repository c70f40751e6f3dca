import random

import numpy as np
import pytest

from curate.dedup.minhash import MinHashDedup
from curate.schema import Doc, Pair, Passage, from_table, score

VOCABULARY = [f"word{i}" for i in range(3000)]


def passages(texts):
    return [Passage(text, "here", "g", title=str(i)) for i, text in enumerate(texts)]


def clusters(count=15, length=80, copies=3, seed=0):
    """Random texts, each with near copies (one word changed), in random order."""
    rng = random.Random(seed)
    texts = []
    for number in range(count):
        words = rng.choices(VOCABULARY, k=length)
        for copy in range(copies):
            place = rng.randrange(20, 60)
            changed = [*words[:place], f"change{copy}", *words[place + 1 :]] if copy else words
            texts.append((number, " ".join(changed)))
    rng.shuffle(texts)
    return texts


def test_one_of_each_cluster_stays(run_global):
    texts = clusters()
    records = passages([text for _, text in texts])
    result = run_global(MinHashDedup(), records, kind="passages")
    first = {}
    for (number, _), record in zip(texts, records, strict=True):
        first.setdefault(number, record.id)
    assert result.kept["id"].to_pylist() == list(first.values())
    assert (score(result.kept, "minhash_cluster_size") == 3).all()
    assert set(result.dropped["drop_reason"].to_pylist()) == {"near_duplicate"}
    number_of = {record.id: number for (number, _), record in zip(texts, records, strict=True)}
    for row in result.dropped.to_pylist():
        assert row["drop_detail"].startswith(
            f"of {first[number_of[row['id']]]}, Jaccard similarity 0."
        )
    assert result.notes["clusters"] == 15
    assert (result.notes["bands"], result.notes["rows"]) == (18, 7)
    assert result.notes["verified_pairs"] <= result.notes["candidate_pairs"]
    assert result.notes["recall_at_threshold"] > 0.95


@pytest.mark.parametrize("verify", [True, False])
def test_below_the_threshold_nothing_is_a_duplicate(run_global, verify):
    rng = random.Random(1)
    shared = rng.choices(VOCABULARY, k=60)
    records = passages([" ".join([*shared, *rng.choices(VOCABULARY, k=60)]) for _ in range(20)])
    result = run_global(MinHashDedup(verify=verify), records, kind="passages")
    assert len(result.kept) == 20
    assert (score(result.kept, "minhash_cluster_size") == 1).all()


def test_without_verification_the_estimate_decides(run_global):
    records = passages([text for _, text in clusters()])
    result = run_global(MinHashDedup(verify=False, threshold=0.7), records, kind="passages")
    assert len(result.kept) == 15


def test_the_longest_stays(run_global):
    rng = random.Random(2)
    text = " ".join(rng.choices(VOCABULARY, k=100))
    records = passages(
        [text, f"{text} one", f"{text} one two", f"{text} six two", "something else"]
    )
    result = run_global(MinHashDedup(keep="longest"), records, kind="passages")
    assert result.kept["title"].to_pylist() == ["2", "4"]
    assert all(
        d.startswith(f"of {records[2].id}") for d in result.dropped["drop_detail"].to_pylist()
    )


def test_queries_are_compared_by_characters(run_global):
    queries = [
        "how do i sort a list of numbers in python",
        "how do i sort a list of number in python",
        "how do i sort a list of words in ruby quickly",
        "what is the type of c++ template arguments",
        "what is the type of c# template arguments",
    ]
    pairs = [Pair("qa", q, [Doc(f"passage {i}")], "here", "g") for i, q in enumerate(queries)]
    result = run_global(MinHashDedup(on="query", threshold=0.75), pairs)
    assert [pair.query for pair in from_table(result.kept)] == [queries[i] for i in (0, 2, 3, 4)]


def test_first_positive_counts_and_nulls_stay(run_global):
    text = " ".join(VOCABULARY[:30])
    pairs = [
        Pair("qa", "one", [Doc(text), Doc("other")], "here", "g"),
        Pair("qa", "two", [Doc("other"), Doc(text)], "here", "g"),
        Pair("qa", "three", [Doc(text.upper())], "here", "g"),
        Pair("qa", "four", [Doc(None, id="a")], "here", "g"),
        Pair("qa", "five", [Doc(None, id="a")], "here", "g"),
        Pair("qa", "six", [], "here", "g"),
        Pair("qa", "seven", [Doc("")], "here", "g"),
        Pair("qa", "eight", [Doc("")], "here", "g"),
    ]
    result = run_global(MinHashDedup(on="passage"), pairs)
    assert result.dropped["query"].to_pylist() == ["three"]
    assert result.dropped["drop_detail"].to_pylist() == [
        f"of {pairs[0].id}, Jaccard similarity 1.00"
    ]
    sizes = score(result.kept, "minhash_cluster_size")
    expected = [2, 1, np.nan, np.nan, np.nan, 1, 1]
    assert np.array_equal(sizes, np.array(expected, np.float32), equal_nan=True)


@pytest.mark.parametrize(("shards", "batch"), [(1, 1000), (3, 4), (11, 2)])
def test_same_rows_for_any_cut(run_global, shards, batch):
    records = passages([text for _, text in clusters(seed=5)])
    whole = run_global(MinHashDedup(), records, kind="passages", shards=1)
    cut = run_global(MinHashDedup(), records, kind="passages", shards=shards, batch=batch)
    assert cut.kept.equals(whole.kept)
    assert cut.dropped.equals(whole.dropped)


def test_nothing_at_all(run_global):
    assert len(run_global(MinHashDedup(), [], kind="passages", shards=1).kept) == 0


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="permutations"):
        MinHashDedup(threshold=0.1, permutations=8).check()
    with pytest.raises(ValueError, match="on: 'query'"):
        MinHashDedup(on="query").gives("passages")
