"""BRC: Vecoven et al. 2021 (2006.05252)."""

import torch
from torch import Tensor

NAMES = {"U": "W.h", "U_a": "W.a", "w_a": "p.a", "U_c": "W.c", "w_c": "p.c"}
PEER = ("BR", {"bias": False, "recurrent_bias": False}, {"weight_ih": ["W.a", "W.c", "W.h"], "weight_hh": ["p.a", "p.c"]})


def transcription(x: Tensor, h: Tensor, U: Tensor, U_a: Tensor, w_a: Tensor, U_c: Tensor, w_c: Tensor) -> Tensor:
    outputs = []
    for t in range(len(x)):
        a = 1 + torch.tanh(x[t] @ U_a.T + w_a * h)
        c = torch.sigmoid(x[t] @ U_c.T + w_c * h)
        h = c * h + (1 - c) * torch.tanh(x[t] @ U.T + a * h)
        outputs.append(h)
    return torch.stack(outputs)
