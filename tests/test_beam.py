"""The beam: its energy stays, its standing waves are those of the equation, and a stiffness that is too large for the step is refused."""

import math

import pytest
import torch

from cells.beam import stiff_field
from cells.grammar.errors import CellError
from cells.grammar.grid import Grid
from tests.waves import free_field

T64 = torch.float64


def test_energy():
    """½ Σ ((u_t − u_{t−1}) / k dt)² + ½ ⟨∇² u_t, ∇² u_{t−1}⟩ is the same after 5,000 steps, stiffness differing from point to point."""
    grid = Grid((30,))
    layer, start = free_field(stiff_field(grid), 30)
    u = torch.cat([start[1], start[0], layer(torch.zeros(5000, 1, 1, dtype=T64), start)[0]])[:, 0]
    k, lap = 0.5 + 0.5 * layer.weight_k_l0.sigmoid(), grid.laplacian
    energy = ((u[1:] - u[:-1]) / (0.5 * k)).square().sum(1) / 2 + (lap(u[1:]) * lap(u[:-1])).sum(1) / 2
    assert energy[0] > 1 and (energy / energy[0] - 1).abs().max() < 1e-10


def test_standing_wave():
    """u = sin(q s) cos(k q² t): half the spacing, and a quarter of the time step that its square allows, leave a fourth of the error."""
    q, errors = 2 * math.pi, []
    for N, steps in ((15, 150), (31, 600)):
        h, dt = 1 / (N + 1), 0.1 / steps
        layer, _ = free_field(stiff_field(Grid((N,), h=h), dt, (0.5, 1.5)), N, uniform=True)
        wave = torch.sin(q * h * torch.arange(1, N + 1, dtype=T64))[None, None]
        y, _ = layer(torch.zeros(steps, 1, 1, dtype=T64), (wave, wave * math.cos(q**2 * dt)))
        errors.append((y[-1] - math.cos(q**2 * 0.1) * wave[0]).abs().max().item())
    assert errors[0] < 0.1 and 3.8 < errors[0] / errors[1] < 4.2


def test_a_step_too_long():
    with pytest.raises(CellError, match=r"dt=0.6 is unstable for an angular frequency of 4 on this grid: take dt ≤ 0.5"):
        stiff_field(Grid((9,)), dt=0.6)
    stiff_field(Grid((9, 9)), dt=0.25)
    for stiffness in ((1.0, -2.0), (2.0, 0.5)):
        with pytest.raises(CellError, match=r"frequency of 8 .* take dt ≤ 0.25"):
            stiff_field(Grid((9,)), 0.5, stiffness)
