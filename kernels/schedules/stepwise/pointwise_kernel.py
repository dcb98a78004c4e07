"""The Triton kernel that runs any function F of the rows of any plan. Each input of F is a sum of loads, and any input or output of F can
be stored. `kernels.derive.adjoint` prints F. An elementwise F runs on blocks of elements, one with sums over units on a row a program.
"""

import hashlib
import linecache
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from kernels.derive.adjoint import TRITON, print_source
from kernels.derive.plan_types import Pointwise
from kernels.schedules import triton_functions, triton_math

BLOCK = 256


@triton.jit(do_not_specialize=["t", "B"])
def kernel(
    F: tl.constexpr, N: tl.constexpr, loads, LOAD_INPUT: tl.constexpr, LOAD_STRIDE: tl.constexpr, stores, STORE_INPUT: tl.constexpr,
    STORE_STRIDE: tl.constexpr, STORE_ADD: tl.constexpr, t, B, H: tl.constexpr, BLOCK: tl.constexpr, ROWWISE: tl.constexpr,
):  # fmt: skip
    # One element of (B, H) per lane. With ROWWISE a program has one row, which BLOCK covers, and F takes the units' indices and H as well.
    # loads[j] is added to input LOAD_INPUT[j]. Value STORE_INPUT[j], an input or behind them an output, is stored in stores[j], or added to
    # it with STORE_ADD[j]. LOAD_STRIDE[j] and STORE_STRIDE[j]: (row stride, time), where time is 0 without a time axis, 1 for t and -1 for
    # t - 1.
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, column = n // H, n % H
    inside = row < B
    if ROWWISE:
        row, column = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
        inside = column < H
    values = ()
    for k in tl.static_range(N):
        value = tl.zeros([BLOCK], tl.float32)
        for j in tl.static_range(len(LOAD_INPUT)):
            if LOAD_INPUT[j] == k:
                at = row
                if LOAD_STRIDE[j][1] == 1:
                    at = row + t.to(tl.int64) * B
                if LOAD_STRIDE[j][1] == -1:
                    at = row + (t.to(tl.int64) - 1) * B
                value += tl.load(loads[j] + at * LOAD_STRIDE[j][0] + column, mask=inside, other=0.0).to(tl.float32)
        values = values + (value,)  # type: ignore[assignment]
    if ROWWISE:
        values = values + F(*values, column, H)
    else:
        values = values + F(*values)
    for j in tl.static_range(len(STORE_INPUT)):
        at = row
        if STORE_STRIDE[j][1] == 1:
            at = row + t.to(tl.int64) * B
        place = stores[j] + at * STORE_STRIDE[j][0] + column
        value = values[STORE_INPUT[j]]
        if STORE_ADD[j]:
            value += tl.load(place, mask=inside, other=0.0).to(tl.float32)
        tl.store(place, value, mask=inside)


@dataclass(frozen=True)
class Operand:
    """A tensor and how the kernel addresses it.

    Attributes:
        tensor: (…, B, H), or (H).
        width: the row stride in units of H; 0 for one row that all sequences share.
        time: 1 for time step t, -1 for t - 1, 0 without a time axis.
    """

    tensor: Tensor
    width: int = 1
    time: int = 0


@cache
def jit_function(f: Pointwise) -> Any:
    """Compiles a pointwise function as a `triton.jit` function. Its source is registered with `linecache`, where Triton reads it."""
    text = print_source(f, TRITON)
    name = f"{f.name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"  # Triton tells functions apart by name
    text = text.replace(f"def {f.name}(", f"def {name}(")
    linecache.cache[f"<{name}>"] = (len(text), None, text.splitlines(keepends=True), f"<{name}>")
    scope = {**vars(triton_functions), **vars(triton_math), "__name__": __name__}
    exec(compile(text, f"<{name}>", "exec"), scope)
    return scope[name]


Load = tuple[int, Operand]
Store = tuple[int, Operand, bool]


def launch(f: Pointwise, loads: Sequence[Load], stores: Sequence[Store], t: int, B: int, H: int) -> None:
    """Runs a pointwise function on (B, H) elements at time step t.

    Args:
        f: the function.
        loads: (index of an input of f, operand); an input is the sum of its loads.
        stores: (index of a value, operand, add): values are the inputs of f, then its outputs. With `add` the value is added to the
            operand.
    """
    arguments = kernel_arguments(f, loads, stores, t, B, H)
    options = {"num_warps": min(16, max(4, triton.next_power_of_2(H) // BLOCK))} if f.reductions else {}
    kernel[(B if f.reductions else triton.cdiv(B * H, BLOCK),)](*arguments, enable_fp_fusion=True, **options)


def kernel_arguments(f: Pointwise, loads: Sequence[Load], stores: Sequence[Store], t: int, B: int, H: int) -> tuple[Any, ...]:
    """Returns the arguments of `kernel` for `launch`."""
    return (
        jit_function(f), len(f.inputs),
        tuple(o.tensor for _, o in loads), tuple(k for k, _ in loads), tuple((o.width * H, o.time) for _, o in loads),
        tuple(o.tensor for _, o, _ in stores), tuple(k for k, _, _ in stores),
        tuple((o.width * H, o.time) for _, o, _ in stores), tuple(add for _, _, add in stores),
        t, B, H, triton.next_power_of_2(H) if f.reductions else BLOCK, bool(f.reductions),
    )  # fmt: skip
