"""The functions a cell may apply, for tensors and for traced values alike.

Each states its derivative in terms of its argument and its own value, so the adjoint of a step never applies a
function twice. At a kink the derivative is the one torch uses (for relu zero at 0, and one at NaN, which so stays NaN).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Function:
    """An elementwise function y = f(v).

    `tensor` evaluates it, `derivative(v, y)` is dy/dv, and `sympy` is the name SymPy knows it by.
    """

    name: str
    tensor: Callable[[Tensor], Tensor]
    derivative: Callable[[Any, Any], Any]

    def __call__(self, v: Any) -> Any:
        if isinstance(v, (int, float)):
            return self.tensor(torch.tensor(float(v), dtype=torch.float64)).item()
        return self.tensor(v) if isinstance(v, Tensor) else v.apply(self)


positive = Function("positive", lambda v: (~(v <= 0)).to(v.dtype), lambda v, y: 0.0)
relu = Function("relu", torch.relu, lambda v, y: positive(y))
sigmoid = Function("sigmoid", torch.sigmoid, lambda v, y: y * (1 - y))
tanh = Function("tanh", torch.tanh, lambda v, y: 1 - y * y)

FUNCTIONS = {f.name: f for f in (positive, relu, sigmoid, tanh)}
