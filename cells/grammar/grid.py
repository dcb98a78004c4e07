"""The grid that a wave runs on: its points, what absorbs at its edge, and how large a time step it bears."""

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
    """`shape` points, `h` apart; () for as many as a cell has units, on a line where `axes` is 1, else in the most square X×Y.

    Waves die away in a border of `border` points at each end of each axis, or of an eighth of the axis where that is less: there the
    damping rises from zero as (depth / border)^`power` to `absorbing`, and adds up over the axes in squares (Hughes et al. 2019).
    Raises CellError for a shape, a spacing, a border or a number of axes that no grid has.
    """

    shape: tuple[int, ...] = ()
    h: float = 1.0
    border: int = 20
    absorbing: float = 3.0
    power: float = 4.0
    axes: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple) or not all(is_whole(n, 1) for n in self.shape):
            raise CellError(f"a grid's shape is a tuple of whole numbers of points from 1 on, as (32, 32), not {self.shape!r}")
        if not 0 < self.h < math.inf:
            raise CellError(f"a grid's points are a positive h apart, not {self.h!r}")
        if not is_whole(self.border, 0) or not is_whole(self.axes, 1):
            raise CellError(f"a grid has whole numbers of border points and of axes: got border={self.border!r}, axes={self.axes!r}")

    @property
    def dims(self) -> int:
        return len(self.shape) or self.axes

    def shape_for(self, H: int) -> tuple[int, ...]:
        """The shape where there are H points."""
        return self.shape or default_shape(self.dims, H)

    @property
    def laplacian(self) -> Stencil:
        """∇² = div grad of the fields on this grid, zero beyond it."""
        return Stencil.from_operator("lap", partial(laplacian, dims=self.dims, h=self.h), self.dims, self.shape)

    def damping(self, value: Tensor) -> None:
        """A law for a learned vector (H): fills it with the border's damping."""
        grid = self.shape_for(len(value))
        total = torch.zeros(grid, dtype=torch.float64)
        for axis, n in enumerate(grid):
            width = min(self.border, n // 8)
            depth = width - torch.minimum(torch.arange(n), n - 1 - torch.arange(n))
            profile = self.absorbing * (depth.clamp_min(0).double() / max(width, 1)) ** self.power
            total += profile.square().view([-1 if k == axis else 1 for k in range(len(grid))])
        value.copy_(total.sqrt().flatten())

    def largest_step(self, speed: float) -> float:
        """The largest stable time step of waves no faster than `speed`: h / (√dims · speed) (Courant, Friedrichs & Lewy 1928)."""
        return self.h / (math.sqrt(self.dims) * speed)

    def check_step(self, dt: float, speed: float) -> None:
        """Raises CellError where a time step of `dt` is too long for waves of that speed."""
        largest = self.largest_step(speed)
        if not 0 < dt <= largest:
            raise CellError(f"dt={dt:g} is unstable for waves of speed {speed:g} on a grid of spacing {self.h:g}: take dt ≤ {largest!r}")

    def sources(self, matrix: Tensor) -> None:
        """A law for a matrix (H, D): each of D inputs is felt at one point. As many as a plane has rows lie in its middle column, more
        of them, or those of a line, all over it."""
        H, D = matrix.shape
        grid = self.shape_for(H)
        row = H // grid[0]
        points = [int((k + 0.5) * grid[0] / D) * row + row // 2 if grid[0] >= D else k * H // D for k in range(D)]
        matrix.zero_()
        matrix[points, range(D)] = 1


def is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
