"""Units that look at their neighbours, on a GPU: the whole sequence in one launch, a program to a sequence. See `neighbours` for the
kernels.

A program holds its grid in registers, so that is limited; beyond it `stepwise` runs, a launch a step.
"""

import os
from functools import cached_property
from typing import Any

import torch
import triton
from torch import Tensor

from kernels.derive import adjoint
from kernels.graph import Node
from kernels.loop import Gradients, Loop, Trajectory
from kernels.plan import Plan
from kernels.schedules import neighbours
from kernels.schedules.elementwise import function

FEEDS = False
LARGEST = 2048
"""Units of a grid: 512 threads of 128 registers with four units each. The adjoint of twice as many spills."""


def unsupported(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    if not plan.near:
        return f"is for units that look at their neighbours, and those of {plan.cell.name} don't"
    if plan.stages:
        return f"knows no matrices in the loop, and {plan.cell.name} has some: use stepwise"
    if dtype != torch.float32:
        return f"computes in float32, not {str(dtype).removeprefix('torch.')}: a wave is a small difference of two states"
    if H > LARGEST:
        return f"holds a grid of up to {LARGEST} units in one program, and not {H}: use stepwise"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    return None


class Launch:
    """What both directions pass to their kernels."""

    def __init__(self, loop: Loop):
        self.loop, self.plan = loop, loop.plan
        T, B, H = loop.shape
        block = triton.next_power_of_2(max(H, 32))
        self.sizes = (T, B, H, block)
        self.options = {"num_warps": min(16, max(1, block // 64)), "enable_fp_fusion": True}
        self.grid = (B,)

    @cached_property
    def near(self) -> tuple[Any, ...]:
        """The offsets of each stencil's neighbours, and the state it looks at."""
        H = self.loop.shape[2]
        return tuple(n.stencil.offsets(H) for n in self.plan.near), tuple(n.state for n in self.plan.near)

    def taps(self, transposed: bool = False) -> tuple[Tensor, ...]:
        stencils = [n.stencil.transposed if transposed else n.stencil for n in self.plan.near]
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


def kept(loop: Loop) -> tuple[Trajectory, tuple[bool, ...]]:
    """The tensors a forward pass fills, and which states it has to store. A state that the step only hands on from another (u_{t−1})
    has the other's history, a step later: where nobody gave the tensors, one is a view into the other."""
    plan = loop.plan
    T, B, H = loop.shape
    source = {s: plan.states.index(out) for s, out in enumerate(plan.step.outputs) if out in plan.states}
    views = {} if loop.history else {s: of for s, of in source.items() if of not in source}
    stored = tuple(s not in views for s in range(len(loop.states)))
    if loop.history:
        return Trajectory(loop.history, []), stored
    history: list[Tensor] = []
    longer = {}
    for s, state in enumerate(loop.states):
        longer[s] = state.new_empty(T + (s in views.values()), B, H) if stored[s] else state
        history.append(longer[s][-T:])
    for s, of in views.items():
        longer[of][0] = loop.states[of]
        history[s] = longer[of][:T]
    return Trajectory(history, []), stored


def forward_arguments(launch: Launch, trajectory: Trajectory, stored: tuple[bool, ...]) -> tuple[Any, ...]:
    loop, step = launch.loop, launch.plan.step
    return (
        function(step), len(step.inputs), len(loop.states), *launch.reads(loop.hoisted), launch.taps(), *launch.near,
        tuple(loop.states), tuple(trajectory.history), stored, *launch.sizes,
    )  # fmt: skip


def forward(loop: Loop) -> Trajectory:
    launch = Launch(loop)
    trajectory, stored = kept(loop)
    neighbours.forward[launch.grid](*forward_arguments(launch, trajectory, stored), **launch.options)
    return trajectory


def gradients(launch: Launch) -> Gradients:
    """What the backward kernel fills: of the vectors, a sum for every sequence."""
    loop = launch.loop
    vectors = [v.new_empty(loop.shape[1:]) for v in loop.vectors]
    return Gradients([torch.empty_like(t) for t in loop.terms], vectors, [torch.empty_like(s) for s in loop.states])


def backward_arguments(
    launch: Launch, trajectory: Trajectory, dy: Tensor | None, d_final: list[Tensor], made: Gradients
) -> tuple[Any, ...]:
    loop, step = launch.loop, launch.plan.step
    terms = [k for k, leaf in enumerate(step.inputs) if leaf.op == "term"]
    places = [launch.slot(made.terms, step.inputs[k]) for k in terms]
    found = tuple(loop.states[0].new_empty(2, *loop.shape[1:]) for _ in launch.plan.near)
    return (
        function(adjoint(step)), len(step.inputs), len(loop.states), len(loop.vectors), *launch.reads(loop.terms),
        tuple(tensor for tensor, _ in places), tuple(terms), tuple(stride for _, stride in places),
        launch.taps(), launch.taps(transposed=True), *launch.near, found,
        tuple(loop.states), tuple(trajectory.history), dy, tuple(d_final), tuple(made.states), tuple(made.vectors), *launch.sizes,
    )  # fmt: skip


def backward(loop: Loop, trajectory: Trajectory, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
    launch = Launch(loop)
    made = gradients(launch)
    neighbours.backward[launch.grid](*backward_arguments(launch, trajectory, dy, d_final, made), **launch.options)
    return Gradients(made.terms, [d.sum(0) for d in made.vectors], made.states)
