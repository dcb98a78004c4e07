"""Layer-normalized GRU: Ba, Kiros & Hinton 2016 (1607.06450), with torch's own layer norm of both gates side by side."""

import torch
import torch.nn.functional as F
from torch import Tensor

NAMES = {f"{kind}_{g}": f"W.{g}{kind}" for g in "zrn" for kind in "xh"}
NAMES |= {f"alpha{kind}_{g}": f"p.{g}{kind}" for g in "zrn" for kind in "xh"}
NAMES |= {"b_z": "b.z", "b_r": "b.r", "betax_n": "b.nx", "betah_n": "b.nh"}


def transcription(x: Tensor, h: Tensor, **given: Tensor) -> Tensor:
    W_x, W_h, alpha_x, alpha_h, b = (torch.cat([given[f"{name}_{g}"] for g in "zr"]) for name in ("x", "h", "alphax", "alphah", "b"))
    W, U, units = given["x_n"], given["h_n"], h.shape[1:]
    outputs = []
    for t in range(len(x)):
        gates = F.layer_norm(h @ W_h.T, alpha_h.shape, alpha_h) + F.layer_norm(x[t] @ W_x.T, alpha_x.shape, alpha_x) + b
        z, r = torch.sigmoid(gates).chunk(2, 1)
        n = F.layer_norm(x[t] @ W.T, units, given["alphax_n"], given["betax_n"])
        n = torch.tanh(n + r * F.layer_norm(h @ U.T, units, given["alphah_n"], given["betah_n"]))
        h = (1 - z) * h + z * n
        outputs.append(h)
    return torch.stack(outputs)
