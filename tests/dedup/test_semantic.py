"""Duplicates in meaning against going through all pairs of vectors by hand."""

import json
import random
from collections import Counter

import numpy as np
import pytest

from curate.dedup import semantic
from curate.dedup.semantic import SemanticDedup
from curate.encode import leaders, load_encoder
from curate.encode.model import OutsideModel
from curate.encode.rounding import from_bfloat16, to_bfloat16
from curate.recipe import Recipe
from curate.schema import Doc, Pair, Passage
from curate.stage import Inputs
from tests.contracts.harness import execute, shards_of, treat
from tests.contracts.records import HOSTILE, VERBS, Records
from tests.contracts.records import texts as draw_texts


@pytest.fixture(scope="module")
def encoder(model):
    return load_encoder(model)


@pytest.fixture
def dedup(model, tmp_path):
    """Run the stage over some records."""

    def dedup(records, kind="pairs", cuts=2, **settings):
        stage = SemanticDedup(encoder=str(model), **settings)
        stage.check()
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        inputs = Inputs(shards_of(records, kind, folder, cuts), {}, {"encoder": [("m", model)]})
        return treat(stage, inputs, folder / "work")

    return dedup


def paraphrased(seed, n):
    """Make pairs, some of whose queries repeat an earlier one in other words: their order, one word."""
    rng = random.Random(seed)
    queries = [draw_texts(rng)[0] + f" {rng.randrange(10**6)}" for _ in range(n)]
    for row in range(n // 2, n):
        words = rng.choice(queries[: n // 2]).split()
        if rng.random() < 0.5:
            rng.shuffle(words)
        else:
            words[rng.randrange(len(words))] = "row"
        queries[row] = " ".join(words)
    return [pair_of(query, number) for number, query in enumerate(queries)]


def pair_of(query, number, source="a", **more):
    return Pair("made", query, [Doc(f"passage {number}")], source, f"group {number}", **more)


def by_hand(vectors, order, threshold):
    """Return for each vector the one that stays for it, going through them in order."""
    wide = from_bfloat16(to_bfloat16(vectors)).astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    stays, leader = [], {}
    for row in order:
        close = [(wide[row] @ wide[other], -n) for n, other in enumerate(stays)]
        best = max((c for c in close if c[0] >= threshold - 1e-12), default=None)
        leader[row] = row if best is None else stays[-best[1]]
        stays += [row] if best is None else []
    return [leader[row] for row in range(len(vectors))]


def check(found, records, leader):
    """Compare what stays, the clusters and the details with the row that stays for each."""
    ids = [record.id for record in records]
    sizes = Counter(leader)
    stay = {row for row, of in enumerate(leader) if row == of}
    assert [r.id for r in found.kept] == [ids[row] for row in sorted(stay)]
    assert [r["id"] for r in found.dropped] == [i for row, i in enumerate(ids) if row not in stay]
    for record in found.kept:
        size = sizes[ids.index(record.id)]
        assert record.scores["semantic_cluster_size"] == size
        meta = json.loads(record.meta)
        assert meta == ({"semantic_cluster": record.id} if size > 1 else {})
    for row in found.dropped:
        kept = ids[leader[ids.index(row["id"])]]
        assert row["drop_reason"] == "semantic_duplicate"
        assert row["drop_detail"].startswith(f"of {kept}, cosine ")
        assert json.loads(row["meta"]) == {"semantic_cluster": kept}


@pytest.mark.parametrize("threshold", [0.8, 0.93, 1.0])
def test_planted_paraphrases_are_found_as_by_hand(dedup, encoder, threshold):
    pairs = paraphrased(0, 160)
    vectors = encoder.encode_queries([pair.query for pair in pairs])
    leader = by_hand(vectors, range(len(pairs)), threshold)
    found = dedup(pairs, on="query", threshold=threshold)
    check(found, pairs, leader)
    assert len(found.dropped) > 30
    assert found.notes["texts"] == len({pair.query for pair in pairs})
    assert dedup(pairs, on="query", threshold=threshold, cuts=7).kept == found.kept


def test_who_stays_is_for_the_settings_to_say(dedup, encoder):
    """A chain of wishes: source, score, length, then the place in the input."""
    rng = random.Random(1)
    pairs = [
        pair_of(p.query, n, rng.choice("abc"), scores={"good": rng.random()} if n % 3 else {})
        for n, p in enumerate(paraphrased(1, 120))
    ]
    vectors = encoder.encode_queries([pair.query for pair in pairs])
    wishes = {
        "prefer": (["c", "a"], lambda p: {"c": 0, "a": 1}.get(p.source, 2)),
        "best": ("good", lambda p: -p.scores.get("good", -9.0)),
        "keep": ("longest", lambda p: -len(p.query) - len(p.positives[0].text)),
    }
    settings, keys = {}, []
    for name, (value, key) in wishes.items():
        settings[name] = value
        keys.append(key)
        order = sorted(range(len(pairs)), key=lambda row: [k(pairs[row]) for k in keys])
        found = dedup(pairs, on="query", threshold=0.9, **settings)
        leader = by_hand(vectors, order, 0.9)
        assert {r.id for r in found.kept} == {
            pairs[row].id for row in range(len(pairs)) if leader[row] == row
        }
        assert {r["id"]: r["drop_detail"].split()[1] for r in found.dropped} == {
            pairs[row].id: pairs[of].id + "," for row, of in enumerate(leader) if row != of
        }


def test_the_farthest_from_the_centre_stays(dedup, encoder):
    """The centre is that of the nearest cluster of k-means, as SemDeDup has it."""
    rng = random.Random(2)
    pairs = [pair_of(" ".join(rng.sample(VERBS, 6)), n) for n in range(60)]
    vectors = encoder.encode_queries([pair.query for pair in pairs])
    found = dedup(pairs, on="query", threshold=0.5, farthest=True)
    first = dedup(pairs, on="query", threshold=0.5)
    assert len(first.kept) < 20
    kmeans = semantic.KMeans.learn(_distinct(vectors), 4 * int(len(_distinct(vectors)) ** 0.5), 0)
    near = kmeans.nearest(to_bfloat16(vectors))[1]
    order = sorted(range(60), key=lambda row: (near[row], row))
    leader = by_hand(vectors, order, 0.5)
    assert {r.id for r in found.kept} == {pairs[r].id for r in range(60) if leader[r] == r}
    assert {r.id for r in found.kept} != {r.id for r in first.kept}


def _distinct(vectors):
    """Keep the first of equal vectors, in order, as their texts come."""
    return to_bfloat16(np.array(list(dict.fromkeys(map(tuple, vectors))), np.float32))


def test_equal_texts_are_encoded_once(dedup, model, monkeypatch):
    encoded = []

    class Counting:
        dimension = 16

        def __init__(self, folder, *rest):
            self.inner = load_encoder(model)

        def encode_queries(self, texts):
            encoded.extend(texts)
            return self.inner.encode_queries(texts)

    monkeypatch.setattr(semantic, "load_encoder", Counting)
    monkeypatch.setattr(semantic, "_ENCODED", 3)
    queries = ["Open the file", "open  the FILE.", "close the file", "Open the file", "sort rows"]
    pairs = [pair_of(query, n) for n, query in enumerate(queries * 20)]
    found = dedup(pairs, on="query", threshold=0.999, best="none")
    assert encoded == ["Open the file", "close the file", "sort rows"]
    assert [pair.query for pair in found.kept] == encoded
    sizes = [pair.scores["semantic_cluster_size"] for pair in found.kept]
    assert sizes == [60, 20, 20]
    assert {row["drop_detail"][-11:] for row in found.dropped} == {"cosine 1.00"}


def test_what_says_nothing_has_no_duplicates(dedup):
    texts = [None, None, "", "", " ", "\x00", "\u00a7\u00a7", "\u00a7\u00a7 \u00a7", *HOSTILE]
    passages = [Passage(text, "s", "g", id=str(n)) for n, text in enumerate(texts)]
    found = dedup(passages, "passages", threshold=0.9)
    kept = {record.id: record for record in found.kept}
    # The last two of these say something, but the encoder knows no word of it.
    assert all(str(n) in kept for n in range(8))
    assert all("semantic_cluster_size" not in kept[str(n)].scores for n in range(6))
    assert [kept[str(n)].scores["semantic_cluster_size"] for n in (6, 7)] == [1, 1]
    assert len(found.kept) + len(found.dropped) == len(texts)


def test_passages_and_queries_are_encoded_as_such(dedup):
    """A pair's first positive is compared unless the query is asked for."""
    pairs = [pair_of(f"{verb} it", 0) for verb in VERBS]
    assert len(dedup(pairs).kept) == 1
    assert len(dedup(pairs, on="query", threshold=1.0).kept) > 1
    with pytest.raises(ValueError, match="on: 'query' needs pairs"):
        SemanticDedup(encoder="m", on="query").gives("passages")


def test_clusters_of_kmeans_find_nearly_all_and_say_so(dedup, monkeypatch):
    monkeypatch.setattr(leaders, "_LEAST_BLOCK", 100)
    monkeypatch.setattr(leaders, "_BLOCKS_PER_CLUSTER", 1)
    pairs = paraphrased(3, 500)
    whole = dedup(pairs, on="query", threshold=0.9)
    assert "recall" not in whole.notes
    found = {}
    for probes in (1, 6):
        found[probes] = dedup(pairs, on="query", threshold=0.9, clusters=25, probes=probes)
        share = len(found[probes].dropped) / len(whole.dropped)
        assert found[probes].notes["recall"] == pytest.approx(share, abs=0.03)
        assert found[probes].notes["kmeans_clusters"] == 25
    assert len(found[1].dropped) < len(found[6].dropped)
    assert found[6].notes["recall"] > 0.98
    monkeypatch.setattr(semantic, "_ALL_PAIRS", 100)
    by_itself = dedup(pairs, on="query", threshold=0.9)
    assert by_itself.notes["kmeans_clusters"] == 4 * int(by_itself.notes["texts"] ** 0.5)


def test_a_recipe_takes_any_model(model, tmp_path):
    """A stage that brings a model from outside stands above without taking anything."""
    stages = {
        "records": Records(rows=40, shards=1),
        "mini": OutsideModel(model=str(model)),
        "tested": SemanticDedup(encoder="mini", from_="records", threshold=0.9),
    }
    by_stage = execute(Recipe(stages), tmp_path)
    by_folder = execute(
        Recipe(
            stages | {"tested": SemanticDedup(encoder=str(model), from_="records", threshold=0.9)}
        ),
        tmp_path,
    )
    found, expected = (run["tested"].shards("main").to_arrow() for run in (by_stage, by_folder))
    assert found.equals(expected)
    assert by_stage["tested"].account.dropped["semantic_duplicate"] > 0
