"""`mine.retrieve` against brute force in float64, and against plain loops over complete lists."""

import math
import re

import numpy as np
import pytest

from curate.encode import load_encoder
from curate.mine import SIMILARITY
from curate.mine.retrieve import Retrieve
from curate.schema import Doc, Pair, Passage
from curate.stage import Inputs
from curate.text.bm25 import BM25
from tests.contracts.harness import shards_of, treat
from tests.contracts.records import make_pairs, make_passages


@pytest.fixture
def retrieve(model, tmp_path):
    """Run the stage over pairs, and a corpus if there is one."""

    def retrieve(records, top=5, corpus=None, cuts=2):
        inputs = Inputs(
            shards_of(records, "pairs", tmp_path, cuts), {}, {"encoder": [("m", model)]}
        )
        if corpus is not None:
            inputs.records["corpus"] = shards_of(corpus, "passages", tmp_path)
        number = len(list(tmp_path.iterdir()))
        return treat(Retrieve(encoder=str(model), top=top), inputs, tmp_path / f"work{number}")

    return retrieve


def expected(encoder, records, corpus: dict[str, str], top):
    """Return for each pair the ids and scores of the best, and its own score, by brute force."""
    ids = sorted(corpus)
    passages = encoder.encode_passages([corpus[i] for i in ids]).astype(np.float64)
    for pair in records:
        query = encoder.encode_queries([pair.query or ""])[0].astype(np.float64)
        scores = np.array([passage @ query for passage in passages])
        order = np.lexsort((np.arange(len(ids)), -scores.round(12)))[:top]
        own = None
        if pair.positives and pair.positives[0].text is not None:
            own = encoder.encode_passages([pair.positives[0].text])[0].astype(np.float64) @ query
        yield [(ids[i], scores[i]) for i in order], own


def first_positives(records):
    firsts = [pair.positives[0] for pair in records if pair.positives]
    return {doc.id: doc.text for doc in firsts if doc.text is not None}


def check(found, records, wanted, told):
    assert found.dropped == []
    assert [pair.id for pair in found.kept] == [pair.id for pair in records]
    for pair, before, (best, own) in zip(found.kept, records, wanted, strict=True):
        assert [doc.id for doc in pair.candidates] == [i for i, _ in best]
        scores = [doc.scores[SIMILARITY] for doc in pair.candidates]
        np.testing.assert_allclose(scores, [score for _, score in best], atol=1e-6)
        assert {(doc.text, doc.origin) for doc in pair.candidates} <= {(None, "mined")}
        texts = [doc.text for doc in before.positives]
        assert [doc.text for doc in pair.positives] == texts
        if own is not None:
            assert pair.positives[0].scores[SIMILARITY] == pytest.approx(own, abs=1e-6)
        assert len(pair.negatives) == len(before.negatives)
    assert found.notes == told


@pytest.mark.parametrize("top", [1, 5, 500])
def test_candidates_are_the_nearest_passages(retrieve, model, top):
    records = make_pairs(3, 60)
    corpus = first_positives(records)
    wanted = expected(load_encoder(model), records, corpus, top)
    check(retrieve(records, top), records, wanted, {"corpus": len(corpus)})


def test_a_corpus_may_be_named(retrieve, model):
    records, passages = make_pairs(3, 40), make_passages(8, 50)
    corpus = {p.id: p.text for p in reversed(passages) if p.text is not None}
    wanted = expected(load_encoder(model), records, corpus, 4)
    found = retrieve(records, 4, passages)
    check(found, records, wanted, {"corpus": len(corpus)})


def test_pairs_without_query_or_positive_stay(retrieve):
    records = [
        Pair("k", None, [Doc("read the file")], "s", "g"),
        Pair("k", "read the file", [], "s", "g"),
        Pair("k", "read the file", [Doc(None, id="x")], "s", "g"),
    ]
    found = retrieve(records)
    assert [len(pair.candidates) for pair in found.kept] == [1, 1, 1]
    assert found.kept[0].positives[0].scores == {SIMILARITY: 0.0}
    assert found.kept[2].positives[0].scores == {}


