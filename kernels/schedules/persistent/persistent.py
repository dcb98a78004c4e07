"""The whole sequence in one launch: the recurrent matrices stay on chip. See `sequence` for the kernels, `barrier` for how the
programs of a batch tile meet, `kernels.schedules.persistent.tiling` for how the work is cut.

Where one program can hold all matrices, a batch tile has one program and no barrier; elsewhere its programs share them out, and all
of them must be on the device at once, or the plan is unsupported.

On an H200 (triton 3.6) the barrier takes 0.52 µs for one program, 0.88 µs for 64 and 0.93 µs for 132. Two ways without a fence were
tried there and are slower in the geometric mean, for the same tiles. Each fills what is exchanged with a NaN that nobody stores,
and reads a whole tile again where one is left: with one element of each program polled in place of a counter, 1.10 × the time
forward (28 kernels, 0.84 to 1.57) and 1.12 × backward (14); with a counter that orders nothing as a hint, 1.03 × (7) and 1.16 ×
(6). Reading again costs more than the fence where tiles are wide; LSTM H=768 B=16 forward alone gained, 2.57 to 2.28 µs.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
import triton
from torch import Tensor
from triton.errors import TritonError
from triton.runtime import driver

from kernels.derive.adjoint import adjoint
from kernels.derive.buffers import layout
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise
from kernels.schedules.interface import Gradients, Loop, Trajectory
from kernels.schedules.persistent import time_loop
from kernels.schedules.persistent.grid_barrier import LINE
from kernels.schedules.persistent.occupancy import here, together
from kernels.schedules.persistent.tiling import DIRECTIONS, Chip, Direction, Pass, Tiles, chip, power
from kernels.schedules.persistent.tuning import choices
from kernels.schedules.stepwise.pointwise_kernel import function

FEEDS = False
ATTEMPTS = 3
"""Cuts that are compiled, at most, to find one that spills nothing."""


def unsupported(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    if not plan.stages:
        return f"keeps recurrent matrices on chip, and {plan.cell.name} has none"
    if plan.near:
        return f"knows no stencils, and {plan.cell.name} has one: use stepwise"
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"computes in float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    if device.type != "cuda" and dtype == torch.bfloat16:
        return "computes in float32 or float16 in Triton's interpreter, whose products know no bfloat16"
    passes = [Pass(plan, direction, B, H, dtype, tf32()) for direction in DIRECTIONS]
    part = limited(device)
    if not all(fit(work, device) for work in passes) or (part and not all(runs(work, here(device.index or 0)) for work in passes)):
        size = f"B={B} H={H} in {str(dtype).removeprefix('torch.')}"
        return f"{plan.cell.name} at {size} doesn't fit this device at once{part}: use stepwise"
    return None


def limited(device: torch.device) -> str:
    """What this process may use of a device, in words, where that isn't all of it. Only there a kernel is compiled to be asked about:
    what can be loaded at all runs on every multiprocessor."""
    if device.type != "cuda":
        return ""
    has, may = chip(device.index or 0).multiprocessors, here(device.index or 0).multiprocessors
    return f", of whose {has} multiprocessors this process may use {may}" if may < has else ""


def fit(work: Pass, device: torch.device) -> bool:
    """Whether a pass can be cut for a device."""
    return device.type != "cuda" or bool(choices(work, here(device.index or 0)))


@cache
def runs(work: Pass, chip: Chip) -> bool:
    """Whether the driver would launch a pass as it is cut for the device that is here."""
    return spilled(work, settled(work, chip, spilled), False) is not None


def cut(work: Pass, device: torch.device, bare: bool = False) -> Tiles:
    """How a pass is cut on a device. In the interpreter, whose programs run one after another, one holds everything."""
    if device.type == "cuda":
        return settled(work, here(device.index or 0), spilled, bare)
    return Tiles(16, power(work.H), min(64, power(work.H)), 4)


@cache
def settled(work: Pass, chip: Chip, spilled: Callable[[Pass, Tiles, bool], int | None], bare: bool = False) -> Tiles:
    """The best cut with which a compiled kernel runs and spills nothing, as only the compiler and the driver know; else the best that runs;
    else the best, and running it says why it doesn't. What is `bare` is another kernel, and may be cut in another way: see `warm`."""
    found = choices(work, chip)
    assert found, "asked to run what `unsupported` refuses"
    running = None
    for tiles in found[:ATTEMPTS]:
        spills = spilled(work, tiles, bare)
        if spills == 0:
            return tiles
        if spills is not None and running is None:
            running = tiles
    return running or found[0]


def spilled(work: Pass, tiles: Tiles, bare: bool) -> int | None:
    """The registers that a thread of the kernel for the GPU that is here spills. None where it can't be compiled or loaded, or where the
    driver wouldn't have all programs that meet on the device at once."""
    try:
        kernel = warm(work, tiles, bare)
        kernel._init_handles()
        if tiles.programs(work.H) > 1 and together(kernel, driver.active.get_current_device()) < tiles.grid(work.B, work.H):
            return None
    except (TritonError, RuntimeError):
        return None
    return int(kernel.n_spills)


