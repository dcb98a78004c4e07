"""Maxwell's equations: their energy stays, a plane wave travels as it should, and what no plane or no step can hold is refused."""

import pytest
import torch

from cells.grammar.errors import CellError
from cells.grammar.grid import Grid
from cells.maxwell import electric_field
from tests.waves import free_field

T64 = torch.float64


def test_energy():
    """½ Σ (E_t / c)² + ½ Σ H_{t+½} · H_{t−½} is the same after 5,000 steps, the speed of light differing from point to point."""
    layer, start = free_field(electric_field(Grid((6, 5)), dt=0.6), 30)
    zero, energies, states = torch.zeros(1, 1, 1, dtype=T64), [], start
    c = 0.5 + 0.5 * layer.weight_c_l0.sigmoid()
    for steps in (1, 1, 499, 1500, 2998):
        _, states = layer(zero.expand(steps, 1, 1), states)
        _, after = layer(zero, states)
        energies.append((states[0] / c).square().sum() + sum((h * g).sum() for h, g in zip(states[1:], after[1:], strict=True)))
    assert energies[0] > 1 and (torch.stack(energies) / energies[0] - 1).abs().max() < 1e-10


def test_plane_wave():
    """E = f(x − c t) with H_y = −E / c, where the sides of the grid are not heard of yet: half the spacing leaves a fourth of the error."""
    errors, c = [], 0.75

    def pulse(place: torch.Tensor) -> torch.Tensor:
        return torch.exp(-((place - 4) ** 2))

    for h in (0.2, 0.1):
        shape, dt = (round(10 / h), round(3 / h)), 0.5 * h
        layer, _ = free_field(electric_field(Grid(shape, h=h), dt), shape[0] * shape[1], uniform=True)
        s = h * torch.arange(shape[0], dtype=T64)[:, None].expand(shape)
        e, hy = pulse(s), -pulse(s + h / 2 + c * dt / 2) / c  # half a point ahead, half a step behind
        states = tuple(f.reshape(1, 1, -1).contiguous() for f in (e, torch.zeros_like(e), hy))
        y, _ = layer(torch.zeros(round(2 / dt), 1, 1, dtype=T64), states)
        errors.append((y[-1, 0].view(shape) - pulse(s - 2 * c))[:, : shape[1] // 3].abs().max().item())
    assert errors[0] < 0.05 and 3.7 < errors[0] / errors[1] < 4.3


def test_what_is_refused():
    with pytest.raises(CellError, match=r"dt=0.75 is unstable for waves of speed 1 .* take dt ≤ 0.7071067811865475$"):
        electric_field(dt=0.75)
    with pytest.raises(CellError, match="this field needs a plane, as the electric field is across it: give a grid of 2 axes, not 1"):
        electric_field(Grid((9,)))
