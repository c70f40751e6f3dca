"""The peers of `dedup.minhash`, each a process of its own: shards of passages in, kept and dropped out.

    python -m benchmarks.dedup_peers rensa|rensa-pool|datasketch SHARDS OUTPUT
    python -m benchmarks.dedup_peers datatrove FOLDER_OF_PARQUET OUTPUT

Shingles are those of `curate`: five words, lower case, without punctuation; texts that are not ASCII
take NFKC besides. `rensa` hands rensa lists of shingles, as its documentation does; `rensa-pool` has two
processes hash them, by Python's own hash of a tuple of words, and rensa sign the numbers. None of them
verifies.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_THRESHOLD, _PERMUTATIONS, _SIZE = 0.8, 128, 5
_BANDS = 16  # of 8: what rensa can cut 128 into that is nearest to 18 of 7
_TO_SPACE = {i: " " for i in range(128) if not chr(i).isalnum()}
_WORDS = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Cut a text into words."""
    if text.isascii():
        return text.lower().translate(_TO_SPACE).split()
    return _WORDS.findall(unicodedata.normalize("NFKC", text).lower())


def shingles_of(text: str) -> list[str]:
    """Join each five words that follow each other."""
    words = words_of(text)
    return [" ".join(words[i : i + _SIZE]) for i in range(max(len(words) - _SIZE + 1, 1))]


def hashes_of(text: str) -> np.ndarray:
    """Hash each five words that follow each other."""
    words = words_of(text)
    if len(words) < _SIZE:
        return np.array([hash(tuple(words))])
    return np.array(list(map(hash, zip(*(words[i:] for i in range(_SIZE)), strict=False))))


def shards(folder: Path) -> list[Path]:
    """List the shards of a folder."""
    return sorted(folder.glob("*.arrow"))


def read(path: Path) -> pa.Table:
    """Map a shard."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def write(folder: Path, output: Path, duplicate: np.ndarray) -> None:
    """Write for each shard what stays and what goes."""
    start = 0
    for path in shards(folder):
        table = read(path)
        flags = pa.array(duplicate[start : start + len(table)])
        start += len(table)
        for name, mask in (("kept", pc.invert(flags)), ("dropped", flags)):
            with pa.OSFile(str(output / f"{name}-{path.name}"), "wb") as file:
                some = table.filter(mask)
                with pa.ipc.new_file(file, some.schema) as writer:
                    writer.write_table(some)


# -- rensa -----------------------------------------------------------------------------------------


def rensa(folder: Path) -> np.ndarray:
    """Hand rensa's deduplicator lists of shingles, as its documentation does."""
    from rensa import RMinHashDeduplicator

    index = RMinHashDeduplicator(
        threshold=_THRESHOLD, num_perm=_PERMUTATIONS, use_lsh=True, num_bands=_BANDS
    )
    kept: list[bool] = []
    for path in shards(folder):
        texts = read(path)["text"].to_pylist()
        kept += index.add_pairs(
            [(str(len(kept) + i), shingles_of(text)) for i, text in enumerate(texts)]
        )
    return ~np.array(kept)


