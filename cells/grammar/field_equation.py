"""Any second-order wave equation as a cell: u_tt = F(u, u_t, ∇²u) by central differences.

    def klein_gordon(u, rate, lap, p):
        return p.c**2 * lap - p.m**2 * u

    layer = RNN(second_order(klein_gordon, Grid((64,)), dt=0.5), input_size=1, hidden_size=64)

u_t ≈ (u_{t+1} − u_{t−1}) / 2dt holds the next state itself, so an F that is a + k·u_t, a and k any functions of u and ∇²u, is solved for
it: u_{t+1} = (2 u_t − (1 + k dt/2) u_{t−1} + dt² a) / (1 − k dt/2) + W_source x_t.
"""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from cells.grammar.cell import Cell
from cells.grammar.error_lines import locate_errors
from cells.grammar.errors import CellError
from cells.grammar.grid import Grid


@dataclass(frozen=True)
class Rate:
    """rest + slope · u_t: what becomes of u_t in an equation that is linear in it. What isn't there is the number 0."""

    rest: Any
    slope: Any
    unfit: ClassVar[str] = ": central differences are solved for an equation that is linear in it, as a + k * u_t"

    def __add__(self, other: Any) -> "Rate":
        other = as_rate(other)
        return Rate(self.rest + other.rest, self.slope + other.slope)

    __radd__ = __add__

    def __neg__(self) -> "Rate":
        return self * -1.0

    def __sub__(self, other: Any) -> "Rate":
        return self + -as_rate(other)

    def __rsub__(self, other: Any) -> "Rate":
        return -self + other

    def __mul__(self, other: Any) -> "Rate":
        if isinstance(other, Rate):
            raise CellError(f"u_t is multiplied by u_t{self.unfit}")
        return Rate(*(0.0 if isinstance(part, float) and part == 0 else part * other for part in (self.rest, self.slope)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Rate":
        return self * (1 / other)

    def __pow__(self, exponent: Any) -> "Rate":
        raise CellError(f"a power of u_t{self.unfit}")

    def __rtruediv__(self, other: Any) -> "Rate":
        raise CellError(f"divides by u_t{self.unfit}")

    def __lt__(self, other: Any) -> bool:
        raise CellError(f"compares u_t{self.unfit}")

    __le__ = __gt__ = __ge__ = __lt__

    def __abs__(self) -> "Rate":
        raise CellError(f"the size of u_t{self.unfit}")


def as_rate(value: Any) -> Rate:
    return value if isinstance(value, Rate) else Rate(value, 0.0)


def second_order(equation: Callable[..., Any], grid: Grid | None = None, dt: float = 0.5, **facts: Any) -> Cell:
    """The cell of u_tt = `equation`(u, u_t, ∇²u, p) on a grid, by time steps of `dt`; p has its learned vectors (H). `facts` are those of a
    `Cell`, as `init`.

    Its states are u_t and u_{t−1}, and its inputs are felt where `Grid.sources` puts them. How long a time step may be is the equation's
    own: waves of speed c bear `grid.largest_step(c)`, and less where more pulls a point back. Raises CellError for a `dt` that is no time
    and, once it is used, for an equation that isn't linear in u_t.
    """
    if not 0 < dt < math.inf:
        raise CellError(f"a time step is a positive number: not dt={dt!r}")
    grid = grid or Grid()
    lap = grid.laplacian

    def step(u, before, x, W, p):
        with locate_errors(equation):
            found = equation(u, Rate(0.0, 1.0), lap(u), p)
            if not (isinstance(found, (Rate, Tensor, int, float)) or hasattr(found, "apply")):
                raise CellError(f"returns a {type(found).__name__}, not a value: return u_tt, made of u, u_t and ∇²u")
        made = as_rate(found)
        half = 0.5 * dt * made.slope
        return (2 * u - (1 + half) * before + dt**2 * made.rest) / (1 - half) + W.source(x), u

    vars(step)["__signature__"] = inspect.signature(step)  # its own, though it is called and shown as the equation is
    functools.update_wrapper(step, equation)
    return Cell(step, **facts | {"init": {"W.source": grid.sources, **facts.get("init", {})}})
