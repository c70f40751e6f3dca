"""Semantic textual similarity: does the cosine of two sentences order pairs as people do?"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.evaluate.datasets import StsSet
from curate.evaluate.metrics import spearman

if TYPE_CHECKING:
    from curate.encode import Encoder


@dataclass(frozen=True, slots=True)
class StsReport:
    """Spearman's rho of cosine and gold score over the pairs of one set."""

    data: str
    pairs: int
    spearman: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into `metrics.json`."""
        return asdict(self)


def evaluate_sts(encoder: Encoder, data: StsSet) -> StsReport:
    """Compare cosines with gold scores.

    Both sentences are encoded as queries, since the task has one side only.
    """
    begin = time.perf_counter()
    first, second = encoder.encode_queries(data.first), encoder.encode_queries(data.second)
    cosines = np.einsum("nd,nd->n", first, second)
    seconds = time.perf_counter() - begin
    return StsReport(data.name, len(data.first), spearman(cosines, data.scores), round(seconds, 2))
