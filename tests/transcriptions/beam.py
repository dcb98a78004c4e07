"""A beam: Bilbao 2009, ch. 7: u_tt = −k² u_ssss, simply supported, central differences of step 0.5, points 1 apart, 0.5 < k < 1."""

import torch
from torch import Tensor

NAMES = {"source": "W.source", "k": "p.k"}


def bent(u: Tensor) -> Tensor:
    """The second difference of a field that is zero beyond its ends."""
    zero = torch.zeros_like(u[:, :1])
    return torch.cat([zero, u[:, :-1]], 1) - 2 * u + torch.cat([u[:, 1:], zero], 1)


def transcription(x: Tensor, u: Tensor, before: Tensor, source: Tensor, k: Tensor) -> Tensor:
    outputs = []
    for t in range(len(x)):
        after = 2 * u - before - (0.5 * (0.5 + 0.5 * torch.sigmoid(k))) ** 2 * bent(bent(u))
        u, before = after + x[t] @ source.T, u
        outputs.append(u)
    return torch.stack(outputs)