def rensa_pool(folder: Path) -> np.ndarray:
    """Hash shingles in two processes; sign the hashes, and find who has any like, by rensa.

    Its fastest calls do not say which comes first: of those few that they leave the bands are compared.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from rensa import RMinHash, RMinHashLSH

    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        parts = list(pool.map(_hashed, shards(folder)))
    hashes = np.concatenate([part for part, _ in parts])
    counts = np.concatenate([lengths for _, lengths in parts])
    offsets = np.append(0, np.cumsum(counts)).astype(np.uint64)
    sign = RMinHash.digest_matrix_from_flat_token_hashes
    index = RMinHashLSH(threshold=_THRESHOLD, num_perm=_PERMUTATIONS, num_bands=_BANDS)
    matrix = sign(hashes, offsets, _PERMUTATIONS, 42)
    flagged = np.flatnonzero(index.query_duplicate_flags_matrix_one_shot(matrix))
    some = np.repeat(np.isin(np.arange(len(counts)), flagged), counts)
    offsets = np.append(0, np.cumsum(counts[flagged])).astype(np.uint64)
    rows = np.array(sign(hashes[some], offsets, _PERMUTATIONS, 42).to_rows(), np.uint32)
    duplicate = np.zeros(len(counts), bool)
    for band in np.split(rows, _BANDS, axis=1):
        _, first, place = np.unique(band, axis=0, return_index=True, return_inverse=True)
        duplicate[flagged[first[place.ravel()] != np.arange(len(flagged))]] = True
    return duplicate


def _hashed(path: Path) -> tuple[np.ndarray, np.ndarray]:
    found = [hashes_of(text) for text in read(path)["text"].to_pylist()]
    return np.concatenate(found).view(np.uint64), np.array(list(map(len, found)))


# -- datasketch ------------------------------------------------------------------------------------


def datasketch(folder: Path) -> np.ndarray:
    """Sign by `MinHash.generator` and xxHash in two processes; query the index, then insert."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from datasketch import LeanMinHash, MinHashLSH

    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        values = np.concatenate(list(pool.map(_datasketch_signatures, shards(folder))))
    index = MinHashLSH(threshold=_THRESHOLD, num_perm=_PERMUTATIONS)
    duplicate = np.zeros(len(values), bool)
    for row, value in enumerate(values):
        signature = LeanMinHash(seed=1, hashvalues=value, scheme="affine32")
        duplicate[row] = bool(index.query(signature))
        if not duplicate[row]:
            index.insert(row, signature)
    return duplicate


def _datasketch_signatures(path: Path) -> np.ndarray:
    import xxhash
    from datasketch import MinHash

    texts = read(path)["text"].to_pylist()
    sets = ([run.encode() for run in shingles_of(text)] for text in texts)
    options = {"num_perm": _PERMUTATIONS, "hashfunc": xxhash.xxh32_intdigest, "scheme": "affine32"}
    return np.array([signed.hashvalues for signed in MinHash.generator(sets, **options)])


# -- datatrove -------------------------------------------------------------------------------------


def datatrove(folder: Path, output: Path) -> None:
    """Run the four steps, each with two tasks at a time.

    It hashes by SHA-1, its other way: its xxHash hands strings to a function that takes bytes alone since
    xxhash 4; a shingle costs it a fraction of what its words do.
    """
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(
        num_buckets=_BANDS,
        hashes_per_bucket=8,
        n_grams=_SIZE,
        hash_config=HashConfig(hash_fc="sha1"),
    )
    tasks = len(list(folder.glob("*.parquet")))
    signatures, buckets, remove = (str(output / name) for name in ("sign", "buckets", "remove"))
    reader = ParquetReader(str(folder), glob_pattern="*.parquet")
    keep, drop = ParquetWriter(str(output / "kept")), ParquetWriter(str(output / "dropped"))
    steps = [
        ([reader, MinhashDedupSignature(signatures, config=config)], tasks),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], _BANDS),
        ([MinhashDedupCluster(buckets, remove, config=config)], 1),
        ([reader, MinhashDedupFilter(remove, exclusion_writer=drop), keep], tasks),
    ]
    for number, (pipeline, count) in enumerate(steps):
        logs = str(output / f"logs-{number}")
        LocalPipelineExecutor(pipeline, tasks=count, workers=2, logging_dir=logs).run()


def main() -> None:
    """Run one of them."""
    which, folder, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    output.mkdir(parents=True, exist_ok=True)
    if which == "datatrove":
        datatrove(folder, output)
        return
    find = {"rensa": rensa, "rensa-pool": rensa_pool, "datasketch": datasketch}[which]
    write(folder, output, find(folder))


if __name__ == "__main__":
    main()
