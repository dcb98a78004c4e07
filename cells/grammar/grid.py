"""The grid of a wave equation: its points, the absorbing border, and the largest stable time step."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from cells.grammar.errors import CellError
from cells.grammar.operators import laplacian
from cells.grammar.stencil import Stencil, default_shape


@dataclass(frozen=True)
class Grid:
    """A regular grid with an absorbing border (Hughes et al. 2019).

    In the border the damping rises from zero as absorbing · (depth / border)^power. Its squares add up over the axes.

    Attributes:
        shape: the points along each axis; () for the H units of a cell, on a line if `axes` is 1, else on the most square X×Y.
        h: the distance of neighbouring points.
        border: the points of the border at each end of an axis, at most an eighth of the axis.
        absorbing: the damping at the edge.
        power: the exponent of the damping's profile.
        axes: the number of axes without a shape.

    Raises:
        CellError: a size is not a valid one.
    """

    shape: tuple[int, ...] = ()
    h: float = 1.0
    border: int = 20
    absorbing: float = 3.0
    power: float = 4.0
    axes: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple) or not all(is_integer_from(n, 1) for n in self.shape):
            raise CellError(f"a grid's shape is a tuple of whole numbers of points from 1 on, as (32, 32), not {self.shape!r}")
        if not 0 < self.h < math.inf:
            raise CellError(f"a grid's points are a positive h apart, not {self.h!r}")
        if not is_integer_from(self.border, 0) or not is_integer_from(self.axes, 1):
            raise CellError(f"a grid has whole numbers of border points and of axes: got border={self.border!r}, axes={self.axes!r}")

    @property
    def dims(self) -> int:
        """Returns the number of axes."""
        return len(self.shape) or self.axes

    def shape_for(self, H: int) -> tuple[int, ...]:
        """Returns the shape of the grid for H points."""
        return self.shape or default_shape(self.dims, H)

    @property
    def laplacian(self) -> Stencil:
        """Returns the stencil of ∇² = div grad; fields are zero beyond the grid."""
        return Stencil.from_operator("lap", partial(laplacian, dims=self.dims, h=self.h), self.dims, self.shape)

    @property
    def laplacian_bound(self) -> float:
        """Returns a bound of |∇²u| for |u| ≤ 1, which the shortest waves approach: 4 · axes / h²."""
        return 4 * self.dims / self.h**2

    def check_plane(self, reason: str) -> None:
        """Raises CellError if the grid has other than two axes."""
        if self.dims != 2:
            raise CellError(f"this field needs a plane, as {reason}: give a grid of 2 axes, not {self.dims}")

    def difference(self, axis: int, ahead: bool) -> Stencil:
        """Returns the stencil of (f_{i+1} − f_i) / h along an axis if `ahead`, else of (f_i − f_{i−1}) / h, its transpose times −1.

        So one lies on a staggered grid, half a point from the other (Yee 1966).
        """
        here, there = ((0,) * self.dims, tuple((1 if ahead else -1) * (k == axis) for k in range(self.dims)))
        sign = 1 / self.h if ahead else -1 / self.h
        return Stencil(f"{'ahead' if ahead else 'behind'}{axis}", ((here, -sign), (there, sign)), self.shape)

    def damping(self, value: Tensor) -> None:
        """Initializes a vector (H) with the damping of the border."""
        grid = self.shape_for(len(value))
        total = torch.zeros(grid, dtype=torch.float64)
        for axis, n in enumerate(grid):
            width = min(self.border, n // 8)
            depth = width - torch.minimum(torch.arange(n), n - 1 - torch.arange(n))
            profile = self.absorbing * (depth.clamp_min(0).double() / max(width, 1)) ** self.power
            total += profile.square().view([-1 if k == axis else 1 for k in range(len(grid))])
        value.copy_(total.sqrt().flatten())

    def largest_step(self, speed: float) -> float:
        """Returns the largest stable time step for waves of that speed: h / (√dims · speed) (Courant, Friedrichs & Lewy 1928)."""
        return self.h / (math.sqrt(self.dims) * speed)

    def check_step(self, dt: float, speed: float) -> None:
        """Raises CellError if the time step is unstable for waves of that speed."""
        largest = self.largest_step(speed)
        if not 0 < dt <= largest:
            raise CellError(f"dt={dt:g} is unstable for waves of speed {speed:g} on a grid of spacing {self.h:g}: take dt ≤ {largest!r}")

    def check_frequency(self, dt: float, frequency: float) -> None:
        """Raises CellError if a leapfrog step is unstable for oscillations of that angular frequency: dt ≤ 2 / ω."""
        if not 0 < dt * frequency <= 2:
            raise CellError(f"dt={dt:g} is unstable for an angular frequency of {frequency:g} on this grid: take dt ≤ {2 / frequency!r}")

    def sources(self, matrix: Tensor) -> None:
        """Initializes a matrix (H, D): each input drives one point.

        On a plane with at least D rows the points lie evenly in the middle column; otherwise, and on a line, evenly among all points.
        """
        H, D = matrix.shape
        grid = self.shape_for(H)
        row = H // grid[0]
        points = [int((k + 0.5) * grid[0] / D) * row + row // 2 if grid[0] >= D else k * H // D for k in range(D)]
        matrix.zero_()
        matrix[points, range(D)] = 1


def is_integer_from(value: object, least: int) -> bool:
    """Returns whether a value is an int, and at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
