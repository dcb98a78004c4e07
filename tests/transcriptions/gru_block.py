"""The block GRU: Hafner et al. 2023 (2301.04104), its recurrent matrices (8, H/8, H/8). torchrecurrent has none."""

import torch
from torch import Tensor

NAMES = {
    "W_r": "W.rx", "U_r": "W.rh", "b_r": "b.r", "W_z": "W.zx", "U_z": "W.zh", "b_z": "b.z",
    "W_n": "W.nx", "U_n": "W.nh", "b_n": "b.nx", "c_n": "b.nh",
}  # fmt: skip


def transcription(
    x: Tensor, h: Tensor, W_r: Tensor, U_r: Tensor, b_r: Tensor, W_z: Tensor, U_z: Tensor, b_z: Tensor,
    W_n: Tensor, U_n: Tensor, b_n: Tensor, c_n: Tensor,
) -> Tensor:  # fmt: skip
    whole = {name: torch.block_diag(*U) for name, U in (("r", U_r), ("z", U_z), ("n", U_n))}
    outputs = []
    for t in range(len(x)):
        r = torch.sigmoid(x[t] @ W_r.T + h @ whole["r"].T + b_r)
        z = torch.sigmoid(x[t] @ W_z.T + h @ whole["z"].T + b_z)
        n = torch.tanh(x[t] @ W_n.T + b_n + r * (h @ whole["n"].T + c_n))
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs)
