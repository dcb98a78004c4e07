"""AntisymmetricRNN: Chang et al. 2019 (1902.09689), eq. 9, the matrix made explicitly."""

import torch
from torch import Tensor

NAMES = {"W_h": "W.hh", "V_h": "W.hx", "b_h": "b.h"}
PEER = ("AntisymmetricRNN", {"epsilon": 0.1, "gamma": 0.01, "recurrent_bias": False}, {
    "weight_ih": ["W.hx"], "weight_hh": ["W.hh"], "bias_ih": ["b.h"],
})  # fmt: skip


def transcription(x: Tensor, h: Tensor, W_h: Tensor, V_h: Tensor, b_h: Tensor) -> Tensor:
    epsilon, gamma = 0.1, 0.01
    matrix = W_h - W_h.T - gamma * torch.eye(len(W_h), dtype=W_h.dtype)
    outputs = []
    for t in range(len(x)):
        h = h + epsilon * torch.tanh(h @ matrix.T + x[t] @ V_h.T + b_h)
        outputs.append(h)
    return torch.stack(outputs)
