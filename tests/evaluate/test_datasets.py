import gzip
import json
import math
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.evaluate.datasets import (
    DatasetError,
    RetrievalSet,
    StsSet,
    from_pairs,
    load_evaluation_set,
    read_beir,
    read_sts,
)
from curate.evaluate.metrics import ndcg
from curate.schema import Doc, Pair, to_table
from curate.shards import Manifest, Shards, Side, read_shards, write_manifest, write_shard
from curate.text.bm25 import BM25

CORPUS = [
    {"_id": "a", "title": "Title", "text": "first text"},
    {"_id": "b", "text": "second\u2028text", "metadata": {"x": 1}},
    {"_id": "c", "title": "", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}, {"_id": "q3", "text": "x"}]
QRELS = "query-id\tcorpus-id\tscore\nq3\ta\t2\nq1\tb\t1\nq1\tc\t0\n"


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def beir(folder, corpus=None, queries=None, qrels=QRELS, name="corpus.jsonl"):
    corpus = lines(CORPUS) if corpus is None else corpus
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(corpus.encode()))
    else:
        (folder / name).write_text(corpus)
    (folder / "queries.jsonl").write_text(lines(QUERIES) if queries is None else queries)
    (folder / "qrels.tsv").write_text(qrels)
    return folder


def shards_of(folder, pairs):
    info = write_shard(folder, "a.arrow", to_table(pairs, "pairs"))
    write_manifest(folder, Manifest({"main": Side("pairs", [info])}))
    return read_shards(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_beir(tmp_path, name):
    data = load_evaluation_set(beir(tmp_path, name=name))
    assert isinstance(data, RetrievalSet)
    assert data.name == tmp_path.name
    assert (data.query_ids, data.queries) == (["q1", "q3"], ["one", "x"])
    assert data.corpus_ids == ["a", "b", "c"]
    assert data.texts == ["Title first text", "second\u2028text", ""]
    assert data.left_out == {"not_judged": 1}
    judged = zip(data.qrels.query, data.qrels.passage, data.qrels.grade, strict=True)
    assert set(judged) == {(1, 0, 2.0), (0, 1, 1.0), (0, 2, 0.0)}
    assert (data.qrels.queries, data.qrels.passages) == (2, 3)


def test_beir_prefers_the_judgements_of_the_split(tmp_path):
    beir(tmp_path)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\ta\t1\n")
    assert read_beir(tmp_path).query_ids == ["q2"]
    assert read_beir(tmp_path, split="dev").query_ids == ["q1", "q3"]


HEAD = "query-id\tcorpus-id\tscore\n"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"corpus": lines(CORPUS) + "{oops\n"}, r"corpus.jsonl, line 4: not valid JSON"),
        ({"corpus": "[1]\n"}, "corpus.jsonl, line 1: needs a JSON object, got list"),
        ({"corpus": '{"text": "x"}\n'}, "corpus.jsonl, line 1: '_id' must be a string, got None"),
        ({"corpus": lines(CORPUS * 2)}, "corpus.jsonl, line 4: the id 'a' was there before"),
        ({"queries": '{"_id": "q", "text": 3}'}, "queries.jsonl, line 1: 'text' must be a string"),
        ({"queries": '\n{"_id": "q"}'}, "queries.jsonl, line 2: 'text' must be a string, got None"),
        ({"qrels": QRELS + "q9\ta\t1\n"}, "qrels.tsv, line 5: there is no query 'q9'"),
        ({"qrels": QRELS + "q1\tz\t1\n"}, "qrels.tsv, line 5: there is no passage 'z'"),
        ({"qrels": QRELS + "q1\tb\thigh\n"}, "line 5: the score must be a finite number"),
        ({"qrels": QRELS + "q1\tb\tnan\n"}, "line 5: the score must be a finite number, got 'nan'"),
        ({"qrels": QRELS + "q1\tb\n"}, "line 5: 2 columns, the first line has 3"),
        ({"qrels": QRELS + "q1\tb\t2\n"}, "line 5: 'b' has another grade for 'q1' before"),
        ({"qrels": "q\t0\tp\tgrade\nq1\t0\ta\t1\n"}, "line 2: needs query-id, corpus-id, score"),
        ({"qrels": HEAD}, "qrels.tsv: no judgements"),
        ({"qrels": ""}, "qrels.tsv: no judgements"),
    ],
)
def test_a_wrong_line_of_a_beir_folder_is_named(tmp_path, files, message):
    with pytest.raises(DatasetError, match=re.escape(message)):
        read_beir(beir(tmp_path, **files))


