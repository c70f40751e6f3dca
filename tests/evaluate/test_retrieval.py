import json

import numpy as np
import polars as pl
import pytest

from curate.errors import CurateError
from curate.evaluate.datasets import RetrievalSet, from_pairs
from curate.evaluate.metrics import MRR, NDCG, RECALL, Qrels, bootstrap_interval
from curate.evaluate.retrieval import (
    RetrievalEvaluation,
    System,
    bm25_system,
    encoder_system,
    evaluate_retrieval,
)
from curate.schema import Doc, Pair, to_table
from curate.shards import Manifest, Side, read_shards, write_manifest, write_shard
from curate.stage import Inputs

HELD_OUT = [
    ("read the file", "read a file", "io"),
    ("write the file", "write file file", "io"),
    ("sort a list", "sort list", "data"),
    ("delete the tree", "delete graph tree", "data"),
    ("copy the graph", "graph copy copy", "data"),
    ("close", "close socket", "net"),
]


class Lent:
    """A context that remembers what it is told."""

    threads = 1

    def __init__(self, folder):
        self.folder, self.notes, self.done = folder, {}, []
        self.vectors = folder / "vectors.sqlite"

    def memo(self, name, compute):
        return compute()

    def progress(self, done, total, unit="rows"):
        self.done.append((done, total, unit))

    def note(self, **facts):
        self.notes |= facts


def shards_of(folder, rows):
    folder.mkdir()
    pairs = [Pair("doc", q, [Doc(text)], source="s", group=group) for q, text, group in rows]
    info = write_shard(folder, "a.arrow", to_table(pairs, "pairs"))
    write_manifest(folder, Manifest({"main": Side("pairs", [info])}))
    return read_shards(folder)


def ranker(name, order):
    """A system that finds, for every query, the passages in the order of `order(query row)`."""

    def search(queries, texts, k):
        rows = np.array([order(row)[:k] for row in range(len(queries))])
        return np.tile(np.arange(k, 0, -1, dtype=np.float32), (len(queries), 1)), rows

    return System(name, search)


