"""Runs plans without a recurrent product: the whole sequence in one launch per direction, without barriers (kernels in `scan_kernels`).

Every element of (B, H) is an independent recurrence. If there are too few of them to fill a GPU, time is split into chunks too, as in a
chunked parallel scan: in the backward pass, and in the forward pass of a step that is affine in its states. Terms are then read twice, so
it needs a long sequence.
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

COMPUTES_PROJECTIONS = False
BLOCK = 128
"""Elements of a program, one per thread: a batch of 64 at H = 512 is 256 programs."""

MIN_CHUNK = 64
"""Minimum number of steps of a chunk: with fewer, combining the chunks takes longer than running them in sequence."""

PROGRAMS_PER_MULTIPROCESSOR = 4
"""Programs that keep a multiprocessor busy: 512 threads, each with the loads of several steps in flight. An assumption, not measured."""

MAX_STATES = 2
"""Maximum number of states that a step reads for time to be split: the map of a chunk has the square of that number of elements."""


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    """Returns None if this schedule can run a plan on a device, else a verb phrase that completes "the backend 'x' …"."""
    if plan.stages:
        return f"runs cells without a product in the loop, and {plan.cell.name} has W.{' and W.'.join(dict.fromkeys(plan.recurrent))}"
    if any(leaf.op not in ("state", "term", "vector") for leaf in plan.step.inputs):
        return f"runs every unit on its own, and those of {plan.cell.name} read their neighbours"
    if plan.reduces_states:
        return f"runs every unit on its own, and {plan.cell.name} sums over them in the loop: use stepwise"
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"computes in float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    return None


def count_chunks(plan: Plan, T: int, elements: int, device: torch.device, backward: bool) -> int:
    """Returns the number of chunks that time is split into: as many as fill the GPU, of at least MIN_CHUNK steps each.

    Args:
        T: time steps.
        elements: B·H.
        backward: whether for the backward pass, which is affine in the gradients of the states whatever the step.
    """
    if not (backward or is_affine(plan.step)) or len(list_read_states(plan)) > MAX_STATES:
        return 1
    return chunks_that_fill(T, elements, device)


def chunks_that_fill(T: int, elements: int, device: torch.device) -> int:
    """Returns the number of chunks of time of an affine recurrence of B·H elements: as many as fill a GPU, of at least MIN_CHUNK steps."""
    if device.type != "cuda":
        return 1
    wanted = PROGRAMS_PER_MULTIPROCESSOR * get_chip(device.index or 0).multiprocessors
    return max(1, min(wanted // -(-elements // BLOCK), T // MIN_CHUNK))


class Launch:
    """The arguments that the kernels of both directions share, and the grid.

    Args:
        inputs: the pass to run.
        buffers: the buffers of the terms that the kernels load, (T, B, G, H) each.
        backward: whether for a backward pass.
    """

    def __init__(self, inputs: PassInputs, buffers: Sequence[Tensor | None], backward: bool = False):
        self.inputs, self.plan = inputs, inputs.plan
        self.T, self.B, self.H = inputs.shape
        self.read_states, self.states = list_read_states(self.plan), len(inputs.states)
        self.term_slots = [self.view_slot(buffers, i) for i in range(len(self.plan.terms))]
        count = count_chunks(self.plan, self.T, self.B * self.H, inputs.states[0].device, backward)
        length = -(-self.T // count)
        self.chunks = -(-self.T // length)
        self.grid = (-(-self.B * self.H // BLOCK), self.chunks)
        self.sizes = (self.T, self.B, length, self.H, BLOCK)
        self.loads = tuple(t for t, _ in self.term_slots), tuple(stride for _, stride in self.term_slots), tuple(inputs.vectors)

    def view_slot(self, buffers: Sequence[Any], i: int) -> tuple[Tensor, int]:
        """Returns the slot of term i in `buffers` (T, B, G, H) as a view (T, B, H), and its row stride."""
        buffer, slot = self.inputs.layout.slots[i]
        return buffers[buffer].select(2, slot), self.inputs.layout.widths[buffer] * self.H

    def steps_per_load(self, streams: int) -> int:
        """Returns how many steps are loaded at once: up to 8, and about 32 values per thread."""
        return max(1, min(8, 2 ** ((32 // max(1, streams)).bit_length() - 1)))

    def allocate_chunk_ends(self) -> Tensor | None:
        """Allocates the summaries of the chunks, (chunks, K + K², B·H) for K states that a step reads; None if there is one chunk."""
        count = len(self.read_states)
        if self.chunks == 1 or not count:
            return None
        return self.inputs.states[0].new_empty(self.chunks, count + count**2, self.B * self.H, dtype=torch.float32)

    def launch_kernel(self, kernel: Any, *arguments: Any) -> None:
        """Launches a kernel of `scan_kernels` on the grid."""
        kernel[self.grid](*arguments, num_warps=BLOCK // 32, enable_fp_fusion=True)


def forward(inputs: PassInputs) -> ForwardResult:
    """Runs the forward pass in one launch, or two if time is split into chunks."""
    result = inputs.allocate_result()
    launch = Launch(inputs, inputs.hoisted)
    ends = launch.allocate_chunk_ends()
    for kernel, arguments in forward_calls(launch, result, ends):
        launch.launch_kernel(kernel, *arguments)
    return result


def forward_calls(launch: Launch, result: ForwardResult, ends: Tensor | None) -> list[tuple[Any, tuple[Any, ...]]]:
    """Returns the kernels of a forward pass in order, each with its arguments."""
    step, inputs = launch.plan.step, launch.inputs
    common = (launch.read_states, launch.states, *launch.loads, ends)
    sizes = (*launch.sizes, launch.steps_per_load(len(launch.term_slots)))
    found: list[tuple[Any, tuple[Any, ...]]] = []
    if ends is not None:
        found.append((scan_kernels.chunk_summary, (jit_function(step), jit_function(adjoint(step)), *common, *sizes)))
    keep_all = tuple(inputs.keep_all_states or s == 0 for s in range(launch.states))
    found.append((scan_kernels.forward, (jit_function(step), *common, tuple(inputs.states), tuple(result.history), keep_all, *sizes)))
    return found


def backward(inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
    """Runs the backward pass in one launch, or two if time is split into chunks."""
    launch = Launch(inputs, inputs.terms, backward=True)
    states = [s.new_empty(s.shape, dtype=torch.float32) for s in inputs.states]
    vectors = [v.new_empty(launch.chunks * launch.B, launch.H, dtype=torch.float32) for v in inputs.vectors]
    filled = Gradients([torch.empty_like(t) for t in inputs.terms], vectors, states)
    ends = launch.allocate_chunk_ends()
    for kernel, arguments in backward_calls(launch, result, dy, d_final, filled, ends):
        launch.launch_kernel(kernel, *arguments)
    return Gradients(
        filled.terms,
        [d.sum(0).to(v.dtype) for d, v in zip(vectors, inputs.vectors, strict=True)],
        [d.to(s.dtype) for d, s in zip(states, inputs.states, strict=True)],
    )


def backward_calls(
    launch: Launch, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor], filled: Gradients, ends: Tensor | None
) -> list[tuple[Any, tuple[Any, ...]]]:
    """Returns the kernels of a backward pass in order, each with its arguments."""
    back = jit_function(adjoint(launch.plan.step))
    common = (back, launch.read_states, launch.states, *launch.loads, ends)
    sizes = (*launch.sizes, launch.steps_per_load(len(launch.term_slots) + launch.states + 1))
    stores = [launch.view_slot(filled.terms, i) for i in range(len(launch.term_slots))]
    outputs = tuple(launch.states + i for i in range(len(stores)))
    found: list[tuple[Any, tuple[Any, ...]]] = []
    if ends is not None:
        stored = (None, None) if is_affine(launch.plan.step) else (tuple(launch.inputs.states), tuple(result.history))
        found.append((scan_kernels.chunk_summary_backward, (*common, *stored, dy, tuple(d_final), *sizes)))
    arguments = (
        *common, tuple(launch.inputs.states), tuple(result.history), dy, tuple(d_final), tuple(t for t, _ in stores), outputs,
        tuple(stride for _, stride in stores), tuple(filled.states), tuple(filled.vectors), *sizes,
    )  # fmt: skip
    return [*found, (scan_kernels.backward, arguments)]
