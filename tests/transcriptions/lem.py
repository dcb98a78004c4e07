"""LEM: Rusch et al. 2022 (2110.04744), with Δt = 1. torchrecurrent's applies W_y to z_{n-1}, which the paper doesn't."""

import torch
from torch import Tensor

NAMES = {
    "W_1": "W.sy", "V_1": "W.sx", "b_1": "b.s", "W_2": "W.ry", "V_2": "W.rx", "b_2": "b.r",
    "W_z": "W.zy", "V_z": "W.zx", "b_z": "b.z", "W_y": "W.yz", "V_y": "W.yx", "b_y": "b.y",
}  # fmt: skip


def transcription(
    u: Tensor, y: Tensor, z: Tensor, W_1: Tensor, V_1: Tensor, b_1: Tensor, W_2: Tensor, V_2: Tensor, b_2: Tensor,
    W_z: Tensor, V_z: Tensor, b_z: Tensor, W_y: Tensor, V_y: Tensor, b_y: Tensor,
) -> Tensor:  # fmt: skip
    outputs = []
    for n in range(len(u)):
        dt = 0.5 + 0.5 * torch.tanh((y @ W_1.T + u[n] @ V_1.T + b_1) / 2)
        dt_bar = 0.5 + 0.5 * torch.tanh((y @ W_2.T + u[n] @ V_2.T + b_2) / 2)
        z = (1 - dt) * z + dt * torch.tanh(y @ W_z.T + u[n] @ V_z.T + b_z)
        y = (1 - dt_bar) * y + dt_bar * torch.tanh(z @ W_y.T + u[n] @ V_y.T + b_y)
        outputs.append(y)
    return torch.stack(outputs)