def test_missing_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(DatasetError, match=re.escape("needs corpus.jsonl or corpus.jsonl.gz")):
        load_evaluation_set(tmp_path)
    beir(tmp_path, name="corpus.jsonl.gz")
    damaged = (tmp_path / "corpus.jsonl.gz").read_bytes()[:-12]
    (tmp_path / "corpus.jsonl.gz").write_bytes(damaged)
    with pytest.raises(DatasetError, match=re.escape("corpus.jsonl.gz: cannot be read")):
        load_evaluation_set(tmp_path)
    (tmp_path / "sts.tsv").write_bytes(b"sentence1\tsentence2\tscore\n\xff\xfe\tb\t1\n")
    with pytest.raises(DatasetError, match=re.escape("sts.tsv: cannot be read")):
        load_evaluation_set(tmp_path / "sts.tsv")
    with pytest.raises(DatasetError, match=re.escape("none.tsv: no such file")):
        load_evaluation_set(tmp_path / "none.tsv")
    with pytest.raises(DatasetError, match=re.escape("model.bin: not an evaluation set")):
        load_evaluation_set(tmp_path / "model.bin")


STS = [('a "b', "c,d", 1.5), ("é", "", 0.0), ("same", "same", 5.0)]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl"])
def test_sts(tmp_path, suffix, packed):
    if suffix == "tsv":
        text = "more\ts1\ts2\tgold\n" + "".join(f"x\t{a}\t{b}\t{s}\n" for a, b, s in STS)
    elif suffix == "csv":
        quoted = [[a.replace('"', '""'), b, s] for a, b, s in STS]
        text = "s1,s2,gold\r\n" + "".join(f'"{a}","{b}",{s}\r\n' for a, b, s in quoted)
    else:
        text = lines([{"s1": a, "s2": b, "gold": s} for a, b, s in STS])
    path = tmp_path / f"dev.{suffix}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    data = load_evaluation_set(path, score="gold", columns=("s1", "s2"))
    assert isinstance(data, StsSet)
    assert data.name == "dev"
    assert list(zip(data.first, data.second, data.scores, strict=True)) == STS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence1\tsentence2\tsimilarity\na\tb\t1\n", "line 2: no value for 'score'; it has ["),
        ("sentence1\tsentence2\tscore\na\tb\t1\na\tb\tx\n", "line 3: the score must be a finite"),
        ("sentence1\tsentence2\tscore\na\tb\n", "line 2: 2 columns, the first line has 3"),
        ("sentence1\tsentence2\tscore\n", "sts.tsv: no rows"),
        ("", "sts.tsv: no rows"),
    ],
)
def test_a_wrong_line_of_an_sts_table_is_named(tmp_path, text, message):
    (tmp_path / "sts.tsv").write_text(text)
    with pytest.raises(DatasetError, match=re.escape(message)):
        read_sts(tmp_path / "sts.tsv")


def pair(query, *texts, group="g", source="s", label=None):
    docs = [Doc(text, label=label) if text is not None else Doc(None, id="x") for text in texts]
    return Pair(kind="doc", query=query, positives=docs, source=source, group=group)


def test_pairs(tmp_path):
    pairs = [
        pair("read a file", "def read", group="g1"),
        pair("write a file", "def write", "def save", group="g2"),
        pair("read a file", "def load", group="g3"),
        pair("open", "def open", group="g4"),
        pair("read a file again", "def read", group="g5"),
        pair("no text at all", None),
    ]
    data = from_pairs(shards_of(tmp_path, pairs), "held out", min_query_words=3)
    assert data.queries == ["read a file", "write a file", "read a file again"]
    assert data.texts == ["def read", "def write", "def save", "def load", "def open"]
    assert data.corpus_ids == [Doc(text).id for text in data.texts]
    assert data.query_ids == [pairs[0].query_id, pairs[1].query_id, pairs[4].query_id]
    assert data.facets == {"source": ["s"] * 3, "group": ["g1", "g2", "g5"]}
    assert data.left_out == {"no_text": 1, "short_query": 1}
    judged = zip(data.qrels.query, data.qrels.passage, data.qrels.grade, strict=True)
    assert set(judged) == {(0, 0, 1), (0, 3, 1), (1, 1, 1), (1, 2, 1), (2, 0, 1)}


