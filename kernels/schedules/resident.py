"""The whole sequence in one launch: the recurrent matrices stay on chip. See `sequence` for the kernels, `barrier` for how the
programs of a batch tile meet.

Plans of one stage whose products are of states. Where one program can hold all matrices, a batch tile has one program and no
barrier; elsewhere its programs share them out, and all of them must be on the device at once, or the plan is unsupported.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from kernels.derive import adjoint
from kernels.loop import Gradients, Loop, Trajectory
from kernels.plan import Plan
from kernels.schedules import sequence
from kernels.schedules.barrier import LINE
from kernels.schedules.elementwise import function

FEEDS = False
ROOM = 200 * 1024
"""Bytes of shared memory that the matrices may take of a multiprocessor: an H100 or H200 has 227 KiB for a block."""


@dataclass(frozen=True)
class Tiles:
    """BB sequences and BN units to a program, tiles of BK in the products; `grid` programs in all."""

    BB: int
    BN: int
    BK: int
    warps: int
    programs: int
    grid: int


def unsupported(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    if len(plan.stages) != 1 or plan.stages[0].argument:
        return f"runs plans with one stage of products, {plan.cell.name} has {len(plan.stages)}"
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"computes in float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    if device.type != "cuda" and dtype == torch.bfloat16:
        return "computes in float32 or float16 in Triton's interpreter, whose products know no bfloat16"
    if fit(plan, B, H, dtype, device) is None:
        return f"{plan.cell.name} at B={B} H={H} in {str(dtype).removeprefix('torch.')} doesn't fit this device at once: use stepwise"
    return None


def tiles(plan: Plan, B: int, H: int, width: int, multiprocessors: int, room: int) -> Tiles | None:
    """The largest slice of units whose matrices fit in `room` bytes, and the smallest batch tile with which all programs fit
    the device at once; None if nothing does. `width` is bytes of an element. Fewer programs to a tile read the state fewer
    times."""
    whole = max(16, triton.next_power_of_2(H))
    for BN in (whole, 128, 64, 32, 16):
        BK = min(64, whole)
        held = len(plan.recurrent) * BN * -(-H // BK) * BK * width
        programs = -(-H // BN)
        if whole < BN or held > room:
            continue
        for BB in (16, 32, 64):
            grid = programs * -(-B // BB)
            if programs == 1 or grid <= multiprocessors:
                return Tiles(BB, BN, BK, 4 if BB * BN <= 1024 and held < ROOM // 2 else 8, programs, grid)
    return None


def fit(plan: Plan, B: int, H: int, dtype: torch.dtype, device: torch.device) -> Tiles | None:
    """The tiles for a device, or None. In the interpreter, whose programs run one after another, one holds everything."""
    if device.type == "cuda":
        return tiles(plan, B, H, dtype.itemsize, torch.cuda.get_device_properties(device).multi_processor_count, ROOM)
    return tiles(plan, B, H, dtype.itemsize, 1, 2**60)


class Launch:
    """What both directions pass to their kernels."""

    def __init__(self, loop: Loop, tiles: Tiles | None = None):
        self.loop, self.plan, self.place = loop, loop.plan, loop.layout
        self.T, self.B, self.H = loop.shape
        state = loop.states[0]
        chosen = tiles or fit(self.plan, self.B, self.H, state.dtype, state.device)
        assert chosen is not None, "asked to run what `unsupported` refuses"
        self.tiles = chosen
        # Every product of the loop: its matrix, its term, and the state it is of.
        pairs = [(g, k, i) for g, group in enumerate(self.place.groups) for k, i in enumerate(group.terms)]
        self.weights = tuple(loop.weights[g][k * self.H : (k + 1) * self.H] for g, k, _ in pairs)
        self.terms = tuple(i for _, _, i in pairs)
        self.of = tuple(self.place.groups[g].state for g, _, _ in pairs)
        self.counters = torch.zeros(-(-self.B // chosen.BB) * LINE.value, dtype=torch.int32, device=state.device)
        precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"
        self.sizes = (self.T, self.B, self.H, chosen.BB, chosen.BN, chosen.BK, precision)
        self.options = {"num_warps": chosen.warps, "enable_fp_fusion": True, "launch_cooperative_grid": chosen.programs > 1}

    def slot(self, buffers: Sequence[Any], i: int) -> tuple[Tensor, int]:
        """Term i's place in buffers (T, B, G, H), and how far apart its rows are."""
        buffer, slot = self.place.slots[i]
        return buffers[buffer][:, :, slot], self.place.widths[buffer] * self.H

    def inputs(self, buffers: Sequence[Any]) -> list[tuple[Tensor, int, tuple[int, int]]]:
        """What the step reads besides the states: where, which input, and (row stride, whether it is at a time)."""
        found: list[tuple[Tensor, int, tuple[int, int]]] = []
        for k, leaf in enumerate(self.plan.step.inputs):
            if leaf.op == "vector":
                found.append((self.loop.vectors[self.plan.vectors.index(leaf)], k, (0, 0)))
            elif leaf.op == "term" and buffers[self.place.slots[self.plan.term_leaves.index(leaf)][0]] is not None:
                tensor, stride = self.slot(buffers, self.plan.term_leaves.index(leaf))
                found.append((tensor, k, (stride, 1)))
        return found

    def outputs(self, buffers: Sequence[Any], terms: Sequence[int]) -> list[tuple[Tensor, int, int]]:
        """Where values of terms are stored: where, which input of the step each is, and its row stride."""
        placed = [(self.slot(buffers, i), self.input(i)) for i in terms]
        return [(tensor, k, stride) for (tensor, stride), k in placed]

    def input(self, i: int) -> int:
        return self.plan.step.inputs.index(self.plan.term_leaves[i])


