"""Does the consistency filter find wrong pairs, and is a model better without those it finds?

    CURATE_DATA=FOLDER python -m benchmarks.noise [--output FOLDER] [--parts FOLDER] [--small]

60,000 pairs of the quick start, of which 30% are wrong: their passages are shuffled within their source.
Static encoders are trained on the mixture and rank every pair among all its passages:

    all        trained on all pairs, for 1, 2 or 3 epochs: by then it knows the wrong ones by heart
    stopped    the same, stopped where the loss on 5% of the pairs, held out, was lowest
    halves     two encoders, each trained without half of the queries, that rank what they never saw
    packages   the same, with the packages cut in two instead of the queries
    fifths     five encoders, each trained without a fifth of the queries
    wide       halves with 1,024 dimensions instead of 256

For each: the area under the ROC curve of the rank, what share of the right pairs stays at the k that lets
5% of the wrong ones through, what stays and goes at some k, and what `k: auto` suggests without a label.
Two more rankings are tried with the halves: both ways (the product of the ranks of the passage for the
query and of the query for the passage) and by BM25.

Then encoders are trained, with three seeds each, on the mixture, on what filters leave of it, and on the
right pairs alone. They search the held-out packages of the quick start and CoSQA; nDCG@10 is averaged
over seeds query by query, the intervals are 95% bootstrap intervals over queries. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.encode import load_encoder
from curate.encode.folds import LeftOut
from curate.encode.ranking import Pool
from curate.encode.rounding import to_bfloat16
from curate.engine.local import run
from curate.engine.run import Run
from curate.evaluate.datasets import RetrievalSet, from_pairs, read_beir
from curate.evaluate.metrics import NDCG, bootstrap_interval
from curate.evaluate.retrieval import encoder_system, evaluate_retrieval
from curate.filter.calibration import estimate
from curate.filter.consistency import RANK, ConsistencyFilter
from curate.harvest.shards import ShardsHarvest
from curate.recipe import Recipe
from curate.schema import first_positive, score
from curate.shards import Manifest, Shards, Side, read_shards, write_manifest, write_shard
from curate.stage import MAIN, Stage
from curate.text.bm25 import BM25, Terms
from curate.train.contrastive import ContrastiveTraining

QUICKSTART = Path(__file__).parent.parent / "pipelines" / "quickstart.yaml"
PARTS = "parts"
PAIRS, SMALL_PAIRS = 60_000, 6_000
WRONG = 0.3
IMPURITY = 0.01
SEEDS = (1, 2, 3)
KS = (2, 10, 100)
_EVERYTHING = 1_000_000_000
_CELLS = 1 << 24


@dataclass(frozen=True, slots=True)
class Mixture:
    """The pairs to filter.

    :param pairs: n pairs.
    :param wrong: bool [n], whose passage belongs to another query.
    """

    pairs: pa.Table
    wrong: np.ndarray


def parts_of_quickstart(output: Path) -> Path:
    """Run the quick start as far as its training pairs; return the folder of their artefact."""
    nodes = Recipe.load(QUICKSTART).nodes
    names = list(nodes)[: list(nodes).index(PARTS) + 1]
    done = run(Recipe({name: nodes[name].stage for name in names}), output)
    return done.artefacts[PARTS].folder


def mix(pairs: Shards, count: int, share: float, seed: int = 0) -> Mixture:
    """Draw pairs and give some of them the passages of others of their source.

    Each passage stays in the mixture once. The pair ids stay too: they name the pairs, right or wrong.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(pairs), count, replace=False))
    table = pairs.to_arrow().take(rows).combine_chunks()
    sources = np.array(table["source"].to_pylist(), dtype=str)
    passage, wrong = np.arange(count), np.zeros(count, bool)
    for source in np.unique(sources):
        of_source = np.flatnonzero(sources == source)
        drawn = rng.permutation(of_source)[: round(share * len(of_source))]
        if len(drawn) > 1:  # one cycle: nobody keeps the own passage
            passage[drawn], wrong[drawn] = np.roll(drawn, 1), True
    column = table.schema.get_field_index("positives")
    shuffled = table["positives"].take(passage)
    return Mixture(table.set_column(column, table.schema.field(column), shuffled), wrong)


