import itertools
import json
import random
from collections import Counter

import numpy as np
import polars as pl
import pytest

from curate.dedup.minhash import MinHashDedup
from curate.engine.local import plan
from curate.recipe import Recipe
from curate.report.plan import plan_report
from curate.schema import Doc, Pair, Passage, from_table, score
from curate.text.normalise import normalise, words
from tests.contracts.records import HOSTILE, Records

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


def test_without_verification_every_candidate_counts(run_global):
    records = passages([text for _, text in clusters()])
    plain = run_global(MinHashDedup(verify=False, bands="recall"), records, kind="passages")
    assert len(plain.kept) == 15
    assert (plain.notes["bands"], plain.notes["rows"]) == (18, 7)
    assert plain.notes["verified_pairs"] == 0
    assert all(detail.count(" ") == 1 for detail in plain.dropped["drop_detail"].to_pylist())
    balanced = run_global(MinHashDedup(verify=False), records, kind="passages")
    assert (balanced.notes["bands"], balanced.notes["rows"]) == (9, 13)
    assert 15 <= len(balanced.kept) < 25


def sets_by_hand(texts, unit):
    form, joiner = (words, " ") if unit == "words" else (normalise, "")
    found = []
    for text in form(pl.Series(texts, dtype=pl.String)).fill_null("").to_list():
        units = text.split() if unit == "words" else list(text)
        runs = range(max(len(units) - 4, 1)) if units else ()
        found.append({joiner.join(units[i : i + 5]) for i in runs})
    return found


def clusters_by_hand(sides, threshold):
    """All pairs, compared by sets of strings on every side; each record's first like it."""
    n = len(sides[0])
    first = list(range(n))
    for i, j in itertools.combinations(range(n), 2):
        near = all(
            sets[i] and len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j])
            for sets in sides
        )
        if near:
            low, high = sorted((first[i], first[j]))
            first = [low if row == high else row for row in first]
    return first


def changed(rng, text, places):
    text = list(text)
    for place in rng.sample(range(len(text)), places):
        text[place] = rng.choice(VOCABULARY)
    return text


def odd_pairs(seed):
    """Pairs whose queries and passages are near others', each by itself; some are hostile."""
    rng = random.Random(seed)
    queries = [rng.choices(VOCABULARY, k=9) for _ in range(12)]
    bodies = [rng.choices(VOCABULARY, k=70) for _ in range(12)]
    pairs = []
    for number in range(90):
        query = " ".join(changed(rng, rng.choice(queries), rng.choice([0, 0, 1])))
        body = " ".join(changed(rng, rng.choice(bodies), rng.choice([0, 1, 2, 4])))
        if number % 9 == 0:
            query, body = rng.choice([(rng.choice(HOSTILE), body), (query, rng.choice(HOSTILE))])
        pairs.append(Pair("qa", query, [Doc(body)], rng.choice("ab"), "g", meta='{"n": 1}'))
    return pairs


@pytest.mark.parametrize("on", ["query", "passage", "both"])
def test_clusters_are_those_of_all_pairs(run_global, on):
    pairs = odd_pairs(3)
    queries = sets_by_hand([pair.query for pair in pairs], "chars")
    bodies = sets_by_hand([pair.positives[0].text for pair in pairs], "words")
    sides = {"query": [queries], "passage": [bodies], "both": [queries, bodies]}[on]
    first = clusters_by_hand(sides, 0.7)
    result = run_global(MinHashDedup(on=on, threshold=0.7, recall=0.999), pairs)
    kept = sorted(set(first))
    assert 12 < len(kept) < 90
    assert result.kept["id"].to_pylist() == [pairs[row].id for row in kept]
    sizes = Counter(first)
    assert score(result.kept, "minhash_cluster_size").tolist() == [sizes[row] for row in kept]
    names = {pair.id: pairs[low].id for pair, low in zip(pairs, first, strict=True)}
    for row in [*result.kept.to_pylist(), *result.dropped.to_pylist()]:
        meta = json.loads(row["meta"])
        clustered = sizes[first[[pair.id for pair in pairs].index(row["id"])]] > 1
        assert meta == ({"n": 1, "minhash_cluster": names[row["id"]]} if clustered else {"n": 1})


