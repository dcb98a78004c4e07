"""Runs cells whose units read their neighbours on a grid: the whole sequence in one launch (kernels in `stencil_kernels`).

A program holds its units in registers. A larger grid is distributed over several programs, which synchronize in every step and so must
all be on the device at once: a launch takes as many sequences as fit, and further launches take the others. A grid that exceeds the
device is unsupported; `stepwise` runs it.
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
from kernels.schedules.cache_keys import compute_keys
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs
from kernels.schedules.persistent.grid_barrier import COUNTER_STRIDE
from kernels.schedules.persistent.occupancy import count_resident_programs, usable_chip
from kernels.schedules.stencil import stencil_kernels
from kernels.schedules.stepwise.pointwise_kernel import jit_function

COMPUTES_PROJECTIONS = False
MAX_UNITS = 2048
"""Maximum number of units of a program that holds the whole grid: 512 threads of 128 registers with four units each. Twice as many spill in
the adjoint."""
UNITS_PER_PROGRAM = 1024
"""Units of a program that holds a part of a grid. Twice as many spill in the adjoint if the equation is longer than that of a wave.
Not tuned."""


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    """Returns None if this schedule can run a plan on a device, else a verb phrase that completes "the backend 'x' …"."""
    if not plan.stencil_inputs:
        return f"is for units that look at their neighbours, and those of {plan.cell.name} don't"
    if plan.reduces_states:
        return f"divides the units among programs, and {plan.cell.name} sums over them in the loop: use stepwise"
    if plan.stages:
        return f"does not support matrices in the loop, and {plan.cell.name} has some: use stepwise"
    if dtype != torch.float32:
        return f"computes in float32, not {str(dtype).removeprefix('torch.')}: a wave is a small difference of two states"
    if H > MAX_UNITS and device.type == "cuda" and (most := UNITS_PER_PROGRAM * usable_chip(device.index or 0).multiprocessors) < H:
        per = UNITS_PER_PROGRAM
        return f"holds a grid of up to {most} units, {per} on each multiprocessor that this process may use, and not {H}: use stepwise"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    return None


_resident_programs: dict[Any, int] = {}
"""Programs of a compiled kernel that fit on a device at once."""


def count_programs(launch: "Launch", kernel: Any, arguments: tuple[Any, ...]) -> int:
    """Compiles the kernel of a launch and returns how many of its programs fit on the device at once."""
    index = launch.device.index or 0
    return count_resident_programs(
        kernel.warmup(*arguments, launch.make_counters(1), 0, *launch.sizes, grid=(launch.tiles,), **launch.options), index
    )


class Launch:
    """The arguments that the kernels of both directions share, and their launches.

    Args:
        inputs: the pass to run.
        block: the units of a program. Default: as many as it can hold; in the interpreter, whose programs run one after another, all.
    """

    def __init__(self, inputs: PassInputs, block: int = 0):
        compute_keys(stencil_kernels)
        self.inputs, self.plan = inputs, inputs.plan
        T, self.B, H = inputs.shape
        self.device = inputs.states[0].device
        whole = triton.next_power_of_2(max(H, 32))
        block = block or (UNITS_PER_PROGRAM if H > MAX_UNITS and self.device.type == "cuda" else whole)
        self.tiles = -(-H // block)
        self.sizes = (T, self.B, H, self.tiles, block)
        self.options = {"num_warps": min(16, max(1, block // 64)), "enable_fp_fusion": True, "launch_cooperative_grid": self.tiles > 1}

    def launch_kernel(self, kernel: Any, arguments: tuple[Any, ...], variant: Any = None) -> None:
        """Launches a kernel, for as many sequences at once as fit on the device.

        Args:
            kernel: one of `stencil_kernels`.
            arguments: its arguments but counters and sizes.
            variant: compile-time arguments besides the plan and the sizes, which identify the compiled kernel.
        """
        sequences = self.B if self.tiles == 1 else self.count_sequences(kernel, arguments, variant)
        for first in range(0, self.B, sequences):
            count = min(sequences, self.B - first)
            kernel[(count * self.tiles,)](*arguments, self.make_counters(count), first, *self.sizes, **self.options)

    def count_sequences(self, kernel: Any, arguments: tuple[Any, ...], variant: Any) -> int:
        """Returns how many sequences can have all their programs on the device at once, by the driver's occupancy.

        Raises:
            RuntimeError: the programs of one sequence don't fit.
        """
        key = kernel, self.plan, variant, self.sizes[2:], self.device
        if key not in _resident_programs:
            _resident_programs[key] = count_programs(self, kernel, arguments)
        if _resident_programs[key] < self.tiles:
            raise RuntimeError(
                f"{self.plan.cell.name} on {self.sizes[2]} units takes {self.tiles} programs at once, and this device has room for "
                f"{_resident_programs[key]}: use stepwise"
            )
        return _resident_programs[key] // self.tiles

    def make_counters(self, sequences: int) -> Tensor:
        """Allocates the barrier counters of the sequences; a kernel with one program per sequence doesn't read them."""
        allocate = torch.zeros if self.tiles > 1 else torch.empty
        return allocate(sequences * COUNTER_STRIDE.value, dtype=torch.int32, device=self.device)

    @cached_property
    def stencil_tables(self) -> tuple[Any, ...]:
        """Returns the offsets of each stencil's neighbours, and the index of its state."""
        H = self.inputs.shape[2]
        return tuple(n.stencil.offsets(H) for n in self.plan.stencil_inputs), tuple(n.state for n in self.plan.stencil_inputs)

    def stencil_weights(self, transposed: bool = False) -> tuple[Tensor, ...]:
        """Returns the weights (taps, H) of each stencil, or of its transpose."""
        stencils = [n.stencil.transposed if transposed else n.stencil for n in self.plan.stencil_inputs]
        return tuple(s.weights(self.inputs.states[0]) for s in stencils)

    def view_slot(self, buffers: list[Any], leaf: Node) -> tuple[Tensor, int]:
        """Returns the slot of a term in `buffers` (T, B, G, H) as a view (T, B, H), and its row stride."""
        buffer, slot = self.inputs.layout.slots[self.plan.term_leaves.index(leaf)]
        return buffers[buffer].select(2, slot), self.inputs.layout.widths[buffer] * self.inputs.shape[2]

    def collect_loads(self, buffers: list[Any]) -> tuple[tuple[Any, ...], ...]:
        """Lists what a step reads besides states: the tensors, their inputs, and (row stride, 1 if it has a time axis) of each."""
        found: list[tuple[Any, int, tuple[int, int]]] = []
        for k, leaf in enumerate(self.plan.step.inputs):
            if leaf.op == "vector":
                found.append((self.inputs.vectors[self.plan.vectors.index(leaf)], k, (0, 0)))
            elif leaf.op == "term":
                tensor, stride = self.view_slot(buffers, leaf)
                found.append((tensor, k, (stride, 1)))
        return tuple(tuple(row[part] for row in found) for part in range(3))


