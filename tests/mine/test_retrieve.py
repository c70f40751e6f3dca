"""`mine.retrieve` against brute force in float64 over the encoder's vectors."""

import numpy as np
import pytest

from curate.encode import load_encoder
from curate.mine import SIMILARITY
from curate.mine.retrieve import Retrieve
from curate.schema import Doc, Pair, Passage
from curate.stage import Inputs
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