def test_the_preferred_source_stays_then_the_best_score(run_global):
    text = " ".join(VOCABULARY[:40])
    records = [
        Passage(f"{text} {end}", source, "g", title=title, scores=scores)
        for end, source, title, scores in [
            ("one", "forum", "a", {"votes": 9.0}),
            ("two", "wiki/en", "b", {"votes": 1.0}),
            ("six", "wiki/de", "c", {"votes": 2.0}),
            ("ten", "wiki/fr", "d", {}),
        ]
    ]
    for stage, title in [
        (MinHashDedup(), "a"),
        (MinHashDedup(best="votes"), "a"),
        (MinHashDedup(prefer=["wiki/*"]), "b"),
        (MinHashDedup(prefer=["wiki/*"], best="votes"), "c"),
        (MinHashDedup(prefer=["wiki/fr", "wiki/*"], best="votes"), "d"),
    ]:
        result = run_global(stage, records, kind="passages")
        assert result.kept["title"].to_pylist() == [title]
        (kept,) = (record.id for record in records if record.title == title)
        metas = [*result.kept["meta"].to_pylist(), *result.dropped["meta"].to_pylist()]
        assert [json.loads(meta)["minhash_cluster"] for meta in metas] == [kept] * 4


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


def test_blocks_and_held_shingles_change_no_row(run_global, monkeypatch):
    pairs = odd_pairs(8)
    expected = {on: run_global(MinHashDedup(on=on), pairs) for on in ("passage", "both")}
    monkeypatch.setattr("curate.dedup.near.BLOCK", 16)
    monkeypatch.setattr("curate.text.minhash.index.BLOCK", 16)
    monkeypatch.setattr("curate.text.minhash.index.PLACE_BITS", 4)
    monkeypatch.setattr("curate.dedup.near._CODES_AT_ONCE", 7)
    monkeypatch.setattr("curate.dedup.near._PARTITIONS_AT_ONCE", 2)
    monkeypatch.setattr("curate.dedup.near._HELD_SHINGLES", 100)
    for on, whole in expected.items():
        found = run_global(MinHashDedup(on=on), pairs, shards=5)
        assert found.kept.equals(whole.kept)
        assert found.dropped.equals(whole.dropped)
        assert found.notes == whole.notes


def test_long_texts_in_many_pairs_are_read_a_few_at_a_time(run_global):
    rng = random.Random(4)
    text = " ".join(f"w{rng.randrange(10**9)}" for _ in range(90_000))
    records = passages([f"{text} {i}" for i in range(4)] + ["", "é" * 10**6, "é" * 10**6 + "x"])
    result = run_global(MinHashDedup(), records, kind="passages")
    assert result.kept["title"].to_pylist() == ["0", "4", "5", "6"]


def test_bloom_filters_drop_what_resembles_an_earlier_record(run_global):
    texts = clusters()
    records = passages([*(text for _, text in texts), "", "", texts[0][1]])
    stage = MinHashDedup(index="bloom", bands="recall", threshold=0.6)
    result = run_global(stage, records, kind="passages")
    first = {}
    for (number, _), record in zip(texts, records, strict=False):
        first.setdefault(number, record.id)
    assert result.kept["id"].to_pylist() == [*first.values(), records[-3].id, records[-2].id]
    assert set(result.dropped["drop_reason"].to_pylist()) == {"near_duplicate"}
    assert result.kept["scores"].to_pylist() == [[]] * 17
    assert set(result.kept["meta"].to_pylist()) == {"{}"}
    cut = run_global(stage, records, kind="passages", shards=7, batch=3)
    assert cut.kept.equals(result.kept)


def test_what_is_chosen_is_planned():
    assert MinHashDedup().planned() == {
        "bands": 18,
        "rows": 7,
        "recall_at_threshold": 0.9855,
        "disk_bytes_per_record": 152,
        "balanced": "9 x 13",
        "balanced_recall_at_threshold": 0.3988,
    }
    assert MinHashDedup(memory=112).planned()["bands"] == 13
    both = MinHashDedup(on="both").planned()
    assert (both["bands"], both["rows"]) == (32, 4)
    bloom = MinHashDedup(index="bloom").planned()
    assert (bloom["bands"], bloom["rows"], bloom["memory_bytes_per_record"]) == (9, 13, 32)


def test_the_plan_shows_what_is_chosen(tmp_path):
    recipe = Recipe({"records": Records(), "near": MinHashDedup()})
    report = plan_report(recipe, plan(recipe, tmp_path))
    (table,) = next(part for part in report.sections if part.title == "Chosen").blocks
    assert ("near", "bands", "18") in table.rows
    assert ("", "recall_at_threshold", "0.9855") in table.rows


def test_nothing_at_all(run_global):
    assert len(run_global(MinHashDedup(), [], kind="passages", shards=1).kept) == 0


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="permutations"):
        MinHashDedup(threshold=0.1, permutations=8).check()
    for on in ("query", "both"):
        with pytest.raises(ValueError, match=f"on: '{on}' needs pairs"):
            MinHashDedup(on=on).gives("passages")
    for setting in ({"verify": True}, {"prefer": ["a"]}, {"best": "votes"}, {"keep": "longest"}):
        with pytest.raises(ValueError, match=r"index: exact"):
            MinHashDedup(index="bloom", **setting).check()
