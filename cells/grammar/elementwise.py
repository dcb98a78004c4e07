"""The elementwise functions of a cell, of tensors and of traced values.

The derivatives of a function are expressions of its arguments and its value, so the adjoint of a step evaluates no function twice. At a
kink the derivative is that of torch: 0 for relu at 0 (and 1 at NaN, so that NaN stays NaN), 0 for abs at 0, 0 for the hard functions at
both ends, one half for each argument of maximum or minimum if both are equal, and 1 for clamp at a bound.
"""

import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cells.grammar.errors import CellError


@dataclass(frozen=True)
class Function:
    """An elementwise function y = f(v, …).

    Attributes:
        tensor: evaluates it on tensors.
        partials: (v, …, y) → the partial derivative by each argument.
        has_kink: whether a derivative is discontinuous, so that rounding of an argument may change it by more than rounding.
        gradients: (d, v, …, y) → the gradient by each argument from that of y. Default: the product of d and the partial derivative
    """

    name: str
    tensor: Callable[..., Tensor]
    partials: Callable[..., tuple[Any, ...]]
    has_kink: bool = False
    gradients: Callable[..., tuple[Any, ...]] | None = None

    @cached_property
    def arity(self) -> int:
        """Returns the number of arguments."""
        return len(inspect.signature(self.partials).parameters) - 1

    def vjp(self, d: Any, *values: Any) -> tuple[Any, ...]:
        """Returns the gradient of each argument from that of the value, given the arguments and the value."""
        return self.gradients(d, *values) if self.gradients else tuple(d * partial for partial in self.partials(*values))

    def __call__(self, *values: Any) -> Any:
        if len(values) != self.arity:
            raise CellError(f"{self.name} takes {self.arity} value{'s' * (self.arity > 1)}, not {len(values)}")
        traced = next((v for v in values if hasattr(v, "apply")), None)
        strange = next((v for v in values if not isinstance(v, (int, float, Tensor, type(traced)))), None)
        if strange is not None:
            hint = getattr(strange, "error_hint", ": apply the matrix first, W.name(h)" if callable(strange) else "")
            raise CellError(f"{self.name} takes values, not a {type(strange).__name__}{hint}")
        if traced is not None:
            return traced.apply(self, *values)
        tensors = [v if isinstance(v, Tensor) else torch.full((), float(v), dtype=torch.float64) for v in values]
        result = self.tensor(*tensors)
        return result if any(isinstance(v, Tensor) for v in values) else result.item()


def in_onnx_export() -> bool:
    """Returns whether torch.onnx.export runs, without importing it."""
    if torch.compiler.is_dynamo_compiling():
        return False  # Dynamo can't trace the question; what it records is asked again as it becomes ONNX
    asked = getattr(sys.modules.get("torch.onnx"), "is_in_onnx_export", None)
    return asked is not None and asked()


def _softplus(v: Tensor) -> Tensor:
    """Computes log(1 + exp(v)) without overflow, where F.softplus takes v for it above 20. ONNX has an operator for F.softplus alone."""
    return F.softplus(v) if in_onnx_export() else torch.logaddexp(v, v.new_zeros(()))


def _split_at_tie(first: Any, second: Any) -> tuple[Any, Any]:
    """Returns the derivatives of a function that equals its first argument if `first`, else its second if `second`, else both."""
    return where(first, 1.0, where(second, 0.0, 0.5)), where(second, 1.0, where(first, 0.0, 0.5))


less = Function("less", lambda a, b: (a < b).to(torch.result_type(a, b)), lambda a, b, y: (0.0, 0.0))
at_most = Function("at_most", lambda a, b: (a <= b).to(torch.result_type(a, b)), lambda a, b, y: (0.0, 0.0))
where: Function = Function(
    "where", lambda c, a, b: torch.where(c if c.dtype == torch.bool else c != 0, a, b),
    lambda c, a, b, y: (0.0, where(c, 1.0, 0.0), where(c, 0.0, 1.0)), has_kink=True,
    gradients=lambda d, c, a, b, y: (0.0, where(c, d, 0.0), where(c, 0.0, d)),  # no product with 0: d may not be finite
)  # fmt: skip
positive = Function("positive", lambda v: (~(v <= 0)).to(v.dtype), lambda v, y: (0.0,))

abs = Function("abs", torch.abs, lambda v, y: (where(v > 0, 1.0, where(v < 0, -1.0, 0.0)),), has_kink=True)
cos: Function = Function("cos", torch.cos, lambda v, y: (-sin(v),))
erf = Function("erf", torch.erf, lambda v, y: (2 / math.sqrt(math.pi) * exp(-(v * v)),))
exp: Function = Function("exp", torch.exp, lambda v, y: (y,))
floor = Function("floor", torch.floor, lambda v, y: (0.0,), has_kink=True)
hard_sigmoid = Function("hard_sigmoid", lambda v: F.relu6(v + 3) / 6, lambda v, y: (where(abs(v) < 3, 1.0, 0.0) / 6,), has_kink=True)
hard_tanh = Function("hard_tanh", F.hardtanh, lambda v, y: (where(abs(v) < 1, 1.0, 0.0),), has_kink=True)
log = Function("log", torch.log, lambda v, y: (1 / v,))
maximum = Function("maximum", torch.maximum, lambda a, b, y: _split_at_tie(a > b, b > a), has_kink=True)
minimum = Function("minimum", torch.minimum, lambda a, b, y: _split_at_tie(a < b, b < a), has_kink=True)
power: Function = Function(
    "power", lambda a, b: torch.where(a < 0, math.nan, a) ** b,
    lambda a, b, y: (b * power(a, b - 1), where(abs(a) <= 0, 0.0, y * log(a))),
)  # fmt: skip
relu = Function("relu", torch.relu, lambda v, y: (positive(y),), has_kink=True)
sigmoid = Function("sigmoid", torch.sigmoid, lambda v, y: (y * (1 - y),))
sin: Function = Function("sin", torch.sin, lambda v, y: (cos(v),))
softplus = Function("softplus", _softplus, lambda v, y: (sigmoid(v),))
sqrt = Function("sqrt", torch.sqrt, lambda v, y: (0.5 / y,))
tanh = Function("tanh", torch.tanh, lambda v, y: (1 - y * y,))


def silu(v: Any) -> Any:
    """Returns v σ(v), also called swish."""
    return v * sigmoid(v)


def gelu(v: Any) -> Any:
    """Returns v Φ(v), by the distribution function Φ of N(0, 1) and not by an approximation of it."""
    return v * (0.5 * (1 + erf(v / math.sqrt(2))))


def clamp(v: Any, low: Any = None, high: Any = None) -> Any:
    """Returns v, at least `low` and at most `high`; a bound that is None is left out.

    Raises:
        CellError: low is a number above the number high.
    """
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
        raise CellError(f"clamp has low {low} above high {high}: write clamp(v, low, high)")
    above = v if low is None else where(less(v, low), low, v)
    return above if high is None else where(less(high, v), high, above)


FUNCTIONS = {
    f.name: f
    for f in (
        abs, at_most, cos, erf, exp, floor, hard_sigmoid, hard_tanh, less, log, maximum, minimum, positive, power, relu, sigmoid, sin,
        softplus, sqrt, tanh, where,
    )
}  # fmt: skip
