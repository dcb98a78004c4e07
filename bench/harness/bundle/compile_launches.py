"""A run without a GPU: everything happens as in a call, on the CPU's memory, but a kernel is compiled where it would be launched.

So a kernel gets the key that it has in a real call: its arguments are made by the code that makes them there.
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
from kernels.derive.plan import plan
from kernels.layer.input_products import apply
from kernels.schedules import compile_for
from kernels.schedules.interface import ForwardResult, PassInputs
from kernels.schedules.persistent import persistent
from kernels.schedules.persistent.launch import Launch
from kernels.schedules.persistent.tiling import Tiles
from kernels.schedules.scan import scan
from kernels.schedules.stepwise import stepwise

T = 3
"""Steps of a rehearsal: a first one, one within, and a last one. No kernel is compiled for a length."""

CHUNKS = (1, 2)
"""Into how many chunks `scan` cuts time: not at all, or into some, which is all that its kernels are compiled for."""


@contextmanager
def compile_only(capability: int) -> Iterator[list[Any]]:
    """Within, every launch compiles its kernel for a GPU of `capability` and is left out. The list gets the kernels."""
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
    """Within, `scan` cuts time into so many chunks where it can cut it."""
    before = scan.count_chunks
    scan.count_chunks = lambda plan, *_: count if is_affine(plan.step) and len(list_read_states(plan)) <= scan.MAX_STATES else 1
    try:
        yield
    finally:
        scan.count_chunks = before


def rehearse(work: KernelWork, capability: int) -> list[Any]:
    """The kernels of a piece of work, compiled."""
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
    """The tensors that the forward pass of `persistent` would leave."""
    assert tiles is not None
    return Launch(loop, tiles).allocate_result()


def compile_training(work: KernelWork, schedule: Any, backward: bool = True) -> None:
    """One call that keeps what a backward pass needs, and that pass."""
    y, final = unroll(work, schedule, learn=True)
    if backward:
        torch.autograd.backward([y, *final], [torch.zeros_like(t) for t in (y, *final)])


def compile_inference(work: KernelWork, schedule: Any) -> None:
    with torch.no_grad():
        unroll(work, schedule, learn=False)


def unroll(work: KernelWork, schedule: Any, learn: bool) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """One layer over a sequence, as `kernels.RNN` calls it."""
    cell, dtype = cells.load(work.cell), DTYPES[work.dtype]
    weights = {name: torch.zeros(shape, dtype=dtype, requires_grad=learn) for name, shape in cell.shapes(work.H, work.H).items()}
    x, states = torch.zeros(T, work.B, work.H, dtype=dtype), [torch.zeros(work.B, work.H, dtype=dtype) for _ in cell.states]
    return apply(plan(cell), schedule, x, states, weights)
