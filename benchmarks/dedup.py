"""MinHash deduplication beside its peers, against an exact join, on short texts, at scale, and by labels.

    CURATE_DATA=FOLDER python -m benchmarks.dedup [--only real short large labels] [--small]

real    100,000 texts of about 150 words, cut from the samples below CURATE_DATA, three in ten of them
        copies with known changes (`dedup_texts`). From shards to shards, whole processes, two cores,
        threshold 0.8, 128 permutations, runs alternating, the best of three: `dedup.minhash`, two scripts
        around rensa, datasketch, and datatrove's four steps (`dedup_peers`; the last two run once).
        `recall` is the share of the pairs of an exact join at Jaccard 0.8 that end up in one cluster;
        `precision` the share of dropped records that the join connects with the one kept for them.
short   1,000,000 queries of about 8 words, shingles of 5 characters.
large   20,000,000 generated texts of 20 words, and 2,000,000 of them: memory, and growth of time.
labels  two sets of citations whose duplicates people have marked, at three thresholds.

The exact join shares no code with the stage but the normal form of words: each text's rarest shingles, as
many as two texts of that similarity must have one in common of (prefix filtering: Chaudhuri et al. 2006,
Bayardo et al. 2007), give the pairs whose sets Python compares. Peak memory is that of all processes,
resident less shared. The last line is JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from benchmarks.dedup_texts import generated, in_shards, queries, real_texts, write_passages
from benchmarks.measure import Measured, measured
from curate.dedup.minhash import MinHashDedup
from curate.recipe import Recipe
from curate.schema import score
from curate.shards import open_shard, read_shards
from curate.text.normalise import words

MB = 1_000_000
THRESHOLD = 0.8
ROUNDS = 3
SHARD_ROWS = 200_000
Figures = dict[str, float]


# -- running ---------------------------------------------------------------------------------------


@dataclass
class Corpus:
    """Shards of passages, and a store that holds them already."""

    folder: Path
    output: Path

    @classmethod
    def made(cls, scratch: Path, arrays: Iterator[pa.Array]) -> Corpus:
        """Write shards, and bring them into a store."""
        corpus = cls(scratch / "shards", scratch / "output")
        corpus.folder.mkdir()
        write_passages(corpus.folder, arrays)
        corpus._run()
        return corpus

    def _run(self, *settings: str) -> Measured:
        place = [str(self.folder), str(self.output)]
        return measured([sys.executable, "-m", "benchmarks.dedup_run", *place, *settings])

    def deduplicate(self, **settings: Any) -> tuple[Measured, dict[str, Any]]:
        """Run the stage from shards to shards in a process of its own; also return what it said."""
        for kind in ("artefacts", "parts"):
            for done in (self.output / "store" / kind).glob("dedup.minhash-*"):
                shutil.rmtree(done)
        run = self._run(json.dumps({"threshold": THRESHOLD, "permutations": 128} | settings))
        return run, json.loads(run.said)

    def peer(self, which: str, scratch: Path) -> Measured:
        """Run a peer on the same shards."""
        folder, output = self.folder, scratch / which
        shutil.rmtree(output, ignore_errors=True)
        if which == "datatrove":
            folder = self._parquet(scratch / "parquet")
        command = [sys.executable, "-m", "benchmarks.dedup_peers", which, str(folder), str(output)]
        return measured(command)

    def _parquet(self, folder: Path) -> Path:
        """Write the texts as datatrove reads them fastest."""
        folder.mkdir()
        for path in sorted(self.folder.glob("*.arrow")):
            table = open_shard(path).select(["id", "text"])
            pq.write_table(table, folder / f"{path.stem}.parquet", compression="none")
        return folder


# -- the exact join --------------------------------------------------------------------------------


def exact_pairs(texts: list[str], threshold: float) -> np.ndarray:
    """Return all pairs of texts whose sets of five-word shingles are similar: shape (m, 2), i < j."""
    sets = [_shingles(text) for text in words(pl.Series(texts)).to_list()]
    lengths = np.array(list(map(len, sets)))
    frame = pl.DataFrame(
        {
            "text": np.repeat(np.arange(len(sets)), lengths),
            "hash": np.fromiter((run for runs in sets for run in runs), np.uint64),
        }
    )
    often = frame.group_by("hash").len("often").filter(pl.col("often") > 1)
    place = frame.join(often, on="hash", how="left").with_columns(pl.col("often").fill_null(1))
    place = place.sort("text", "often", "hash")
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rank = np.arange(len(place)) - np.repeat(first, lengths)
    needed = lengths - np.ceil(threshold * lengths - 1e-9).astype(int) + 1
    prefix = place.filter(pl.Series(rank < np.repeat(needed, lengths)) & (pl.col("often") > 1))
    pairs = (
        prefix.lazy()
        .join(prefix.lazy(), on="hash", suffix="_2")
        .filter(pl.col("text") < pl.col("text_2"))
        .select("text", "text_2")
        .unique()
        .collect()
        .sort("text", "text_2")
        .to_numpy()
    )
    near = [
        len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j]) - 1e-9
        for i, j in pairs.tolist()
    ]
    return np.asarray(pairs[np.array(near, bool)])


def _shingles(text: str) -> set[int]:
    units = text.split()
    runs = range(max(len(units) - 4, 1)) if units else ()
    return {xxhash.xxh3_64_intdigest(" ".join(units[i : i + 5]).encode()) for i in runs}


def components(n: int, pairs: np.ndarray) -> np.ndarray:
    """Return for each of n texts the number of its connected component."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), shape=(n, n))
    return np.asarray(connected_components(edges, directed=False)[1])


