"""Recomputes the terms of a forward pass from its states, by a few products over all T·B rows.

The states of all time steps are known, so no step depends on the one before it; only the stages of a step depend on each other.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from kernels.derive.buffers import contiguous_slots, layout
from kernels.derive.plan import Plan
from kernels.layer.autograd import unflatten
from kernels.layer.input_products import GraphEvaluator
from kernels.schedules.diagonal_blocks import multiply


def recompute_terms(plan: Plan, tensors: Sequence[Tensor | None], previous_states: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Recomputes what a forward pass saves for the backward pass.

    Args:
        tensors: those of `Recurrence`, every input projection with its weight.
        previous_states: each state before every time step, (T, B, H).

    Returns:
        The terms (T, B, G, H), and the computed operands (T, B, H) of the product groups.
    """
    buffer_layout = layout(plan)
    projections, values, vectors, weights, _ = unflatten(plan, buffer_layout, tensors)
    T, B, H = previous_states[0].shape
    terms = [F.linear(v, W, bias).view(T, B, -1, H) for v, W, bias in projections] + [v.contiguous().unsqueeze(2) for v in values]
    terms += [previous_states[0].new_empty(T, B, len(buffer_layout.recurrent_only), H)] if buffer_layout.recurrent_only else []
    arguments: list[Tensor] = []
    for group, weight in zip(buffer_layout.groups, weights, strict=True):
        if group.runs_stage_function:
            arguments += compute_arguments(plan, group.stage, previous_states, terms, vectors)
        operand = (previous_states[group.state] if group.computed < 0 else arguments[group.computed]).reshape(T * B, H)
        for first, count, buffer, slot in contiguous_slots([buffer_layout.slots[i] for i in group.terms]):
            columns = terms[buffer].view(T * B, -1)[:, slot * H : (slot + count) * H]
            hoisted = plan.terms[group.terms[first]].hoisted is not None
            rows = weight[first * H : (first + count) * H]
            if group.heads == 1:
                columns.addmm_(operand, rows.t(), beta=int(hoisted))
            else:
                columns.copy_(columns + multiply(operand, rows) if hoisted else multiply(operand, rows))
    return terms, arguments


def compute_arguments(
    plan: Plan, stage: int, previous_states: Sequence[Tensor], terms: list[Tensor], vectors: list[Tensor]
) -> list[Tensor]:
    """Computes the operands (T, B, H) of a stage's products by its pointwise function."""
    function, slots = plan.stages[stage].argument, layout(plan).slots
    assert function is not None
    parts = [terms[buffer][:, :, slot] for buffer, slot in slots]
    leaves = (*plan.states, *plan.vectors, *plan.term_leaves)
    values = GraphEvaluator(dict(zip(leaves, (*previous_states, *vectors, *parts), strict=True)), {})
    return [values[node].to(previous_states[0].dtype).expand_as(previous_states[0]).contiguous() for node in function.outputs]
