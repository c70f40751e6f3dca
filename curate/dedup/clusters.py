"""What a stage says of records in clusters: how many there are, and which of them stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.dedup.keep import Ids
from curate.schema import Kind, with_meta, with_score
from curate.stage import Outcome, decide


@dataclass(frozen=True, slots=True)
class Clusters:
    """The m members of all clusters of more than one; 28 bytes each.

    :param rows: int64 [m], ascending.
    :param kept: int64 [m], the row of the member that stays for each.
    :param sizes: int32 [m], how many members its cluster has.
    :param similarity: float64 [m], to the one that stays; NaN where it was not computed.
    :param ids: the ids of all records.
    """

    rows: np.ndarray
    kept: np.ndarray
    sizes: np.ndarray
    similarity: np.ndarray
    ids: Ids

    def decide(
        self, table: pa.Table, start: int, read: np.ndarray, kind: str, reason: str, measure: str
    ) -> Outcome:
        """Drop all but one of each cluster among the rows from `start` on.

        Every record that was read gets the score `<kind>_cluster_size`; members get `<kind>_cluster`
        in `meta`, the id of the record that stays.

        :param read: bool [n], which of the n rows of `table` have a text that was compared.
        :param measure: the name of the similarity, for the detail.
        """
        low, high = np.searchsorted(self.rows, [start, start + len(table)])
        rows, kept = self.rows[low:high], self.kept[low:high]
        sizes = np.where(read, 1.0, np.nan)
        sizes[rows - start] = self.sizes[low:high]
        table = with_score(table, f"{kind}_cluster_size", sizes)
        place = np.full(len(table), -1)
        place[rows - start] = np.arange(len(rows))
        ids = self.ids.take(kept)
        table = with_meta(table, f"{kind}_cluster", ids.take(pa.array(place, mask=place < 0)))
        place[rows[rows == kept] - start] = -1
        index = pa.array(place, mask=place < 0)
        details = _details(ids, self.similarity[low:high], measure).take(index)
        records: Kind = "pairs" if "query" in table.column_names else "passages"
        return decide(table, pc.if_else(pc.is_valid(index), reason, details), details, records)


def _details(ids: pa.Array, similarity: np.ndarray, measure: str) -> pa.Array:
    """Say of what a record is a near-duplicate, and how similar to it if that was computed."""
    said = pa.array([*(f", {measure} {i / 100:.2f}" for i in range(101)), ""])
    hundredths = np.where(np.isnan(similarity), 101, np.round(similarity * 100)).astype(np.int64)
    return pc.binary_join_element_wise("of ", ids, said.take(pa.array(hundredths)), "")
