"""The stage that trains an n-gram model, and who may name its model."""

import random

import numpy as np
import pytest

from curate.engine.store import folder_checksums
from curate.errors import CurateError, RecipeError
from curate.recipe import Recipe
from curate.schema import Doc, Pair, Passage
from curate.stage import Inputs
from curate.text.ngram.model import load_ngram_model
from curate.train.ngram import NgramTraining
from tests.conftest import MemoryContext
from tests.contracts.harness import shards_of
from tests.contracts.records import make_pairs


def train(folder, records, kind="pairs", **settings):
    """Train on records and return what the stage says of itself, its notes and the model's folder."""
    (folder / "in").mkdir(parents=True)
    (folder / "out").mkdir()
    context = MemoryContext()
    stage = NgramTraining(**{"vocabulary": 300, **settings})
    built = stage.build(Inputs(shards_of(records, kind, folder / "in", 3)), folder / "out", context)
    return built, context.notes, folder / "out"


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(1, 500, hostile=0)


def test_a_model_is_trained_and_told_of(pairs, tmp_path):
    built, notes, folder = train(tmp_path, pairs)
    assert (built.inputs, built.kept, built.dropped) == (500, 500, {})
    model = load_ngram_model(folder)
    assert notes["texts"] == 490
    assert notes["n_grams"] == [len(level.codes) for level in model.levels]
    assert list(notes["clean_perplexity"]) == ["5%", "50%", "90%", "95%", "99%"]
    assert 1 < notes["clean_perplexity"]["50%"] < 30


def test_held_out_texts_are_not_learned(tmp_path):
    """Random letters cannot be foretold, unless they were seen."""
    rng = random.Random(0)
    texts = ["".join(rng.choices("abcdefgh ", k=300)) for _ in range(100)]
    _, notes, folder = train(tmp_path, [Passage(t, "s", "g") for t in texts], "passages", prune=0)
    values = load_ngram_model(folder).perplexity(pl_series(texts))
    unlikely = np.sort(values)[-2:]
    assert unlikely.min() > 3 * np.median(values)
    assert notes["clean_perplexity"]["50%"] == pytest.approx(np.quantile(unlikely, 0.5), abs=0.1)


def pl_series(texts):
    import polars as pl

    return pl.Series(texts)


def test_which_text_of_a_pair_is_read(tmp_path):
    pairs = [
        Pair("k", "only questions", [Doc("just answers"), Doc("more")], "s", "g") for _ in range(5)
    ]
    for on, likely in (("query", "only questions"), ("passage", "just answers")):
        *_, folder = train(tmp_path / on, pairs, on=on)
        model = load_ngram_model(folder)
        values = model.perplexity(pl_series(["only questions", "just answers", "more"]))
        assert ["only questions", "just answers", "more"][values.argmin()] == likely


def test_what_cannot_or_need_not_be_read_is_counted(tmp_path):
    texts = [None, "", " \n", *(f"text number {i} of ten" for i in range(10))]
    built, notes, _ = train(
        tmp_path, [Passage(t, "s", "g") for t in texts], "passages", max_chars=60
    )
    assert (built.inputs, built.kept) == (13, notes["texts"])
    assert built.dropped == {"no_text": 3, "not_sampled": 10 - built.kept}
    assert built.kept == 3  # of 21 characters: the third begins below 60


def test_the_seed_draws_and_the_same_seed_draws_the_same(pairs, tmp_path):
    found = [
        folder_checksums(train(tmp_path / name, pairs, max_chars=9_000, seed=seed)[2])
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("texts", [[], [None, " "], ["\u200b", "\u2060"]])
def test_nothing_to_learn_from(texts, tmp_path):
    with pytest.raises(CurateError, match="nothing to learn"):
        train(tmp_path, [Passage(t, "s", "g") for t in texts], "passages")


def test_queries_need_pairs():
    with pytest.raises(ValueError, match="'query' needs pairs, but the input is passages"):
        NgramTraining(on="query").gives("passages")


# -- the two sorts of models -----------------------------------------------------------------------

SORTS = """
stages:
  records: {{tests.records: {{}}}}
  encoder: {{train.contrastive: {{}}}}
  clean: {{train.ngram: {{from: records}}}}
  tested: {{{stage}: {{from: records, {setting}: {model}}}}}
"""


@pytest.mark.parametrize(
    ("stage", "setting", "model", "says"),
    [
        (
            "filter.perplexity",
            "max_quantile: 1, model",
            "encoder",
            "takes an n-gram model, but encoder is an encoder",
        ),
        (
            "filter.consistency",
            "encoder",
            "clean",
            "takes an encoder, but clean is an n-gram model",
        ),
        ("train.contrastive", "start", "clean", "takes an encoder, but clean is an n-gram model"),
    ],
)
def test_a_model_of_the_other_sort_is_refused(stage, setting, model, says):
    with pytest.raises(RecipeError, match=f"recipe:6: stage tested .*: {says}"):
        Recipe.parse(SORTS.format(stage=stage, setting=setting, model=model))


def test_a_folder_of_the_other_sort_is_refused(pairs, tmp_path):
    *_, clean = train(tmp_path, pairs)
    model = tmp_path / "encoder"
    model.mkdir()
    (model / "modules.json").write_text("[]")
    for stage, setting, folder in (
        ("filter.perplexity", "max_quantile: 1, model", model),
        ("filter.consistency", "encoder", clean),
    ):
        with pytest.raises(RecipeError, match=f"takes an .*, but {folder} is an "):
            Recipe.parse(SORTS.format(stage=stage, setting=setting, model=folder))
    for stage, setting, folder in (
        ("filter.perplexity", "max_quantile: 1, model", clean),
        ("filter.consistency", "encoder", model),
    ):
        Recipe.parse(SORTS.format(stage=stage, setting=setting, model=folder))
