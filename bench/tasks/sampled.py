"""Sampled softmax: the cross entropy over a large vocabulary from a few of its items.

Bengio & Senécal, "Adaptive importance sampling to accelerate training of a neural probabilistic language model", 2008: the sum over all
other items is estimated from S of them, drawn with replacement by known probabilities q,

    Z ≈ exp(s_target) + Σ_{j drawn, j ≠ target} exp(s_j) / (S·q_j).

The estimate of Z has no bias, and its logarithm tends to that of the full softmax as S grows.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def proposal(counts: np.ndarray) -> np.ndarray:
    """q (items): by how often training has each; one that it never has is as likely as one that it has once."""
    weights = np.maximum(counts, 1).astype(float)
    return weights / weights.sum()


def loss(positive: Tensor, negative: Tensor, targets: Tensor, drawn: Tensor, log_q: Tensor) -> Tensor:
    """The mean estimated cross entropy of N questions.

    `positive` (N): the scores of the targets; `negative` (N, S): those of the items `drawn` (S), of log-probability `log_q` (S).
    """
    correction = log_q + np.log(len(drawn))
    others = (negative - correction).masked_fill(targets[:, None] == drawn, -torch.inf)
    logits = torch.cat([positive[:, None], others], dim=1)
    return F.cross_entropy(logits, torch.zeros_like(targets))
