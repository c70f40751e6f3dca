"""Log-likelihoods of continuations, all in as few forward passes as there is room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from curate.llm.local.lanes import PROMPT, Lanes, Piece, Tokens, common_prefix
from curate.llm.local.network import Network

if TYPE_CHECKING:
    import torch

_ROWS = 64  # of logits that are made float32 at a time


@dataclass(slots=True)
class _Group:
    """Continuations of one prompt, by number; the prompt without what all prompts share."""

    prompt: Tokens
    continuations: list[tuple[int, Tokens]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens to compute: of a continuation all but the last, which is only predicted."""
        return len(self.prompt) + sum(len(tokens) - 1 for _, tokens in self.continuations)

    @property
    def outputs(self) -> int:
        """Positions that need logits."""
        return 1 + self.tokens - len(self.prompt)


def log_likelihoods(
    network: Network, pairs: Sequence[tuple[Tokens, Tokens]]
) -> Iterator[list[tuple[int, float]]]:
    """Compute log p(continuation | prompt) of (prompt, continuation) pairs, in nats.

    Only the positions that predict a continuation go through the output layer, and that in float32.

    :param pairs: tokens; each part has at least one.
    :return: groups of (number of the pair, log-likelihood), a forward pass each, longest first.
    """
    shared = common_prefix({prompt for prompt, _ in pairs})
    prefix = network.prefix(shared)
    for batch in _batches(_groups(pairs, len(shared), network.pass_logits), network, len(shared)):
        room = len(shared) + max(group.tokens for group in batch)
        yield _score(network, Lanes(len(batch), room, prefix, keep=False), batch)


def _groups(pairs: Sequence[tuple[Tokens, Tokens]], shared: int, most: int) -> list[_Group]:
    """Bring continuations of one prompt together, at most `most` outputs, longest group first."""
    by_prompt: dict[Tokens, _Group] = {}
    full = []
    for number, (prompt, continuation) in enumerate(pairs):
        group = by_prompt.setdefault(prompt, _Group(prompt[shared:]))
        if group.continuations and group.outputs + len(continuation) > most:
            full.append(group)
            group = by_prompt[prompt] = _Group(prompt[shared:])
        group.continuations.append((number, continuation))
    return sorted([*full, *by_prompt.values()], key=lambda group: -group.tokens)


def _batches(groups: list[_Group], network: Network, shared: int) -> Iterator[list[_Group]]:
    """Cut groups into forward passes."""
    batch: list[_Group] = []
    tokens = outputs = 0
    for group in groups:
        tokens, outputs = tokens + group.tokens, outputs + group.outputs
        columns = (len(batch) + 1) * (shared + (batch or [group])[0].tokens)
        fits = (
            tokens <= network.pass_tokens
            and outputs <= network.pass_logits
            and columns * network.layer_bytes <= network.cache_bytes
        )
        if batch and not fits:
            yield batch
            batch, tokens, outputs = [], group.tokens, group.outputs
        batch.append(group)
    if batch:
        yield batch


def _score(network: Network, lanes: Lanes, batch: list[_Group]) -> list[tuple[int, float]]:
    """Score the groups of one forward pass, one lane each."""
    pieces: list[Piece] = []
    outputs: list[int] = []  # the tokens of the pass that predict something
    rows: list[int] = []  # for each predicted token the number of the output that predicts it
    targets: list[int] = []
    lengths: list[int] = []
    computed = 0
    for lane, group in enumerate(batch):
        start = lanes.shared + len(group.prompt)
        pieces.append(Piece(lane, PROMPT, group.prompt, lanes.shared))
        computed += len(group.prompt)
        last_of_prompt = len(outputs)
        outputs.append(computed - 1)
        for branch, (_, tokens) in enumerate(group.continuations):
            more = len(tokens) - 1
            rows.extend([last_of_prompt, *range(len(outputs), len(outputs) + more)])
            targets.extend(tokens)
            lengths.append(len(tokens))
            pieces.append(Piece(lane, branch, tokens[:-1], start))
            outputs.extend(range(computed, computed + more))
            computed += more
    logits = network.logits(lanes.place(pieces), np.array(outputs), precise=True)
    values = _log_probabilities(logits, np.array(rows), np.array(targets))
    sums = np.add.reduceat(values, np.cumsum([0, *lengths[:-1]]))
    numbers = [number for group in batch for number, _ in group.continuations]
    return list(zip(numbers, sums.tolist(), strict=True))


def _log_probabilities(logits: torch.Tensor, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return log softmax of the logits at (row, target), float64 [len(rows)]."""
    import torch

    norms = torch.cat([part.float().logsumexp(-1) for part in torch.split(logits, _ROWS)])
    index = torch.from_numpy(rows).to(logits.device)
    chosen = logits[index, torch.from_numpy(targets).to(logits.device)].float()
    return (chosen - norms[index]).double().cpu().numpy()
