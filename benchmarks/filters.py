"""Rules on documents beside datatrove's filters, and how fast rules and exact duplicates take real pairs.

    CURATE_DATA=FOLDER python -m benchmarks.filters [--only gopher pairs] [--small]

gopher  texts of about 1 KB, 16,000 of them: passages of the pairs that pipelines/ccpairs.yaml harvests
        from the samples below CURATE_DATA, pages of news sites with their menus, and files of Python
        packages, cut at line ends. Nearly half of them break a rule. `filter.rules` with
        `gopher_quality` and `gopher_repetition` alone, beside GopherQualityFilter and
        GopherRepetitionFilter of datatrove, called one after the other as its pipelines do, without its
        readers, writers and logs. Each in two processes of one thread, half of the texts each, started
        and warmed up before; runs alternate, and the best of three counts, of datatrove of two.
        `same_decisions` is the share of texts that both keep or both drop; how the others differ is
        printed by datatrove's reason and ours.
pairs   the 400,000 pairs of that recipe, harvested before: `curate run` with the rules of the recipe and
        `dedup.exact`, from shards to shards, with two workers. `pairs_s` counts from the start of the
        process to its end; the best of three.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.measure import Measured, measured
from curate.recipe import parse_yaml
from curate.schema import Passage, first_positive, to_table
from curate.shards import read_manifest, read_shards

CORES = 2
RECIPE = Path(__file__).parent.parent / "pipelines" / "ccpairs.yaml"
STAGES = ("clean", "unique")
_WARM = 100
REPEATS = 5
"""How often our rules go over the texts in one run: once is over too soon to be timed."""


# -- texts -----------------------------------------------------------------------------------------


def passages(output: Path, count: int) -> list[str]:
    """Draw passages of 600 to 2,000 bytes from the pairs that were harvested."""
    pairs = read_shards(output / "runs" / "latest" / "stages" / "clean").to_arrow(["positives"])
    texts = pl.Series(first_positive(pairs)).drop_nulls().unique(maintain_order=True)
    texts = texts.filter(texts.str.len_bytes().is_between(600, 2000))
    return random.Random(1).sample(texts.to_list(), min(count, len(texts)))


def cut(text: str, size: int = 1024) -> Iterator[str]:
    """Cut a text at line ends into pieces of at least `size` characters; long lines are left out."""
    piece = ""
    for line in text.splitlines():
        piece += line + "\n"
        if len(piece) >= size:
            if len(piece) < 4 * size:
                yield piece.strip("\n")
            piece = ""


def pages(data: Path) -> Iterator[str]:
    """Give pieces of the visible text of news pages, menus and all."""
    import lxml.html

    for path in sorted(data.glob("news_html/html/*.gz")):
        page = lxml.html.fromstring(gzip.decompress(path.read_bytes()))
        for hidden in page.xpath("//script|//style"):
            hidden.drop_tree()
        lines = (" ".join(line.split()) for line in page.text_content().splitlines())
        yield from cut("\n".join(line for line in lines if line))


def files(data: Path) -> Iterator[str]:
    """Give pieces of the code and the documents in packages."""
    for path in sorted(data.glob("code/*.whl")):
        with zipfile.ZipFile(path) as package:
            for name in package.namelist():
                if name.endswith((".py", ".rst", ".md", ".txt", "METADATA")):
                    yield from cut(package.read(name).decode("utf-8", "replace"))


def mixture(data: Path, output: Path, count: int) -> list[str]:
    """Mix passages, pages and files, 26 : 3 : 3."""
    rng = random.Random(0)
    part = count * 3 // 32
    found = [*pages(data)], [*files(data)]
    texts = [text for some in found for text in rng.sample(some, min(part, len(some)))]
    texts += passages(output, count - len(texts))
    rng.shuffle(texts)
    return texts


# -- decisions, each in processes of its own ----------------------------------------------------------

_KEPT: dict[str, Any] = {}
"""What a process holds between calls: texts, and what judges them."""


def prepare_ours(texts: list[str]) -> None:
    """Make the table and the stage."""
    from curate.filter.rules import Rules

    off = {f"{end}_passage_{unit}": None for end in ("min", "max") for unit in ("chars", "words")}
    off |= {f"max_{what}_ratio": None for what in ("symbol", "digit", "url")}
    rules = Rules(**off, max_repeated_lines=None, gopher_quality=True, gopher_repetition=True)
    records = [Passage(text, "here", "g", id=str(i)) for i, text in enumerate(texts)]
    _KEPT["ours"] = rules, to_table(records, "passages")
    rules.map(to_table(records[:_WARM], "passages"))


def judge_ours() -> tuple[float, list[str | None]]:
    """Judge all texts; return seconds and the reason of each that is dropped."""
    rules, table = _KEPT["ours"]
    started = time.perf_counter()
    for _ in range(REPEATS):
        outcome = rules.map(table)
    seconds = (time.perf_counter() - started) / REPEATS
    ids, reasons = outcome.dropped["id"].to_pylist(), outcome.dropped["drop_reason"].to_pylist()
    found = dict(zip(ids, reasons, strict=True))
    return seconds, [found.get(str(row)) for row in range(len(table))]


def prepare_theirs(texts: list[str]) -> None:
    """Make the documents and the filters."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter

    documents = [Document(text=text, id=str(i)) for i, text in enumerate(texts)]
    _KEPT["theirs"] = [GopherQualityFilter(), GopherRepetitionFilter()], documents
    for one in _KEPT["theirs"][0]:
        list(map(one.filter, documents[:_WARM]))


