"""Lipschitz RNN: Erichson et al. 2021 (2006.12070), both matrices made explicitly."""

import torch
from torch import Tensor

NAMES = {"M_A": "W.a", "M_W": "W.w", "U": "W.u", "b": "b.h"}


def transcription(x: Tensor, h: Tensor, M_A: Tensor, M_W: Tensor, U: Tensor, b: Tensor) -> Tensor:
    epsilon, beta, gamma = 0.03, 0.75, 0.001
    A, W = ((1 - beta) * (M + M.T) + beta * (M - M.T) - gamma * torch.eye(len(M), dtype=M.dtype) for M in (M_A, M_W))
    outputs = []
    for t in range(len(x)):
        h = h + epsilon * (h @ A.T + torch.tanh(h @ W.T + x[t] @ U.T + b))
        outputs.append(h)
    return torch.stack(outputs)
