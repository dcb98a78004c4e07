"""One Triton kernel for every pointwise function of every plan: F's inputs are sums of what is loaded, and any of its
inputs or outputs can be stored. The functions themselves are printed by `kernels.derive.adjoint`.
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
from kernels.schedules import triton_functions

BLOCK = 256


@triton.jit(do_not_specialize=["t", "B"])
def kernel(
    F: tl.constexpr, N: tl.constexpr, loads, LOAD_INPUT: tl.constexpr, LOAD_STRIDE: tl.constexpr, stores, STORE_INPUT: tl.constexpr,
    STORE_STRIDE: tl.constexpr, STORE_ADD: tl.constexpr, t, B, H: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # One element of (B, H) per lane. FROM[j] and TO[j]: (row stride, time: 0 none, 1 at t, -1 at t - 1).
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, column = n // H, n % H
    inside = row < B
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
    """A tensor as the kernel addresses it: rows of B, `width`·H elements apart (0: one row for all), at time `time`."""

    tensor: Tensor
    width: int = 1
    time: int = 0


@cache
def jit_function(f: Pointwise) -> Any:
    """`f` as a `triton.jit` function. Its source is registered with `linecache`, where Triton reads it."""
    text = print_source(f, TRITON)
    name = f"{f.name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"  # Triton tells functions apart by name
    text = text.replace(f"def {f.name}(", f"def {name}(")
    linecache.cache[f"<{name}>"] = (len(text), None, text.splitlines(keepends=True), f"<{name}>")
    scope = {**vars(triton_functions), "__name__": __name__}
    exec(compile(text, f"<{name}>", "exec"), scope)
    return scope[name]


Load = tuple[int, Operand]
Store = tuple[int, Operand, bool]


def launch(f: Pointwise, loads: Sequence[Load], stores: Sequence[Store], t: int, B: int, H: int) -> None:
    """Run `f` on (B, H) elements at time t.

    `loads` are (input of f, where): an input is the sum of its loads. `stores` are (value, where, add): value k is input k,
    or output k - len(f.inputs); with `add`, it is added to what is there.
    """
    kernel[(triton.cdiv(B * H, BLOCK),)](*kernel_arguments(f, loads, stores, t, B, H), enable_fp_fusion=True)


def kernel_arguments(f: Pointwise, loads: Sequence[Load], stores: Sequence[Store], t: int, B: int, H: int) -> tuple[Any, ...]:
    """What `kernel` is called with to do what `launch` says."""
    return (
        jit_function(f), len(f.inputs),
        tuple(o.tensor for _, o in loads), tuple(k for k, _ in loads), tuple((o.width * H, o.time) for _, o in loads),
        tuple(o.tensor for _, o, _ in stores), tuple(k for k, _, _ in stores),
        tuple((o.width * H, o.time) for _, o, _ in stores), tuple(add for _, _, add in stores),
        t, B, H, BLOCK,
    )  # fmt: skip
