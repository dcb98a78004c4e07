"""Phased LSTM: Neil, Pfeiffer & Liu 2016 (1610.09513), the three parts of the openness by masks."""

import torch
from torch import Tensor

NAMES = {f"{kind}_{g}": f"{ours}.{g}{side}" for g in "ifco" for kind, ours, side in (("W", "W", "x"), ("U", "W", "h"), ("b", "b", ""))}
NAMES |= {f"w_{g}": f"p.{g}" for g in "ifo"} | {"tau": "p.period", "s": "p.shift"}


def transcription(x: Tensor, h: Tensor, c: Tensor, tau: Tensor, s: Tensor, **w: Tensor) -> Tensor:
    r, alpha, sigma = 0.05, 0.001, torch.sigmoid
    outputs = []
    for t in range(len(x)):
        phi = torch.remainder(t - s, tau) / tau
        rises, falls = phi < r / 2, (phi >= r / 2) & (phi < r)
        k = rises * (2 * phi / r) + falls * (2 - 2 * phi / r) + ~(rises | falls) * (alpha * phi)
        i = sigma(x[t] @ w["W_i"].T + h @ w["U_i"].T + w["w_i"] * c + w["b_i"])
        f = sigma(x[t] @ w["W_f"].T + h @ w["U_f"].T + w["w_f"] * c + w["b_f"])
        proposed = f * c + i * torch.tanh(x[t] @ w["W_c"].T + h @ w["U_c"].T + w["b_c"])
        o = sigma(x[t] @ w["W_o"].T + h @ w["U_o"].T + w["w_o"] * proposed + w["b_o"])
        c = k * proposed + (1 - k) * c
        h = k * (o * torch.tanh(proposed)) + (1 - k) * h
        outputs.append(h)
    return torch.stack(outputs)