def write(folder: Path, table: pa.Table) -> Path:
    """Write pairs as shards that `harvest.shards` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    half = len(table) // 2
    parts = [table.slice(0, half), table.slice(half)]
    infos = [write_shard(folder, f"{i}.arrow", part) for i, part in enumerate(parts)]
    write_manifest(folder, Manifest({MAIN: Side("pairs", infos)}))
    return folder


# -- ranking ---------------------------------------------------------------------------------------


def rankers() -> dict[str, list[ContrastiveTraining]]:
    """Return the encoders to train, several for one ranking where each leaves out a part."""

    def train(**settings: Any) -> ContrastiveTraining:
        return ContrastiveTraining.model_validate({"from": "mixture"} | settings)

    def fitted(of: int, by: str, **settings: Any) -> list[ContrastiveTraining]:
        parts = [{"fold": fold, "of": of, "by": by} for fold in range(of)]
        return [train(leave_out=part, **settings) for part in parts]

    return {
        "all, 1 epoch": [train(epochs=1)],
        "all, 2 epochs": [train(epochs=2)],
        "all, 3 epochs": [train(epochs=3)],
        "stopped": [train(epochs=3, validation=0.05)],
        "halves, 1 epoch": fitted(2, "query", epochs=1),
        "halves, 2 epochs": fitted(2, "query", epochs=2),
        "halves, 3 epochs": fitted(2, "query", epochs=3),
        "packages": fitted(2, "group", epochs=2),
        "fifths": fitted(5, "query", epochs=2),
        "wide": fitted(2, "query", epochs=2, dimension=1024),
    }


def stages_of(name: str, encoders: Sequence[Stage]) -> dict[str, Stage]:
    """Return the stages that train encoders and rank the mixture by them; nothing is dropped."""
    short = "".join(c if c.isalnum() else "_" for c in name)
    stages: dict[str, Stage] = {f"{short}_{i}": stage for i, stage in enumerate(encoders)}
    return stages | {f"{short}_ranks": judged_by(list(stages), _EVERYTHING)}


def judged_by(encoders: list[str], k: int | str) -> ConsistencyFilter:
    """Return the filter of the mixture by some encoders."""
    named = encoders if len(encoders) > 1 else encoders[0]
    return ConsistencyFilter.model_validate(
        {"from": "mixture", "encoder": named, "k": k, "impurity": IMPURITY}
    )


def figures(ranks: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """Return how well ranks, or anything that is low for right pairs, tell right from wrong."""
    at_5 = np.quantile(ranks[wrong], 0.05)
    found = {"auc": auc(ranks, wrong), "kept_at_5": float((ranks[~wrong] < at_5).mean())}
    for k in KS:
        found |= {f"right_{k}": (ranks[~wrong] <= k).mean(), f"gone_{k}": (ranks[wrong] > k).mean()}
    guess = estimate(ranks, len(ranks), IMPURITY)
    kept = ranks <= guess.k
    found |= {"guess": guess.wrong, "k": guess.k, "right_auto": kept[~wrong].mean()}
    found["impurity"] = wrong[kept].mean() if kept.any() else 0.0
    return {name: round(float(value), 4) for name, value in found.items()}


def auc(ranks: np.ndarray, wrong: np.ndarray) -> float:
    """Return the probability that a wrong pair ranks below a right one; ties count half."""
    values = np.sort(ranks[~wrong])
    below = np.searchsorted(values, ranks[wrong], "left") + np.searchsorted(
        values, ranks[wrong], "right"
    )
    return float(below.mean() / 2 / len(values))


def reversed_ranks(models: list[Path], pairs: pa.Table) -> np.ndarray:
    """Rank each pair's query for its passage among all queries, by encoders of parts left out."""
    queries = pairs["query"].to_pylist()
    passages = first_positive(pairs).to_pylist()
    ranks = np.zeros(len(pairs), np.int64)
    for folder in models:
        left_out = LeftOut.load(folder)
        assert left_out is not None
        rows = np.flatnonzero(left_out.rows(pairs))
        encoder = load_encoder(folder)
        pool = to_bfloat16(encoder.encode_queries(queries))
        asked = to_bfloat16(encoder.encode_passages([passages[row] for row in rows]))
        ranks[rows] = Pool(pool).ranks(asked, pool[rows], rows)
    return ranks