def numbered(n):
    rows = np.arange(n)
    names = [str(row) for row in rows]
    qrels = Qrels(rows, rows, np.ones(n, np.float32), n, n)
    return RetrievalSet(
        "numbers", names, names, names, names, qrels, {"half": ["a", "b"] * (n // 2)}
    )


def test_differences_are_the_last_systems_over_each_other():
    data = numbered(40)
    right = ranker("right", lambda row: np.roll(np.arange(40), -row))
    second = ranker("second", lambda row: np.roll(np.arange(40), 1 - row))
    half = ranker("half", lambda row: np.roll(np.arange(40), -row + 20 * (row % 2)))
    report = evaluate_retrieval([second, half, right], data, samples=200, seed=1)
    assert [s.name for s in report.systems] == ["second", "half", "right"]
    assert report.systems[0].metrics[NDCG].mean == pytest.approx(1 / np.log2(3))
    assert report.systems[0].metrics[MRR].mean == pytest.approx(0.5)
    assert report.systems[2].metrics[RECALL].mean == 1
    by_name = {(d.baseline, d.metric): d for d in report.differences}
    assert len(by_name) == len(report.differences) == 4
    over_half = by_name["half", NDCG]
    assert over_half.ratio == pytest.approx(2)
    assert over_half.difference == bootstrap_interval(np.arange(40) % 2, 200, 1)
    assert over_half.difference.low > 0
    assert by_name["half", RECALL].difference.mean == 0
    means = {"second": pytest.approx(1 / np.log2(3)), "right": 1}
    assert report.by("half") == [
        {"half": "a", "queries": 20, NDCG: means | {"half": 1}},
        {"half": "b", "queries": 20, NDCG: means | {"half": 0}},
    ]


def test_one_system_alone_and_a_baseline_of_zero():
    data = numbered(4)
    right = ranker("right", lambda row: np.roll(np.arange(4), -row))
    assert evaluate_retrieval([right], data).differences == []
    nothing = ranker("nothing", lambda row: np.full(4, -1))
    (first, _) = evaluate_retrieval([nothing, right], data).differences
    assert (first.ratio, first.difference.mean) == (None, 1)


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_systems_need_names_of_their_own(names):
    with pytest.raises(ValueError, match="systems need different names"):
        evaluate_retrieval([ranker(name, lambda row: [row]) for name in names], numbered(2))


def test_examples_show_what_was_found_and_whether_it_is_relevant():
    texts = ["read a file", "write a file", "sort"]
    qrels = Qrels(np.array([0]), np.array([1]), np.ones(1, np.float32), 1, 3)
    data = RetrievalSet("tiny", ["q"], ["write file"], ["x", "y", "z"], texts, qrels)
    report = evaluate_retrieval([bm25_system()], data, searches=["write file", "sort", "zebra"])
    known, unknown, none = report.examples
    assert [(f["id"], f["relevant"]) for f in known["found"]] == [("y", True), ("x", False)]
    assert known["found"][0]["score"] > known["found"][1]["score"] > 0
    assert [(f["text"], f["relevant"]) for f in unknown["found"]] == [("sort", None)]
    assert none == {"query": "zebra", "found": []}


def test_per_query_means_are_the_systems_means(tmp_path):
    data = from_pairs(shards_of(tmp_path / "pairs", HELD_OUT), "held out")
    report = evaluate_retrieval([bm25_system()], data)
    frame = report.per_query()
    assert frame["query_id"].to_list() == data.query_ids
    for metric, interval in report.systems[0].metrics.items():
        assert frame[f"bm25 {metric}"].mean() == pytest.approx(interval.mean)
    assert [(row["group"], row["queries"]) for row in report.by("group")] == [
        ("data", 3),
        ("io", 2),
        ("net", 1),
    ]


def test_the_stage_compares_models_with_bm25(tmp_path, static_model):
    inputs = Inputs(
        shards_of(tmp_path / "held", HELD_OUT),
        {"train": shards_of(tmp_path / "train", [(q, p, "t") for q, p, _ in HELD_OUT])},
        {"models": [("noisy", static_model), ("final", static_model)]},
    )
    stage = RetrievalEvaluation(models=["noisy", "final"], train="train", k1=[1.0], b=[0.3, 0.6])
    folder, context = tmp_path / "out", Lent(tmp_path)
    folder.mkdir()
    built = stage.build(inputs, folder, context)
    assert (built.inputs, built.kept, built.dropped) == (6, 5, {"short_query": 1})

    facts = json.loads((folder / "metrics.json").read_text())
    assert [s["name"] for s in facts["systems"]] == ["bm25", "noisy", "final"]
    assert (facts["queries"], facts["passages"]) == (5, 6)
    assert facts["systems"][1]["metrics"] == facts["systems"][2]["metrics"]
    assert facts["systems"][2]["metrics"][NDCG]["mean"] == 1
    assert facts["systems"][0]["settings"] == {"k1": 1.0, "b": facts["tuning"]["bm25"]["b"]}
    assert [point["b"] for point in facts["tuning"]["bm25"]["grid"]] == [0.3, 0.6]
    assert {(d["system"], d["baseline"]) for d in facts["differences"]} == {
        ("final", "bm25"),
        ("final", "noisy"),
    }
    assert {row["group"] for row in facts["by"]["group"]} == {"io", "data"}
    (example,) = facts["examples"]
    assert example["found"][0]["relevant"]
    assert len(example["found"]) == 5

    frame = pl.read_ipc(folder / "per_query.arrow")
    assert len(frame) == 5
    assert frame[f"final {NDCG}"].to_list() == [1] * 5
    assert context.done == [(1, 3, "systems"), (2, 3, "systems"), (3, 3, "systems")]
    assert [row["system"] for row in context.notes["systems"]] == ["bm25", "noisy", "final"]


def test_the_stage_without_bm25_searches_the_text_asked_for(tmp_path, static_model):
    inputs = Inputs(
        shards_of(tmp_path / "held", HELD_OUT), {}, {"models": [("final", static_model)]}
    )
    stage = RetrievalEvaluation(models=["final"], baselines=[], search="copy tree")
    (tmp_path / "out").mkdir()
    stage.build(inputs, tmp_path / "out", Lent(tmp_path))
    facts = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert ([s["name"] for s in facts["systems"]], facts["tuning"]) == (["final"], {})
    (example,) = facts["examples"]
    assert example["query"] == "copy tree"
    assert example["found"][0]["text"] == "graph copy copy"
    assert example["found"][0]["relevant"] is None


def test_systems_of_one_name_are_refused_before_the_run():
    RetrievalEvaluation(models=["bm25"], baselines=[]).check()
    for models in (["bm25"], ["a", "b", "a"]):
        with pytest.raises(ValueError, match="each must have a name of its own"):
            RetrievalEvaluation(models=models).check()
    with pytest.raises(ValueError, match="at least 1"):
        RetrievalEvaluation(models=[])


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(CurateError, match="not a model folder"):
        encoder_system("x", tmp_path)
