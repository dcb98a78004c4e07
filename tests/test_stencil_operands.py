"""Stencils of values of the step: in every schedule what the equations say, at the edge of the grid too, and errors for the others."""

import pytest
import torch

from cells.grammar.cell import Cell
from cells.grammar.errors import CellError
from cells.grammar.functions import log, mean, tanh
from cells.grammar.grid import Grid
from cells.grammar.stencil import Stencil
from kernels.derive.plan import plan
from tests.reference import check, draws
from tests.sampling import sample

LAP = Grid((4, 3)).laplacian
UP = Stencil("up", (((0, 0), 0.75), ((-1, 0), -0.5), ((1, -1), 0.125)), (4, 3))
FORWARD, BACKWARD = (
    Stencil(name, taps) for name, taps in (("ahead", (((0,), -1.0), ((1,), 1.0))), ("behind", (((-1,), -1.0), ((0,), 1.0))))
)


def beam(u, before, x, W, s):
    """Linear: stencils of stencils, of sums and of multiples."""
    return 2 * u - before - 0.01 * UP(s.a * LAP(u) - before / 2) + W.x(x), u


def leapfrog(e, h, x, W, p):
    """A stencil of the other field's next value, which has a vector and the input in it."""
    h = h + 0.3 * p.c * FORWARD(e) + W.h(x)
    return e + BACKWARD(h), h


def nonlinear(u, x, W, p):
    """What is not finite at 0 is not asked for beyond the grid."""
    return tanh(W.x(x) + 0.1 * UP(1 / (1.5 + p.c * u) + log(0.5 + u * u)))


CELLS = {"beam": Cell(beam), "leapfrog": Cell(leapfrog), "nonlinear": Cell(nonlinear, init={"p": (0.1, 0.2)}, domain={"u": (0.5, 1.0)})}


@sample("name, backend", list(CELLS), ["compiled", "stepwise", "stencil"])
def test_schedules(name, backend):
    check(draws(CELLS[name], 3, 2, 2, 12), backend, torch.float32)


@pytest.mark.parametrize("name", CELLS)
def test_in_double(name):
    check(draws(CELLS[name], 5, 3, 2, 12, dtype=torch.float64), "compiled", torch.float64)


def test_no_tap_is_added_for_what_is_linear():
    """The stencils are those of u and before; a product with a vector is computed for each tap."""
    assert sorted(leaf.label for leaf in plan(CELLS["beam"]).stencil_leaves) == ["up_before", "up_lap_u"]
    assert len(plan(CELLS["leapfrog"]).vectors) == 5


@pytest.mark.parametrize("made", [UP.after(LAP), UP.neighbour(2), UP.tap(1), UP.neighbour(1).after(UP.tap(2))], ids=lambda s: s.name)
def test_what_is_made_of_stencils(made):
    """As matrices: the transpose is the transpose, a composition the product, the weights are those of the taps inside."""
    eye = torch.eye(12, dtype=torch.float64)
    assert torch.equal(made.transposed(eye), made(eye).T) and torch.equal(made.transposed.transposed(eye), made(eye))
    assert made.offsets(12) == tuple(-k for k in made.transposed.offsets(12))
    assert torch.allclose(UP.after(LAP)(eye), UP(LAP(eye))) and torch.equal(sum(UP.tap(k)(eye) for k in range(3)), UP(eye))
    assert torch.equal(UP.neighbour(1)(eye)[:, :3], eye[:, :3]) and torch.equal(UP.neighbour(1)(eye)[:, 3:], eye[:, :9])


def of_a_product(u, x, W):
    return tanh(UP(W.h(u) * 2) + W.x(x))


def of_a_sum_by_heads(u, x, W):
    return tanh(UP(u * mean(u, heads=2)) + W.x(x))


def of_a_number(u, x, W, s):
    return tanh(u + UP(s.a * 2) + W.x(x))


def of_another_grid(u, x, W):
    return tanh(UP(FORWARD(u)) + W.x(x))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (of_a_product, r"up can't be applied to a value made of W.h\(v\), a product of this step: return that value as a state .*line \d+"),
        (of_a_sum_by_heads, r"up can't be applied to a value made of a sum by heads of this step: return that value as a state .*line \d+"),
        (of_a_number, r"up is applied to a number, which has no neighbours: make it p.name"),
        (of_another_grid, r"up is applied to a value that ahead made on another grid: give both the same shape .*line \d+"),
    ],
)
def test_errors(step, message):
    with pytest.raises(CellError, match=message):
        plan(Cell(step))
