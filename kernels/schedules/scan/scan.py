"""For plans without a product in the loop: the whole sequence in one launch in each direction, and nobody waits for anybody. See
`walks` for the kernels.

Every element of (B, H) is a sequence of its own. Where there are too few of them to fill a GPU, and the step is affine in its states
with coefficients that no state reaches, time is cut into chunks as well. Their terms are read twice then, so it takes a sequence
that is long, and a device that would stand idle otherwise.
"""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernels.derive.adjoint import adjoint, is_affine, list_read_states
from kernels.derive.plan import Plan
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs
from kernels.schedules.persistent.tiling import get_chip
from kernels.schedules.scan import scan_kernels
from kernels.schedules.stepwise.pointwise_kernel import jit_function

COMPUTES_FEEDS = False
BLOCK = 128
"""Elements of a program, one to a thread: a batch of 64 at H = 512 is 256 programs."""

MIN_CHUNK = 64
"""Steps of a chunk, at least: fewer are sooner walked than put together."""

PROGRAMS_PER_MULTIPROCESSOR = 4
"""Programs on a multiprocessor with which it is taken to be busy: 512 threads, each with several steps' loads in flight. Not
measured."""

MAX_STATES = 2
"""States that a step reads, at most, for time to be cut: a chunk's map has the square of them."""


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    if plan.stages:
        return f"runs cells without a product in the loop, and {plan.cell.name} has W.{' and W.'.join(dict.fromkeys(plan.recurrent))}"
    if any(leaf.op not in ("state", "term", "vector") for leaf in plan.step.inputs):
        return f"runs every unit on its own, and those of {plan.cell.name} read their neighbours"
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"computes in float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    return None


def count_chunks(plan: Plan, T: int, elements: int, device: torch.device) -> int:
    """Into how many chunks time is cut: as many as fill a GPU, if each has a few steps."""
    if device.type != "cuda" or not is_affine(plan.step) or len(list_read_states(plan)) > MAX_STATES:
        return 1
    wanted = PROGRAMS_PER_MULTIPROCESSOR * get_chip(device.index or 0).multiprocessors
    return max(1, min(wanted // -(-elements // BLOCK), T // MIN_CHUNK))


class Launch:
    """What both directions pass to their kernels: `functions` and the plan's shape in front, the sizes behind."""

    def __init__(self, loop: PassInputs, buffers: Sequence[Tensor | None]):
        self.loop, self.plan = loop, loop.plan
        self.T, self.B, self.H = loop.shape
        self.core, self.states = list_read_states(self.plan), len(loop.states)
        self.term_slots = [self.slot(buffers, i) for i in range(len(self.plan.terms))]
        count = count_chunks(self.plan, self.T, self.B * self.H, loop.states[0].device)
        length = -(-self.T // count)
        self.chunks = -(-self.T // length)
        self.grid = (-(-self.B * self.H // BLOCK), self.chunks)
        self.sizes = (self.T, self.B, length, self.H, BLOCK)
        self.loads = tuple(t for t, _ in self.term_slots), tuple(stride for _, stride in self.term_slots), tuple(loop.vectors)

    def slot(self, buffers: Sequence[Any], i: int) -> tuple[Tensor, int]:
        """Term i's place in buffers (T, B, G, H), and how far apart its rows are."""
        buffer, slot = self.loop.layout.slots[i]
        return buffers[buffer].select(2, slot), self.loop.layout.widths[buffer] * self.H

    def steps_per_load(self, streams: int) -> int:
        """How many steps are loaded at once: of 32 values a thread, up to eight."""
        return max(1, min(8, 2 ** ((32 // max(1, streams)).bit_length() - 1)))

    def allocate_chunk_ends(self) -> Tensor | None:
        """Room for what the chunks' walks find, (chunks, K + K², B·H) for K states that a step reads; None with nothing to find."""
        count = len(self.core)
        if self.chunks == 1 or not count:
            return None
        return self.loop.states[0].new_empty(self.chunks, count + count**2, self.B * self.H, dtype=torch.float32)

    def run(self, kernel: Any, *arguments: Any) -> None:
        kernel[self.grid](*arguments, num_warps=BLOCK // 32, enable_fp_fusion=True)


def forward(loop: PassInputs) -> ForwardResult:
    trajectory = loop.allocate_result()
    launch = Launch(loop, loop.hoisted)
    ends = launch.allocate_chunk_ends()
    for kernel, arguments in forward_calls(launch, trajectory, ends):
        launch.run(kernel, *arguments)
    return trajectory


def forward_calls(launch: Launch, trajectory: ForwardResult, ends: Tensor | None) -> list[tuple[Any, tuple[Any, ...]]]:
    """The kernels of a forward pass, in their order, with their arguments."""
    step, loop = launch.plan.step, launch.loop
    common = (launch.core, launch.states, *launch.loads, ends)
    sizes = (*launch.sizes, launch.steps_per_load(len(launch.term_slots)))
    found: list[tuple[Any, tuple[Any, ...]]] = []
    if ends is not None:
        found.append((scan_kernels.chunk_summary, (jit_function(step), jit_function(adjoint(step)), *common, *sizes)))
    whole = tuple(loop.keep_all_states or s == 0 for s in range(launch.states))
    found.append((scan_kernels.forward, (jit_function(step), *common, tuple(loop.states), tuple(trajectory.history), whole, *sizes)))
    return found


def backward(loop: PassInputs, trajectory: ForwardResult, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
    launch = Launch(loop, loop.terms)
    states = [s.new_empty(s.shape, dtype=torch.float32) for s in loop.states]
    vectors = [v.new_empty(launch.chunks * launch.B, launch.H, dtype=torch.float32) for v in loop.vectors]
    made = Gradients([torch.empty_like(t) for t in loop.terms], vectors, states)
    ends = launch.allocate_chunk_ends()
    for kernel, arguments in backward_calls(launch, trajectory, dy, d_final, made, ends):
        launch.run(kernel, *arguments)
    return Gradients(
        made.terms,
        [d.sum(0).to(v.dtype) for d, v in zip(vectors, loop.vectors, strict=True)],
        [d.to(s.dtype) for d, s in zip(states, loop.states, strict=True)],
    )


def backward_calls(
    launch: Launch, trajectory: ForwardResult, dy: Tensor | None, d_final: list[Tensor], made: Gradients, ends: Tensor | None
) -> list[tuple[Any, tuple[Any, ...]]]:
    """The kernels of a backward pass, in their order, with their arguments."""
    back = jit_function(adjoint(launch.plan.step))
    common = (back, launch.core, launch.states, *launch.loads, ends)
    sizes = (*launch.sizes, launch.steps_per_load(len(launch.term_slots) + launch.states + 1))
    stores = [launch.slot(made.terms, i) for i in range(len(launch.term_slots))]
    outputs = tuple(launch.states + i for i in range(len(stores)))
    found: list[tuple[Any, tuple[Any, ...]]] = []
    if ends is not None:
        found.append((scan_kernels.chunk_summary_backward, (*common, dy, tuple(d_final), *sizes)))
    arguments = (
        *common, tuple(launch.loop.states), tuple(trajectory.history), dy, tuple(d_final), tuple(t for t, _ in stores), outputs,
        tuple(stride for _, stride in stores), tuple(made.states), tuple(made.vectors), *sizes,
    )  # fmt: skip
    return [*found, (scan_kernels.backward, arguments)]
