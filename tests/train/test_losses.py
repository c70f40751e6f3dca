"""InfoNCE and its gradient against float64 numpy, written from the equation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.train.losses import info_nce


def cross_entropy(scores: np.ndarray, own: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean of -log softmax at `own` along the rows, and its gradient by the scores."""
    top = scores.max(1, keepdims=True)
    weights = np.exp(scores - top)
    share = weights / weights.sum(1, keepdims=True)
    rows = np.arange(len(scores))
    loss = -np.log(share[rows, own]).mean()
    share[rows, own] -= 1
    return loss, share / len(scores)


def reference(q, p, temperature, masked, symmetric):
    """Return the loss and its gradients by queries and passages, by hand."""
    scores = q @ p.T / temperature
    if masked is not None:
        scores = np.where(masked, -np.inf, scores)
    own = np.arange(len(q))
    loss, by_scores = cross_entropy(scores, own)
    if symmetric:
        back, by_back = cross_entropy(scores[:, : len(q)].T, own)
        loss, by_scores = (loss + back) / 2, by_scores / 2
        by_scores[:, : len(q)] += by_back.T / 2
    return loss, by_scores @ p / temperature, by_scores.T @ q / temperature


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    b=st.integers(1, 13),
    hard=st.integers(0, 9),
    d=st.integers(1, 17),
    temperature=st.sampled_from([0.01, 0.05, 1.0]),
    mask=st.booleans(),
    symmetric=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_loss_and_gradient(seed, b, hard, d, temperature, mask, symmetric, dtype):
    rng = np.random.default_rng(seed)
    q, p = (rng.normal(size=(n, d)) for n in (b, b + hard))
    q, p = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, p))
    q, p = (x.astype(np.float32).astype(np.float64) for x in (q, p))
    masked = None
    if mask:
        masked = rng.random((b, b + hard)) < 0.3
        np.fill_diagonal(masked, False)
    tensors = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in (q, p)]
    found = info_nce(
        *tensors, temperature, None if masked is None else torch.from_numpy(masked), symmetric
    )
    found.backward()
    loss, by_queries, by_passages = reference(q, p, temperature, masked, symmetric)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    assert found.shape == ()
    assert found.item() == pytest.approx(loss, rel=tolerance, abs=tolerance)
    for tensor, expected in zip(tensors, (by_queries, by_passages), strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), expected, rtol=1e-3, atol=tolerance * 10)


def test_a_masked_passage_does_not_count():
    q, p = torch.eye(3), torch.cat([torch.eye(3), torch.eye(3)])
    masked = torch.zeros(3, 6, dtype=torch.bool)
    masked[:, 3:] = True
    assert info_nce(q, p, 0.1, masked).item() == pytest.approx(info_nce(q, p[:3], 0.1).item())
    assert info_nce(q, p, 0.1).item() > np.log(2) - 1e-3


def test_nothing_to_contrast_is_no_loss():
    assert info_nce(torch.ones(1, 2), torch.ones(1, 2), 0.05, symmetric=True).item() == 0
