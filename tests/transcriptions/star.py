"""STAR: Turkoglu et al. 2021 (1911.11033)."""

import torch
from torch import Tensor

NAMES = {"W_z": "W.z", "b_z": "b.z", "W_x": "W.kx", "W_h": "W.kh", "b_k": "b.k"}
PEER = ("STAR", {"recurrent_bias": False}, {"weight_ih": ["W.z", "W.kx"], "weight_hh": ["W.kh"], "bias_ih": ["b.z", "b.k"]})


def transcription(x: Tensor, h: Tensor, W_z: Tensor, b_z: Tensor, W_x: Tensor, W_h: Tensor, b_k: Tensor) -> Tensor:
    outputs = []
    for t in range(len(x)):
        z = torch.tanh(x[t] @ W_z.T + b_z)
        k = torch.sigmoid(x[t] @ W_x.T + h @ W_h.T + b_k)
        h = torch.tanh((1 - k) * h + k * z)
        outputs.append(h)
    return torch.stack(outputs)