def clusters_of(folder: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each record the row that stays for it, and which are dropped (rows are in the ids)."""
    kept, dropped = np.arange(n), np.zeros(n, bool)
    for side in ("main", "dropped"):
        table = read_shards(folder, side).to_arrow(["id", "meta"])
        rows = [int(name, 16) for name in table["id"].to_pylist()]
        dropped[rows] = side == "dropped"
        for row, meta in zip(rows, table["meta"].to_pylist(), strict=True):
            kept[row] = int(json.loads(meta).get("minhash_cluster", f"{row:x}"), 16)
    return kept, dropped


def real(data: Path, scratch: Path, small: bool) -> Figures:
    """Compare with the peers, and with the exact join."""
    texts = real_texts(data, 10_000 if small else 100_000)
    print(f"{len(texts):,} texts, {sum(map(len, texts)) / MB:.0f} million characters", flush=True)
    corpus = Corpus.made(scratch, in_shards(texts))
    best: dict[str, float] = {}
    for turn in range(ROUNDS):
        run, said = corpus.deduplicate()
        runs = {"curate": run}
        peers = ["rensa", "rensa-pool"] + (["datasketch", "datatrove"] if turn == 0 else [])
        runs |= {peer: corpus.peer(peer, scratch) for peer in peers}
        for name, run in runs.items():
            print(f"{name}: {run.seconds:.2f} s, {run.cpu:.2f} s of processor time", flush=True)
            best[name] = min(best.get(name, np.inf), run.seconds)
    pairs = exact_pairs(texts, THRESHOLD)
    kept, dropped = clusters_of(Path(said["folder"]), len(texts))
    truth = components(len(texts), pairs)
    recall = (kept[pairs[:, 0]] == kept[pairs[:, 1]]).mean()
    precision = (truth[dropped] == truth[kept[dropped]]).mean()
    print(f"{len(pairs):,} pairs of the exact join; {dropped.sum():,} records dropped")
    rensa = min(best["rensa"], best["rensa-pool"])
    peers_best = {"rensa": rensa, **{name: best[name] for name in ("datasketch", "datatrove")}}
    ratios = {f"ratio_{name}": seconds / best["curate"] for name, seconds in peers_best.items()}
    return ratios | {"recall": float(recall), "precision": float(precision)}


# -- short texts, and many -------------------------------------------------------------------------


def short(data: Path, scratch: Path, small: bool) -> Figures:
    """Deduplicate queries."""
    count = 100_000 if small else 1_000_000
    corpus = Corpus.made(scratch, in_shards(queries(data, count)))
    run, said = corpus.deduplicate(shingle="chars")
    print(f"{count:,} queries: {run.seconds:.1f} s, {run.cpu:.1f} s of processor time, {said}")
    return {"short_texts_s": count / run.seconds, "short_peak_mb": run.peak / MB}


def large(data: Path, scratch: Path, small: bool) -> Figures:
    """Deduplicate generated texts, then ten times as many."""
    count = 200_000 if small else 2_000_000
    runs = []
    for size in (count, 10 * count):
        starts = range(0, size, SHARD_ROWS)
        arrays = (generated(start, min(SHARD_ROWS, size - start)) for start in starts)
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            run, said = Corpus.made(Path(folder), arrays).deduplicate()
        print(f"{size:,} texts: {run.seconds:.1f} s, {run.peak / MB:,.0f} MB, {said}", flush=True)
        runs.append(run)
    growth = runs[1].seconds / runs[0].seconds
    return {"large_peak_mb": runs[1].peak / MB, "large_growth": growth}


# -- labels ----------------------------------------------------------------------------------------


def labels(data: Path, scratch: Path, small: bool) -> Figures:
    """Compare clusters with what people marked: which records have a duplicate."""
    print("set          text              shingles    threshold  precision  recall")
    figures: Figures = {}
    for name in ("copper", "tafenoquine"):
        with gzip.open(data / "eval_dedup" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        truth = np.array([record["in_duplicate_cluster"] for record in records])
        for text, unit in (("title", "chars"), ("title, abstract", "words")):
            texts = [" ".join(str(r[part] or "") for part in text.split(", ")) for r in records]
            for threshold in (0.5, 0.7, 0.9):
                found = _in_clusters(texts, scratch, threshold, unit)
                precision = (found & truth).sum() / max(found.sum(), 1)
                recall = (found & truth).sum() / truth.sum()
                print(
                    f"{name:12} {text:17} 5 {unit:10} {threshold:8}  {precision:9.3f}  {recall:6.3f}"
                )
                key = f"{name}_{text.split(', ')[-1]}_{threshold}"
                figures |= {f"{key}_precision": precision, f"{key}_recall": recall}
    return figures


def _in_clusters(texts: list[str], scratch: Path, threshold: float, unit: str) -> np.ndarray:
    """Tell which texts are in a cluster of more than one."""
    from benchmarks.dedup_run import Contents, Files, Quiet

    with tempfile.TemporaryDirectory(dir=scratch) as made:
        folder = Path(made) / "shards"
        folder.mkdir()
        write_passages(folder, in_shards(texts))
        near = MinHashDedup(threshold=threshold, shingle=unit)
        recipe = Recipe({"files": Files(path=folder), "rows": Contents(), "near": near})
        run = recipe.run(Path(made) / "output", workers=1, reporter=Quiet())
        found = np.zeros(len(texts), bool)
        for side in ("main", "dropped"):
            table = run.shards("near", side).to_arrow(["id", "scores"])
            rows = [int(name, 16) for name in table["id"].to_pylist()]
            found[rows] = score(table, "minhash_cluster_size") > 1
    return found


PARTS: dict[str, Callable[[Path, Path, bool], Figures]] = {
    "real": real,
    "short": short,
    "large": large,
    "labels": labels,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    if "CURATE_DATA" not in os.environ:
        sys.exit("CURATE_DATA must name the folder of the real samples")
    data, figures = Path(os.environ["CURATE_DATA"]), {}
    for name in options.only:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            figures |= PARTS[name](data, Path(folder), options.small)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
