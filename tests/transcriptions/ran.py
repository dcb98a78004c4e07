"""RAN: Lee et al. 2017 (1705.07393), with g = tanh."""

import torch
from torch import Tensor

NAMES = {"W_cx": "W.cx", "W_ih": "W.ih", "W_ix": "W.ix", "b_i": "b.i", "W_fh": "W.fh", "W_fx": "W.fx", "b_f": "b.f"}
PEER = ("RAN", {"recurrent_bias": False}, {
    "weight_ih": ["W.cx", "W.ix", "W.fx"], "weight_hh": ["W.ih", "W.fh"], "bias_ih": ["b.i", "b.f"],
})  # fmt: skip


def transcription(
    x: Tensor, h: Tensor, c: Tensor, W_cx: Tensor, W_ih: Tensor, W_ix: Tensor, b_i: Tensor, W_fh: Tensor, W_fx: Tensor, b_f: Tensor
) -> Tensor:
    outputs = []
    for t in range(len(x)):
        content = x[t] @ W_cx.T
        i = torch.sigmoid(h @ W_ih.T + x[t] @ W_ix.T + b_i)
        f = torch.sigmoid(h @ W_fh.T + x[t] @ W_fx.T + b_f)
        c = i * content + f * c
        h = torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs)
