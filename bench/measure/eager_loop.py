"""Runs the time loop in eager torch with the input projection precomputed, for cells without a matrix product in the loop. The loop of a
schedule over the same inputs is compared with it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels.derive.adjoint import compile_pointwise
from kernels.derive.buffers import layout
from kernels.derive.plan import Plan


def has_eager_loop(plan: Plan) -> bool:
    """Returns whether `run_eager_loop` supports a plan."""
    return not plan.stages and not plan.stencil_inputs


def run_eager_loop(plan: Plan, tensors: Sequence[Tensor | None], states: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs the step of a cell once per time step, under autograd.

    Args:
        plan: The plan of the cell.
        tensors: The tensors that `Recurrence` takes, with each input projection given as precomputed rows (T, B, G·H).
        states: The initial states, each (B, H).

    Returns:
        y (T, B, H) and the final states (B, H).
    """
    buffer_layout, H = layout(plan), states[0].shape[1]
    first = 3 * len(buffer_layout.projections)
    projections, count = tensors[:first:3], first + len(buffer_layout.elementwise_terms)
    buffers = [t.unflatten(-1, (-1, H)) for t in (*projections, *tensors[first:count]) if t is not None]
    vectors = tensors[count : count + len(plan.vectors)]
    named = {leaf: k for k, leaf in enumerate((*plan.states, *plan.term_leaves, *plan.vectors))}
    order = [named[leaf] for leaf in plan.step.inputs]
    step = compile_pointwise(plan.step)
    outputs: list[Tensor] = []
    for rows in zip(*(buffer.unbind() for buffer in buffers), strict=True):
        slots = [row.unbind(1) for row in rows]  # step by step: the gradient of a slice of all steps would be as large as all of them
        given = (*states, *(slots[buffer][slot] for buffer, slot in buffer_layout.slots), *vectors)
        states = step(*(given[k] for k in order))
        outputs.append(states[0])
    return torch.stack(outputs), tuple(states)