def tf32() -> bool:
    """Whether float32 is multiplied in tf32: what cuBLAS does is what these kernels do."""
    return torch.backends.cuda.matmul.allow_tf32


class Launch:
    """What both directions pass to their kernels."""

    def __init__(self, loop: Loop, direction: Direction, tiles: Tiles | None = None, bare: bool = False):
        self.loop, self.plan, self.place = loop, loop.plan, loop.layout
        self.T, self.B, self.H = loop.shape
        state = loop.states[0]
        work = Pass(self.plan, direction, self.B, self.H, state.dtype, tf32())
        self.tiles = chosen = tiles or cut(work, state.device, bare)
        groups = self.place.groups
        self.products = [(g, k, i) for g, group in enumerate(groups) for k, i in enumerate(group.terms)]
        self.counts = tuple(len(group.terms) for group in groups)
        self.sources = tuple(group.state if group.computed < 0 else len(loop.states) + group.computed for group in groups)
        self.stages = tuple(group.stage for group in groups)
        self.shared = tuple(s in self.sources for s in range(len(loop.states)))
        computed = [group for group in groups if group.computed >= 0]
        leads = {group.stage: group.computed for group in computed if group.leads}
        self.made = tuple((group.stage, group.computed - leads[group.stage]) for group in computed)
        self.counters = torch.zeros(-(-self.B // chosen.BB) * LINE.value, dtype=torch.int32, device=state.device)
        precision = "tf32" if tf32() else "ieee"
        self.sizes = (self.T, self.B, self.H, chosen.BB, chosen.BN, chosen.BK, chosen.units, chosen.split, chosen.flight, precision)
        self.options = {"num_warps": chosen.warps, "enable_fp_fusion": True, "launch_cooperative_grid": chosen.programs(self.H) > 1}
        self.grid = (chosen.grid(self.B, self.H),)

    def trajectory(self) -> Trajectory:
        """What the forward kernel fills: all states and computed arguments at all times, whether or not they are kept."""
        empty = self.loop.states[0].new_empty
        history = self.loop.history or [empty(self.loop.shape) for _ in self.loop.states]
        return Trajectory(history, [empty(self.loop.shape) for _ in self.made])

    def gradients(self) -> Gradients:
        """What the backward kernel fills: of the vectors, a sum for every batch tile."""
        batch_tiles = -(-self.B // self.tiles.BB)
        vectors = [v.new_empty(batch_tiles, self.H, dtype=torch.float32) for v in self.loop.vectors]
        states = [s.new_empty(s.shape, dtype=torch.float32) for s in self.loop.states]
        return Gradients([torch.empty_like(t) for t in self.loop.terms], vectors, states)

    def finished(self, made: Gradients) -> Gradients:
        """What the backward kernel filled, with what it leaves over: what the first step's products pass on, and sums over batch tiles."""
        for g, k, i in self.products:
            if self.sources[g] < len(self.loop.states):
                weight = self.loop.weights[g][k * self.H : (k + 1) * self.H]
                made.states[self.sources[g]] += self.slot(made.terms, i)[0][0] @ weight
        vectors = [d.sum(0).to(v.dtype) for d, v in zip(made.vectors, self.loop.vectors, strict=True)]
        states = [d.to(s.dtype) for d, s in zip(made.states, self.loop.states, strict=True)]
        return Gradients(made.terms, vectors, states)

    @property
    def meetings(self) -> int:
        """How often in a step the programs of a batch tile meet."""
        return 1 + len(leading(self.plan))

    def slot(self, buffers: Sequence[Any], i: int) -> tuple[Tensor, int]:
        """Term i's place in buffers (T, B, G, H), and how far apart its rows are."""
        buffer, slot = self.place.slots[i]
        return buffers[buffer].select(2, slot), self.place.widths[buffer] * self.H

    def reads(self, buffers: Sequence[Any]) -> list[tuple[Tensor, int, tuple[int, int]]]:
        """What the step reads besides the states: where, which input, and (row stride, whether it is at a time)."""
        found: list[tuple[Tensor, int, tuple[int, int]]] = []
        for k, leaf in enumerate(self.plan.step.inputs):
            if leaf.op == "vector":
                found.append((self.loop.vectors[self.plan.vectors.index(leaf)], k, (0, 0)))
            elif leaf.op == "term" and buffers[self.place.slots[self.plan.term_leaves.index(leaf)][0]] is not None:
                tensor, stride = self.slot(buffers, self.plan.term_leaves.index(leaf))
                found.append((tensor, k, (stride, 1)))
        return found

    def writes(self, buffers: Sequence[Any], terms: Sequence[int]) -> list[tuple[Tensor, int, int]]:
        """Where values of terms are stored: where, which input of the step each is, and its row stride."""
        placed = [(self.slot(buffers, i), self.input(i)) for i in terms]
        return [(tensor, k, stride) for (tensor, stride), k in placed]

    def input(self, i: int) -> int:
        return self.plan.step.inputs.index(self.plan.term_leaves[i])


def leading(plan: Plan) -> dict[int, Pointwise]:
    """By stage, the functions that compute the arguments of its products."""
    return {k: stage.argument for k, stage in enumerate(plan.stages) if stage.argument}


@cache
def functions(plan: Plan, direction: Direction) -> tuple[Any, ...]:
    """The step, or its adjoint, and what computes arguments, all of them functions of the step's inputs; then each stage's place
    among the latter, or -1."""
    found = leading(plan)
    made = [plan.step, *(replace(f, inputs=plan.step.inputs) for f in found.values())]
    step, *rest = [function(f if direction == "forward" else adjoint(f)) for f in made]
    return step, tuple(rest), tuple(list(found).index(stage) if stage in found else -1 for stage in range(len(plan.stages)))


def columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    return [tuple(row[k] for row in rows) for k in range(count)]


def forward_arguments(launch: Launch, trajectory: Trajectory) -> tuple[Any, ...]:
    loop, plan = launch.loop, launch.plan
    groups, places, terms = columns(launch.products, 3)
    writes = launch.writes(loop.terms, terms) if loop.keep else []
    return (
        *functions(plan, "forward"), len(plan.step.inputs), len(plan.states), launch.meetings,
        triton.next_power_of_2(max(launch.counts)), *columns(launch.reads(loop.hoisted), 3), *columns(writes, 3),
        tuple(loop.weights), launch.counts, launch.sources, launch.shared, launch.stages, groups, places, tuple(map(launch.input, terms)),
        launch.made, tuple(loop.states), tuple(trajectory.history), tuple(trajectory.arguments), launch.counters, *launch.sizes,
    )  # fmt: skip


def forward(loop: Loop, tiles: Tiles | None = None) -> Trajectory:
    launch = Launch(loop, "forward", tiles, bare=not loop.keep)
    trajectory = launch.trajectory()
    time_loop.forward[launch.grid](*forward_arguments(launch, trajectory), **launch.options)
    return trajectory


def backward_arguments(
    launch: Launch, trajectory: Trajectory, dy: Tensor | None, d_final: list[Tensor], made: Gradients
) -> tuple[Any, ...]:
    loop, step = launch.loop, launch.plan.step
    groups, places, terms = columns(launch.products, 3)
    d_terms = [launch.slot(made.terms, i) for i in terms]
    writes = launch.writes(made.terms, range(len(launch.plan.terms)))
    computed = {i: group.stage for group in launch.place.groups if group.computed >= 0 for i in group.terms}
    return (
        *functions(launch.plan, "backward"), len(step.inputs), len(loop.states), len(loop.vectors), launch.meetings,
        *columns(launch.reads(loop.terms), 3), *columns(writes, 3), tuple(computed.get(i, -1) for i in range(len(launch.plan.terms))),
        tuple(i in terms for i in range(len(launch.plan.terms))),
        tuple(loop.weights), launch.counts, launch.sources, groups, places, *columns(d_terms, 2), launch.made,
        tuple(loop.states), tuple(trajectory.history), dy, tuple(d_final), tuple(made.states), tuple(made.vectors), launch.counters,
        *launch.sizes,
    )  # fmt: skip


def backward(loop: Loop, trajectory: Trajectory, dy: Tensor | None, d_final: list[Tensor], tiles: Tiles | None = None) -> Gradients:
    launch = Launch(loop, "backward", tiles, bare=dy is None)
    made = launch.gradients()
    arguments = backward_arguments(launch, trajectory, dy, d_final, made)
    time_loop.backward[launch.grid](*arguments, **launch.options)
    return launch.finished(made)


def example(work: Pass, T: int, device: torch.device) -> Loop:
    """A training loop of a pass's size with random contents, to compile or to time its kernels with."""
    place, H = layout(work.plan), work.H

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device).to(work.dtype)

    terms = [normal(T, work.B, G, H) for G in place.widths]
    hoisted = [None if k in {place.slots[i][0] for i in place.alone} else t.clone() for k, t in enumerate(terms)]
    weights = [normal(len(group.terms) * H, H) / H**0.5 for group in place.groups]
    return Loop(
        work.plan, T, [], hoisted, terms, [normal(H) for _ in work.plan.vectors], weights, [normal(work.B, H) for _ in work.plan.states]
    )


def warm(work: Pass, tiles: Tiles, bare: bool = False) -> Any:
    """The compiled kernel of a pass with a cut, which is not run: for the GPU that is here, or that `offline.device` names. It is that of a
    training step, or if `bare` the one that keeps nothing for a backward pass, or goes back from the final states alone."""
    with torch.random.fork_rng(devices=[]):  # a first call draws no numbers that the user's next ones would have been
        loop = example(work, 1, torch.device("cpu"))
    if bare and work.direction == "forward":
        loop.terms = []
    launch = Launch(loop, work.direction, tiles)
    trajectory = launch.trajectory()
    if work.direction == "forward":
        kernel, arguments = time_loop.forward, forward_arguments(launch, trajectory)
    else:
        dy, made = None if bare else trajectory.history[0], launch.gradients()
        kernel, arguments = time_loop.backward, backward_arguments(launch, trajectory, dy, loop.states, made)
    return kernel.warmup(*arguments, grid=launch.grid, **launch.options)
