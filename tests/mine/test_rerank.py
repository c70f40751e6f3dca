"""`mine.rerank`: each candidate gets the scores of its own text."""

import pytest

from curate.llm.base import Chosen, Scored
from curate.mine.rerank import QUERY_LIKELIHOOD, RELEVANCE, Rerank
from curate.schema import Doc, Pair, Passage, from_table, to_table
from curate.stage import Inputs
from tests.contracts.harness import shards_of
from tests.llm import prompts


class Length:
    """Scores by the lengths of texts, so that each score tells what it was made of."""

    def score(self, requests):
        return [Scored(-float(len(r.prompt) * 2), 2, 1) for r in requests]

    def choose(self, requests):
        return [
            Chosen((0.2, 0.3, 0.5) if "yes" in r.prompt else (1.0, 0.0, 0.0), 1) for r in requests
        ]


@pytest.fixture
def rerank(tmp_path):
    for name in ("LIKELIHOOD", "RELEVANCE"):
        (tmp_path / f"{name.lower()}.j2").write_text(getattr(prompts, name))
    given = {
        "query_likelihood": str(tmp_path / "likelihood.j2"),
        "relevance": str(tmp_path / "relevance.j2"),
    }

    def rerank(records, corpus=(), **options):
        stage = Rerank(**(given | options))
        (folder := tmp_path / f"work{len(list(tmp_path.iterdir()))}").mkdir()
        named = {"corpus": shards_of(list(corpus), "passages", folder)} if corpus else {}
        fitted = stage.fit(Inputs(shards_of(records, "pairs", folder), named), None)
        outcome = stage.ask(to_table(records, "pairs"), fitted, Length())
        assert outcome.kept_inputs == len(records)
        return from_table(outcome.kept), stage

    return rerank


def candidate(text, **scores):
    return Doc(None, id=Doc(text).id, origin="mined", scores=scores)


def test_texts_come_from_the_corpus_and_the_positives(rerank):
    corpus = [Passage("a yes of the corpus", "s", "g"), Passage("never asked for", "s", "g")]
    records = [
        Pair("k", "query", [Doc("own")], "s", "g", candidates=[candidate(corpus[0].text, old=1.0)]),
        Pair("k", "other", [Doc("positive yes")], "s", "g", candidates=[candidate("own")]),
        Pair("k", "third", [Doc("third")], "s", "g", candidates=[]),
    ]
    records[0].candidates[0].id = corpus[0].id
    (first, second, third), stage = rerank(records, corpus)
    likelihood = stage.prompt_of(QUERY_LIKELIHOOD)
    scores = first.candidates[0].scores
    assert scores["old"] == 1.0
    assert scores[QUERY_LIKELIHOOD] == -len(likelihood.render(passage=corpus[0].text))
    assert scores[RELEVANCE] == pytest.approx(0.3 + 2 * 0.5)
    scores = second.candidates[0].scores
    assert scores[QUERY_LIKELIHOOD] == -len(likelihood.render(passage="own"))
    assert scores[RELEVANCE] == 0
    assert third.candidates == []
    assert first.candidates[0].text is None


def test_a_candidate_without_text_gets_no_score(rerank):
    pair = Pair(
        "k", "query", [Doc("own")], "s", "g", candidates=[candidate("gone"), candidate("own")]
    )
    ((kept,), _) = rerank([pair])
    assert kept.candidates[0].scores == {}
    assert set(kept.candidates[1].scores) == {QUERY_LIKELIHOOD, RELEVANCE}


@pytest.mark.parametrize("left_out", [QUERY_LIKELIHOOD, RELEVANCE])
def test_one_score_can_be_left_out(rerank, left_out):
    pair = Pair("k", "query", [Doc("own")], "s", "g", candidates=[candidate("own")])
    ((kept,), _) = rerank([pair], **{left_out: None})
    assert set(kept.candidates[0].scores) == {QUERY_LIKELIHOOD, RELEVANCE} - {left_out}


def test_settings_that_score_nothing_are_refused(rerank):
    with pytest.raises(ValueError, match="nothing is scored"):
        Rerank(query_likelihood=None, relevance=None).check()
    _, stage = rerank([Pair("k", "q", [Doc("p")], "s", "g")])
    with pytest.raises(ValueError, match="has no labels with grades"):
        Rerank(query_likelihood=None, relevance=stage.query_likelihood).check()
