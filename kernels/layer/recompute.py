"""Recomputes the terms of a forward pass from its states, by a few products over all T·B rows.

The states of all time steps are known, so no step depends on the one before it; only the stages of a step depend on each other.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from kernels.derive.buffers import layout
from kernels.derive.plan import Plan
from kernels.layer.autograd import contiguous_slots, unflatten
from kernels.layer.input_products import Values


def recompute_terms(plan: Plan, tensors: Sequence[Tensor | None], before: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Recomputes what a forward pass saves for the backward pass.

    Args:
        tensors: those of `Recurrence`, every input projection with its weight.
        before: each state before every time step, (T, B, H).

    Returns:
        The terms (T, B, G, H), and the computed operands (T, B, H) of the product groups.
    """
    place = layout(plan)
    projections, values, vectors, weights, _ = unflatten(plan, place, tensors)
    T, B, H = before[0].shape
    terms = [F.linear(v, W, bias).view(T, B, -1, H) for v, W, bias in projections] + [v.contiguous().unsqueeze(2) for v in values]
    terms += [before[0].new_empty(T, B, len(place.recurrent_only), H)] if place.recurrent_only else []
    arguments: list[Tensor] = []
    for group, weight in zip(place.groups, weights, strict=True):
        if group.starts_stage:
            arguments += compute_arguments(plan, group.stage, before, terms, vectors)
        operand = (before[group.state] if group.computed < 0 else arguments[group.computed]).reshape(T * B, H)
        for first, count, buffer, slot in contiguous_slots([place.slots[i] for i in group.terms]):
            columns = terms[buffer].view(T * B, -1)[:, slot * H : (slot + count) * H]
            hoisted = plan.terms[group.terms[first]].hoisted is not None
            columns.addmm_(operand, weight[first * H : (first + count) * H].t(), beta=int(hoisted))
    return terms, arguments


def compute_arguments(plan: Plan, stage: int, before: Sequence[Tensor], terms: list[Tensor], vectors: list[Tensor]) -> list[Tensor]:
    """Computes the operands (T, B, H) of a stage's products by its pointwise function."""
    function, slots = plan.stages[stage].argument, layout(plan).slots
    assert function is not None
    parts = [terms[buffer][:, :, slot] for buffer, slot in slots]
    leaves = (*plan.states, *plan.vectors, *plan.term_leaves)
    values = Values(dict(zip(leaves, (*before, *vectors, *parts), strict=True)), {})
    return [values[node].expand_as(before[0]).contiguous() for node in function.outputs]