def test_an_empty_corpus_gives_no_candidates(retrieve):
    records = [Pair("k", "read the file", [], "s", "g")] * 3
    assert [pair.candidates for pair in retrieve(records).kept] == [[], [], []]
    found = retrieve(make_pairs(1, 5, 0), corpus=[Passage(None, "s", "g")])
    assert [pair.candidates for pair in found.kept] == [[]] * 5


def test_a_repeated_score_is_the_last_one(retrieve):
    """Mining twice leaves the newer similarity to be read."""
    records = make_pairs(3, 10, hostile=0)
    once = retrieve(records).kept
    twice = retrieve(once).kept
    for one, two in zip(once, twice, strict=True):
        assert two.positives[0].scores == one.positives[0].scores
        assert two.candidates == one.candidates


# -- BM25, fusion, the own passage -----------------------------------------------------------------


def fives(text):
    words = re.findall(r"\w+", text.lower().replace("_", " "))
    return {tuple(words[i : i + 5]) for i in range(max(len(words) - 4, 1))} if words else set()


def alike(left, right):
    left, right = fives(left), fives(right)
    return len(left & right) / max(len(left | right), 1)


def places(scores: dict[str, float], depth: int) -> dict[str, int]:
    """Return the rank of each of the best `depth` ids; equal scores share the best rank."""
    best = sorted(scores, key=lambda i: (-scores[i], i))[:depth]
    return {i: 1 + sum(scores[j] > scores[i] for j in best) for i in best}


def reference(stage, pair, corpus, dense, lexical):
    """Return the candidates of a pair by plain loops: id to scores, best first.

    :param dense: the similarity of every known passage.
    :param lexical: the BM25 scores of the corpus.
    """
    own = pair.positives[0].id if pair.positives and pair.positives[0].text is not None else None
    depth = max(stage.top, stage.depth)
    near = places({i: dense[i] for i in corpus}, depth)
    matched = places({i: s for i, s in lexical.items() if s > 0}, depth)
    fused = {i: sum(1 / (stage.constant + p[i]) for p in (near, matched) if i in p) for i in corpus}
    listed = [i for i in corpus if i in near or i in matched]
    listed.sort(key=lambda i: (-fused[i], near.get(i, math.inf), matched.get(i, math.inf), i))
    kept = listed[: stage.top]
    if stage.same and own is not None and own not in kept:
        kept[stage.top - 1 :] = []
        kept.append(own)
    for i in kept:
        scores = {"similarity": dense[i], "bm25": lexical.get(i)}
        scores["rrf_retrieval"] = fused[i] if i in listed else None
        if stage.same and own is not None:
            jaccard = alike(corpus.get(i, pair.positives[0].text), pair.positives[0].text)
            scores["same"] = 1.0 if i == own else jaccard if jaccard >= stage.same else None
        yield i, {name: value for name, value in scores.items() if value is not None}


def run(stage, records, model, folder, corpus=None):
    inputs = Inputs(shards_of(records, "pairs", folder), {}, {"encoder": [("m", model)]})
    if corpus is not None:
        inputs.records["corpus"] = shards_of(corpus, "passages", folder)
    return treat(stage, inputs, folder / f"work{len(list(folder.iterdir()))}").kept


