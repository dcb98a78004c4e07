"""Units that look at their neighbours, on a GPU: the whole sequence in one launch. See `neighbours` for the kernels.

A program holds its units in registers, so a larger grid is shared out among several, which wait for each other in every step and so
must be on the device at once: of as many sequences as that allows, a launch after the other. A grid beyond all multiprocessors is for
`stepwise`, a launch a step.
"""

import os
from functools import cached_property
from typing import Any

import torch
import triton
from torch import Tensor

from kernels.derive.adjoint import adjoint
from kernels.derive.graph import Node
from kernels.derive.plan import Plan
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs
from kernels.schedules.persistent.grid_barrier import COUNTER_STRIDE
from kernels.schedules.persistent.occupancy import count_resident_programs, usable_chip
from kernels.schedules.stencil import stencil_kernels
from kernels.schedules.stepwise.pointwise_kernel import jit_function

COMPUTES_FEEDS = False
MAX_UNITS = 2048
"""Units of a program that has the whole grid: 512 threads of 128 registers with four units each. The adjoint of twice as many spills."""
UNITS_PER_PROGRAM = 1024
"""Units of a program that has a share of a grid: behind a barrier among programs, the adjoint of twice as many spills where the equation
is longer than a wave's. Which is fastest is not measured."""


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    if not plan.stencil_inputs:
        return f"is for units that look at their neighbours, and those of {plan.cell.name} don't"
    if plan.stages:
        return f"knows no matrices in the loop, and {plan.cell.name} has some: use stepwise"
    if dtype != torch.float32:
        return f"computes in float32, not {str(dtype).removeprefix('torch.')}: a wave is a small difference of two states"
    if H > MAX_UNITS and device.type == "cuda" and (most := UNITS_PER_PROGRAM * usable_chip(device.index or 0).multiprocessors) < H:
        per = UNITS_PER_PROGRAM
        return f"holds a grid of up to {most} units, {per} on each multiprocessor that this process may use, and not {H}: use stepwise"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    return None


_resident_programs: dict[Any, int] = {}
"""Programs of a compiled kernel that are on a device at once."""


def count_programs(launch: "Launch", kernel: Any, arguments: tuple[Any, ...]) -> int:
    """How many programs of a launch's kernel are on its device at once."""
    index = launch.device.index or 0
    return count_resident_programs(
        kernel.warmup(*arguments, launch.counters(1), 0, *launch.sizes, grid=(launch.tiles,), **launch.options), index
    )


