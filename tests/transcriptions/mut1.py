"""MUT1: Jozefowicz et al. 2015, section 3.3. In torchrecurrent's a matrix and a bias act on the candidate's x."""

import torch
from torch import Tensor

NAMES = {"W_xz": "W.zx", "b_z": "b.z", "W_xr": "W.rx", "W_hr": "W.rh", "b_r": "b.r", "W_hh": "W.hh", "b_h": "b.h"}


def transcription(
    x: Tensor, h: Tensor, W_xz: Tensor, b_z: Tensor, W_xr: Tensor, W_hr: Tensor, b_r: Tensor, W_hh: Tensor, b_h: Tensor
) -> Tensor:
    outputs = []
    for t in range(len(x)):
        z = torch.sigmoid(x[t] @ W_xz.T + b_z)
        r = torch.sigmoid(x[t] @ W_xr.T + h @ W_hr.T + b_r)
        h = torch.tanh((r * h) @ W_hh.T + torch.tanh(x[t]) + b_h) * z + h * (1 - z)
        outputs.append(h)
    return torch.stack(outputs)
