"""The functions a cell may apply, for tensors and for traced values alike.

Each states its derivatives in terms of its arguments and its own value, so the adjoint of a step never applies a function
twice. At a kink the derivative is the one torch uses: of relu 0 at 0 (and one at NaN, which so stays NaN), of abs 0 at 0, of
the hard functions 0 at both ends, and where the arguments of maximum or minimum are equal, half for each.

`where(h > 0, a, b)` takes a where the comparison holds and b elsewhere; <, <=, > and >= compare values, for `where` alone. Both a
and b are computed everywhere: what would be infinite in the one not taken spoils the gradient, as in torch.

`prev(x)` is the input one step earlier, and 0 at the first step of a call, also where the call goes on with the states of another.
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    `tensor` evaluates it, and `partials(v, …, y)` are its derivatives, one for each argument. `kinked`: a rounding error may change
    a derivative by more than a rounding error.
    """

    name: str
    tensor: Callable[..., Tensor]
    partials: Callable[..., tuple[Any, ...]]
    kinked: bool = False

    @cached_property
    def arity(self) -> int:
        return len(inspect.signature(self.partials).parameters) - 1

    def __call__(self, *values: Any) -> Any:
        if len(values) != self.arity:
            raise CellError(f"{self.name} takes {self.arity} value{'s' * (self.arity > 1)}, not {len(values)}")
        traced = next((v for v in values if hasattr(v, "apply")), None)
        strange = next((v for v in values if not isinstance(v, (int, float, Tensor, type(traced)))), None)
        if strange is not None:
            hint = getattr(strange, "unfit", ": apply the matrix first, W.name(h)" if callable(strange) else "")
            raise CellError(f"{self.name} takes values, not a {type(strange).__name__}{hint}")
        if traced is not None:
            return traced.apply(self, *values)
        tensors = [v if isinstance(v, Tensor) else torch.tensor(float(v), dtype=torch.float64) for v in values]
        result = self.tensor(*tensors)
        return result if any(isinstance(v, Tensor) for v in values) else result.item()


def _half_at_a_tie(first: Any, second: Any) -> tuple[Any, Any]:
    """The derivatives of a function that is its first argument where `first` holds, its second where `second` does."""
    return where(first, 1.0, where(second, 0.0, 0.5)), where(second, 1.0, where(first, 0.0, 0.5))


less = Function("less", lambda a, b: (a < b).to(torch.result_type(a, b)), lambda a, b, y: (0.0, 0.0))
at_most = Function("at_most", lambda a, b: (a <= b).to(torch.result_type(a, b)), lambda a, b, y: (0.0, 0.0))
where: Function = Function(
    "where", lambda c, a, b: torch.where(c != 0, a, b), lambda c, a, b, y: (0.0, where(c, 1.0, 0.0), where(c, 0.0, 1.0)), kinked=True
)
positive = Function("positive", lambda v: (~(v <= 0)).to(v.dtype), lambda v, y: (0.0,))

abs = Function("abs", torch.abs, lambda v, y: (where(v > 0, 1.0, where(v < 0, -1.0, 0.0)),), kinked=True)
exp = Function("exp", torch.exp, lambda v, y: (y,))
hard_sigmoid = Function("hard_sigmoid", lambda v: F.relu6(v + 3) / 6, lambda v, y: (where(abs(v) < 3, 1.0, 0.0) / 6,), kinked=True)
hard_tanh = Function("hard_tanh", F.hardtanh, lambda v, y: (where(abs(v) < 1, 1.0, 0.0),), kinked=True)
log = Function("log", torch.log, lambda v, y: (1 / v,))
maximum = Function("maximum", torch.maximum, lambda a, b, y: _half_at_a_tie(a > b, b > a), kinked=True)
minimum = Function("minimum", torch.minimum, lambda a, b, y: _half_at_a_tie(a < b, b < a), kinked=True)
relu = Function("relu", torch.relu, lambda v, y: (positive(y),), kinked=True)
sigmoid = Function("sigmoid", torch.sigmoid, lambda v, y: (y * (1 - y),))
softplus = Function("softplus", lambda v: torch.logaddexp(v, v.new_zeros(())), lambda v, y: (sigmoid(v),))
sqrt = Function("sqrt", torch.sqrt, lambda v, y: (0.5 / y,))
tanh = Function("tanh", torch.tanh, lambda v, y: (1 - y * y,))


def silu(v: Any) -> Any:
    """v σ(v), also called swish."""
    return v * sigmoid(v)


class _Step(threading.local):
    """The input of the step that runs in this thread, and that of the step before, 0 if None."""

    now: Any = None
    before: Any = None


_step = _Step()


@contextmanager
def set_step_input(x: Any, before: Any) -> Iterator[None]:
    """While a step of a cell on the input `x` runs, `before` is its prev(x), 0 if None."""
    outer = _step.now, _step.before
    _step.now, _step.before = x, before
    try:
        yield
    finally:
        _step.now, _step.before = outer


def prev(x: Any) -> Any:
    """The input of the step before; 0 in the first step. Raises CellError for anything but the cell's x."""
    if x is not _step.now:
        raise CellError("prev takes x, the input, and nothing else: to keep another value for a step, make it a state")
    if hasattr(x, "before"):
        return x.before()
    return torch.zeros_like(x) if _step.before is None else _step.before


FUNCTIONS = {
    f.name: f
    for f in (
        abs, at_most, exp, hard_sigmoid, hard_tanh, less, log, maximum, minimum, positive, relu, sigmoid, softplus, sqrt, tanh, where,
    )
}  # fmt: skip

KNOWN = ", ".join(sorted(FUNCTIONS.keys() - {"at_most", "less", "positive"} | {"prev", "silu"}))
"""What a cell may apply, for messages: the others stand behind derivatives and comparisons."""
