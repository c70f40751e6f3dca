"""The perplexity filter: bounds, quantiles, sources and languages, on made texts and a real model."""

import random

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from curate.filter.perplexity import PerplexityFilter
from curate.schema import Doc, Pair, Passage, score
from curate.stage import Inputs
from curate.text.ngram.model import load_ngram_model
from tests.conftest import MemoryContext
from tests.contracts.harness import shards_of
from tests.contracts.records import make_pairs, ngram_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ngram_model(tmp_path_factory.mktemp("models") / "ngram")


@pytest.fixture(scope="module")
def texts():
    """Texts like those that the model learned, more and more of whose words are shuffled."""
    rng = random.Random(3)
    made = []
    for number, pair in enumerate(make_pairs(7, 90, hostile=0)):
        words = pair.positives[0].text.split()
        cut = len(words) * number // 90
        made.append(" ".join(words[cut:] + rng.sample(words[:cut], cut)) + f" {number}")
    return made


@pytest.fixture
def run(folder, tmp_path):
    """Run the filter and return ids of what it kept, reasons by id, the outcome's tables, and notes."""

    def run(records, kind="passages", **settings):
        stage = PerplexityFilter(model=str(folder), **settings)
        stage.check()
        stage.gives(kind)
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        shards = shards_of(records, kind, place)
        context = MemoryContext()
        fitted = stage.fit(Inputs(shards, models={"model": [("m", folder)]}), context)
        kept, reasons, scores, start = [], {}, {}, 0
        name = "query_perplexity" if settings.get("on") == "query" else "perplexity"
        for table in shards.batches(7):
            outcome = stage.apply(table, start, fitted)
            start += len(table)
            assert outcome.kept_inputs + len(outcome.dropped) == len(table)
            kept += outcome.kept["id"].to_pylist()
            dropped = outcome.dropped.to_pylist()
            reasons |= {row["id"]: (row["drop_reason"], row["drop_detail"]) for row in dropped}
            for part in (outcome.kept, outcome.dropped):
                scores |= dict(zip(part["id"].to_pylist(), score(part, name).tolist(), strict=True))
        return kept, reasons, scores, context.notes

    return run


def passages(texts, source="s", language=None):
    return [Passage(text, source, "g", language=language) for text in texts]


def test_a_bound_drops_what_lies_above(run, texts, folder):
    records = passages(texts)
    expected = load_ngram_model(folder).perplexity(pl.Series(texts)).astype(np.float32)
    most = float(np.median(expected)) + 0.001
    kept, reasons, scores, _ = run(records, max_perplexity=most)
    assert kept == [r.id for r, v in zip(records, expected, strict=True) if v <= most]
    assert len(kept) == 45
    assert [scores[r.id] for r in records] == expected.tolist()
    worst = records[int(expected.argmax())].id
    assert reasons[worst] == (
        "high_perplexity",
        f"perplexity {round(expected.max().item(), 1)}, maximum {round(most, 1)}",
    )


def test_a_bound_drops_what_lies_below(run, texts):
    records = passages(texts)
    scores = run(records, max_quantile=1)[2]
    least = sorted(scores.values())[10]
    kept, reasons, *_ = run(records, min_perplexity=least)
    assert len(kept) == 80
    assert {reason for reason, _ in reasons.values()} == {"low_perplexity"}
    assert all(detail.endswith(f"minimum {round(least, 1)}") for _, detail in reasons.values())


def test_thirds_are_a_partition_by_perplexity(run, texts):
    """CCNet's head, middle and tail."""
    records = passages(texts)
    parts = [
        run(records, **bounds)
        for bounds in (
            {"max_quantile": 1 / 3},
            {"min_quantile": 1 / 3, "max_quantile": 2 / 3},
            {"min_quantile": 2 / 3},
        )
    ]
    kept = [part[0] for part in parts]
    assert sorted(i for part in kept for i in part) == sorted(record.id for record in records)
    assert [len(part) for part in kept] == [30, 30, 30]
    head, middle, tail = ([parts[0][2][i] for i in part] for part in kept)
    assert max(head) < min(middle) <= max(middle) < min(tail)


