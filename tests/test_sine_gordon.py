"""The sine-Gordon equation: its energy stays, a kink travels as it should, and a step that is too long is refused."""

import math

import pytest
import torch

from cells.grammar.errors import CellError
from cells.grammar.grid import Grid
from cells.sine_gordon import coupled_pendulums
from tests.waves import free_field

T64 = torch.float64


def test_energy():
    """½ Σ ((u_{t+1} − u_t) / c dt)² − ½ ⟨u_{t+1}, ∇² u_t⟩ + ½ Σ (q / c)², the same speed everywhere, after 5,000 steps of wide swings."""
    grid = Grid((30,))
    layer, (u, before, _) = free_field(coupled_pendulums(grid), 30, uniform=True)
    layer.backend, c = "compiled", 0.75
    u, before = 3 * u, 3 * before
    states, energies = (u, before, 2 * torch.sin((u + before) / 4)), []
    for steps in (1, 1, 998, 1000, 3000):
        _, states = layer(torch.zeros(steps, 1, 1, dtype=T64), states)
        new, old, q = states
        energies.append(((new - old) / (c * 0.5)).square().sum() / 2 - (new * grid.laplacian(old)).sum() / 2 + (q / c).square().sum() / 2)
    assert energies[0] > 1 and (torch.stack(energies) / energies[0] - 1).abs().max() < 1e-10


def test_kink():
    """u = 4 arctan exp((s − v t) / √(1 − v²)) from 0 to 2π, the input holds the far end: half the steps leave a fourth of the error."""
    v, length, end, errors = 0.5, 40.0, 4.0, []

    def kink(s: torch.Tensor, t: float) -> torch.Tensor:
        return 4 * torch.atan(torch.exp((s - length / 2 - v * t) / math.sqrt(1 - v**2)))

    for N, steps in ((199, 40), (399, 80)):
        h, dt = length / (N + 1), end / steps
        layer, _ = free_field(coupled_pendulums(Grid((N,), h=h), dt, (0.9, 1.1)), N, uniform=True)
        s = h * torch.arange(1, N + 1, dtype=T64)
        u, before = kink(s, 0), kink(s, -dt)
        g = torch.cos(u[-1] / 2)
        layer.weights()["W.source"][-1] = (dt / h) ** 2 * 2 * math.pi / (1 + (dt * g) ** 2 / 4)
        states = tuple(f[None, None] for f in (u, before, 2 * torch.sin((u + before) / 4)))
        y, (new, old, q) = layer(torch.ones(steps, 1, 1, dtype=T64), states)
        assert (q - 2 * torch.sin((new + old) / 4)).abs().max() < 0.05 * dt
        errors.append((y[-1, 0] - kink(s, end)).abs().max().item())
    assert errors[0] < 0.05 and 3.7 < errors[0] / errors[1] < 4.3


def test_a_step_too_long():
    with pytest.raises(CellError, match=r"dt=1.5 is unstable for waves of speed 1 on a grid of spacing 1: take dt ≤ 1"):
        coupled_pendulums(Grid((9,)), dt=1.5)