class Launch:
    """What both directions pass to their kernels, which run by launches of as many sequences as there is room for. `block`: the units of
    a program, 0 for all that it can hold, which in the interpreter, whose programs run one after another, is any grid."""

    def __init__(self, loop: PassInputs, block: int = 0):
        self.loop, self.plan = loop, loop.plan
        T, self.B, H = loop.shape
        self.device = loop.states[0].device
        whole = triton.next_power_of_2(max(H, 32))
        block = block or (UNITS_PER_PROGRAM if H > MAX_UNITS and self.device.type == "cuda" else whole)
        self.tiles = -(-H // block)
        self.sizes = (T, self.B, H, self.tiles, block)
        self.options = {"num_warps": min(16, max(1, block // 64)), "enable_fp_fusion": True, "launch_cooperative_grid": self.tiles > 1}

    def run(self, kernel: Any, arguments: tuple[Any, ...], variant: Any = None) -> None:
        """`variant`: what makes a kernel another one beside the plan and the sizes."""
        sequences = self.B if self.tiles == 1 else self.sequences(kernel, arguments, variant)
        for first in range(0, self.B, sequences):
            count = min(sequences, self.B - first)
            kernel[(count * self.tiles,)](*arguments, self.counters(count), first, *self.sizes, **self.options)

    def sequences(self, kernel: Any, arguments: tuple[Any, ...], variant: Any) -> int:
        """How many have all their programs on the device at once, as the driver says of the compiled kernel. Raises RuntimeError where not
        one has."""
        key = kernel, self.plan, variant, self.sizes[2:], self.device
        if key not in _resident_programs:
            _resident_programs[key] = count_programs(self, kernel, arguments)
        if _resident_programs[key] < self.tiles:
            raise RuntimeError(
                f"{self.plan.cell.name} on {self.sizes[2]} units takes {self.tiles} programs at once, and this device has room for "
                f"{_resident_programs[key]}: use stepwise"
            )
        return _resident_programs[key] // self.tiles

    def counters(self, sequences: int) -> Tensor:
        """Where the programs of each sequence meet; nobody looks at them where it has one."""
        made = torch.zeros if self.tiles > 1 else torch.empty
        return made(sequences * COUNTER_STRIDE.value, dtype=torch.int32, device=self.device)

    @cached_property
    def near(self) -> tuple[Any, ...]:
        """The offsets of each stencil's neighbours, and the state it looks at."""
        H = self.loop.shape[2]
        return tuple(n.stencil.offsets(H) for n in self.plan.stencil_inputs), tuple(n.state for n in self.plan.stencil_inputs)

    def taps(self, transposed: bool = False) -> tuple[Tensor, ...]:
        stencils = [n.stencil.transposed if transposed else n.stencil for n in self.plan.stencil_inputs]
        return tuple(s.weights(self.loop.states[0]) for s in stencils)

    def slot(self, buffers: list[Any], leaf: Node) -> tuple[Tensor, int]:
        """A term's place in buffers (T, B, G, H), and how far apart its rows are."""
        buffer, slot = self.loop.layout.slots[self.plan.term_leaves.index(leaf)]
        return buffers[buffer].select(2, slot), self.loop.layout.widths[buffer] * self.loop.shape[2]

    def reads(self, buffers: list[Any]) -> tuple[tuple[Any, ...], ...]:
        """What a step reads besides its states: where, which input, and (row stride, whether it is at a time)."""
        found: list[tuple[Any, int, tuple[int, int]]] = []
        for k, leaf in enumerate(self.plan.step.inputs):
            if leaf.op == "vector":
                found.append((self.loop.vectors[self.plan.vectors.index(leaf)], k, (0, 0)))
            elif leaf.op == "term":
                tensor, stride = self.slot(buffers, leaf)
                found.append((tensor, k, (stride, 1)))
        return tuple(tuple(row[part] for row in found) for part in range(3))


def allocate_history(loop: PassInputs) -> tuple[ForwardResult, tuple[bool, ...]]:
    """The tensors a forward pass fills, and which states it has to store. A state that the step only hands on from another (u_{t−1})
    has the other's history, a step later: where nobody gave the tensors, one is a view into the other."""
    plan = loop.plan
    T, B, H = loop.shape
    source = {s: plan.states.index(out) for s, out in enumerate(plan.step.outputs) if out in plan.states}
    views = {} if loop.history else {s: of for s, of in source.items() if of not in source}
    stored = tuple(s not in views for s in range(len(loop.states)))
    if loop.history:
        return ForwardResult(loop.history, []), stored
    history: list[Tensor] = []
    longer = {}
    for s, state in enumerate(loop.states):
        longer[s] = state.new_empty(T + (s in views.values()), B, H) if stored[s] else state
        history.append(longer[s][-T:])
    for s, of in views.items():
        longer[of][0] = loop.states[of]
        history[s] = longer[of][:T]
    return ForwardResult(history, []), stored


def forward_arguments(launch: Launch, trajectory: ForwardResult, stored: tuple[bool, ...]) -> tuple[Any, ...]:
    loop, step = launch.loop, launch.plan.step
    return (
        jit_function(step), len(step.inputs), len(loop.states), *launch.reads(loop.hoisted), launch.taps(), *launch.near,
        tuple(loop.states), tuple(trajectory.history), stored,
    )  # fmt: skip


def forward(loop: PassInputs) -> ForwardResult:
    launch = Launch(loop)
    trajectory, stored = allocate_history(loop)
    launch.run(stencil_kernels.forward, forward_arguments(launch, trajectory, stored), stored)
    return trajectory


def allocate_gradients(launch: Launch) -> Gradients:
    """What the backward kernel fills: of the vectors, a sum for every sequence."""
    loop = launch.loop
    vectors = [v.new_empty(loop.shape[1:]) for v in loop.vectors]
    return Gradients([torch.empty_like(t) for t in loop.terms], vectors, [torch.empty_like(s) for s in loop.states])


def backward_arguments(
    launch: Launch, trajectory: ForwardResult, dy: Tensor | None, d_final: list[Tensor], made: Gradients
) -> tuple[Any, ...]:
    loop, step = launch.loop, launch.plan.step
    terms = [k for k, leaf in enumerate(step.inputs) if leaf.op == "term"]
    places = [launch.slot(made.terms, step.inputs[k]) for k in terms]
    found = tuple(loop.states[0].new_empty(2, *loop.shape[1:]) for _ in launch.plan.stencil_inputs)
    return (
        jit_function(adjoint(step)), len(step.inputs), len(loop.states), len(loop.vectors), *launch.reads(loop.terms),
        tuple(tensor for tensor, _ in places), tuple(terms), tuple(stride for _, stride in places),
        launch.taps(), launch.taps(transposed=True), *launch.near, found,
        tuple(loop.states), tuple(trajectory.history), dy, tuple(d_final), tuple(made.states), tuple(made.vectors),
    )  # fmt: skip


def backward(loop: PassInputs, trajectory: ForwardResult, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
    launch = Launch(loop)
    made = allocate_gradients(launch)
    launch.run(stencil_kernels.backward, backward_arguments(launch, trajectory, dy, d_final, made), dy is None)
    return Gradients(made.terms, [d.sum(0) for d in made.vectors], made.states)
