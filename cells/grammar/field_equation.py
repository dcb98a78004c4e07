"""Makes a cell of a second-order wave equation, u_tt = F(u, u_t, ∇²u), by central differences.

    def klein_gordon(u, rate, lap, p):
        return p.c**2 * lap - p.m**2 * u

    layer = RNN(second_order(klein_gordon, Grid((64,)), dt=0.5), input_size=1, hidden_size=64)

u_t ≈ (u_{t+1} − u_{t−1}) / 2dt contains the next state. So F must be linear in u_t, F = a + k·u_t with a and k any functions of u and
∇²u, and the scheme is solved for it: u_{t+1} = (2 u_t − (1 + k dt/2) u_{t−1} + dt² a) / (1 − k dt/2) + W_source x_t.
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
    """A traced expression that is linear in u_t: rest + slope · u_t. A missing part is the number 0."""

    rest: Any
    slope: Any
    error_hint: ClassVar[str] = ": central differences are solved for an equation that is linear in it, as a + k * u_t"

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
            raise CellError(f"u_t is multiplied by u_t{self.error_hint}")
        return Rate(*(0.0 if isinstance(part, float) and part == 0 else part * other for part in (self.rest, self.slope)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Rate":
        return self * (1 / other)

    def __pow__(self, exponent: Any) -> "Rate":
        raise CellError(f"a power of u_t{self.error_hint}")

    def __rtruediv__(self, other: Any) -> "Rate":
        raise CellError(f"divides by u_t{self.error_hint}")

    def __lt__(self, other: Any) -> bool:
        raise CellError(f"compares u_t{self.error_hint}")

    __le__ = __gt__ = __ge__ = __lt__

    def __abs__(self) -> "Rate":
        raise CellError(f"the size of u_t{self.error_hint}")


def as_rate(value: Any) -> Rate:
    """Returns a value as a `Rate`."""
    return value if isinstance(value, Rate) else Rate(value, 0.0)


def second_order(equation: Callable[..., Any], grid: Grid | None = None, dt: float = 0.5, **facts: Any) -> Cell:
    """Makes the cell of u_tt = equation(u, u_t, ∇²u, p) on a grid, with the states u_t and u_{t−1} and the input matrix of `Grid.sources`.

    The largest stable time step depends on the equation: `grid.largest_step(c)` for waves of speed c, and less with a restoring force.

    Args:
        equation: a function of u, u_t, ∇²u and p; p has its trainable vectors (H).
        grid: the grid. Default: the most square one with H points.
        dt: the time step.
        facts: further arguments of `Cell`, as `init`.

    Raises:
        CellError: `dt` is not positive and finite; when the cell is used: the equation is not linear in u_t.
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
        linear = as_rate(found)
        half = 0.5 * dt * linear.slope
        return (2 * u - (1 + half) * before + dt**2 * linear.rest) / (1 - half) + W.source(x), u

    vars(step)["__signature__"] = inspect.signature(step)  # update_wrapper would show the signature of the equation
    functools.update_wrapper(step, equation)
    vars(step)["second_order"] = equation, dt  # for `kernels.derive.wave_form`
    return Cell(step, **facts | {"init": {"W.source": grid.sources, **facts.get("init", {})}})
