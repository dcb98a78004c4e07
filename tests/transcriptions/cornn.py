"""coRNN: Rusch & Mishra 2021 (2010.00951), the damping explicit: its Δt, γ and ε for sequential MNIST."""

import torch
from torch import Tensor

NAMES = {"W": "W.yy", "W_z": "W.yz", "V": "W.yx", "b": "b.y"}
PEER = ("coRNN", {"dt": 0.042, "gamma": 2.7, "epsilon": 4.7, "recurrent_bias": False, "cell_bias": False}, {
    "weight_ih": ["W.yx"], "weight_hh": ["W.yy"], "weight_ch": ["W.yz"], "bias_ih": ["b.y"],
})  # fmt: skip


def transcription(u: Tensor, y: Tensor, z: Tensor, W: Tensor, W_z: Tensor, V: Tensor, b: Tensor) -> Tensor:
    dt, gamma, epsilon = 0.042, 2.7, 4.7
    outputs = []
    for n in range(len(u)):
        z = z + dt * torch.tanh(y @ W.T + z @ W_z.T + u[n] @ V.T + b) - dt * gamma * y - dt * epsilon * z
        y = y + dt * z
        outputs.append(y)
    return torch.stack(outputs)