def allocate_history(inputs: PassInputs) -> tuple[ForwardResult, tuple[bool, ...]]:
    """Allocates the tensors of a forward pass.

    A state that is a copy of another one a step later (u_{t−1} of u_t) shares its memory, unless `inputs.history` is given.

    Returns:
        The result to fill, and for each state whether the kernel stores it.
    """
    plan = inputs.plan
    T, B, H = inputs.shape
    source = {s: plan.states.index(out) for s, out in enumerate(plan.step.outputs) if out in plan.states}
    views = {} if inputs.history else {s: of for s, of in source.items() if of not in source}
    stored = tuple(s not in views for s in range(len(inputs.states)))
    if inputs.history:
        return ForwardResult(inputs.history, []), stored
    history: list[Tensor] = []
    longer = {}
    for s, state in enumerate(inputs.states):
        longer[s] = state.new_empty(T + (s in views.values()), B, H) if stored[s] else state
        history.append(longer[s][-T:])
    for s, of in views.items():
        longer[of][0] = inputs.states[of]
        history[s] = longer[of][:T]
    return ForwardResult(history, []), stored


def forward_arguments(launch: Launch, result: ForwardResult, stored: tuple[bool, ...]) -> tuple[Any, ...]:
    """Returns the arguments of `stencil_kernels.forward` but counters and sizes."""
    inputs, step = launch.inputs, launch.plan.step
    return (
        jit_function(step), len(step.inputs), len(inputs.states), *launch.collect_loads(inputs.hoisted), launch.stencil_weights(),
        *launch.stencil_tables, tuple(inputs.states), tuple(result.history), stored,
    )  # fmt: skip


def forward(inputs: PassInputs) -> ForwardResult:
    """Runs the forward pass in one launch, or several if the sequences don't fit on the device at once."""
    launch = Launch(inputs)
    result, stored = allocate_history(inputs)
    launch.launch_kernel(stencil_kernels.forward, forward_arguments(launch, result, stored), stored)
    return result


def allocate_gradients(launch: Launch) -> Gradients:
    """Allocates what the backward kernel fills. The gradient of a vector is one row per sequence, (B, H)."""
    inputs = launch.inputs
    vectors = [v.new_empty(inputs.shape[1:]) for v in inputs.vectors]
    return Gradients([torch.empty_like(t) for t in inputs.terms], vectors, [torch.empty_like(s) for s in inputs.states])


def backward_arguments(
    launch: Launch, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor], filled: Gradients
) -> tuple[Any, ...]:
    """Returns the arguments of `stencil_kernels.backward` but counters and sizes; `filled` are the gradients that it fills."""
    inputs, step = launch.inputs, launch.plan.step
    terms = [k for k, leaf in enumerate(step.inputs) if leaf.op == "term"]
    places = [launch.view_slot(filled.terms, step.inputs[k]) for k in terms]
    found = tuple(inputs.states[0].new_empty(2, *inputs.shape[1:]) for _ in launch.plan.stencil_inputs)
    return (
        jit_function(adjoint(step)), len(step.inputs), len(inputs.states), len(inputs.vectors), *launch.collect_loads(inputs.terms),
        tuple(tensor for tensor, _ in places), tuple(terms), tuple(stride for _, stride in places),
        launch.stencil_weights(), launch.stencil_weights(transposed=True), *launch.stencil_tables, found,
        tuple(inputs.states), tuple(result.history), dy, tuple(d_final), tuple(filled.states), tuple(filled.vectors),
    )  # fmt: skip


def backward(inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
    """Runs the backward pass in one launch, or several if the sequences don't fit on the device at once."""
    launch = Launch(inputs)
    filled = allocate_gradients(launch)
    launch.launch_kernel(stencil_kernels.backward, backward_arguments(launch, result, dy, d_final, filled), dy is None)
    return Gradients(filled.terms, [d.sum(0) for d in filled.vectors], filled.states)
