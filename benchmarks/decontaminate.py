"""What `filter.decontaminate` finds of texts that were planted, what of clean pairs, and how fast.

The evaluation sets are the four below `CURATE_DATA/eval_ir`. Each of their queries and passages is
planted as that side of two pairs: verbatim, and with 5% of its words replaced by words of all sets.
`recall_changed` counts the texts of 20 words and more; in a shorter one a single word is more than 5%,
so those are `recall_short`, with one word replaced. Clean are pairs of other sources below `CURATE_DATA`
and the documented functions of some installed packages. Those that are dropped are printed, to be read:
some do overlap, as sources were copied before the sets were made; all count. From shards to shards.

    CURATE_DATA=... python -m benchmarks.decontaminate [--small]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.engine.local import run
from curate.engine.run import Run
from curate.filter.decontaminate.sets import EvaluationSet, Item
from curate.recipe import Recipe
from curate.schema import Doc, Pair, to_table
from curate.shards import Manifest, Side, write_manifest, write_shard
from curate.stage import MAIN

SETS = ("cisi", "cosqa", "cranfield", "msmarco_dl19_subset5k")
PACKAGES = ["astropy", "django", "matplotlib", "nltk", "pandas", "sqlalchemy", "twisted"]
LONG = 20  # words, of which 5% are one
SHARD_ROWS = 20_000


def clean_sources(data: Path, small: bool) -> dict[str, Any]:
    """Return the stages that harvest clean pairs."""
    sources: dict[str, Any] = {
        "glossary": {"harvest.glossary": {"path": f"{data}/glossary"}},
        "news": {"harvest.news": {"path": f"{data}/news/ag_news_test.csv.gz", "source": "news/ag"}},
    }
    if not small:
        for name in ("stackexchange", "wikipedia", "code"):
            sources[name] = {f"harvest.{name}": {"path": f"{data}/{name}"}}
        sources["papers"] = {"harvest.papers": {"path": f"{data}/science"}}
        sources["functions"] = {"harvest.python": {"packages": PACKAGES}}
    return sources


def changed(text: str, rng: random.Random, vocabulary: list[str]) -> str:
    """Replace 5% of the words, one at least."""
    words = text.split()
    for place in rng.sample(range(len(words)), max(1, round(0.05 * len(words)))):
        words[place] = rng.choice(vocabulary)
    return " ".join(words)


def planted(items: list[Item], rng: random.Random) -> Iterator[Pair]:
    """Give two pairs for each text; their source says what is measured on them."""
    vocabulary = sorted({word for item in items for word in item.forms[-1].split()})
    for number, item in enumerate(items):
        text = item.forms[-1]
        ways = {
            "verbatim": text,
            "changed" if len(text.split()) >= LONG else "short": changed(text, rng, vocabulary),
        }
        for way, made in ways.items():
            query, passage = (made, "no passage") if item.role == "query" else ("no query", made)
            yield Pair("planted", query, [Doc(passage)], way, f"{number}", id=f"{way}-{number}")


def write_shards(pairs: list[Pair], folder: Path) -> None:
    """Write pairs as `harvest.shards` reads them."""
    infos = [
        write_shard(folder, f"{at}.arrow", to_table(pairs[at : at + SHARD_ROWS], "pairs"))
        for at in range(0, len(pairs), SHARD_ROWS)
    ]
    write_manifest(folder, Manifest({MAIN: Side("pairs", infos)}))


def decontaminated(data: Path, folder: Path, small: bool) -> Run:
    """Plant, harvest and decontaminate."""
    against = [str(data / "eval_ir" / name) for name in SETS]
    items = [item for path in against for item in EvaluationSet.model_validate(path).load().items]
    (folder / "planted").mkdir()
    write_shards(list(planted(items, random.Random(0))), folder / "planted")
    stages = {
        "planted": {"harvest.shards": {"path": str(folder / "planted")}},
        **clean_sources(data, small),
    }
    stages["clean"] = {"filter.decontaminate": {"from": list(stages), "against": against}}
    recipe = folder / "recipe.yaml"
    recipe.write_text(json.dumps({"stages": stages}))
    return run(Recipe.load(recipe), folder / "output")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="with two clean sources")
    options = parser.parse_args()
    if "CURATE_DATA" not in os.environ:
        sys.exit("CURATE_DATA must name the folder of the small real dumps")
    with tempfile.TemporaryDirectory() as made:
        done = decontaminated(Path(os.environ["CURATE_DATA"]), Path(made), options.small)
        artefact = done.artefacts["clean"]
        given, dropped = Counter[str](), Counter[str]()
        for source, counts in artefact.account.by_source.items():
            way = source if source in ("verbatim", "changed", "short") else "clean"
            given[way] += sum(counts.values())
            dropped[way] += counts.get("dropped", 0)
        for row in done.shards("clean", "dropped").to_arrow().to_pylist():
            if row["source"] not in given:
                text = row["positives"][0]["text"] if row["drop_reason"][0] == "p" else row["query"]
                print(f"{row['source']}: {row['drop_detail']}\n    {' '.join(text.split())[:160]}")
        seconds = artefact.manifest.info["seconds"]
    print(f"{dict(given)} in {seconds:.1f} s, dropped {dict(dropped)}")
    recalls = {
        f"recall_{way}": dropped[way] / given[way] for way in ("verbatim", "changed", "short")
    }
    figures = recalls | {
        "clean_share": dropped["clean"] / given["clean"],
        "pairs_s": given.total() / seconds,
        "peak_mb": artefact.manifest.info["peak_bytes"] / 1e6,
    }
    print(json.dumps({name: round(value, 6) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
