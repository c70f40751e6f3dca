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
from curate.train.validation import EarlyStop, validation_rows

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
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Train the vectors; goes on from a checkpoint in `scratch`, to the same bits.

    :param start: the vectors to begin with, float32 [vocabulary, d].
    :return: the trained vectors; and what to note: the mean loss of each epoch, and with `validation`
        the loss on the held-out pairs at each check.
    """
    import torch

    weights = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([weights], lr=settings.learning_rate, betas=_ADAM_BETAS, fused=True)
    held_out = validation_rows(len(pairs), settings.validation, settings.seed)
    pairs, checked = pairs.take(np.flatnonzero(~held_out)), pairs.take(np.flatnonzero(held_out))
    per_epoch = steps_per_epoch(pairs, settings.batch_size)
    total = per_epoch * settings.epochs
    stop = EarlyStop(settings.patience)
    checks = max(per_epoch // settings.checks, 1)
    checkpoint = _Checkpoint(scratch / "checkpoint.safetensors")
    first, losses = checkpoint.load(weights, adam, stop)
    saved = time.monotonic()
    batches = steps(
        pairs, settings.batch_size, settings.epochs, settings.seed, settings.homogeneous, first
    )
    for step, rows in batches:
        if stop.stopped:
            break
        for group in adam.param_groups:
            group["lr"] = settings.learning_rate * schedule(step, total, settings.warmup)
        loss = _loss(weights, texts, pairs, rows, settings)
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        losses.append(_finite(loss.item(), step))
        if len(checked) and (step + 1) % checks == 0:
            stop.check(
                _validation_loss(weights, texts, checked, settings), weights.detach(), step + 1
            )
        progress(step + 1, total, "steps")
        if time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
            checkpoint.save(weights, adam, step + 1, losses, stop)
            saved = time.monotonic()
    epochs = [losses[low : low + per_epoch] for low in range(0, len(losses), per_epoch or 1)]
    curve = [{"epoch": i, "loss": round(float(np.mean(e)), 4)} for i, e in enumerate(epochs, 1)]
    best = weights.detach() if stop.best is None else stop.best
    return best, {"loss": curve, **stop.notes()}


def _loss(
    weights: torch.Tensor,
    texts: Texts,
    pairs: TrainingPairs,
    rows: np.ndarray,
    settings: ContrastiveTraining,
) -> torch.Tensor:
    """Return the loss on a batch of pairs, a scalar."""
    import torch

    batch = make_batch(pairs, rows)
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.uses_bfloat16()):
        return info_nce(
            embed(weights, texts.queries, batch.queries),
            embed(weights, texts.passages, batch.passages),
            settings.temperature,
            torch.from_numpy(batch.masked),
            settings.symmetric,
        )


def _validation_loss(
    weights: torch.Tensor, texts: Texts, pairs: TrainingPairs, settings: ContrastiveTraining
) -> float:
    """Return the mean loss on held-out pairs, in the same batches at every check."""
    import torch

    batches = [rows for _, rows in steps(pairs, settings.batch_size, 1, settings.seed, "none")]
    with torch.no_grad():
        losses = [_loss(weights.detach(), texts, pairs, rows, settings).item() for rows in batches]
    return float(np.mean(losses))


def schedule(step: int, total: int, warmup: float) -> float:
    """Return the factor of the learning rate: a linear rise over `warmup` of the steps, then a fall."""
    rise = max(1.0, warmup * total)
    return min((step + 1) / rise, 1 - step / total)


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise CurateError(f"the loss is {loss} at step {step}: lower the learning rate")
    return loss


class _Checkpoint:
    """The state of training in one file: vectors, Adam's moments, the step, the losses, the best."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(
        self,
        weights: torch.Tensor,
        adam: torch.optim.Adam,
        step: int,
        losses: list[float],
        stop: EarlyStop,
    ) -> None:
        from safetensors.torch import save_file

        state: dict[str, Any] = adam.state[weights]
        tensors = {"weights": weights.detach(), **{n: state[n] for n in ("exp_avg", "exp_avg_sq")}}
        tensors["step"] = state["step"].reshape(1)
        if stop.best is not None:
            tensors["best"] = stop.best
        told = {"step": str(step), "losses": json.dumps(losses), "checks": json.dumps(stop.checks)}
        temporary = self.path.with_suffix(".tmp")
        save_file(tensors, temporary, told)
        temporary.rename(self.path)

    def load(
        self, weights: torch.Tensor, adam: torch.optim.Adam, stop: EarlyStop
    ) -> tuple[int, list[float]]:
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
            stop.checks = [(int(at), loss) for at, loss in json.loads(metadata["checks"])]
            if stop.checks:
                stop.best = file.get_tensor("best")
        losses: list[float] = json.loads(metadata["losses"])
        return int(metadata["step"]), losses
