"""The baseline for waves: a loop over torch's conv2d, as wavetorch runs them, written from the equations of the cell `wave`."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cells.grammar.stencil import squarest_shape
from cells.wave import DT, SPEEDS


def run_conv2d_loop(x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs the wave equation with conv2d. Terms that do not change with time are computed once.

    Args:
        x: Sources (T, B, D).
        states: u_0 and u_{−1}, each (B, H).
        weights: The weights of the cell `wave` by name.

    Returns:
        u over time (T, B, H), and its last two states.
    """
    B, H = states[0].shape
    grid = squarest_shape(H)
    u, before = (state.view(B, 1, *grid) for state in states)
    laplace = torch.tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=x.dtype, device=x.device).view(1, 1, 3, 3)
    slow, fast = SPEEDS
    speed = slow + (fast - slow) * torch.sigmoid(weights["p.c"].view(grid))
    damping = weights["p.b"].view(grid)
    squared, lost, kept = (speed * DT).square(), 1 - damping * DT, 1 / (1 + damping * DT)
    forced = F.linear(x, weights["W.source"]).view(-1, B, 1, *grid)
    found = []
    for force in forced:
        after = kept * (2 * u - lost * before + squared * F.conv2d(u, laplace, padding=1)) + force
        u, before = after, u
        found.append(u)
    return torch.stack(found).flatten(2), (u.flatten(1), before.flatten(1))
