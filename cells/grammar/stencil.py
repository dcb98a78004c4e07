"""A stencil: a fixed linear operator that gives each unit of a grid a sum over the units around it, and nothing to learn.

    lap = Stencil.from_operator("lap", laplacian, dims=2)      then, inside a cell: lap(u)

The H units of a cell are the X·Y points of a grid, row by row. What is beyond it counts as zero.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from cells.grammar.errors import CellError

Tap = tuple[tuple[int, ...], float]
"""Where a neighbour is, along each axis, and its weight."""


KEPT: dict[tuple["Stencil", int, torch.dtype, torch.device], Tensor] = {}
"""The weights of stencils on so many units, as tensors of a dtype on a device."""


@dataclass(frozen=True)
class Stencil:
    """y_i = Σ_k w_k u_{i+k} over the `taps` (k, w_k). `shape` is the grid's; without one it is that of `shaped`."""

    name: str
    taps: tuple[Tap, ...]
    shape: tuple[int, ...] = ()

    @classmethod
    def from_operator(cls, name: str, operator: Callable[[Tensor], Tensor], dims: int, shape: tuple[int, ...] = ()) -> "Stencil":
        """The stencil of a linear `operator` on fields of `dims` axes that reaches from a point to those next to it: its answer to an
        impulse says with what weight a point is felt where. Raises CellError for an operator that is none, shown by a field of 5 points an
        axis."""
        impulse = torch.zeros((3,) * dims, dtype=torch.float64)
        impulse[(1,) * dims] = 1
        felt = operator(impulse)
        made = cls(name, tuple((tuple(1 - i for i in at), felt[tuple(at)].item()) for at in felt.nonzero().tolist()), shape)
        field = torch.arange(5**dims, dtype=torch.float64).sin().view((5,) * dims)
        found, size = operator(field), sum(abs(w) for _, w in made.taps)
        same = size > 0 and found.shape == field.shape
        if not same or (replace(made, shape=(5,) * dims)(field.flatten()) - found.flatten()).abs().max() > 1e-9 * size:
            raise CellError(
                f"{name} is no stencil: what a point is given is a sum, with fixed weights that are not all 0, over itself and the points "
                "next to it, and beyond the grid there is 0"
            )
        return made

    @cached_property
    def transposed(self) -> "Stencil":
        """The operator that takes the gradient of the result to that of the argument."""
        return Stencil(self.name, tuple((tuple(-k for k in at), w) for at, w in self.taps), self.shape)

    def grid(self, H: int) -> tuple[int, ...]:
        """The shape of a grid of H points. Raises CellError where the stencil's own has another number of them."""
        if self.shape and math.prod(self.shape) != H:
            grid = "×".join(map(str, self.shape))
            raise CellError(f"{self.name} is of a grid of {grid} = {math.prod(self.shape)} units, and not of {H}")
        return self.shape or default_shape(len(self.taps[0][0]), H)

    def offsets(self, H: int) -> tuple[int, ...]:
        """How far apart a unit and each neighbour are, counted row by row."""
        grid = self.grid(H)
        strides = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
        return tuple(sum(k * stride for k, stride in zip(at, strides, strict=True)) for at, _ in self.taps)

    def weights(self, like: Tensor) -> Tensor:
        """With what weight each of H units is given each neighbour, zero where that is beyond the grid: (taps, H), where `like`
        (…, H) is and of its dtype."""
        of = self, like.shape[-1], like.dtype, like.device
        if torch.compiler.is_compiling() or type(like) not in (Tensor, Parameter):
            return _weights(*of)  # what a graph is traced with isn't there afterwards
        if of not in KEPT:
            with torch.inference_mode(False):  # what is first asked for without gradients is there for those who take them, too
                made = _weights(*of)
            if not _lasts(made):
                return made
            KEPT[of] = made
        return KEPT[of]

    def __call__(self, v: Any) -> Any:
        if hasattr(v, "stencil"):
            return v.stencil(self)
        if not isinstance(v, Tensor):
            raise CellError(f"{self.name} takes a state or what is made of learned values and x, not a {type(v).__name__}")
        offsets, H = self.offsets(v.shape[-1]), v.shape[-1]
        reach = max(map(abs, offsets))
        around = F.pad(v, (reach, reach))
        parts = [w * around[..., reach + k : reach + k + H] for w, k in zip(self.weights(v), offsets, strict=True)]
        return sum(parts[1:], parts[0])


def _weights(stencil: Stencil, H: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    grid = stencil.grid(H)
    places = torch.cartesian_prod(*(torch.arange(n) for n in grid)).view(H, len(grid))
    size, rows = torch.tensor(grid), []
    for at, weight in stencil.taps:
        there = places + torch.tensor(at)
        rows.append(((there >= 0) & (there < size)).all(1) * torch.tensor(weight, dtype=torch.float64))
    return torch.stack(rows).to(device, dtype)


def _lasts(made: Tensor) -> bool:
    """Whether it is there after now: what is made inside a transform of torch.func ends with it, and has no memory of its own."""
    try:
        made.untyped_storage()
    except RuntimeError:
        return False
    return type(made) is Tensor


def default_shape(dims: int, H: int) -> tuple[int, ...]:
    """The grid of H points that none is said of: a line, or the most square X×Y. Raises CellError for more axes."""
    if dims > 2:
        raise CellError(f"a grid of {dims} axes has a shape of its own: say which")
    return (H,) if dims == 1 else square(H)


def square(H: int) -> tuple[int, int]:
    """The most square X×Y with X·Y = H, and X the shorter side."""
    X = next(n for n in range(math.isqrt(H), 0, -1) if H % n == 0)
    return X, H // X
