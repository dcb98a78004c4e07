"""The trainable parameters of a cell, as its function reads them: `W.name(v)`, `W.name.T(v)`, `b.name`, `p.name`, `s.name`."""

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from cells.grammar.errors import CellError

LETTERS = ("W", "b", "p", "s")
"""The kinds of parameters: matrices, biases, vectors that `bias=False` doesn't remove, scalars."""


class Matrix:
    """A trainable matrix: `W.name(v)` applies it, and `W.name.T(v)` applies it transposed.

    Args:
        apply: applies the parameter of a name in the equations, "name" or "name.T", to a value.
        name: the name.
    """

    def __init__(self, apply: Callable[[str, Any], Any], name: str):
        self._apply, self._name = apply, name

    @property
    def T(self) -> "Matrix":
        """Returns the same matrix transposed."""
        return Matrix(self._apply, transpose_name(self._name))

    error_hint = ": apply the matrix first, W.name(h)"

    def __call__(self, *values: Any) -> Any:
        if len(values) != 1:
            raise CellError(f"W.{self._name} takes 1 value, not {len(values)}: add the products, W.{self._name}(h) + W.other(c)")
        return self._apply(self._name, *values)


class Parameters:
    """`W`, `b`, `p` or `s` inside a cell: one attribute for each parameter of that kind. `read` returns it by name."""

    def __init__(self, read: Callable[[str], Any]):
        object.__setattr__(self, "_read", read)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.startswith("_") or not name.isidentifier():
            raise CellError(f"a parameter's name must be one word that begins with a letter, not {name}")
        return self._read(name)

    def __call__(self, *_: Any) -> NoReturn:
        raise CellError("a parameter needs a name: W.name(v) applies a matrix, b.name is a vector")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise CellError(f"a cell can't assign to a parameter: set its initial value with @cell(init={{'b.{name}': 0.5}})")

    __getitem__ = __call__


def transpose_name(name: str) -> str:
    """Returns the name of a matrix transposed: "uh.T" for "uh", and "uh" for "uh.T"."""
    return name.removesuffix(".T") if name.endswith(".T") else f"{name}.T"


class ByName(Protocol):
    """Parameters by their names in the equations."""

    def __getitem__(self, name: str, /) -> Tensor: ...


def find_matrix(parameters: ByName, name: str) -> Tensor:
    """Returns the matrix "W.uh" or, for "W.uh.T", a view of it transposed; one with heads is transposed block by block."""
    return parameters[name.removesuffix(".T")].transpose(-2, -1) if name.endswith(".T") else parameters[name]


def apply_matrix(weight: Tensor, v: Tensor) -> Tensor:
    """Multiplies the last dimension of `v` by a matrix (H, K), or by a block-diagonal one given as its blocks (heads, n, n)."""
    if weight.dim() == 2:
        return F.linear(v, weight)
    return torch.einsum("hij,...hj->...hi", weight, v.unflatten(-1, weight.shape[:2])).flatten(-2)
