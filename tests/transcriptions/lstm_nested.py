"""The nested LSTM: Moniz & Krueger 2017 (1801.10308). torchrecurrent has none."""

import torch
from torch import Tensor

NAMES = {f"{kind}_{g}": f"{ours}.{g}{side}" for g in "ifog" for kind, ours, side in (("W", "W", "x"), ("U", "W", "h"), ("b", "b", ""))}
NAMES |= {f"inner_{key}": f"{ours[0]}.inner_{ours[2:]}" for key, ours in NAMES.items()}


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, weights: dict[str, Tensor], prefix: str = "") -> tuple[Tensor, Tensor, Tensor]:
    """The output gate, and the two summands of a memory: f ⊙ c and i ⊙ g."""
    i, f, o, g = (x @ weights[f"{prefix}W_{k}"].T + h @ weights[f"{prefix}U_{k}"].T + weights[f"{prefix}b_{k}"] for k in "ifog")
    return torch.sigmoid(o), torch.sigmoid(f) * c, torch.sigmoid(i) * torch.tanh(g)


def transcription(x: Tensor, h: Tensor, c: Tensor, c_inner: Tensor, **weights: Tensor) -> Tensor:
    outputs = []
    for t in range(len(x)):
        o, h_inner, x_inner = lstm_cell(x[t], h, c, weights)
        o_inner, kept, new = lstm_cell(x_inner, h_inner, c_inner, weights, "inner_")
        c_inner = kept + new
        c = o_inner * torch.tanh(c_inner)
        h = o * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs)
