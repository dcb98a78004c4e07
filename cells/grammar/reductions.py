"""Sums over the units of a value, whole or head by head, and what is made of them: `layer_norm(v)`, `softmax(v, heads=4)`.

Each unit of a head reads the same result. So the gradient of a sum is the sum of the gradients, and a step with sums stays a function of
one row that `kernels.derive` differentiates and splits. With several values the units of all are taken together, as Ba et al. (2016,
1607.06450) normalise all gates at once: `i, f = layer_norm(i, f)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cells.grammar.elementwise import exp, maximum, sqrt, where
from cells.grammar.errors import CellError

KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda v: v.sum(-1, keepdim=True),
    "mean": lambda v: v.mean(-1, keepdim=True),
    "max": lambda v: v.detach().amax(-1, keepdim=True),
}
"""The sums by name. A maximum has no derivative here: it only scales what does not depend on it."""


@dataclass(frozen=True)
class Reduction:
    """A sum, mean or maximum over the units of each head, which all units of the head read.

    Attributes:
        kind: one of KINDS.
        heads: the number of equal parts that the units are divided into.
    """

    kind: str
    heads: int = 1

    @property
    def label(self) -> str:
        """Returns a name that tells it from other reductions."""
        return f"unit_{self.kind}{self.heads}"

    def __call__(self, v: Any) -> Any:
        if hasattr(v, "reduce"):
            return v.reduce(self)
        if not isinstance(v, Tensor) or not v.dim():
            raise CellError(f"{self.kind} takes values with units, not {v!r}")
        if self.heads == 1:
            return KINDS[self.kind](v)
        if v.shape[-1] % self.heads:
            raise CellError(f"the {self.heads} heads of {self.kind} share the units: their number must be a multiple of {self.heads}, "
                            f"not {v.shape[-1]}")  # fmt: skip
        parts = v.split(v.shape[-1] // self.heads, -1)
        return torch.cat([KINDS[self.kind](part).expand_as(part) for part in parts], -1)


def reduce(kind: str, heads: Any, *values: Any) -> Any:
    """Returns a reduction over the units of all values together."""
    if not isinstance(heads, int) or heads < 1:
        raise CellError(f"heads is {heads!r}: it must be a whole number, at least 1")
    if not values or any(isinstance(v, (list, tuple, bool, str)) for v in values):
        raise CellError(f"{kind} takes one or several values, {kind}(a, b), not {'none' if not values else 'a list of them'}")
    total = values[0]
    for v in values[1:]:
        total = maximum(total, v) if kind == "max" else total + v
    found = Reduction(kind, heads)(total)
    return found / len(values) if kind == "mean" and len(values) > 1 else found


def mean(*values: Any, heads: int = 1) -> Any:
    """Returns the mean over the units of the values, in each head."""
    return reduce("mean", heads, *values)


def sum(*values: Any, heads: int = 1) -> Any:
    """Returns the sum over the units of the values, in each head."""
    return reduce("sum", heads, *values)


def norm(*values: Any, heads: int = 1) -> Any:
    """Returns the Euclidean norm over the units of the values, in each head. Its gradient at 0 is 0."""
    squares = sum(*(v * v for v in values), heads=heads)
    return where(squares <= 0, 0.0, sqrt(where(squares <= 0, 1.0, squares)))


def softmax(*values: Any, heads: int = 1) -> Any:
    """Returns for each value the exponentials of its units, divided by their sum over the units of all values, in each head."""
    largest = reduce("max", heads, *values)
    powers = [exp(v - largest) for v in values]
    total = sum(*powers, heads=heads)
    return unpack([power / total for power in powers])


def layer_norm(*values: Any, heads: int = 1, eps: float = 1e-5) -> Any:
    """Returns for each value (v - mean) / √(variance + eps), over the units of all values, in each head. It has no parameters:
    `p.g * layer_norm(v) + b.g` scales and moves it."""
    middle = mean(*values, heads=heads)
    return rms_norm(*(v - middle for v in values), heads=heads, eps=eps)


def rms_norm(*values: Any, heads: int = 1, eps: float = 1e-5) -> Any:
    """Returns for each value v / √(mean of squares + eps), over the units of all values, in each head."""
    size = sqrt(mean(*(v * v for v in values), heads=heads) + eps)
    return unpack([v / size for v in values])


def unpack(values: list[Any]) -> Any:
    """Returns the only value, or all of several."""
    return values[0] if len(values) == 1 else tuple(values)
