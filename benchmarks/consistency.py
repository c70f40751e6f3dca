"""Ranking pairs in a pool, beside the bare matrix product and beside faiss.

    python -m benchmarks.consistency [--small] [--rounds 3]

100,000 queries are ranked against 100,000 passages of 384 dimensions, made here: passages in topics, one
query in three with a passage that is not its own, and planted copies, near copies and queries equal to
passages. Three processes take turns, each with all cores, and the fastest round of each counts:

    ours     what `filter.consistency` does with vectors: rounds them to bfloat16, builds the pool, ranks
    product  torch.mm of the same vectors, in bfloat16, block by block; the best of some block sizes
    faiss    IndexFlatIP: adds the passages and searches the best two, which decides k = 2 alone

The ranks of a sample are compared with float64 brute force over the same rounded vectors, and with the
ranks of the vectors as they were before rounding. The last line is JSON: `over_product` is ours over
product, `ratio_faiss` faiss over ours, in seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from curate.encode.ranking import Pool
from curate.encode.rounding import from_bfloat16, to_bfloat16

SIZE, SMALL_SIZE, DIMENSION = 100_000, 20_000, 384
TOPICS = 2_000
WRONG = 1 / 3
COPIES = 0.05
SAMPLE = 2_000
BLOCKS = [(1024, 1024), (1024, 4096), (4096, 4096)]
TRIED = 8_192


def make(folder: Path, size: int, seed: int = 0) -> None:
    """Write queries and passages, float32 [size, d], unit length; the own passage has the same row."""
    rng = np.random.default_rng(seed)
    topics = unit(rng.normal(size=(TOPICS, DIMENSION)))
    passages = topics[rng.integers(0, TOPICS, size)] + 1.2 * noise(rng, size)
    passages = unit(passages)
    wrong = rng.random(size) < WRONG
    queries = unit(
        passages[np.where(wrong, rng.permutation(size), np.arange(size))] + noise(rng, size)
    )
    copies = rng.choice(size, (3, int(size * COPIES)), replace=False)
    passages[copies[0]] = passages[rng.integers(0, size, copies.shape[1])]
    near = passages[rng.integers(0, size, copies.shape[1])]
    passages[copies[1]] = unit(near + 1e-3 * noise(rng, len(near)))
    queries[copies[2]] = passages[copies[2]]
    np.save(folder / "queries.npy", queries)
    np.save(folder / "passages.npy", passages)


def noise(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw vectors of about unit length."""
    return rng.normal(size=(count, DIMENSION)) / DIMENSION**0.5


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors to length 1, as float32."""
    scaled: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(
        np.float32
    )
    return scaled


def ours(folder: Path) -> float:
    """Rank, and write the ranks."""
    import torch  # noqa: F401  (loaded before the clock starts)

    queries, passages = load(folder)
    begin = time.perf_counter()
    left, right = to_bfloat16(queries), to_bfloat16(passages)
    ranks = Pool(right, device="cpu").ranks(left, right, np.arange(len(right)))
    seconds = time.perf_counter() - begin
    np.save(folder / "ranks.npy", ranks)
    return seconds


def product(folder: Path) -> float:
    """Multiply block by block, with the best of the block sizes."""
    import torch

    queries, passages = (torch.from_numpy(vectors).bfloat16() for vectors in load(folder))

    def multiply(rows: int, block: tuple[int, int]) -> float:
        out = torch.empty(block, dtype=torch.bfloat16)
        begin = time.perf_counter()
        for low in range(0, rows, block[0]):
            left = queries[low : low + block[0]]
            for start in range(0, len(passages), block[1]):
                right = passages[start : start + block[1]]
                part = out[: len(left), : len(right)] if len(right) == block[1] else None
                torch.mm(left, right.T, out=part)
        return time.perf_counter() - begin

    tried = {block: multiply(min(TRIED, len(queries)), block) for block in BLOCKS}
    return multiply(len(queries), min(tried, key=lambda block: tried[block]))


def faiss(folder: Path) -> float:
    """Search the best two."""
    import faiss as peer

    queries, passages = load(folder)
    begin = time.perf_counter()
    index = peer.IndexFlatIP(passages.shape[1])
    index.add(passages)
    index.search(queries, 2)
    return time.perf_counter() - begin


WAYS: dict[str, Callable[[Path], float]] = {"ours": ours, "product": product, "faiss": faiss}


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read what `make` wrote."""
    return np.load(folder / "queries.npy"), np.load(folder / "passages.npy")


def check(folder: Path) -> dict[str, float]:
    """Compare the ranks of a sample with brute force: shares that are equal."""
    queries, passages = load(folder)
    found = np.load(folder / "ranks.npy")
    rows = np.random.default_rng(1).choice(len(queries), min(SAMPLE, len(queries)), replace=False)
    rounded = [from_bfloat16(to_bfloat16(vectors)) for vectors in (queries, passages)]
    exact, unrounded = brute(*rounded, rows), brute(queries, passages, rows)
    same = exact == found[rows]
    return {
        "equal": float(same.mean()),
        "unrounded_equal": float((unrounded == found[rows]).mean()),
        "unrounded_same_at_2": float(((unrounded <= 2) == (found[rows] <= 2)).mean()),
        "first": float((exact == 1).mean()),
        "beyond_1000": float((exact > 1000).mean()),
    }


def brute(queries: np.ndarray, passages: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rank some queries' own passages in float64."""
    wide = passages.astype(np.float64)
    ranks = np.empty(len(rows), np.int64)
    for low in range(0, len(rows), 250):
        part = rows[low : low + 250]
        asked = queries[part].astype(np.float64)
        own = np.einsum("nd,nd->n", asked, wide[part])
        above = asked @ wide.T > own[:, None]
        above[np.arange(len(part)), part] = False
        ranks[low : low + 250] = 1 + above.sum(1)
    return ranks


def main() -> None:
    """Let the processes take turns, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help=f"{SMALL_SIZE:,} instead of {SIZE:,}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(WAYS[options.run[0]](Path(options.run[1])))
        return
    size = SMALL_SIZE if options.small else SIZE
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch), size)
        for _ in range(options.rounds):
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.consistency", "--run", way, scratch]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                times[way].append(float(done.stdout.split()[-1]))
                rate = 2 * size * size * DIMENSION / times[way][-1] / 1e9
                print(f"{way:>8} {times[way][-1]:7.2f} s {rate:6.0f} GFLOP/s", flush=True)
        checked = check(Path(scratch))
    best = {way: min(found) for way, found in times.items()}
    figures = {
        "over_product": round(best["ours"] / best["product"], 3),
        "ratio_faiss": round(best["faiss"] / best["ours"], 3),
        **{f"{way}_s": round(seconds, 2) for way, seconds in best.items()},
        **{name: round(value, 5) for name, value in checked.items()},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