def forward_arguments(launch: Launch, trajectory: Trajectory) -> tuple[Any, ...]:
    loop, plan = launch.loop, launch.plan
    reads = launch.inputs(loop.hoisted)
    writes = launch.outputs(loop.terms, launch.terms) if loop.keep else []
    return (
        function(plan.step), len(plan.step.inputs), len(plan.states), *columns(reads, 3), *columns(writes, 3),
        launch.weights, tuple(map(launch.input, launch.terms)), launch.of, tuple(loop.states), tuple(trajectory.history),
        launch.counters, *launch.sizes,
    )  # fmt: skip


def columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    return [tuple(row[k] for row in rows) for k in range(count)]


def forward(loop: Loop, tiles: Tiles | None = None) -> Trajectory:
    launch = Launch(loop, tiles)
    T, B, H = loop.shape
    trajectory = Trajectory(loop.history or [s.new_empty(T, B, H) for s in loop.states], [])
    sequence.forward[(launch.tiles.grid,)](*forward_arguments(launch, trajectory), **launch.options)
    return trajectory


def backward_arguments(
    launch: Launch, trajectory: Trajectory, dy: Tensor | None, d_final: list[Tensor], made: Gradients
) -> tuple[Any, ...]:
    loop, step = launch.loop, launch.plan.step
    reads = launch.inputs(loop.terms)
    writes = launch.outputs(made.terms, range(len(launch.plan.terms)))
    products = [launch.slot(made.terms, i) for i in launch.terms]
    return (
        function(adjoint(step)), len(step.inputs), len(loop.states), len(loop.vectors), *columns(reads, 3), *columns(writes, 3),
        launch.weights, *columns(products, 2), launch.of, tuple(loop.states), tuple(trajectory.history), dy, tuple(d_final),
        tuple(made.states), tuple(made.vectors), launch.counters, *launch.sizes,
    )  # fmt: skip


def backward(loop: Loop, trajectory: Trajectory, dy: Tensor | None, d_final: list[Tensor], tiles: Tiles | None = None) -> Gradients:
    launch = Launch(loop, tiles)
    batch_tiles = len(launch.counters) // LINE.value
    made = Gradients(
        [torch.empty_like(t) for t in loop.terms],
        [v.new_empty(batch_tiles, launch.H, dtype=torch.float32) for v in loop.vectors],
        [s.new_empty(s.shape, dtype=torch.float32) for s in loop.states],
    )
    arguments = backward_arguments(launch, trajectory, dy, d_final, made)
    sequence.backward[(launch.tiles.grid,)](*arguments, **launch.options)
    for i, matrix, state in zip(launch.terms, launch.weights, launch.of, strict=True):
        made.states[state] += launch.slot(made.terms, i)[0][0] @ matrix
    vectors = [d.sum(0).to(v.dtype) for d, v in zip(made.vectors, loop.vectors, strict=True)]
    return Gradients(made.terms, vectors, [d.to(s.dtype) for d, s in zip(made.states, loop.states, strict=True)])