def lexical_ranks(pairs: pa.Table) -> np.ndarray:
    """Rank each pair's passage for its query among all passages by BM25."""
    terms = Terms(pairs["query"].to_pylist())
    index = BM25(first_positive(pairs).to_pylist())
    counts = index._count(terms)
    ranks = np.zeros(len(pairs), np.int64)
    step = max(_CELLS // len(pairs), 1)
    for low in range(0, len(pairs), step):
        scores = (counts[low : low + step] @ index._weights).toarray()
        own = scores[np.arange(len(scores)), low + np.arange(len(scores))]
        ranks[low : low + step] = 1 + (scores > own[:, None]).sum(1)
    return ranks


# -- training --------------------------------------------------------------------------------------


def trainings(name: str) -> dict[str, Stage]:
    """Return a training of three seeds on what a stage leaves."""
    return {
        f"{name}_seed_{seed}": ContrastiveTraining.model_validate({"from": name, "seed": seed})
        for seed in SEEDS
    }


def per_query(done: Run, name: str, data: RetrievalSet) -> np.ndarray:
    """Return nDCG@10 query by query, averaged over the seeds of a training."""
    folders = [done.artefacts[f"{name}_seed_{seed}"].folder for seed in SEEDS]
    systems = [encoder_system(str(folder), folder) for folder in folders]
    report = evaluate_retrieval(systems, data, samples=100)
    return np.mean([system.per_query[NDCG] for system in report.systems], axis=0)


# -- the benchmark ---------------------------------------------------------------------------------


def compare_rankings(mixture: Mixture, folder: Path, output: Path, small: bool) -> dict[str, Any]:
    """Train and rank in all ways; print a row for each."""
    chosen = {
        n: e for n, e in rankers().items() if not small or n in ("all, 2 epochs", "halves, 1 epoch")
    }
    head = f"{'':>18} {'AUC':>6} {'5%':>6} " + " ".join(f"{f'k={k}':>13}" for k in KS)
    print(f"{head} {'wrong?':>7} {'auto k':>7} {'right':>6} {'impure':>7}", flush=True)
    found: dict[str, Any] = {}

    def show(name: str, ranks: np.ndarray) -> None:
        row = found[name] = figures(ranks, mixture.wrong)
        ks = " ".join(f"{row[f'right_{k}']:6.1%} {row[f'gone_{k}']:6.1%}" for k in KS)
        auto = (
            f"{row['guess']:7.1%} {row['k']:7,.0f} {row['right_auto']:6.1%} {row['impurity']:7.2%}"
        )
        told = "" if "..." in name else auto  # of a product of ranks the rule knows nothing
        print(f"{name:>18} {row['auc']:6.4f} {row['kept_at_5']:6.1%} {ks} {told}", flush=True)

    done, models = None, {}
    for name, encoders in chosen.items():
        stages = {"mixture": ShardsHarvest(path=folder), **stages_of(name, encoders)}
        done = run(Recipe(stages), output)
        last = list(stages)[-1]
        models[name] = [done.artefacts[s].folder for s in list(stages)[1:-1]]
        ranks = score(done.artefacts[last].shards(MAIN).to_arrow(), RANK).astype(np.int64)
        show(name, ranks)
        if name == "halves, 1 epoch":
            show("... both ways", ranks * reversed_ranks(models[name], mixture.pairs))
            show("... and by BM25", ranks * (lexical := lexical_ranks(mixture.pairs)))
            show("BM25 alone", lexical)
    return found


def compare_models(
    mixture: Mixture, folder: Path, output: Path, sets: dict[str, RetrievalSet]
) -> dict[str, Any]:
    """Train on the mixture and on what is left of it; print what each model finds."""
    encoders: dict[str, Stage] = {
        "half_0": ContrastiveTraining(leave_out=LeftOut(fold=0), from_="mixture"),
        "half_1": ContrastiveTraining(leave_out=LeftOut(fold=1), from_="mixture"),
        "whole": ContrastiveTraining(epochs=1, from_="mixture"),
    }
    right = write(folder.with_name("right"), mixture.pairs.filter(pa.array(~mixture.wrong)))
    ways: dict[str, Stage] = {
        "mixture": ShardsHarvest(path=folder),
        "memorised_2": judged_by(["whole"], 2),
        "halves_2": judged_by(["half_0", "half_1"], 2),
        "halves_100": judged_by(["half_0", "half_1"], 100),
        "halves_auto": judged_by(["half_0", "half_1"], "auto"),
        "right": ShardsHarvest(path=right),
    }
    stages = {"mixture": ways["mixture"], **encoders, **ways}
    for name in ways:
        stages |= trainings(name)
    done = run(Recipe(stages), output)
    found: dict[str, Any] = {}
    for title, data in sets.items():
        values = {name: per_query(done, name, data) for name in ways}
        for name, value in values.items():
            gain = bootstrap_interval(value - values["mixture"])
            left = done.artefacts[name].account.kept
            print(
                f"{title:>10} {name:>12} {left:7,} pairs: nDCG@10 {bootstrap_interval(value)}  {gain}"
            )
            found[f"{title} {name}"] = [
                round(float(value.mean()), 4),
                gain.mean,
                gain.low,
                gain.high,
            ]
    return found


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="keep the store of all runs here")
    parser.add_argument("--parts", type=Path, help="the artefact `parts` of a finished quick start")
    parser.add_argument("--small", action="store_true", help="fewer pairs and fewer rankings")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        output = options.output or Path(scratch)
        parts = options.parts or parts_of_quickstart(output)
        pairs = read_shards(parts)
        count = min(SMALL_PAIRS if options.small else PAIRS, len(pairs))
        mixture = mix(pairs, count, WRONG)
        folder = write(output / "mixture", mixture.pairs)
        print(f"{count:,} pairs, {mixture.wrong.mean():.1%} of them wrong", flush=True)
        rankings = compare_rankings(mixture, folder, output, options.small)
        sets = {"held out": from_pairs(read_shards(parts, "held_out"), "held out", 3)}
        if data := os.environ.get("CURATE_DATA"):
            sets["CoSQA"] = read_beir(Path(data) / "eval_ir" / "cosqa")
        models = compare_models(mixture, folder, output, sets)
    print(json.dumps({"rankings": rankings, "models": models}))


if __name__ == "__main__":
    main()
