"""Second-order wave equations that the tests run, each for another corner of what one may be."""

from cells.grammar.cell import Cell
from cells.grammar.field_equation import second_order
from cells.grammar.functions import tanh
from cells.grammar.grid import Grid


def self_interacting(u, rate, lap, p):
    """Not linear in u, and damped by how far out a point is, on either side of its rate."""
    return lap * p.c**2 - tanh(u) * p.m - (p.b * rate) / (1 + u**2) - rate * 0.1


def interacting(grid: Grid, **options: object) -> Cell:
    """`self_interacting` on a grid, with learned values that differ from point to point."""
    init = {"p.c": (0.5, 0.9), "p.m": (0.1, 0.5), "p.b": (0.1, 0.3)}
    return second_order(self_interacting, grid, init=init, **options)
