"""Contrastive losses: pure functions of embeddings, each with its equation and its source.

Shapes: B pairs in the batch, P passages (the B positives first, then hard negatives), d dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def info_nce(
    queries: torch.Tensor,
    passages: torch.Tensor,
    temperature: float,
    masked: torch.Tensor | None = None,
    symmetric: bool = False,
) -> torch.Tensor:
    """InfoNCE with in-batch and hard negatives, averaged over the batch.

    L = -1/B sum_i log( exp(q_i p_i / t) / sum_j exp(q_i p_j / t) )

    van den Oord et al. 2018, arXiv:1807.03748, eq. 4, as used by E5 (arXiv:2212.03533, eq. 1) and BGE.
    `symmetric` averages it with the same loss from each positive to the B queries (CLIP,
    arXiv:2103.00020).

    :param queries: unit vectors [B, d].
    :param passages: unit vectors [P, d]; row i < B is the positive of query i.
    :param masked: bool [B, P]; true where a passage is no negative of the query, because it is, or
        equals, one of its positives. The diagonal must be false.
    :return: a scalar, in nats.
    """
    import torch
    from torch.nn import functional

    scores = queries @ passages.T  # bfloat16 under autocast; the softmax needs more
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32)) / temperature
    if masked is not None:
        scores = scores.masked_fill(masked, -torch.inf)
    own = torch.arange(len(queries), device=scores.device)
    loss = functional.cross_entropy(scores, own)
    if symmetric:
        loss = (loss + functional.cross_entropy(scores[:, : len(queries)].T, own)) / 2
    return loss
