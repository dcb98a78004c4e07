"""Maxwell's equations: Yee 1966, the electric field across a plane, by `diff` on arrays that have their walls, dt = 0.5, h = 1."""

import torch
from torch import Tensor
from torch.nn.functional import pad

NAMES = {"source": "W.source", "c": "p.c"}


def transcription(x: Tensor, e: Tensor, hx: Tensor, hy: Tensor, source: Tensor, c: Tensor) -> Tensor:
    grid = {40: (5, 8), 7: (1, 7)}[e.shape[1]]
    e, hx, hy = (f.view(-1, *grid) for f in (e, hx, hy))
    speed = (0.5 + 0.5 * torch.sigmoid(c)).view(grid)
    outputs = []
    for t in range(len(x)):
        hx = hx - 0.5 * pad(e, (0, 1)).diff(dim=2)
        hy = hy + 0.5 * pad(e, (0, 0, 0, 1)).diff(dim=1)
        curl = pad(hy, (0, 0, 1, 0)).diff(dim=1) - pad(hx, (1, 0)).diff(dim=2)
        e = e + 0.5 * speed**2 * curl + (x[t] @ source.T).view(-1, *grid)
        outputs.append(e.flatten(1))
    return torch.stack(outputs)
