"""The functions that a cell may apply, to tensors and to traced values.

The derivatives of a function are expressions of its arguments and its value, so the adjoint of a step evaluates no function twice. At a
kink the derivative is that of torch: 0 for relu at 0 (and 1 at NaN, so that NaN stays NaN), 0 for abs at 0, 0 for the hard functions at
both ends, and one half for each argument of maximum or minimum if both are equal.

`where(h > 0, a, b)` selects a if the comparison holds, else b. Comparisons by <, <=, > and >= are only for `where`. Both a and b are
computed everywhere: an infinite value in the one that is not selected makes the gradient NaN, as in torch.

`prev(x)` is the input of the step before. It is 0 in the first step of a call, even if the call continues from the states of another one.
"""

import difflib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
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
exp = Function("exp", torch.exp, lambda v, y: (y,))
hard_sigmoid = Function("hard_sigmoid", lambda v: F.relu6(v + 3) / 6, lambda v, y: (where(abs(v) < 3, 1.0, 0.0) / 6,), has_kink=True)
hard_tanh = Function("hard_tanh", F.hardtanh, lambda v, y: (where(abs(v) < 1, 1.0, 0.0),), has_kink=True)
log = Function("log", torch.log, lambda v, y: (1 / v,))
maximum = Function("maximum", torch.maximum, lambda a, b, y: _split_at_tie(a > b, b > a), has_kink=True)
minimum = Function("minimum", torch.minimum, lambda a, b, y: _split_at_tie(a < b, b < a), has_kink=True)
relu = Function("relu", torch.relu, lambda v, y: (positive(y),), has_kink=True)
sigmoid = Function("sigmoid", torch.sigmoid, lambda v, y: (y * (1 - y),))
softplus = Function("softplus", _softplus, lambda v, y: (sigmoid(v),))
sqrt = Function("sqrt", torch.sqrt, lambda v, y: (0.5 / y,))
tanh = Function("tanh", torch.tanh, lambda v, y: (1 - y * y,))


def silu(v: Any) -> Any:
    """Returns v σ(v), also called swish."""
    return v * sigmoid(v)


class _Step(threading.local):
    """The input of the step that runs in this thread, and the input of the step before, None for 0."""

    now: Any = None
    before: Any = None


_step = _Step()


@contextmanager
def set_step_input(x: Any, before: Any) -> Iterator[None]:
    """Sets the input `x` of the step that runs inside the context, and its prev(x), `before`: a value, a `partial` that computes it,
    or None for the default."""
    outer = _step.now, _step.before
    _step.now, _step.before = x, before
    try:
        yield
    finally:
        _step.now, _step.before = outer


def prev(x: Any) -> Any:
    """Returns the input of the step before, 0 in the first step.

    Raises:
        CellError: the argument is not the cell's x.
    """
    if x is not _step.now:
        raise CellError("prev takes x, the input, and nothing else: to keep another value for a step, make it a state")
    if _step.before is not None:
        return _step.before() if isinstance(_step.before, partial) else _step.before
    return x.previous_input() if hasattr(x, "previous_input") else torch.zeros_like(x)


FUNCTIONS = {
    f.name: f
    for f in (
        abs, at_most, exp, hard_sigmoid, hard_tanh, less, log, maximum, minimum, positive, relu, sigmoid, softplus, sqrt, tanh, where,
    )
}  # fmt: skip

FUNCTION_NAMES = ", ".join(sorted(FUNCTIONS.keys() - {"at_most", "less", "positive"} | {"prev", "silu"}))
"""The names of the functions for error messages, without those that only derivatives and comparisons use."""

UNIT_BY_UNIT = (
    "a cell is written for one unit of one sequence, so it has no dimension to index, reshape, or take a mean, sum or norm over: only a "
    "matrix combines units, as W.name(h), which can learn a mean"
)
COMBINING = {
    "mean", "sum", "norm", "var", "std", "max", "min", "amax", "amin", "prod", "argmax", "softmax", "log_softmax", "cumsum",
    "layer_norm", "dropout", "shape", "size", "view", "reshape", "T", "mT", "t", "dim", "ndim", "transpose", "permute", "chunk",
    "split", "cat", "stack", "unsqueeze", "squeeze", "flatten", "expand", "roll", "flip", "item", "tolist", "numpy", "dot", "numel",
}  # fmt: skip
"""Methods and functions of torch that have no meaning for one unit."""

INSTEAD = {
    **dict.fromkeys(("clamp", "clip"), "minimum(maximum(v, low), high)"), **dict.fromkeys(("pow", "square"), "v ** 2"),
    **dict.fromkeys(("matmul", "mm", "linear"), "W.name(v)"), "reciprocal": "1 / v", "rsqrt": "1 / sqrt(v)",
}  # fmt: skip
"""Replacements for other methods and functions of torch."""


def suggest(name: str) -> str:
    """Returns what to write instead of a method or function of torch of that name."""
    if name in COMBINING:
        return UNIT_BY_UNIT
    near = difflib.get_close_matches(name, FUNCTION_NAMES.split(", "), 1, 0.75)
    if near or name in INSTEAD:
        return f"write {INSTEAD.get(name) or near[0] + '(v), from cells.grammar.functions'}"
    return f"the functions of cells.grammar.functions are {FUNCTION_NAMES}"
