"""Drawing tokens: each row by its own settings and its own random numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from curate.llm.base import Sampling

# The most probable tokens, among which the drawn one nearly always is.
_TOP = 64


def uniforms(seed: int, prompt: Sequence[int], count: int) -> np.ndarray:
    """Return the numbers in [0, 1) that draw the tokens of one answer.

    The prompt takes part, or the answers to all prompts with one seed would be drawn alike.
    """
    digest = hashlib.blake2b(np.asarray(prompt, np.int64).tobytes(), digest_size=16, salt=b"draw")
    return np.random.default_rng([int(digest.hexdigest(), 16), seed % (1 << 128)]).random(count)


def draw(logits: torch.Tensor, samplings: Sequence[Sampling], at: np.ndarray) -> list[int]:
    """Draw a token for each row.

    The tokens stand in a line by descending probability, the first of them up to `top_p`; `at` says
    where in the line the token is taken. So the draw hardly moves when probabilities do.

    :param logits: [n, vocabulary]; -inf for what may not be drawn.
    :param at: uniform numbers in [0, 1), float64 [n].
    """
    import torch

    temperature = np.array([s.temperature for s in samplings])
    greedy = temperature == 0
    temperature[greedy] = 1
    divisor = torch.from_numpy(temperature).float().to(logits.device)
    logits = logits.float() / divisor[:, None]
    norm = logits.logsumexp(-1, keepdim=True)
    top = logits.topk(min(_TOP, logits.shape[1]))
    line = (top.values - norm).double().exp().cumsum(-1).cpu().numpy()
    tokens = top.indices.cpu().numpy()
    wanted = np.where(greedy, 1.0, [s.top_p for s in samplings])
    at = np.where(greedy, 0.0, at)
    place = _place(line, wanted, at)
    for row in np.flatnonzero(place < 0):  # beyond the most probable tokens: the whole line
        others = torch.ones_like(logits[row], dtype=torch.bool)
        others[top.indices[row]] = False
        rest = others.nonzero()[:, 0]
        rest = rest[logits[row, rest].argsort(descending=True)]
        order = torch.cat([top.indices[row], rest])
        whole = (logits[row, order] - norm[row]).double().exp().cumsum(-1).cpu().numpy()
        found = _place(whole[None] / whole[-1], wanted[row : row + 1], at[row : row + 1])[0]
        tokens[row, 0], place[row] = order[found], 0
    return [int(token) for token in tokens[np.arange(len(tokens)), place]]


def _place(line: np.ndarray, top_p: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return where in the line each row draws; -1 where the line is too short to tell.

    :param line: cumulative probabilities, float64 [n, k].
    """
    rows = np.arange(len(line))
    within = line >= top_p[:, None]
    known = within.any(-1) & (top_p < 1)
    mass = np.where(known, line[rows, within.argmax(-1)], 1.0)
    beyond = line > (mass * at)[:, None]
    drawn = beyond.any(-1) & (known | (top_p >= 1))
    return np.where(drawn, beyond.argmax(-1), -1)
