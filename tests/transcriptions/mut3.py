"""MUT3: Jozefowicz et al. 2015, section 3.3."""

import torch
from torch import Tensor

NAMES = {
    "W_xz": "W.zx",
    "W_hz": "W.zh",
    "b_z": "b.z",
    "W_xr": "W.rx",
    "W_hr": "W.rh",
    "b_r": "b.r",
    "W_hh": "W.hh",
    "W_xh": "W.hx",
    "b_h": "b.h",
}
PEER = ("MUT3", {"recurrent_bias": False}, {
    "weight_ih": ["W.zx", "W.rx", "W.hx"], "weight_hh": ["W.zh", "W.rh", "W.hh"], "bias_ih": ["b.z", "b.r", "b.h"],
})  # fmt: skip


def transcription(
    x: Tensor,
    h: Tensor,
    W_xz: Tensor,
    W_hz: Tensor,
    b_z: Tensor,
    W_xr: Tensor,
    W_hr: Tensor,
    b_r: Tensor,
    W_hh: Tensor,
    W_xh: Tensor,
    b_h: Tensor,
) -> Tensor:
    outputs = []
    for t in range(len(x)):
        z = torch.sigmoid(x[t] @ W_xz.T + torch.tanh(h) @ W_hz.T + b_z)
        r = torch.sigmoid(x[t] @ W_xr.T + h @ W_hr.T + b_r)
        h = torch.tanh((r * h) @ W_hh.T + x[t] @ W_xh.T + b_h) * z + h * (1 - z)
        outputs.append(h)
    return torch.stack(outputs)
