"""Waves: what the equations promise, held by the cell; every schedule against them; and a time step that is too long."""

import math

import pytest
import torch

from cells.grammar.errors import CellError
from cells.grammar.grid import Grid
from cells.wave import damped_wave
from kernels import RNN

T64 = torch.float64


def free(grid: Grid, damping: float = 0.0, **options) -> RNN:
    """A layer of waves in float64 whose speeds differ from point to point, with one damping everywhere and nothing at the sources."""
    layer = RNN(damped_wave(grid, **options), 1, math.prod(grid.shape), dtype=T64, backend="eager")
    with torch.no_grad():
        layer.weight_c_l0.normal_()
        layer.weight_b_l0.fill_(damping)
        layer.weight_source_l0.zero_()
    return layer


def speeds(layer: RNN) -> torch.Tensor:
    return 0.5 + 0.5 * layer.weight_c_l0.detach().sigmoid()


@pytest.mark.parametrize(("shape", "backend"), [((12, 10), "compiled"), ((30,), "eager")], ids=str)
def test_energy(shape, backend):
    """E = ½ Σ ((u_t − u_{t−1}) / c dt)² − ½ ⟨u_t, ∇² u_{t−1}⟩ of undamped waves is the same after 5,000 steps, to 1e-12 of it."""
    grid = Grid(shape)
    layer, lap = free(grid, dt=0.6), grid.laplacian
    layer.backend = backend
    start = torch.randn(2, 1, 1, math.prod(shape), dtype=T64)
    with torch.no_grad():
        y, _ = layer(torch.zeros(5000, 1, 1, dtype=T64), (start[0], start[1]))
    u = torch.cat([start[1], start[0], y])[:, 0]
    energy = 0.5 * ((u[1:] - u[:-1]) / (0.6 * speeds(layer))).square().sum(1) - 0.5 * (u[1:] * lap(u[:-1])).sum(1)
    assert energy[0] > 1 and (energy / energy[0] - 1).abs().max() < 1e-12


def jacobian(layer: RNN) -> torch.Tensor:
    """Of one step, by both states."""
    H = layer.hidden_size
    eye = torch.eye(2 * H, dtype=T64)
    with torch.no_grad():
        _, (u, before) = layer(torch.zeros(1, 2 * H, 1, dtype=T64), (eye[None, :, :H].contiguous(), eye[None, :, H:].contiguous()))
    return torch.cat([u[0], before[0]], 1).T


@pytest.mark.parametrize("b", [0.0, 0.1, 0.3])
def test_damping_rate(b):
    """Every eigenvalue of a step has the size √((1 − b dt) / (1 + b dt)), at each mode of the grid."""
    values = torch.linalg.eigvals(jacobian(free(Grid((6, 7)), b, dt=0.7)))
    assert (values.abs() - math.sqrt((1 - 0.7 * b) / (1 + 0.7 * b))).abs().max() < 1e-12


def test_damping_of_what_no_longer_swings():
    """An overdamped mode has two real eigenvalues, which multiply to the same."""
    found = torch.linalg.slogdet(jacobian(free(Grid((6, 7)), 2.0, dt=0.3)))[1]
    assert found.item() == pytest.approx(42 * math.log((1 - 0.6) / (1 + 0.6)), rel=1e-12)


def test_a_step_too_long():
    with pytest.raises(CellError, match=r"dt=0.75 is unstable for waves of speed 1 on a grid of spacing 1: take dt ≤ 0.7071067811865475$"):
        damped_wave(dt=0.75)
    for shape, largest in (((9,), 1.0), ((3, 3), 2**-0.5), ((3, 3, 3), 3**-0.5)):
        grid = Grid(shape, h=0.5)
        assert grid.largest_step(0.25) == pytest.approx(2 * largest)
        damped_wave(grid, dt=grid.largest_step(0.25), speeds=(0.1, 0.25))
    for speeds in ((1.5, 0.5), (-1.5, 0.5)):
        with pytest.raises(CellError, match=r"waves of speed 1\.5 "):
            damped_wave(dt=0.7, speeds=speeds)
    with pytest.raises(CellError, match="dt=0 is unstable"):
        damped_wave(dt=0)


@pytest.mark.parametrize(("dt", "largest"), [(2**-0.5, 1.0), (0.75, 1.88)])
def test_what_the_error_prevents(dt, largest, monkeypatch):
    """Waves grow beyond the largest step, and not at it; 1.88 a step is what the linear algebra of a 10×10 grid says at 0.75."""
    monkeypatch.setattr(Grid, "check_step", lambda *_: None)
    layer = free(Grid((10, 10)), dt=dt)
    layer.weight_c_l0.data.fill_(100.0)  # the fastest
    assert torch.linalg.eigvals(jacobian(layer)).abs().max().item() == pytest.approx(largest, abs=5e-3)
