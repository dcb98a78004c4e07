"""A stencil: a fixed linear operator that sums the neighbours of each unit on a grid, without trainable parameters.

    lap = Stencil.from_operator("lap", laplacian, dims=2)      then, inside a cell: lap(u)

The H units of a cell are the X·Y points of a grid, row by row. Fields are zero beyond the grid.
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
"""The offset of a neighbour along each axis, and its weight."""


WEIGHT_CACHE: dict[tuple["Stencil", int, torch.dtype, torch.device], Tensor] = {}
"""The weights (taps, H) of stencils, by stencil, H, dtype and device."""


@dataclass(frozen=True)
class Stencil:
    """The operator y_i = Σ_k w_k u_{i+k} over the `taps` (k, w_k). `shape` is that of the grid; default: `default_shape` of H."""

    name: str
    taps: tuple[Tap, ...]
    shape: tuple[int, ...] = ()

    @classmethod
    def from_operator(cls, name: str, operator: Callable[[Tensor], Tensor], dims: int, shape: tuple[int, ...] = ()) -> "Stencil":
        """Makes the stencil of a linear operator that reads adjacent points, from its impulse response.

        Args:
            operator: maps a field of `dims` axes to one of the same shape.
            dims: the number of axes.
            shape: the shape of the grid. Default: `default_shape` of H.

        Raises:
            CellError: the stencil differs from the operator on a test field of 5 points per axis.
        """
        impulse = torch.zeros((3,) * dims, dtype=torch.float64)
        impulse[(1,) * dims] = 1
        response = operator(impulse)
        taps = tuple((tuple(1 - i for i in at), response[tuple(at)].item()) for at in response.nonzero().tolist())
        stencil = cls(name, taps, shape)
        field = torch.arange(5**dims, dtype=torch.float64).sin().view((5,) * dims)
        output, size = operator(field), sum(abs(w) for _, w in taps)
        same = size > 0 and output.shape == field.shape
        if not same or (replace(stencil, shape=(5,) * dims)(field.flatten()) - output.flatten()).abs().max() > 1e-9 * size:
            raise CellError(
                f"{name} is not a stencil: a stencil gives each point a sum over itself and its neighbours, with fixed weights that are "
                "not all 0, and with zeros beyond the grid"
            )
        return stencil

    @cached_property
    def transposed(self) -> "Stencil":
        """Returns the transposed operator, which maps the gradient of the result to that of the argument."""
        return Stencil(self.name, tuple((tuple(-k for k in at), w) for at, w in self.taps), self.shape)

    def grid(self, H: int) -> tuple[int, ...]:
        """Returns the shape of the grid for H points; raises CellError if the stencil's own shape has another number of them."""
        if self.shape and math.prod(self.shape) != H:
            grid = "×".join(map(str, self.shape))
            raise CellError(f"{self.name} needs a grid of {grid} = {math.prod(self.shape)} units, not {H}")
        return self.shape or default_shape(len(self.taps[0][0]), H)

    def offsets(self, H: int) -> tuple[int, ...]:
        """Returns the offset of each neighbour in the flat order of the H units."""
        grid = self.grid(H)
        strides = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
        return tuple(sum(k * stride for k, stride in zip(at, strides, strict=True)) for at, _ in self.taps)

    def weights(self, like: Tensor) -> Tensor:
        """Returns the weight of each neighbour for each unit, (taps, H), zero beyond the grid; in the dtype and device of `like` (…, H)."""
        key = self, like.shape[-1], like.dtype, like.device
        if torch.compiler.is_compiling() or type(like) not in (Tensor, Parameter):
            return _weights(*key)  # tensors of a trace must not be cached
        if key not in WEIGHT_CACHE:
            with torch.inference_mode(False):  # so that a later call can differentiate
                weights = _weights(*key)
            if not _outlives_transform(weights):
                return weights
            WEIGHT_CACHE[key] = weights
        return WEIGHT_CACHE[key]

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
    grid, rows = stencil.grid(H), []
    for at, weight in stencil.taps:
        row = torch.full((), weight, dtype=torch.float64)
        for axis, (n, k) in enumerate(zip(grid, at, strict=True)):
            there = torch.arange(n) + k
            inside = ((there >= 0) & (there < n)).double()
            row = row * inside.view([-1 if other == axis else 1 for other in range(len(grid))])
        rows.append(row.flatten())
    return torch.stack(rows).to(device, dtype)


def _outlives_transform(tensor: Tensor) -> bool:
    """Returns whether a tensor may be cached: one that is made inside a transform of torch.func is invalid after it."""
    try:
        tensor.untyped_storage()
    except RuntimeError:
        return False
    return type(tensor) is Tensor


def default_shape(dims: int, H: int) -> tuple[int, ...]:
    """Returns the default shape of H points: a line, or the most square X×Y; raises CellError for more axes."""
    if dims > 2:
        raise CellError(f"a grid of {dims} axes has a shape of its own: say which")
    return (H,) if dims == 1 else squarest_shape(H)


def squarest_shape(H: int) -> tuple[int, int]:
    """Returns the most square (X, Y) with X·Y = H and X ≤ Y."""
    X = next(n for n in range(math.isqrt(H), 0, -1) if H % n == 0)
    return X, H // X