def test_pairs_keep_gold_grades_and_the_highest_counts(tmp_path):
    pairs = [pair("q", "a", label=2.0), pair("q", "a", label=3.0), pair("q", "b")]
    data = from_pairs(shards_of(tmp_path, pairs), "graded")
    assert data.qrels.grade.tolist() == [3, 1]


def test_a_folder_of_shards_is_an_evaluation_set(tmp_path):
    shards_of(tmp_path, [pair("q", "a")])
    data = load_evaluation_set(tmp_path)
    assert isinstance(data, RetrievalSet)
    assert (data.name, data.queries, data.texts) == (tmp_path.name, ["q"], ["a"])


def test_pairs_without_a_query_to_search_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="held out: no pair with a positive text and a query of"):
        from_pairs(Shards("pairs", []), "held out")
    with pytest.raises(DatasetError, match="at least 3 words"):
        from_pairs(shards_of(tmp_path, [pair("one two", "a")]), "held out", 3)


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_a_sample_keeps_what_is_judged(tmp_path_factory, seed, queries, passages):
    pairs = [pair(f"query {n}", f"text {n}", f"text {n + 1}") for n in range(10)]
    whole = from_pairs(shards_of(tmp_path_factory.mktemp("x"), pairs), "all")
    part = whole.sample(queries, passages, seed)
    assert len(part.queries) == min(queries, 10)
    assert len(part.texts) >= min(passages, 11)
    assert part.facets["group"] == ["g"] * len(part.queries)
    relevant = {(record.query, doc.text) for record in pairs for doc in record.positives}
    found = {
        (part.queries[q], part.texts[p])
        for q, p in zip(part.qrels.query, part.qrels.passage, strict=True)
    }
    assert found == {(q, t) for q, t in relevant if q in part.queries}
    assert whole.sample(queries, passages, seed).texts == part.texts


def okapi(texts, queries, k1=0.9, b=0.4):
    """BM25 with the idf of rank_bm25's Okapi: negative ones become a quarter of the mean."""
    tokens = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    lengths = np.array([count.total() for count in tokens])
    norm = k1 * (1 - b + b * lengths / lengths.mean())
    found = Counter(term for count in tokens for term in count)
    idf = {t: math.log((len(texts) - n + 0.5) / (n + 0.5)) for t, n in found.items()}
    floor = 0.25 * sum(idf.values()) / len(idf)
    postings = {}
    for row, count in enumerate(tokens):
        for term, times in count.items():
            postings.setdefault(term, []).append((row, times))
    ranking = []
    for query in queries:
        scores = np.zeros(len(texts))
        for term in re.findall(r"\w+", query.lower()):
            if term in postings:
                rows, times = np.array(postings[term]).T
                weight = idf[term] if idf[term] >= 0 else floor
                scores[rows] += weight * times * (k1 + 1) / (times + norm[rows])
        ranking.append(np.argsort(-scores, kind="stable")[:100])
    return np.array(ranking)


KNOWN = {"cranfield": 0.335, "cisi": 0.293, "msmarco_dl19_subset5k": 0.686, "cosqa": 0.284}


@pytest.mark.skipif("CURATE_DATA" not in os.environ, reason="CURATE_DATA is not set")
@pytest.mark.parametrize("name", KNOWN)
def test_known_figures(name):
    """The published nDCG@10 comes out of our loader and metric, and our BM25 is not below it.

    It differs from Okapi by the idf of frequent terms (at most 0.03 in prose) and, in code, by
    splitting identifiers, which may only help.
    """
    data = read_beir(Path(os.environ["CURATE_DATA"]) / "eval_ir" / name)
    published = ndcg(okapi(data.texts, data.queries), data.qrels).mean()
    assert published == pytest.approx(KNOWN[name], abs=0.0015)
    _, ranking = BM25(data.texts, k1=0.9, b=0.4).top_k(data.queries, 100)
    ours = ndcg(ranking, data.qrels).mean()
    assert published <= ours <= published + (0.1 if name == "cosqa" else 0.03)


@pytest.mark.skipif("CURATE_DATA" not in os.environ, reason="CURATE_DATA is not set")
def test_known_sts_tables():
    folder = Path(os.environ["CURATE_DATA"]) / "eval_sts"
    sick = read_sts(folder / "sick_test.tsv", score="relatedness_1_5")
    assert len(sick.first) == 4182
    assert (sick.scores.min(), sick.scores.max()) == (1, 5)
    semeval = read_sts(folder / "semeval_sts_genres_not_in_stsb.tsv.gz", score="score_0_5")
    assert len(semeval.first) == 6399
