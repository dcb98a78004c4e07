"""Compiles kernels without a GPU: a layer is called with tensors on the CPU, and every launch compiles its kernel instead of running it.

The same code makes the arguments as in a real call, so a kernel gets the same cache key.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from triton.runtime.jit import JITFunction

import cells
from bench.harness.bundle.kernel_list import KernelWork
from bench.measure.problem import DTYPES
from bench.measure.torch_flags import set_precision
from kernels.derive.adjoint import is_affine, list_read_states
from kernels.derive.plan import Plan, plan
from kernels.layer.input_products import apply
from kernels.schedules import compile_for
from kernels.schedules.interface import ForwardResult, PassInputs
from kernels.schedules.persistent import persistent
from kernels.schedules.persistent.launch import Launch
from kernels.schedules.persistent.tiling import Tiles
from kernels.schedules.scan import scan
from kernels.schedules.stepwise import stepwise

T = 3
"""The time steps of a call: a first, an inner and a last one. No kernel depends on the length."""

CHUNKS = (1, 2)
"""The numbers of chunks that `scan` divides time into: one, or several. Its kernels depend on no more than that."""


@contextmanager
def compile_only(capability: int) -> Iterator[list[Any]]:
    """Compiles kernels instead of launching them while the context lasts.

    Args:
        capability: The compute capability of the GPU to compile for.

    Yields:
        The list that receives the compiled kernels.
    """
    made: list[Any] = []
    launch = JITFunction.run

    def compile(self: Any, *arguments: Any, **options: Any) -> Any:
        made.append(launch(self, *arguments, **(options | {"warmup": True})))
        return made[-1]

    JITFunction.run = compile
    try:
        with compile_for.target_device(capability):
            yield made
    finally:
        JITFunction.run = launch


@contextmanager
def set_chunk(count: int) -> Iterator[None]:
    """Sets the number of chunks that `scan` divides time into, for cells it can divide, while the context lasts."""
    before = scan.count_chunks

    def count_chunks(plan: Plan, T: int, elements: int, device: torch.device, backward: bool) -> int:
        return count if (backward or is_affine(plan.step)) and len(list_read_states(plan)) <= scan.MAX_STATES else 1

    scan.count_chunks = count_chunks
    try:
        yield
    finally:
        scan.count_chunks = before


def compile_kernels(work: KernelWork, capability: int) -> list[Any]:
    """Compiles the kernels of a piece of work and returns them.

    Args:
        work: The piece of work.
        capability: The compute capability of the GPU to compile for.
    """
    set_precision("tf32" if work.tf32 else "ieee")
    with compile_only(capability) as made:
        if work.schedule == "stepwise":
            compile_training(work, stepwise)
            compile_inference(work, stepwise)
        elif work.schedule == "scan":
            for count in CHUNKS:
                with set_chunk(count):
                    compile_training(work, scan)
                    compile_inference(work, scan)
        elif work.direction == "forward":
            schedule = SimpleNamespace(
                COMPUTES_PROJECTIONS=persistent.COMPUTES_PROJECTIONS, forward=partial(persistent.forward, tiles=work.tiles)
            )
            compile_training(work, schedule, backward=False)
            compile_inference(work, schedule)
        else:
            forward, backward = partial(skip_launches, tiles=work.tiles), partial(persistent.backward, tiles=work.tiles)
            compile_training(
                work, SimpleNamespace(COMPUTES_PROJECTIONS=persistent.COMPUTES_PROJECTIONS, forward=forward, backward=backward)
            )
    return made


def skip_launches(loop: PassInputs, tiles: Tiles | None) -> ForwardResult:
    """Returns tensors with the shapes that the forward pass of `persistent` leaves, without running it."""
    assert tiles is not None
    return Launch(loop, tiles).allocate_result()


def compile_training(work: KernelWork, schedule: Any, backward: bool = True) -> None:
    """Compiles a forward pass that saves what a backward pass needs and, with `backward`, the backward pass."""
    y, final = unroll(work, schedule, learn=True)
    if backward:
        torch.autograd.backward([y, *final], [torch.zeros_like(t) for t in (y, *final)])


def compile_inference(work: KernelWork, schedule: Any) -> None:
    """Compiles a forward pass without gradients."""
    with torch.no_grad():
        unroll(work, schedule, learn=False)


def unroll(work: KernelWork, schedule: Any, learn: bool) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Runs one layer over a sequence of zeros, as `kernels.RNN` does."""
    cell, dtype = cells.load(work.cell), DTYPES[work.dtype]
    weights = {name: torch.zeros(shape, dtype=dtype, requires_grad=learn) for name, shape in cell.shapes(work.H, work.H).items()}
    x, states = torch.zeros(T, work.B, work.H, dtype=dtype), [torch.zeros(work.B, work.H, dtype=dtype) for _ in cell.states]
    return apply(plan(cell), schedule, x, states, weights)
