"""UnICORNN: Rusch & Mishra 2021 (2103.05487), one layer: its Δt and α for permuted sequential MNIST."""

import torch
from torch import Tensor

NAMES = {"w": "p.w", "V": "W.x", "b": "b.y", "c": "p.c"}
PEER = ("UnICORNN", {"dt": 0.19, "alpha": 30.65}, {
    "weight_ih": ["W.x"], "weight_hh": ["p.w"], "weight_ch": ["p.c"], "bias_ih": ["b.y"],
})  # fmt: skip


def transcription(u: Tensor, y: Tensor, z: Tensor, w: Tensor, V: Tensor, b: Tensor, c: Tensor) -> Tensor:
    dt, alpha = 0.19, 30.65
    scale = 0.5 + 0.5 * torch.tanh(c / 2)
    outputs = []
    for n in range(len(u)):
        z = z - dt * scale * (torch.tanh(w * y + u[n] @ V.T + b) + alpha * y)
        y = y + dt * scale * z
        outputs.append(y)
    return torch.stack(outputs)
