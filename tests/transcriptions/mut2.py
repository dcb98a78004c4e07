"""MUT2: Jozefowicz et al. 2015, section 3.3. In torchrecurrent's a matrix and a bias act on the reset gate's x."""

import torch
from torch import Tensor

NAMES = {"W_xz": "W.zx", "W_hz": "W.zh", "b_z": "b.z", "W_hr": "W.rh", "b_r": "b.r", "W_hh": "W.hh", "W_xh": "W.hx", "b_h": "b.h"}


def transcription(
    x: Tensor, h: Tensor, W_xz: Tensor, W_hz: Tensor, b_z: Tensor, W_hr: Tensor, b_r: Tensor, W_hh: Tensor, W_xh: Tensor, b_h: Tensor
) -> Tensor:
    outputs = []
    for t in range(len(x)):
        z = torch.sigmoid(x[t] @ W_xz.T + h @ W_hz.T + b_z)
        r = torch.sigmoid(x[t] + h @ W_hr.T + b_r)
        h = torch.tanh((r * h) @ W_hh.T + x[t] @ W_xh.T + b_h) * z + h * (1 - z)
        outputs.append(h)
    return torch.stack(outputs)