def judge_theirs() -> tuple[float, list[str | None]]:
    """Judge all texts; return seconds and the reason of each that is dropped."""
    from datatrove.pipeline.filters.base_filter import get_filter_result

    filters, documents = _KEPT["theirs"]
    reasons: list[str | None] = []
    started = time.perf_counter()
    for document in documents:
        for one in filters:
            passed, reason = get_filter_result(one.filter(document))
            if not passed:
                break
        reasons.append(None if passed else reason or "dropped")
    return time.perf_counter() - started, reasons


class Judges:
    """Processes that hold a share of the texts each and judge them, all at the same time."""

    def __init__(self, side: str, texts: list[str]) -> None:
        self.side = side
        self.count = len(texts)
        spawn = multiprocessing.get_context("spawn")
        self.pools = [ProcessPoolExecutor(1, spawn) for _ in range(CORES)]
        prepare = {"ours": prepare_ours, "theirs": prepare_theirs}[side]
        os.environ["POLARS_MAX_THREADS"] = "1"  # a core each
        for share, pool in enumerate(self.pools):
            pool.submit(prepare, texts[share::CORES]).result()
        del os.environ["POLARS_MAX_THREADS"]

    def __call__(self) -> tuple[float, list[str | None]]:
        """Return the seconds of the slowest process, and the reasons in the order of the texts."""
        judge = {"ours": judge_ours, "theirs": judge_theirs}[self.side]
        running = [pool.submit(judge) for pool in self.pools]
        found = [future.result() for future in running]
        reasons: list[str | None] = [None] * self.count
        for share, (_, some) in enumerate(found):
            reasons[share::CORES] = some
        return max(seconds for seconds, _ in found), reasons

    def close(self) -> None:
        """End the processes."""
        for pool in self.pools:
            pool.shutdown()


def compare(texts: list[str]) -> dict[str, float]:
    """Judge the texts by both, alternating; print and return what came out."""
    size = sum(len(text.encode()) for text in texts) / len(texts)
    ours, theirs = Judges("ours", texts), Judges("theirs", texts)
    best: dict[str, float] = {}
    reasons: dict[str, list[str | None]] = {}
    for judges in (ours, theirs, ours, theirs, ours):
        seconds, reasons[judges.side] = judges()
        best[judges.side] = min(seconds, best.get(judges.side, seconds))
        print(f"{judges.side}: {len(texts) / seconds:,.0f} texts/s", flush=True)
    ours.close()
    theirs.close()
    both = Counter(zip(reasons["theirs"], reasons["ours"], strict=True))
    kept = sum(1 for reason in reasons["theirs"] if reason is None) / len(texts)
    print(f"{len(texts):,} texts of {size:,.0f} bytes on average; datatrove keeps {kept:.1%}")
    differ = [
        (n, *pair) for pair, n in both.most_common() if (pair[0] is None) != (pair[1] is None)
    ]
    for n, their, our in differ:
        print(f"differ: {n} texts, datatrove {their or 'keeps'}, ours {our or 'keeps'}")
    same = 1 - sum(n for n, _, _ in differ) / len(texts)
    return {"ratio_datatrove": best["theirs"] / best["ours"], "same_decisions": same}


# -- pairs -----------------------------------------------------------------------------------------


def curate_run(recipe: Path, output: Path, *overrides: str) -> Measured:
    """Run a recipe in processes of its own."""
    command = [sys.executable, "-m", "curate", "run", str(recipe), "--output", str(output)]
    command += ["--workers", str(CORES)]
    for override in overrides:
        command += ["--set", override]
    return measured(command)


def recipe_of(folder: Path, data: Path, small: bool) -> Path:
    """Write the recipe down to the exact duplicates; a small one without the largest sources."""
    document, _ = parse_yaml(RECIPE.read_text("utf-8"), RECIPE.name)
    document["params"]["data"] = str(data)
    stages = document["stages"]
    if small:
        for name in ("descriptions", "flat_threads", "web", "handbook"):
            del stages[name]
            stages["clean"]["filter.rules"]["from"].remove(name)
    names = list(stages)
    document["stages"] = {name: stages[name] for name in names[: names.index(STAGES[-1]) + 1]}
    path = folder / "pairs.yaml"
    path.write_text(json.dumps(document), "utf-8")  # which is YAML too
    return path


def measure_pairs(recipe: Path, output: Path) -> dict[str, float]:
    """Filter the harvested pairs anew three times; return pairs a second of the best."""
    rates = []
    for number in (3, 4, 5):  # another setting each time, or the artefacts were reused
        took = curate_run(recipe, output, f"clean.min_query_chars={number}")
        stages = output / "runs" / "latest" / "stages"
        told = {name: read_manifest(stages / name).info for name in STAGES}
        pairs = told["clean"]["account"]["inputs"]
        rates.append(pairs / took.seconds)
        each = ", ".join(f"{name} {info['seconds']:.1f} s" for name, info in told.items())
        print(
            f"{pairs:,} pairs in {took.seconds:.1f} s ({each}; {took.cpu:.1f} s of processor time, "
            f"{took.peak / 1e6:,.0f} MB): {rates[-1]:,.0f} pairs/s",
            flush=True,
        )
    return {"pairs_s": max(rates)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=["gopher", "pairs"])
    parser.add_argument("--small", action="store_true", help="a tenth of the texts, fewer sources")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    if "CURATE_DATA" not in os.environ:
        sys.exit("CURATE_DATA must name the folder of the small real dumps")
    data = Path(os.environ["CURATE_DATA"]).absolute()
    parts = options.only or ["gopher", "pairs"]
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=options.scratch) as made:
        output = Path(made)
        recipe = recipe_of(output, data, options.small)
        print(f"harvested in {curate_run(recipe, output).seconds:.0f} s", flush=True)
        if "gopher" in parts:
            figures |= compare(mixture(data, output, 1_600 if options.small else 16_000))
        if "pairs" in parts:
            figures |= measure_pairs(recipe, output)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
