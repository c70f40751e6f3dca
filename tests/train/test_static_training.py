"""Training of the static encoder: it learns, it goes on after a kill to the same bits."""

import json
import math

import numpy as np
import pytest
import torch

from curate.encode import load_encoder
from curate.encode.folds import LeftOut
from curate.engine.local import run
from curate.engine.progress import PlainReporter
from curate.errors import CurateError
from curate.recipe import Recipe
from curate.schema import to_table
from curate.shards import Shards, write_shard
from curate.stage import Inputs
from curate.train import static
from curate.train.contrastive import ContrastiveTraining
from curate.train.static import schedule
from curate.train.validation import validation_rows
from tests.contracts.records import NOUNS, Records, make_pairs

SMALL = {"dimension": 32, "batch_size": 32, "tokenizer": {"vocabulary": 400}}


class Context:
    """What a build stage is lent, in one folder."""

    def __init__(self, folder, stop_after=None, threads=1):
        folder.mkdir(exist_ok=True)
        self.folder, self.threads, self.stop_after = folder, threads, stop_after
        self.notes, self.steps = {}, []

    def progress(self, done, total, unit="rows"):
        if unit == "steps":
            self.steps.append(done)
            if done == self.stop_after:
                raise KeyboardInterrupt

    def note(self, **facts):
        self.notes.update(facts)


@pytest.fixture
def shards(tmp_path):
    def shards(records):
        table = to_table(records, "pairs")
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.arrow"
        return Shards("pairs", [(str(path), write_shard(tmp_path, path.name, table))])

    return shards


def train(stage, shards, folder, context, **models):
    """Train into `folder` and return the vectors and the notes."""
    folder.mkdir()
    built = stage.build(Inputs(shards, models=models), folder, context)
    return load_encoder(folder), context.notes, built


def test_it_learns(shards, tmp_path):
    """The loss falls under half, and queries never seen find their passages."""
    records = [p for p in make_pairs(1, 700, hostile=0)]
    stage = ContrastiveTraining(**SMALL, epochs=6)
    encoder, notes, built = train(
        stage, shards(records[:500]), tmp_path / "m", Context(tmp_path / "c")
    )
    assert (built.inputs, built.kept, built.dropped) == (500, 500, {})
    curve = [point["loss"] for point in notes["loss"]]
    assert [point["epoch"] for point in notes["loss"]] == [1, 2, 3, 4, 5, 6]
    assert curve[-1] < curve[0] / 2
    queries, passages = queries_and_passages(records[500:])
    scores = encoder.encode_queries(queries) @ encoder.encode_passages(passages).T
    own = np.diag(scores)[:, None]
    reciprocal = (1 / (1 + (scores > own).sum(1))).mean()
    random = np.mean([1 / rank for rank in range(1, len(queries) + 1)])
    assert reciprocal > 4 * random


def queries_and_passages(records):
    """Return pairs with different queries and passages."""
    seen = {}
    for pair in records:
        seen.setdefault(pair.query, pair.positives[0].text)
    first = {text: query for query, text in reversed(seen.items())}
    return list(first.values()), list(first)


