"""A stencil: a fixed linear operator that sums the neighbours of each unit on a grid, without trainable parameters.

    lap = Stencil.from_operator("lap", laplacian, dims=2)      then, inside a cell: lap(u), lap(p.c**2 * lap(u))

The H units of a cell are the X·Y points of a grid, row by row. Fields are zero beyond the grid.
"""

import itertools
import math
import operator
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
    """The operator y_i = Σ_k w_k u_{i+k} over the `taps` (k, w_k).

    Attributes:
        shape: the shape of the grid. Default: `default_shape` of H.
        rule: what it is made of if it was made by `after`, `tap` or `neighbour`, or is the transpose of such a one: its weights at
            the edge of the grid differ from those of its taps.
    """

    name: str
    taps: tuple[Tap, ...]
    shape: tuple[int, ...] = ()
    rule: tuple["str | Stencil", ...] = ()

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
        taps = tuple((tuple(-k for k in at), w) for at, w in self.taps)
        return Stencil(self.name, taps, self.shape, ("transposed", self) if self.rule else ())

    def after(self, inner: "Stencil") -> "Stencil":
        """Returns the operator self(inner(u)); the field between the two is zero beyond the grid.

        Raises:
            CellError: the grids differ.
        """
        if (self.shape, len(self.taps[0][0])) != (inner.shape, len(inner.taps[0][0])):
            raise CellError(f"{self.name} is applied to a value that {inner.name} made on another grid: give both the same shape")
        taps: dict[tuple[int, ...], float] = {}
        for (a, w), (b, v) in itertools.product(self.taps, inner.taps):
            at = tuple(map(operator.add, a, b))
            taps[at] = taps.get(at, 0.0) + w * v
        return Stencil(f"{self.name}_{inner.name}", tuple(taps.items()), self.shape, ("after", self, inner))

    def tap(self, k: int) -> "Stencil":
        """Returns the operator with tap k alone."""
        return Stencil(f"{self.name}_tap{k}", (self.taps[k],), self.shape, ("tap", self))

    def neighbour(self, k: int) -> "Stencil":
        """Returns the operator that takes the value of the neighbour of tap k, or a point's own where that is beyond the grid."""
        at, own = self.taps[k][0], (0,) * len(self.taps[k][0])
        name = "at_" + "_".join(f"{'m' * (n < 0)}{abs(n)}" for n in at)
        return Stencil(name, ((at, 1.0), (own, 0.0)), self.shape, ("neighbour",)) if any(at) else Stencil(name, ((at, 1.0),), self.shape)

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
            raise CellError(f"{self.name} takes a state or a value of the step, not a {type(v).__name__}")
        offsets, H = self.offsets(v.shape[-1]), v.shape[-1]
        reach = max(map(abs, offsets))
        around = F.pad(v, (reach, reach))
        parts = [w * around[..., reach + k : reach + k + H] for w, k in zip(self.weights(v), offsets, strict=True)]
        return sum(parts[1:], parts[0])


def _weights(stencil: Stencil, H: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.stack([w.flatten() for w in point_weights(stencil, stencil.grid(H)).values()]).to(device, dtype)


def point_weights(stencil: Stencil, grid: tuple[int, ...]) -> dict[tuple[int, ...], Tensor]:
    """Returns the weights at the points of a grid by the offset of the neighbour, in the order of the taps. Nothing is changed in place: a
    graph of torch.export may record it."""
    found = {at: torch.zeros(grid, dtype=torch.float64) for at, _ in stencil.taps}
    match stencil.rule:
        case ("after", Stencil() as outer, Stencil() as inner):
            within = point_weights(inner, grid)
            for a, w in point_weights(outer, grid).items():
                for b, v in within.items():
                    at = tuple(map(operator.add, a, b))
                    found[at] = found[at] + w * move(v, a)
        case ("transposed", Stencil() as given):
            for at, w in point_weights(given, grid).items():
                back = tuple(-k for k in at)
                found[back] = found[back] + move(w, back)
        case ("tap", Stencil() as given):
            found = {at: point_weights(given, grid)[at] for at in found}
        case _:
            for at, weight in stencil.taps:
                found[at] = found[at] + weight * move(torch.ones(grid, dtype=torch.float64), at)
    if stencil.rule == ("neighbour",):
        (_, neighbour), (at, own) = found.items()
        found[at] = own + (1 - neighbour)
    return found


def move(field: Tensor, at: tuple[int, ...]) -> Tensor:
    """Returns the field whose value at i is that of `field` at i + at, and zero where that is beyond the grid; a trace can record it."""
    for axis, k in enumerate(at):
        there = torch.arange(field.shape[axis]) + k
        inside = ((there >= 0) & (there < field.shape[axis])).double()
        field = field.roll(-k, axis) * inside.view([-1 if other == axis else 1 for other in range(field.dim())])
    return field


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
