"""Training of a static encoder: the tokenizer is learned, then the table of vectors.

One step reads B queries and P passages as bags of token ids, so it costs a sum of a few dozen rows per
text and one product [B, d] x [d, P]; 80,000 pairs take a few seconds an epoch on two cores.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.encode.static import Tokens, embed, tokenize
from curate.encode.tokenizer import twins
from curate.errors import CurateError
from curate.train.batches import TrainingPairs, make_batch, steps, steps_per_epoch
from curate.train.losses import info_nce

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from curate.train.contrastive import ContrastiveTraining

# The spread of the vectors at the start, before idf. Small, so that Adam's first steps, whose size
# does not depend on the gradient's, soon outweigh it.
_INITIAL_SPREAD = 0.05
_ADAM_BETAS = (0.9, 0.99)
_SECONDS_BETWEEN_CHECKPOINTS = 10.0

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of the training pairs as token ids, in the order of `TrainingPairs`."""

    queries: Tokens
    passages: Tokens


def read_texts(tokenizer: Tokenizer, pairs: TrainingPairs) -> Texts:
    """Tokenise every text once."""
    return Texts(tokenize(tokenizer, pairs.queries), tokenize(tokenizer, pairs.passages))


def initial_weights(
    tokenizer: Tokenizer, learned: int, texts: Texts, settings: ContrastiveTraining
) -> torch.Tensor:
    """Draw vectors at random, longer for rarer words (by idf): float32 [vocabulary, d].

    A word's twin for names starts as its own vector times `name_weight`: what a piece of code calls
    itself says more about it than any other word.

    :param learned: how many ids are not twins (`train_tokenizer`).
    """
    import torch

    random = torch.Generator().manual_seed(settings.seed)
    weights = torch.randn(learned, settings.dimension, generator=random) * _INITIAL_SPREAD
    weights = torch.cat([weights, weights[twins(tokenizer, learned)] * settings.name_weight])
    return weights * torch.from_numpy(_idf(texts.passages, len(weights)))[:, None]


def _idf(passages: Tokens, vocabulary: int) -> np.ndarray:
    """Return log(n / (1 + df)) / log(n), at least 0.05, for each token: float32 [vocabulary]."""
    n = max(len(passages), 2)
    rows = np.repeat(np.arange(len(passages)), np.diff(passages.offsets))
    distinct = np.unique(rows * vocabulary + passages.ids)
    df = np.bincount(distinct % vocabulary, minlength=vocabulary)
    return np.clip(np.log(n / (1 + df)) / math.log(n), 0.05, None).astype(np.float32)


def train_static(
    start: torch.Tensor,
    texts: Texts,
    pairs: TrainingPairs,
    settings: ContrastiveTraining,
    scratch: Path,
    progress: Progress,
) -> tuple[torch.Tensor, list[dict[str, float]]]:
    """Train the vectors; goes on from a checkpoint in `scratch`, to the same bits.

    :param start: the vectors to begin with, float32 [vocabulary, d].
    :return: the trained vectors; and the mean loss of each epoch.
    """
    import torch

    weights = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([weights], lr=settings.learning_rate, betas=_ADAM_BETAS, fused=True)
    per_epoch = steps_per_epoch(pairs, settings.batch_size)
    total = per_epoch * settings.epochs
    checkpoint = _Checkpoint(scratch / "checkpoint.safetensors")
    first, losses = checkpoint.load(weights, adam)
    saved = time.monotonic()
    batches = steps(
        pairs, settings.batch_size, settings.epochs, settings.seed, settings.homogeneous, first
    )
    for step, rows in batches:
        for group in adam.param_groups:
            group["lr"] = settings.learning_rate * schedule(step, total, settings.warmup)
        batch = make_batch(pairs, rows)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.uses_bfloat16()):
            loss = info_nce(
                embed(weights, texts.queries, batch.queries),
                embed(weights, texts.passages, batch.passages),
                settings.temperature,
                torch.from_numpy(batch.masked),
                settings.symmetric,
            )
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        losses.append(_finite(loss.item(), step))
        progress(step + 1, total, "steps")
        if time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
            checkpoint.save(weights, adam, step + 1, losses)
            saved = time.monotonic()
    means = np.array(losses).reshape(-1, per_epoch).mean(1) if per_epoch else np.zeros(0)
    curve = [{"epoch": i + 1, "loss": round(float(mean), 4)} for i, mean in enumerate(means)]
    return weights.detach(), curve


def schedule(step: int, total: int, warmup: float) -> float:
    """Return the factor of the learning rate: a linear rise over `warmup` of the steps, then a fall."""
    rise = max(1.0, warmup * total)
    return min((step + 1) / rise, 1 - step / total)


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise CurateError(f"the loss is {loss} at step {step}: lower the learning rate")
    return loss


class _Checkpoint:
    """The state of training in one file: vectors, Adam's moments, the step, the losses."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(
        self, weights: torch.Tensor, adam: torch.optim.Adam, step: int, losses: list[float]
    ) -> None:
        from safetensors.torch import save_file

        state: dict[str, Any] = adam.state[weights]
        tensors = {"weights": weights.detach(), **{n: state[n] for n in ("exp_avg", "exp_avg_sq")}}
        tensors["step"] = state["step"].reshape(1)
        temporary = self.path.with_suffix(".tmp")
        save_file(tensors, temporary, {"step": str(step), "losses": json.dumps(losses)})
        temporary.rename(self.path)

    def load(self, weights: torch.Tensor, adam: torch.optim.Adam) -> tuple[int, list[float]]:
        """Restore the state, if there is one, and return the next step and the losses so far."""
        import torch
        from safetensors import safe_open

        if not self.path.exists():
            return 0, []
        with safe_open(self.path, "pt") as file:
            metadata = file.metadata()
            with torch.no_grad():
                weights.copy_(file.get_tensor("weights"))
            adam.state[weights] = {
                "step": file.get_tensor("step").reshape(()),
                "exp_avg": file.get_tensor("exp_avg"),
                "exp_avg_sq": file.get_tensor("exp_avg_sq"),
            }
        losses: list[float] = json.loads(metadata["losses"])
        return int(metadata["step"]), losses
