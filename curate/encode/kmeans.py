"""Spherical k-means that gives the same bits for any number of threads.

A sum of floats depends on its order, so on threads and processors, and a vector between two centres
would fall to one or the other. Here unit vectors and centres are whole numbers, 4,000 times as long: all
products and all sums of them are whole numbers below 2^24, which float32 holds exactly in any order.
The rounding turns a vector by about 0.0003 radians, far less than the clusters are wide.
"""

from __future__ import annotations

import numpy as np

from curate.encode.rounding import from_bfloat16

# (4000 + rounding)^2 < 2^24 for any dimension up to 30,000.
_SCALE = 4000
_BLOCK = 4096
# Clusters only say what is compared, so they need not be the best.
_ITERATIONS = 5
_SAMPLES = 32  # vectors per cluster that the centres are learned from


class KMeans:
    """The centres of clusters of unit vectors.

    :param centres: whole numbers, float32 [clusters, d].
    """

    def __init__(self, centres: np.ndarray) -> None:
        self.centres = centres

    def __len__(self) -> int:
        return len(self.centres)

    @classmethod
    def learn(cls, vectors: np.ndarray, clusters: int, seed: int) -> KMeans:
        """Find centres by Lloyd's algorithm on a sample of n vectors.

        :param vectors: unit vectors [n, d], uint16 as `to_bfloat16` gives them.
        :param clusters: how many centres; n if there are fewer vectors.
        """
        rng = np.random.default_rng(seed)
        clusters = min(clusters, len(vectors))
        size = min(len(vectors), clusters * _SAMPLES)
        sample = _whole(vectors[np.sort(rng.choice(len(vectors), size, replace=False))])
        found = cls(sample[rng.choice(size, clusters, replace=False)])
        for _ in range(_ITERATIONS):
            parts = [sample[start : start + _BLOCK] for start in range(0, size, _BLOCK)]
            nearest = [found._nearest(part, 1)[0][:, 0] for part in parts]
            found._move(sample, np.concatenate([*nearest, np.zeros(0, np.int64)]))
        return found

    def _move(self, sample: np.ndarray, nearest: np.ndarray) -> None:
        """Put each centre in the middle of its vectors; one without any stays."""
        order = np.argsort(nearest, kind="stable")
        numbers, begins = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(sample[order], begins, axis=0, dtype=np.float64)
        lengths = np.sqrt((sums * sums).sum(1, keepdims=True))
        moved = lengths[:, 0] > 0
        self.centres[numbers[moved]] = np.rint(sums[moved] / lengths[moved] * _SCALE)

    def nearest(self, vectors: np.ndarray, probes: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Find the clusters whose centres are nearest to n vectors.

        :param vectors: as in `learn`.
        :return: clusters int64 [n, probes], nearest first; the cosine with the nearest, float64 [n].
        """
        probes = min(probes, len(self))
        clusters = np.empty((len(vectors), probes), np.int64)
        cosine = np.empty(len(vectors), np.float64)
        for start in range(0, len(vectors), _BLOCK):
            block = slice(start, start + _BLOCK)
            clusters[block], cosine[block] = self._nearest(_whole(vectors[block]), probes)
        return clusters, cosine

    def _nearest(self, whole: np.ndarray, probes: int) -> tuple[np.ndarray, np.ndarray]:
        import torch

        products = torch.from_numpy(whole) @ torch.from_numpy(self.centres).T
        best, clusters = products.topk(probes, dim=1)
        return clusters.numpy(), best[:, 0].double().numpy() / _SCALE**2


def _whole(vectors: np.ndarray) -> np.ndarray:
    return np.rint(from_bfloat16(vectors) * np.float32(_SCALE))