@pytest.mark.parametrize("stop_after", [1, 7, 16, 17, 31])
def test_a_killed_training_goes_on_to_the_same_bits(shards, tmp_path, monkeypatch, stop_after):
    """16 steps an epoch: stopped early, within one, at its end, at its begin and near the last."""
    monkeypatch.setattr(static, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    pairs = shards(make_pairs(2, 512, hostile=0))
    stage = ContrastiveTraining(**SMALL, epochs=2, negatives=1)
    undisturbed = Context(tmp_path / "a")
    whole, expected, _ = train(stage, pairs, tmp_path / "whole", undisturbed)
    assert undisturbed.steps == list(range(1, 33))
    with pytest.raises(KeyboardInterrupt):
        train(stage, pairs, tmp_path / "stopped", Context(tmp_path / "b", stop_after))
    assert (tmp_path / "b" / "checkpoint.safetensors").exists() == (stop_after > 1)
    context = Context(tmp_path / "b")
    resumed, notes, _ = train(stage, pairs, tmp_path / "resumed", context)
    assert context.steps == list(range(stop_after, 33))
    assert torch.equal(resumed.weights, whole.weights)
    assert notes == expected
    model = "0_StaticEmbedding/model.safetensors"
    assert (tmp_path / "resumed" / model).read_bytes() == (tmp_path / "whole" / model).read_bytes()


def test_a_run_killed_in_training_goes_on(tmp_path, monkeypatch):
    """By the engine: its scratch folder holds the checkpoint, and is gone in the end."""
    recipe = Recipe({"r": Records(rows=300), "m": ContrastiveTraining(**SMALL, epochs=3)})
    monkeypatch.setattr(static, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    class Stops(PlainReporter):
        def advance(self, done, total, unit):
            if unit == "steps" and done == 9:
                raise KeyboardInterrupt

    class Quiet(PlainReporter):
        steps = []  # noqa: RUF012

        def say(self, message):
            pass

        def advance(self, done, total, unit):
            if unit == "steps":
                self.steps.append(done)

    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "killed", workers=1, reporter=Stops())
    assert list((tmp_path / "killed" / "store" / "work").glob("*/checkpoint.safetensors"))
    killed = run(recipe, tmp_path / "killed", workers=1, reporter=Quiet())
    assert Quiet.steps[0] == 9
    whole = run(recipe, tmp_path / "whole", workers=1, reporter=Quiet())
    for path in ("0_StaticEmbedding/model.safetensors", "0_StaticEmbedding/tokenizer.json"):
        files = [(done.artefacts["m"].folder / path).read_bytes() for done in (killed, whole)]
        assert files[0] == files[1]
    assert not list((tmp_path / "killed" / "store" / "work").iterdir())


def test_seeds_and_settings_change_the_model(shards, tmp_path):
    pairs = shards(make_pairs(2, 100, hostile=0))
    plain = ContrastiveTraining(**SMALL, epochs=1)
    changed = {
        name: plain.model_copy(update=update)
        for name, update in {
            "again": {},
            "seed": {"seed": 1},
            "one_way": {"symmetric": False},
            "warm": {"temperature": 0.5},
            "grouped": {"homogeneous": "group"},
            "longer": {"epochs": 2},
        }.items()
    }
    first, _, _ = train(plain, pairs, tmp_path / "plain", Context(tmp_path / "c"))
    same = {
        name: torch.equal(
            train(stage, pairs, tmp_path / name, Context(tmp_path / f"c{name}"))[0].weights,
            first.weights,
        )
        for name, stage in changed.items()
    }
    assert same == {name: name == "again" for name in changed}


def test_it_starts_from_a_model_with_its_tokenizer(shards, tmp_path):
    pairs = shards(make_pairs(2, 200, hostile=0))
    stage = ContrastiveTraining(**SMALL, epochs=1)
    train(stage, pairs, tmp_path / "first", Context(tmp_path / "a"))
    begun = ContrastiveTraining(**SMALL, epochs=1, start="first", learning_rate=1e-12)
    models = {"start": [("first", tmp_path / "first")]}
    further, _, _ = train(begun, pairs, tmp_path / "second", Context(tmp_path / "b"), **models)
    first = load_encoder(tmp_path / "first")
    assert further.tokenizer.to_str() == first.tokenizer.to_str()
    np.testing.assert_allclose(further.weights, first.weights, atol=1e-7)


def test_hard_negatives_are_pushed_away(shards, tmp_path):
    """A word that only negatives have moves away from the queries that they are negatives of."""
    records = make_pairs(2, 300, hostile=0)
    bare = shards(records)
    for pair in records:
        noun = next(noun for noun in NOUNS if noun in pair.query)
        other = NOUNS[(NOUNS.index(noun) + 1) % len(NOUNS)]
        pair.negatives = [type(pair.positives[0])(f"{noun} zebra {other}")]
    told = shards(records)
    similarity = {}
    for name, pairs, negatives in (("without", bare, 0), ("with", told, 1)):
        stage = ContrastiveTraining(**SMALL, epochs=3, negatives=negatives)
        encoder, _, _ = train(stage, pairs, tmp_path / name, Context(tmp_path / f"c{name}"))
        queries = encoder.encode_queries([pair.query for pair in records])
        wrong = encoder.encode_passages([pair.negatives[0].text for pair in records])
        similarity[name] = np.einsum("nd,nd->n", queries, wrong).mean()
    assert similarity["with"] < similarity["without"] - 0.1


def test_unusable_pairs_are_accounted_for(shards, tmp_path):
    records = make_pairs(4, 100, hostile=0.5)
    usable = sum(
        p.query is not None and bool(p.positives) and p.positives[0].text is not None
        for p in records
    )
    _, notes, built = train(
        ContrastiveTraining(**SMALL, epochs=1),
        shards(records),
        tmp_path / "m",
        Context(tmp_path / "c"),
    )
    assert (built.inputs, built.kept, built.dropped) == (100, usable, {"no_text": 100 - usable})
    assert notes["pairs"] == usable
    json.dumps(notes)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pairs_are_refused(shards, tmp_path, count):
    with pytest.raises(CurateError, match=f"{count} pairs with a query and a positive"):
        train(
            ContrastiveTraining(),
            shards(make_pairs(1, count, 0)),
            tmp_path / "m",
            Context(tmp_path / "c"),
        )


def test_the_learning_rate_rises_and_falls():
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) <= 1
    assert factors.index(max(factors)) in range(8, 11)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert min(factors) > 0
    assert all(math.isfinite(schedule(0, total, 0.0)) for total in (1, 2))


