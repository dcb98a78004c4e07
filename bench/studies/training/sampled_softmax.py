"""Computes the sampled softmax: the cross entropy over a large vocabulary, estimated from few of its items.

Bengio & Senécal, "Adaptive importance sampling to accelerate training of a neural probabilistic language model", 2008: the sum over all
other items is estimated from S of them, drawn with replacement by known probabilities q,

    Z ≈ exp(s_target) + Σ_{j drawn, j ≠ target} exp(s_j) / (S·q_j).

The estimate of Z is unbiased, and its logarithm converges to that of the full softmax as S grows. An item that is drawn n times is
scored once, and counts n times.
"""

import numpy as np
import torch
from torch import Tensor


def proposal_distribution(counts: np.ndarray) -> np.ndarray:
    """Returns q (items), proportional to the counts in the training data. An item that doesn't occur there counts as one that occurs once.

    Args:
        counts: The count of each item in the training data.
    """
    weights = np.maximum(counts, 1).astype(float)
    return weights / weights.sum()


def draw_negatives(q: np.ndarray, cumulative: np.ndarray, S: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws S items with replacement.

    Args:
        q: The probability of each item, (items,).
        cumulative: The cumulative sum of q.
        S: The number of draws.
        rng: The generator.

    Returns:
        The distinct items, at most S, and for each log n/(S·q) in float32, its weight in the sum.
    """
    drawn = np.minimum(cumulative.searchsorted(rng.random(S)), len(q) - 1)
    items, n = np.unique(drawn, return_counts=True)
    return items, np.log(n / (S * q[items])).astype(np.float32)


def sampled_softmax_loss(positive: Tensor, negative: Tensor, targets: Tensor, drawn: Tensor) -> Tensor:
    """Returns the mean estimated cross entropy of N questions.

    Args:
        positive: The scores (N) of the targets.
        negative: The scores (N, S) of the drawn items, plus log n/(S·q) each; modified in place.
        targets: The target items (N).
        drawn: The drawn items (S).
    """
    others = negative.masked_fill_(targets[:, None] == drawn, -torch.inf).logsumexp(1)
    return (torch.logaddexp(positive, others) - positive).mean()
