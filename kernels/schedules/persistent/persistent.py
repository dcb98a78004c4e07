"""Runs a whole sequence in one launch, a persistent kernel: the recurrent matrices stay on chip.

`time_loop` has the kernels, `grid_barrier` the barrier between the programs of a batch tile, `tiling` the tile configurations. If one
program can hold all matrices, a batch tile has one program and no barrier. Otherwise its programs share the matrices, and all of them
must be on the device at once, or the plan is unsupported.

On an H200 (triton 3.6) the barrier takes 0.52 µs for one program, 0.88 µs for 64 and 0.93 µs for 132. Two variants without a fence were
measured there with the same tiles. Both fill the exchanged tensors with a NaN that no program stores, and read a tile again if it contains
one. The geometric mean of the ratios of their time to that of the barrier is above 1:

    variant 1 polls one element per program: 1.10 forward (28 kernels, range 0.84–1.57), 1.12 backward (14 kernels)
    variant 2 polls a relaxed counter, as a hint that a tile is complete: 1.03 forward (7 kernels), 1.16 backward (6 kernels)

Reading a tile again costs more than the fence if tiles are wide. Only LSTM H=768 B=16 forward gained, from 2.57 to 2.28 µs.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from triton.errors import TritonError
from triton.runtime import driver

from kernels.derive.buffers import layout
from kernels.derive.plan import Plan
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs
from kernels.schedules.persistent import time_loop
from kernels.schedules.persistent.launch import Launch, allows_tf32, backward_arguments, forward_arguments
from kernels.schedules.persistent.occupancy import count_resident_programs, usable_chip
from kernels.schedules.persistent.tiling import DIRECTIONS, Chip, Direction, Pass, Tiles, get_chip, next_pow2
from kernels.schedules.persistent.tuning import order_tilings

COMPUTES_PROJECTIONS = False
ATTEMPTS = 3
"""Maximum number of tile configurations that are compiled to find one without spills."""


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    """Returns None if this schedule can run a plan on a device, else a verb phrase that completes "the backend 'x' …"."""
    if not plan.stages:
        return f"keeps recurrent matrices on chip, and {plan.cell.name} has none"
    if plan.stencil_inputs:
        return f"does not support stencils, and {plan.cell.name} has one: use stepwise"
    if plan.reduces_states:
        return f"divides the units among programs, and {plan.cell.name} sums over them in the loop: use stepwise"
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"computes in float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    if device.type != "cuda" and dtype == torch.bfloat16:
        return "computes in float32 or float16 in Triton's interpreter, whose products do not support bfloat16"
    passes = [Pass(plan, direction, B, H, dtype, allows_tf32()) for direction in DIRECTIONS]
    limit = describe_limit(device)
    fits = all(can_tile(work, device) for work in passes)
    if not fits or (limit and not all(can_launch(work, usable_chip(device.index or 0)) for work in passes)):
        size = f"B={B} H={H} in {str(dtype).removeprefix('torch.')}"
        missing = f"needs more shared memory or more co-resident programs for {plan.cell.name} at {size}"
        return f"{missing} than this GPU offers{limit}: use stepwise"
    return None


def describe_limit(device: torch.device) -> str:
    """Describes the multiprocessors that this process may use of a device, "" if it may use all of them.

    With a limit, a kernel must be compiled to find out whether it can launch. Without one, every kernel that loads can launch.
    """
    if device.type != "cuda":
        return ""
    has, may = get_chip(device.index or 0).multiprocessors, usable_chip(device.index or 0).multiprocessors
    return f", of whose {has} multiprocessors this process may use {may}" if may < has else ""


def can_tile(work: Pass, device: torch.device) -> bool:
    """Returns whether any tile configuration of a pass fits the device."""
    return device.type != "cuda" or bool(order_tilings(work, usable_chip(device.index or 0)))


@cache
def can_launch(work: Pass, chip: Chip) -> bool:
    """Returns whether the driver would launch the kernel of a pass on the current device."""
    return compile_and_count_spills(work, first_without_spills(work, chip, compile_and_count_spills), False) is not None


def tiling_for(work: Pass, device: torch.device, reduced: bool = False) -> Tiles:
    """Returns the tile configuration that runs a pass on a device.

    In the interpreter, whose programs run one after another, one program holds everything.
    """
    if device.type == "cuda":
        return first_without_spills(work, usable_chip(device.index or 0), compile_and_count_spills, reduced)
    return Tiles(16, next_pow2(work.H), min(64, next_pow2(work.H)), 4)


@cache
def first_without_spills(work: Pass, chip: Chip, count_spills: Callable[[Pass, Tiles, bool], int | None], reduced: bool = False) -> Tiles:
    """Returns the best tile configuration whose compiled kernel launches without register spills.

    Only the compiler and the driver know whether it spills and launches, so up to ATTEMPTS kernels are compiled. If all of them spill,
    returns the best one that launches; if none launches, the best one, whose launch then raises the reason.

    Args:
        work: the pass.
        chip: the device.
        count_spills: `compile_and_count_spills`, or a stub.
        reduced: whether to compile the kernel without the optional tensors, see `compile_kernel`.
    """
    found = order_tilings(work, chip)
    assert found, "called for a pass that `unsupported_reason` refuses"
    launching = None
    for tiles in found[:ATTEMPTS]:
        spills = count_spills(work, tiles, reduced)
        if spills == 0:
            return tiles
        if spills is not None and launching is None:
            launching = tiles
    return launching or found[0]


def compile_and_count_spills(work: Pass, tiles: Tiles, reduced: bool) -> int | None:
    """Compiles the kernel of a pass for the current GPU and returns the registers that a thread spills.

    Returns None if it can't be compiled or loaded, or if the driver can't have all programs of a barrier on the device at once.
    """
    try:
        kernel = compile_kernel(work, tiles, reduced)
        kernel._init_handles()
        current = driver.active.get_current_device()
        if tiles.programs(work.H) > 1 and count_resident_programs(kernel, current) < tiles.grid(work.B, work.H):
            return None
    except (TritonError, RuntimeError):
        return None
    return int(kernel.n_spills)


def describe_pass(inputs: PassInputs, direction: Direction) -> Pass:
    """Returns the `Pass` that the tile configuration is chosen for."""
    _, B, H = inputs.shape
    return Pass(inputs.plan, direction, B, H, inputs.states[0].dtype, allows_tf32())


def forward(inputs: PassInputs, tiles: Tiles | None = None) -> ForwardResult:
    """Runs the forward pass in one launch. `tiles`: the tile configuration; default: `tiling_for` the pass."""
    tiles = tiles or tiling_for(describe_pass(inputs, "forward"), inputs.states[0].device, not inputs.save_for_backward)
    launch = Launch(inputs, tiles)
    result = launch.allocate_result()
    time_loop.forward[launch.grid](*forward_arguments(launch, result), **launch.options)
    return result


def backward(inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor], tiles: Tiles | None = None) -> Gradients:
    """Runs the backward pass in one launch. `tiles`: the tile configuration; default: `tiling_for` the pass."""
    tiles = tiles or tiling_for(describe_pass(inputs, "backward"), inputs.states[0].device, dy is None)
    launch = Launch(inputs, tiles)
    filled = launch.allocate_gradients()
    time_loop.backward[launch.grid](*backward_arguments(launch, result, dy, d_final, filled), **launch.options)
    return launch.finish_gradients(filled)


def random_inputs(work: Pass, T: int, device: torch.device) -> PassInputs:
    """Returns the inputs of a training pass of this size over T time steps with random contents, to compile or to time its kernels."""
    buffer_layout, H = layout(work.plan), work.H

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device).to(work.dtype)

    terms = [normal(T, work.B, G, H) for G in buffer_layout.widths]
    recurrent_only = {buffer_layout.slots[i][0] for i in buffer_layout.recurrent_only}
    hoisted = [None if k in recurrent_only else t.clone() for k, t in enumerate(terms)]
    weights = [normal(len(group.terms) * H, H) / H**0.5 for group in buffer_layout.groups]
    return PassInputs(
        work.plan, T, [], hoisted, terms, [normal(H) for _ in work.plan.vectors], weights, [normal(work.B, H) for _ in work.plan.states]
    )


def compile_kernel(work: Pass, tiles: Tiles, reduced: bool = False) -> Any:
    """Compiles the kernel of a pass without launching it, for the current GPU or the one that `compile_for.target_device` sets.

    Args:
        reduced: whether to compile the kernel without the optional tensors: a forward pass that saves nothing for a backward pass, or a
            backward pass without the gradient of the output (no dy).

    Returns:
        Triton's compiled kernel.
    """
    with torch.random.fork_rng(devices=[]):  # the first call must not advance the user's random generator
        inputs = random_inputs(work, 1, torch.device("cpu"))
    if reduced and work.direction == "forward":
        inputs.terms = []
    launch = Launch(inputs, tiles)
    result = launch.allocate_result()
    if work.direction == "forward":
        kernel, arguments = time_loop.forward, forward_arguments(launch, result)
    else:
        dy, filled = None if reduced else result.history[0], launch.allocate_gradients()
        kernel, arguments = time_loop.backward, backward_arguments(launch, result, dy, inputs.states, filled)
    return kernel.warmup(*arguments, grid=launch.grid, **launch.options)