# -- cross-fitting and early stopping --------------------------------------------------------------


def test_a_part_is_left_out(shards, tmp_path):
    """The model is the one that training on the rest alone gives, and says what it left out."""
    records = [pair for pair in make_pairs(4, 300, hostile=0)]
    part = LeftOut(fold=1, of=3, by="group")
    out = part.rows(to_table(records, "pairs"))
    rest = [pair for pair, left in zip(records, out, strict=True) if not left]
    assert 20 < out.sum() < 200
    stage = ContrastiveTraining(**SMALL, epochs=1, leave_out=part)
    encoder, notes, built = train(stage, shards(records), tmp_path / "a", Context(tmp_path / "c"))
    assert (built.kept, built.dropped) == (len(rest), {"left_out": int(out.sum())})
    assert LeftOut.load(tmp_path / "a") == part
    plain = ContrastiveTraining(**SMALL, epochs=1)
    expected, _, _ = train(plain, shards(rest), tmp_path / "b", Context(tmp_path / "d"))
    assert LeftOut.load(tmp_path / "b") is None
    assert torch.equal(encoder.weights, expected.weights)
    assert notes["pairs"] == len(rest)


def test_every_pair_is_left_out_once(shards, tmp_path):
    """Also those that could not be used anyway are counted once."""
    records = make_pairs(4, 200)
    left = []
    for fold in range(2):
        stage = ContrastiveTraining(**SMALL, epochs=1, leave_out=LeftOut(fold=fold, by="pair"))
        _, _, built = train(
            stage, shards(records), tmp_path / f"m{fold}", Context(tmp_path / f"c{fold}")
        )
        assert built.kept + sum(built.dropped.values()) == len(records)
        left.append(built.dropped["left_out"])
    assert sum(left) == len(records)


NOISY = {**SMALL, "epochs": 12, "learning_rate": 0.05, "validation": 0.2, "checks": 2}


def test_training_stops_when_the_held_out_loss_rises(shards, tmp_path):
    """Pairs at random can only be learned by heart: the best vectors are early ones."""
    records = make_pairs(5, 320, hostile=0)
    passages = [pair.positives for pair in records]
    for pair, passage in zip(records, passages[7:] + passages[:7], strict=True):
        pair.positives = passage
    pairs, context = shards(records), Context(tmp_path / "c")
    stopped, notes, _ = train(ContrastiveTraining(**NOISY), pairs, tmp_path / "a", context)
    losses = [check["loss"] for check in notes["held_out_loss"]]
    assert [check["step"] for check in notes["held_out_loss"]] == list(
        range(4, 4 * len(losses) + 1, 4)
    )
    lowest = losses.index(min(losses))
    assert notes["best_step"] == 4 * (lowest + 1)
    assert len(losses) - 1 - lowest == 2
    assert context.steps[-1] == 4 * len(losses) < 96
    patient = ContrastiveTraining(**NOISY | {"patience": 1000})
    whole, more, _ = train(patient, pairs, tmp_path / "b", Context(tmp_path / "d"))
    assert len(more["held_out_loss"]) == 24
    assert more["held_out_loss"][: len(losses)] == notes["held_out_loss"]
    assert torch.equal(whole.weights, stopped.weights)
    assert more["loss"][-1]["loss"] < more["loss"][0]["loss"] - 1  # what it learned by heart


def test_a_killed_training_remembers_the_best(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(static, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    pairs, stage = shards(make_pairs(5, 320, hostile=0)), ContrastiveTraining(**NOISY)
    whole, notes, _ = train(stage, pairs, tmp_path / "a", Context(tmp_path / "c"))
    with pytest.raises(KeyboardInterrupt):
        train(stage, pairs, tmp_path / "b", Context(tmp_path / "d", stop_after=9))
    resumed, again, _ = train(stage, pairs, tmp_path / "e", Context(tmp_path / "d"))
    assert torch.equal(resumed.weights, whole.weights)
    assert again == notes


def test_held_out_pairs_are_drawn_once():
    rows = validation_rows(1000, 0.1, 3)
    assert rows.sum() == 100
    np.testing.assert_array_equal(rows, validation_rows(1000, 0.1, 3))
    assert (rows != validation_rows(1000, 0.1, 4)).any()
    assert validation_rows(10, 0.01, 0).sum() == 2
    assert validation_rows(10, 0.0, 0).sum() == 0