@pytest.mark.parametrize("within", ["source", "language"])
def test_quantiles_within_groups(run, texts, within):
    """The worse half of each group goes, however good or bad the group is as a whole."""
    groups = [{within: name} for name in ("a", "b", None)]
    records = []
    for number, group in enumerate(groups):
        records += [
            Passage(text, group.get("source", "s"), "g", language=group.get("language"))
            for text in texts[30 * number : 30 * number + 30]
        ]
    kept, _, scores, _ = run(records, max_quantile=0.5, within=within)
    for number in range(3):
        ids = [record.id for record in records[30 * number : 30 * number + 30]]
        best = sorted(ids, key=scores.__getitem__)[:15]
        assert set(kept) & set(ids) == set(best)


def test_settings_by_source(run, texts):
    records = passages(texts[:40], "web/a") + passages(texts[40:], "wiki")
    kept, _, scores, _ = run(
        records, max_quantile=1, per_source={"web*": {"max_quantile": 0.25}, "wiki": {}}
    )
    limit = np.quantile(list(scores.values()), 0.25, method="lower")
    expected = [r.id for r in records if r.source == "wiki" or scores[r.id] <= limit]
    assert kept == expected
    assert 0 < len(kept) < 90


def test_only_some_languages_are_judged(run, texts):
    records = passages(texts[:30], language="en") + passages(texts[30:60], language="de")
    records += passages(texts[60:])
    kept, _, scores, notes = run(records, max_perplexity=1, languages=["en"])
    assert kept == [record.id for record in records[30:]]
    assert [np.isnan(scores[record.id]) for record in records] == [False] * 30 + [True] * 60
    assert notes["perplexity_by_source"][0]["texts"] == 30


def test_what_has_no_text_goes(run):
    records = [*passages(["def copyFile(list):", "", " \n", "\u200b"]), Passage(None, "s", "g")]
    kept, reasons, *_ = run(records, max_quantile=1)
    assert kept == [records[0].id]
    assert reasons == {record.id: ("no_text", None) for record in records[1:]}


def test_either_side_of_a_pair(run, texts):
    pairs = [
        Pair("k", texts[0], [Doc(texts[80]), Doc(texts[1])], "s", "g"),
        Pair("k", texts[81], [Doc(texts[2])], "s", "g"),
        Pair("k", texts[3], [], "s", "g"),
    ]
    by_text = run(passages(texts), max_quantile=1)[2]
    value = {text: by_text[Passage(text, "s", "g").id] for text in texts}
    most = value[texts[80]] - 1
    kept, reasons, scores, _ = run(pairs, "pairs", max_perplexity=most)
    assert kept == [pairs[1].id]
    assert [reason for reason, _ in reasons.values()] == ["high_perplexity", "no_text"]
    assert scores[pairs[0].id] == value[texts[80]]
    kept, _, scores, _ = run(pairs, "pairs", on="query", max_quantile=1)
    assert len(kept) == 3
    assert [scores[p.id] for p in pairs] == [value[texts[i]] for i in (0, 81, 3)]


def test_quantiles_are_noted_by_source(run, texts):
    records = passages(texts[:60], "a") + passages(texts[60:], "b") + [Passage(None, "c", "g")]
    *_, scores, notes = run(records, max_quantile=1)
    values = np.array(list(scores.values()))
    assert notes["perplexity"]["50%"] == pytest.approx(np.nanmedian(values), abs=1)
    by_source = {row["source"]: row for row in notes["perplexity_by_source"]}
    assert [(s, row["texts"]) for s, row in by_source.items()] == [("a", 60), ("b", 30)]
    assert by_source["a"]["95%"] < by_source["b"]["95%"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "give max_perplexity or max_quantile; max_quantile: 1 only stores"),
        (
            {"min_perplexity": 9, "max_perplexity": 5},
            "min_perplexity: 9.0 is more than max_perplexity: 5.0",
        ),
        (
            {"min_quantile": 0.9, "max_quantile": 0.5},
            "min_quantile: 0.9 is more than max_quantile: 0.5",
        ),
        (
            {"max_quantile": 0.5, "per_source": {"web": {"max_quantile": None}}},
            "per_source: 'web': give max_perplexity",
        ),
    ],
)
def test_bounds_are_checked(settings, says):
    with pytest.raises(ValueError, match=says):
        PerplexityFilter(model="m", **settings).check()


def test_settings_that_are_out_of_range():
    for settings in ({"max_quantile": 1.5}, {"max_perplexity": 0.5}, {"within": "group"}):
        with pytest.raises(ValidationError):
            PerplexityFilter(model="m", **settings)


def test_queries_need_pairs():
    with pytest.raises(ValueError, match="'query' needs pairs, but the input is passages"):
        PerplexityFilter(model="m", on="query", max_quantile=1).gives("passages")
