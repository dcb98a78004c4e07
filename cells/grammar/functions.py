"""The functions that a cell may call: elementwise functions, sums over its units, the input of the step before, and the number of the step.

`where(h > 0, a, b)` selects a if the comparison holds, else b. Comparisons by <, <=, > and >= are only for `where`. Both a and b are
computed everywhere: an infinite value in the one that is not selected makes the gradient NaN, as in torch.

`v ** p` takes any power of a positive value; of a negative one it is NaN unless p is a whole number.

`mean`, `sum`, `norm`, `softmax`, `layer_norm` and `rms_norm` combine the units of a value (`cells.grammar.reductions`). `zoneout` and
`dropout` draw a mask for its units in training (`cells.grammar.noise`).

`prev(x)` is the input of the step before. It is 0 in the first step of a call, even if the call continues from the states of another one.
`time()` is the number of the step.
"""

import difflib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cells.grammar.elementwise import (
    FUNCTIONS,
    Function,
    abs,
    at_most,
    clamp,
    cos,
    erf,
    exp,
    floor,
    gelu,
    hard_sigmoid,
    hard_tanh,
    in_onnx_export,
    less,
    log,
    maximum,
    minimum,
    positive,
    power,
    relu,
    sigmoid,
    silu,
    sin,
    softplus,
    sqrt,
    tanh,
    where,
)
from cells.grammar.errors import CellError
from cells.grammar.noise import dropout, set_columns, zoneout
from cells.grammar.reductions import layer_norm, mean, norm, rms_norm, softmax, sum

__all__ = [
    "FUNCTIONS", "FUNCTION_NAMES", "UNIT_BY_UNIT", "Function", "abs", "at_most", "clamp", "cos", "dropout", "erf", "exp", "floor", "gelu",
    "hard_sigmoid", "hard_tanh", "in_onnx_export", "layer_norm", "less", "log", "maximum", "mean", "minimum", "norm", "positive", "power",
    "prev", "relu", "rms_norm", "set_step_input", "sigmoid", "silu", "sin", "softmax", "softplus", "sqrt", "suggest", "sum", "tanh",
    "time", "where", "zoneout",
]  # fmt: skip


class _Step(threading.local):
    """The input of the step that runs in this thread, the input of the step before, None for 0, and the number of the step."""

    now: Any = None
    before: Any = None
    number: Any = None


_step = _Step()


@contextmanager
def set_step_input(x: Any, before: Any, number: Any = None, draws_masks: bool = False) -> Iterator[None]:
    """Sets what a step reads beside its states and parameters.

    Args:
        x: its input.
        before: its prev(x): a value, a `partial` that computes it, or None for the default.
        number: its time(), behind the columns of its masks. Default: that of the step around it
        draws_masks: whether zoneout and dropout read their masks there.
    """
    outer = _step.now, _step.before, _step.number
    _step.now, _step.before, _step.number = x, before, outer[2] if number is None else number
    columns = set_columns(_step.number if draws_masks else None)
    try:
        yield
    finally:
        _step.now, _step.before, _step.number = outer
        set_columns(*columns)


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


def time() -> Any:
    """Returns the number of the step, a float: 0 in the first step of a sequence, or `start` where `RNN` is given one.

    Raises:
        CellError: a cell is called by itself without the number of the step.
    """
    if _step.number is None:
        raise CellError("time() is the number of a step, and this one has none: run the cell by RNN or Cell.unroll")
    return _step.number[..., -1:] if isinstance(_step.number, Tensor) else _step.number


FUNCTION_NAMES = ", ".join(
    sorted(
        FUNCTIONS.keys() - {"at_most", "less", "positive", "power"}
        | {"clamp", "dropout", "gelu", "layer_norm", "mean", "norm", "prev", "rms_norm", "silu", "softmax", "sum", "time", "zoneout"}
    )
)
"""The names of the functions for error messages, without those that operators and derivatives stand for."""

UNIT_BY_UNIT = (
    "a cell is written for one unit of one sequence, so it has no dimension to index, reshape or split: a matrix combines units, "
    "W.name(h), and so do mean, sum, norm, softmax, layer_norm and rms_norm, as in mean(h, heads=4)"
)
COMBINING = {
    "max", "min", "amax", "amin", "prod", "argmax", "cumsum", "shape", "size", "view", "reshape", "T", "mT", "t", "dim",
    "ndim", "transpose", "permute", "chunk", "split", "cat", "stack", "unsqueeze", "squeeze", "flatten", "expand", "roll", "flip",
    "item", "tolist", "numpy", "dot", "numel",
}  # fmt: skip
"""Methods and functions of torch that have no meaning for one unit."""

INSTEAD = {
    **dict.fromkeys(("clip", "clamp_"), "clamp(v, low, high)"), **dict.fromkeys(("pow", "square"), "v ** 2"),
    **dict.fromkeys(("matmul", "mm", "linear"), "W.name(v)"), "reciprocal": "1 / v", "rsqrt": "1 / sqrt(v)",
    **dict.fromkeys(("fmod", "remainder"), "v - p * floor(v / p)"), "frac": "v - floor(v)",
    "var": "mean((v - mean(v)) ** 2)", "std": "sqrt(mean((v - mean(v)) ** 2))", "log_softmax": "v - log(sum(exp(v)))",
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
