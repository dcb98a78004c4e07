"""Schrödinger's equation: the probability stays, stationary states turn as they should, and energies too large for the step are refused."""

import math

import pytest
import torch

from cells.grammar.errors import CellError
from cells.grammar.grid import Grid
from cells.schroedinger import particle
from tests.waves import free_field

T64 = torch.float64


@pytest.mark.parametrize("shape", [(40,), (6, 7)], ids=str)
def test_probability(shape):
    """Σ R_t² + I_{t+½} I_{t−½} is the same after 5,000 steps, the potential differing from point to point."""
    layer, start = free_field(particle(Grid(shape), dt=0.4), math.prod(shape))
    zero, found, states = torch.zeros(1, 1, 1, dtype=T64), [], start
    for steps in (1, 1, 998, 1000, 3000):
        _, behind = layer(zero.expand(steps - 1, 1, 1), states) if steps > 1 else (None, states)
        _, states = layer(zero, behind)
        found.append((states[0].square() + states[1] * behind[1]).sum())
    assert (torch.stack(found) / found[0] - 1).abs().max() < 1e-10


def test_stationary_state():
    """ψ = sin(k s) e^(−i E t), E = k² / 2 + V: half the spacing and a quarter of the time step leave a fourth of the error."""
    k, V, errors = 2 * math.pi, 3.0, []
    E = k**2 / 2 + V
    for N, steps in ((15, 150), (31, 600)):
        h, dt = 1 / (N + 1), 0.2 / steps
        layer, _ = free_field(particle(Grid((N,), h=h), dt, (V - 1, V + 1)), N, uniform=True)
        wave = torch.sin(k * h * torch.arange(1, N + 1, dtype=T64))[None, None]
        y, _ = layer(torch.zeros(steps, 1, 1, dtype=T64), (wave, -math.sin(E * dt / 2) * wave))
        errors.append((y[-1] - math.cos(E * 0.2) * wave[0]).abs().max().item())
    assert errors[0] < 0.1 and 3.8 < errors[0] / errors[1] < 4.2


@pytest.mark.parametrize("potentials", [(0.0, 3.0), (3.0, 0.0), (-5.0, 0.0)])
def test_a_step_too_long(potentials):
    with pytest.raises(CellError, match=r"dt=0.5 is unstable for an angular frequency of 5 on this grid: take dt ≤ 0.4"):
        particle(Grid((9,)), 0.5, potentials)
