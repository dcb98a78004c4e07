"""Sampled softmax: the cross entropy over a large vocabulary from a few of its items.

Bengio & Senécal, "Adaptive importance sampling to accelerate training of a neural probabilistic language model", 2008: the sum over all
other items is estimated from S of them, drawn with replacement by known probabilities q,

    Z ≈ exp(s_target) + Σ_{j drawn, j ≠ target} exp(s_j) / (S·q_j).

The estimate of Z has no bias, and its logarithm tends to that of the full softmax as S grows. An item that is drawn n times is scored
once, and counts n times.
"""

import numpy as np
import torch
from torch import Tensor


def proposal_distribution(counts: np.ndarray) -> np.ndarray:
    """q (items): by how often training has each; one that it never has is as likely as one that it has once."""
    weights = np.maximum(counts, 1).astype(float)
    return weights / weights.sum()


def draw_negatives(q: np.ndarray, cumulative: np.ndarray, S: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw S times by q (items). Returns the different items, at most S, and of each log n/(S·q), its weight in the sum, float32."""
    drawn = np.minimum(cumulative.searchsorted(rng.random(S)), len(q) - 1)
    items, n = np.unique(drawn, return_counts=True)
    return items, np.log(n / (S * q[items])).astype(np.float32)


def sampled_softmax_loss(positive: Tensor, negative: Tensor, targets: Tensor, drawn: Tensor) -> Tensor:
    """The mean estimated cross entropy of N questions.

    `positive` (N): the scores of the targets; `negative` (N, S): those of the items `drawn` (S), log n/(S·q) added to each. It is changed.
    """
    others = negative.masked_fill_(targets[:, None] == drawn, -torch.inf).logsumexp(1)
    return (torch.logaddexp(positive, others) - positive).mean()
