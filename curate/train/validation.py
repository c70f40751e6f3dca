"""Early stopping: on noisy pairs a model first learns what they have in common, then each by heart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def validation_rows(count: int, share: float, seed: int) -> np.ndarray:
    """Draw the pairs that are not trained on: bool [count]; at least two, if any."""
    rows = np.zeros(count, bool)
    if share:
        drawn = min(max(round(share * count), 2), count)
        random = np.random.Generator(np.random.Philox(key=[seed, 1 << 32]))
        rows[random.choice(count, drawn, replace=False)] = True
    return rows


class EarlyStop:
    """Remembers the vectors of the lowest loss on held-out pairs, and says when to stop.

    :param patience: checks in a row that may be worse than the best before training stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.checks: list[tuple[int, float]] = []
        self.best: torch.Tensor | None = None

    def check(self, loss: float, weights: torch.Tensor, step: int) -> None:
        """Note the loss after a number of steps, and keep a copy of the vectors if it is the lowest."""
        if all(loss < other for _, other in self.checks):
            self.best = weights.clone()
        self.checks.append((step, loss))

    @property
    def stopped(self) -> bool:
        """Whether the last checks were all worse than the best."""
        return bool(self.checks) and len(self.checks) - 1 - self._lowest() >= self.patience

    def notes(self) -> dict[str, Any]:
        """Return the losses for the report, and after which step the lowest was."""
        if not self.checks:
            return {}
        curve = [{"step": step, "loss": round(loss, 4)} for step, loss in self.checks]
        return {"held_out_loss": curve, "best_step": self.checks[self._lowest()][0]}

    def _lowest(self) -> int:
        losses = [loss for _, loss in self.checks]
        return losses.index(min(losses))
