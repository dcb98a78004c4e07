"""Layer-normalized LSTM: Ba, Kiros & Hinton 2016 (1607.06450), with torch's own layer norm of all gates side by side."""

import torch
import torch.nn.functional as F
from torch import Tensor

NAMES = {f"{kind}_{g}": f"W.{g}{kind}" for g in "fiog" for kind in "xh"}
NAMES |= {f"alpha{kind}_{g}": f"p.{g}{kind}" for g in "fiog" for kind in "xh"} | {f"b_{g}": f"b.{g}" for g in "fiog"}
NAMES |= {"alpha_c": "p.c", "beta_c": "b.c"}


def transcription(x: Tensor, h: Tensor, c: Tensor, **given: Tensor) -> Tensor:
    W_x, W_h, alpha_x, alpha_h, b = (torch.cat([given[f"{name}_{g}"] for g in "fiog"]) for name in ("x", "h", "alphax", "alphah", "b"))
    outputs = []
    for t in range(len(x)):
        gates = F.layer_norm(h @ W_h.T, alpha_h.shape, alpha_h) + F.layer_norm(x[t] @ W_x.T, alpha_x.shape, alpha_x) + b
        f, i, o, g = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(F.layer_norm(c, c.shape[1:], given["alpha_c"], given["beta_c"]))
        outputs.append(h)
    return torch.stack(outputs)
