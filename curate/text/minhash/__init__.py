"""MinHash near-duplicates (Broder 1997), in whole arrays: shingle, sign, band, verify, cluster.

A text is the set of its shingles: runs of `size` words or characters. Its signature keeps, for each
of P permutations, the smallest permuted shingle; two signatures agree in a share of places that
estimates the Jaccard similarity of the sets, with a standard error of sqrt(J (1 - J) / P). Texts
that agree in all rows of one band of the signature are candidates; the true similarity decides.

All constants are defined here, so results are the same for all versions of NumPy, platforms, numbers
of threads and batch sizes.

| module       | what it holds                                                              |
|--------------|----------------------------------------------------------------------------|
| `units`      | texts to words or characters, as 64-bit integers                           |
| `shingling`  | runs of them, hashed                                                       |
| `signing`    | the smallest permuted hashes, and the keys of their bands                  |
| `bands`      | how many bands of how many rows; candidates between two sides              |
| `index`      | candidates within one side, of any size, through sorted keys on disk       |
| `bloom`      | the same for the largest sides, through Bloom filters                      |
| `verify`     | true Jaccard similarities                                                  |
| `clusters`   | connected components                                                       |
"""

from curate.text.minhash.bands import balanced, bands_and_rows, candidates_between, chance
from curate.text.minhash.clusters import DisjointSets
from curate.text.minhash.shingling import Shingling, shingles
from curate.text.minhash.signing import EMPTY, agreement, band_keys, signatures
from curate.text.minhash.verify import jaccard

__all__ = [
    "EMPTY",
    "DisjointSets",
    "Shingling",
    "agreement",
    "balanced",
    "band_keys",
    "bands_and_rows",
    "candidates_between",
    "chance",
    "jaccard",
    "shingles",
    "signatures",
]
