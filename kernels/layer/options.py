"""Checks the options of a layer, before it makes its parameters."""

from collections.abc import Callable, Mapping
from functools import cache
from numbers import Real
from typing import Any

import cells
from cells.grammar.cell import Cell
from kernels.layer import select

MEMORY = ("full", "low")
NONLINEARITIES = {"tanh": "vanilla", "relu": "vanilla_relu"}
"""The cells of nn.RNN by its `nonlinearity`."""


def check_options(sizes: Mapping[str, Any], switches: Mapping[str, Any], dropout: Any, proj_size: int, backend: str, memory: str) -> None:
    """Raises TypeError or ValueError, as nn.LSTM does, if an option of a layer is invalid.

    Args:
        sizes, switches: those that are numbers, and True or False, by the names of their arguments.
        dropout, proj_size, backend, memory: as in `RNN`.
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
        if size <= 0:
            raise ValueError(f"{name} must be greater than zero")
    for name, switch in switches.items():
        if not isinstance(switch, bool):
            hint = f": nn.RNN's nonlinearity is given by name here, nonlinearity={switch!r}" * (
                isinstance(switch, str) and switch in NONLINEARITIES
            )
            raise TypeError(f"{name} should be of type bool, got: {type(switch).__name__}{hint}")
    if not isinstance(dropout, Real) or isinstance(dropout, bool) or not 0 <= float(dropout) <= 1:
        raise ValueError(f"dropout should be a number in range [0, 1], not {dropout!r}")
    if proj_size:
        raise ValueError("proj_size is not supported: a cell's states have one width. Put an nn.Linear behind the layer instead")
    if backend not in select.backend_names():
        raise ValueError(f"no backend is called {backend!r}: there are {', '.join(select.backend_names())}")
    if memory not in MEMORY:
        raise ValueError(f"memory is {' or '.join(map(repr, MEMORY))}, not {memory!r}")


def find_cell(cell: str | Cell | Callable[..., Any], nonlinearity: str | None) -> Cell:
    """Returns the cell that an `RNN` is made of, given as `RNN` describes it."""
    cell = choose_nonlinearity(cell, nonlinearity)
    return cells.load(cell) if isinstance(cell, str) else cell if isinstance(cell, Cell) else _make_cell(cell)


@cache
def _make_cell(step: Callable[..., Any]) -> Cell:
    """Makes a cell of a function: the same cell for the same function, so that its plan and its kernels are made once."""
    return Cell(step)


def check_start(start: Any) -> float:
    """Returns the number of the first step, 0 for None; raises TypeError if it is no number."""
    if start is None:
        return 0
    if isinstance(start, bool) or not isinstance(start, (int, float)):
        raise TypeError(f"start is a {type(start).__name__}: give the number of the first step, which time() returns there")
    return start


def choose_nonlinearity(cell: Any, nonlinearity: str | None) -> Any:
    """Returns the cell with the nonlinearity of nn.RNN; raises ValueError if it has no such choice."""
    if nonlinearity is None:
        return cell
    if cell not in NONLINEARITIES.values():
        raise ValueError(f"nonlinearity={nonlinearity!r} is for the cell 'vanilla', nn.RNN's: write another cell's into its equations")
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(f"nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}: write another one as a cell, a function of h and x")
    return NONLINEARITIES[nonlinearity]
