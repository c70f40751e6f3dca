"""Clusters: connected components, joined as edges come."""

from __future__ import annotations

import numpy as np


class DisjointSets:
    """The connected components of n rows, by union and find over whole arrays of edges.

    Each row knows a row of its component that is not larger; the smallest one names it. Holds 4
    bytes per row, 8 from 2^31 rows on.
    """

    def __init__(self, n: int) -> None:
        self._parent = np.arange(n, dtype=np.int32 if n < 1 << 31 else np.int64)

    def find(self, rows: np.ndarray) -> np.ndarray:
        """Return the smallest row of the component of each of some rows, int64."""
        found = self._parent[rows]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self._parent[rows] = found
        roots: np.ndarray = found.astype(np.int64)
        return roots

    def join(self, left: np.ndarray, right: np.ndarray) -> None:
        """Join the components of the rows on either end of some edges.

        :param left: int [m].
        :param right: int [m].
        """
        while True:
            left, right = self.find(left), self.find(right)
            apart = left != right
            if not apart.any():
                return
            left, right = left[apart], right[apart]
            low, high = np.minimum(left, right), np.maximum(left, right)
            np.minimum.at(self._parent, high, low.astype(self._parent.dtype))

    def roots(self) -> np.ndarray:
        """Return the smallest row of every row's component: int [n], a view of what is held."""
        while True:
            above = self._parent[self._parent]
            if np.array_equal(above, self._parent):
                return self._parent
            self._parent = above

    def firsts(self) -> np.ndarray:
        """Tell of each row whether it is the smallest of its component: n booleans."""
        firsts: np.ndarray = self._parent == np.arange(len(self._parent), dtype=self._parent.dtype)
        return firsts
