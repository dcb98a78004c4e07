"""The terms of a pass, from the states it left: what its loop added up step by step, in a few products of all T·B rows.

The states of all steps are known, so no step waits for the one before it. Only the stages of a step do, each for the last.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from kernels.derive.buffers import layout
from kernels.derive.plan import Plan
from kernels.layer.autograd import runs, split
from kernels.layer.input_products import Values


def restore(plan: Plan, tensors: Sequence[Tensor | None], before: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """What the forward pass over `tensors` (those of `Recurrence`, every feed with its weight) keeps for the backward pass:
    the terms (T, B, G, H), and the arguments (T, B, H) of the computed groups. `before` (T, B, H): each state before every step.
    """
    place = layout(plan)
    feeds, values, vectors, weights, _ = split(plan, place, tensors)
    T, B, H = before[0].shape
    terms = [F.linear(v, W, bias).view(T, B, -1, H) for v, W, bias in feeds] + [v.contiguous().unsqueeze(2) for v in values]
    terms += [before[0].new_empty(T, B, len(place.alone), H)] if place.alone else []
    arguments: list[Tensor] = []
    for group, weight in zip(place.groups, weights, strict=True):
        if group.leads:
            arguments += computed(plan, group.stage, before, terms, vectors)
        operand = (before[group.state] if group.computed < 0 else arguments[group.computed]).reshape(T * B, H)
        for first, count, buffer, slot in runs([place.slots[i] for i in group.terms]):
            columns = terms[buffer].view(T * B, -1)[:, slot * H : (slot + count) * H]
            hoisted = plan.terms[group.terms[first]].hoisted is not None
            columns.addmm_(operand, weight[first * H : (first + count) * H].t(), beta=int(hoisted))
    return terms, arguments


def computed(plan: Plan, stage: int, before: Sequence[Tensor], terms: list[Tensor], vectors: list[Tensor]) -> list[Tensor]:
    """What a stage's products are applied to (T, B, H), where its function computes that."""
    function, slots = plan.stages[stage].argument, layout(plan).slots
    assert function is not None
    parts = [terms[buffer][:, :, slot] for buffer, slot in slots]
    leaves = (*plan.states, *plan.vectors, *plan.term_leaves)
    values = Values(dict(zip(leaves, (*before, *vectors, *parts), strict=True)), {})
    return [values[node].expand_as(before[0]).contiguous() for node in function.outputs]
