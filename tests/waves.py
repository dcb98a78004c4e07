"""Second-order wave equations that the tests run, each for another corner of what one may be."""

import torch

from cells.grammar.cell import Cell
from cells.grammar.field_equation import second_order
from cells.grammar.functions import tanh
from cells.grammar.grid import Grid
from cells.grammar.stencil import Stencil
from cells.wave import damped_wave, wave
from kernels import RNN


def self_interacting(u, rate, lap, p):
    """Not linear in u, and damped by how far out a point is, on either side of its rate."""
    return lap * p.c**2 - tanh(u) * p.m - (p.b * rate) / (1 + u**2) - rate * 0.1


def interacting(grid: Grid, **options: object) -> Cell:
    """`self_interacting` on a grid, with learned values that differ from point to point."""
    init = {"p.c": (0.5, 0.9), "p.m": (0.1, 0.5), "p.b": (0.1, 0.3)}
    return second_order(self_interacting, grid, init=init, **options)


UPWIND = Stencil("up", (((0, 0), 0.75), ((-1, 0), -0.5), ((0, 1), 0.25), ((1, -1), 0.125)))
SHORT = Stencil("short", (((1,), 0.5), ((-1,), -0.25)), (35,))


def lopsided(h, c, x, W, b, p):
    """Stencils that are no one's transpose: two on one state, one on another, and one on what is learned."""
    h_next = tanh(UPWIND(h) + SHORT(c) * p.a + W.x(x) + b.h)
    return h_next, 0.5 * c + SHORT(h) * UPWIND(h) + SHORT(p.a)


CELLS = {"wave": wave, "line": damped_wave(Grid((35,)), dt=0.7), "box": damped_wave(Grid((3, 4, 5), border=1)),
         "interacting": interacting(Grid((5, 7))), "lopsided": Cell(lopsided)}  # fmt: skip


def free_field(cell: Cell, H: int, uniform: bool = False) -> tuple[RNN, tuple[torch.Tensor, ...]]:
    """A layer in float64 without a source, whose coefficients differ from point to point or are all at the mean, and random states."""
    layer = RNN(cell, 1, H, dtype=torch.float64, backend="eager" if uniform else "compiled").requires_grad_(False)
    for name, value in layer.named_parameters():
        torch.nn.init.zeros_(value) if uniform or "source" in name else value.normal_()
    return layer, tuple(torch.randn(len(cell.states), 1, 1, H, dtype=torch.float64))