@pytest.mark.parametrize(
    "options",
    [
        {"top": 6, "depth": 8, "same": 0.3},
        {"top": 12, "depth": 1, "constant": 0},
        {"top": 1, "depth": 30, "same": 1.0},
        {"top": 500, "same": 0.2},
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_two_retrievers_fused(model, tmp_path, options, named, monkeypatch):
    monkeypatch.setattr("curate.mine.retrieve._QUERIES", 17)
    records = make_pairs(5, 50, hostile=0)
    longer = [Doc(f"{one.positives[0].text}\n    return the last row") for one in records[:10]]
    records += [Pair("k", "the last row", [doc], "s", "g") for doc in longer]
    own = first_positives(records)
    texts = {p.id: p.text for p in make_passages(9, 40, hostile=0)}
    texts |= dict(list(own.items())[:10] + list(own.items())[-10:])
    passages = [Passage(text, "s", "g", id=i) for i, text in texts.items()] if named else None
    corpus = dict(sorted((texts if named else own).items()))
    stage = Retrieve(encoder=str(model), lexical="bm25", **options)
    found = run(stage, records, model, tmp_path, passages)
    encoder, index = load_encoder(model), BM25(list(corpus.values()))
    everything = corpus | own
    vectors = encoder.encode_passages(list(everything.values())).astype(np.float64)
    for pair, before in zip(found, records, strict=True):
        products = vectors @ encoder.encode_queries([before.query])[0].astype(np.float64)
        dense = dict(zip(everything, products.round(7).tolist(), strict=True))
        scores, rows = index.top_k([before.query], len(corpus))
        lexical = dict.fromkeys(corpus, 0.0)
        lexical |= {list(corpus)[r]: s for s, r in zip(scores[0], rows[0], strict=True) if r >= 0}
        wanted = dict(reference(stage, before, corpus, dense, lexical))
        assert [doc.id for doc in pair.candidates] == list(wanted)
        for doc in pair.candidates:
            assert doc.scores == pytest.approx(wanted[doc.id], abs=1e-5)
        mine = before.positives[0].id
        given = {"similarity": dense[mine]}
        given |= {"bm25": lexical[mine]} if mine in corpus else {}
        assert pair.positives[0].scores == pytest.approx(given, abs=1e-5)
    marks = [doc.scores.get("same", 0) for pair in found for doc in pair.candidates]
    assert (1 in marks) == ("same" in options)
    assert any(0 < mark < 1 for mark in marks) == (options.get("same", 1) < 1)


@pytest.mark.parametrize("lexical", ["bm25", "bm25-english"])
def test_bm25_alone(tmp_path, lexical):
    passages = [
        Passage("def read_files(): reads the files", "s", "g"),
        Passage("the table of contents", "s", "g"),
        Passage("sort rows", "s", "g"),
    ]
    records = [
        Pair("k", "reading of file", [Doc("sort rows")], "s", "g"),
        Pair("k", "no such words", [], "s", "g"),
        Pair("k", None, [], "s", "g"),
    ]
    stage = Retrieve(encoder=None, lexical=lexical, same=0.5)
    first, *rest = run(stage, records, None, tmp_path, passages)
    by_bm25 = passages[0] if lexical == "bm25-english" else passages[1]
    assert [doc.id for doc in first.candidates] == [by_bm25.id, passages[2].id]
    found, own = first.candidates
    assert found.scores.keys() == {"bm25"}
    assert found.scores["bm25"] > 0
    assert own.scores == {"bm25": 0.0, "same": 1.0}
    assert first.positives[0].scores == {"bm25": 0.0}
    assert [pair.candidates for pair in rest] == [[], []]


def test_the_own_passage_need_not_be_in_the_corpus(model, tmp_path):
    """Nor must the corpus hold anything; what is not in it is not found for others."""
    records = [
        Pair("k", "read the file", [Doc("def read_file(): pass")], "s", "g"),
        Pair("k", "sort the table", [Doc("def sort_table(): pass")], "s", "g"),
    ]
    stage = Retrieve(encoder=str(model), lexical="bm25", same=0.8)
    for pair in run(stage, records, model, tmp_path, [Passage(None, "s", "g")]):
        (own,) = pair.candidates
        assert own.id == pair.positives[0].id
        assert own.scores == {"similarity": pair.positives[0].scores["similarity"], "same": 1.0}


def test_a_positive_without_text_is_known_by_the_corpus(model, tmp_path):
    passage = Passage("def read_file(): pass", "s", "g")
    records = [Pair("k", "read the file", [Doc(None, id=passage.id)], "s", "g")]
    (pair,) = run(Retrieve(encoder=str(model)), records, model, tmp_path, [passage])
    assert pair.positives[0].scores[SIMILARITY] == pytest.approx(
        pair.candidates[0].scores[SIMILARITY]
    )


def test_something_must_retrieve():
    with pytest.raises(ValueError, match="name an encoder, or set lexical: bm25"):
        Retrieve(encoder=None).check()
