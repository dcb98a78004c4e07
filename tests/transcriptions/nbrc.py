"""nBRC: Vecoven et al. 2021 (2006.05252)."""

import torch
from torch import Tensor

NAMES = {"U": "W.h", "U_a": "W.ax", "W_a": "W.ah", "U_c": "W.cx", "W_c": "W.ch"}
PEER = ("NBR", {"bias": False, "recurrent_bias": False}, {"weight_ih": ["W.ax", "W.cx", "W.h"], "weight_hh": ["W.ah", "W.ch"]})


def transcription(x: Tensor, h: Tensor, U: Tensor, U_a: Tensor, W_a: Tensor, U_c: Tensor, W_c: Tensor) -> Tensor:
    outputs = []
    for t in range(len(x)):
        a = 1 + torch.tanh(x[t] @ U_a.T + h @ W_a.T)
        c = torch.sigmoid(x[t] @ U_c.T + h @ W_c.T)
        h = c * h + (1 - c) * torch.tanh(x[t] @ U.T + a * h)
        outputs.append(h)
    return torch.stack(outputs)
