"""Schrödinger's equation on a line: Visscher 1991, with the matrix of H = −½ ∇² + V, points 1 apart, dt = 0.5, 0 < V < 1."""

import torch
from torch import Tensor

NAMES = {"source": "W.source", "v": "p.v"}


def transcription(x: Tensor, R: Tensor, I: Tensor, source: Tensor, v: Tensor) -> Tensor:  # noqa: E741
    N = R.shape[1]
    beside = torch.diag(torch.ones(N - 1, dtype=x.dtype), 1)
    hamiltonian = torch.eye(N, dtype=x.dtype) - 0.5 * (beside + beside.T) + torch.diag(torch.sigmoid(v))
    outputs = []
    for t in range(len(x)):
        R = R + 0.5 * I @ hamiltonian + x[t] @ source.T
        I = I - 0.5 * R @ hamiltonian  # noqa: E741
        outputs.append(R)
    return torch.stack(outputs)
