"""What SymPy solves for u_{t+1} is what a cell computes, and the entries of A are those of its Jacobian."""

import pytest
import sympy
import torch

import cells
from cells.grammar.grid import Grid
from kernels import RNN
from kernels.derive.plan import plan
from kernels.derive.wave_form import count_entries, describe_form, solve_equation
from tests.waves import interacting

CELLS = {**{name: cells.load(name) for name in ("klein_gordon", "damped_string", "beam")}, "interacting": interacting(Grid(axes=1))}


@pytest.mark.parametrize("name", CELLS)
def test_solved_as_the_cell_computes_it(name):
    """A step without a source, at random values of everything."""
    cell = CELLS[name]
    layer = RNN(cell, 1, 12, dtype=torch.float64, backend="eager").requires_grad_(False)
    u, before = torch.randn(2, 1, 12, dtype=torch.float64)
    y, _ = layer(torch.zeros(1, 1, 1, dtype=torch.float64), (u[None], before[None]))
    lap = plan(cell).graph.stencils["lap"]
    values = {"u": u, "before": before, "lap_u": lap(u)} | {
        f"p_{key[2:]}": value for key, value in layer.weights().items() if key[0] == "p"
    }
    _, _, after = solve_equation(plan(cell))
    symbols = sorted(after.free_symbols, key=str)
    found = sympy.lambdify(symbols, after, [{"lap": lap, "tanh": torch.tanh, "exp": torch.exp}])(*(values[str(s)] for s in symbols))
    assert torch.allclose(found, y[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["wave", "beam", "maxwell", "schroedinger"])
def test_entries(name):
    """On a grid of 8×8 points, or a line of 64: each count is that of the fullest row."""
    cell, H = cells.load(name), 64
    layer = RNN(cell, 1, H, dtype=torch.float64, backend="eager")
    learned = cell.bind_parameters({key: torch.rand_like(value) for key, value in layer.weights().items()})
    states = tuple(torch.randn(len(cell.states), H, dtype=torch.float64))
    x = torch.zeros(1, dtype=torch.float64)
    found = torch.func.jacrev(lambda *h: cell(h, x, learned), argnums=tuple(range(len(states))))(*states)
    full = {
        a: {b: int((m.abs() > 1e-12).sum(1).max()) for b, m in zip(cell.states, row, strict=True)}
        for a, row in zip(cell.states, found, strict=True)
    }
    assert count_entries(plan(cell)) == {a: {b: n for b, n in row.items() if n} for a, row in full.items()}


def test_described():
    lines = describe_form(plan(cells.load("klein_gordon")))
    assert lines[1] == "    u_tt = lap_u*p_c**2 - p_m**2*u" and lines[3].startswith("    u_next = ")
    assert lines[5] == "    at most 7 H of the 4 H² entries of A are not 0; in a row u from 5 of u, 1 of before; before from 1 of u"
    assert len(describe_form(plan(cells.load("maxwell")))) == 2
