"""A cell whose step is affine in the one state that it reads, h_t = a_t h_{t-1} + b_t, over whatever runs that recurrence.

a and b are the cell's, derived from its step for all times at once, with tensors and under autograd, uncompiled: so are they for whoever
calls such a scan from torch. What runs the recurrence is given (`bench.measure.scan_peers`), and all else is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from bench.measure.scan_peers import Solve
from kernels.derive.adjoint import adjoint, is_affine, list_read_states
from kernels.derive.graph import Node, walk
from kernels.derive.plan import Plan
from kernels.layer.input_products import Values, bind_inputs


def is_linear_recurrence(plan: Plan) -> bool:
    return not plan.stages and not plan.stencil_inputs and is_affine(plan.step) and len(list_read_states(plan)) == 1


@dataclass(frozen=True)
class LinearRecurrence:
    """The step of a suited plan as its recurrence: `slope` a and `offset` b of state `s`, and all next states once its are known, as
    `after`."""

    s: int
    slope: Node
    offset: Node
    after: Node
    outputs: tuple[Node, ...]


@cache
def linear_recurrence(plan: Plan) -> LinearRecurrence:
    """Derive the recurrence of a plan, without operations on 0 or 1: every one here is a pass over all T·B·H."""
    (s,) = list_read_states(plan)
    back, n = adjoint(plan.step), len(plan.step.inputs)
    chosen = {leaf: plan.graph.wrap(float(k == s)) for k, leaf in enumerate(back.inputs[n:])}
    after = plan.graph.leaf("state", "the new one")  # a name that no cell can give
    known = {plan.step.outputs[s]: after}
    return LinearRecurrence(
        s, substitute(back.outputs[s], chosen), substitute(plan.step.outputs[s], {plan.states[s]: plan.graph.wrap(0.0)}), after,
        tuple(substitute(node, dict(known)) for node in plan.step.outputs),
    )  # fmt: skip


def substitute(node: Node, known: dict[Node, Node]) -> Node:
    """The expression with the `known` nodes replaced, and folded as it would be if it were written so."""
    if node not in known:
        arguments = [substitute(argument, known) for argument in node.args]
        known[node] = node.graph.node(node.op, *arguments, label=node.label) if arguments else node
    return known[node]


def coefficients(plan: Plan, x: Tensor, shape: Sequence[int], weights: Mapping[str, Tensor]) -> tuple[Values, Tensor, Tensor]:
    """Return what the step reads besides its state, and a and b, each of shape (T, B, H)."""
    outside = Values(bind_inputs(plan, x), weights)
    fixed = dict(zip(plan.term_leaves, (outside[term.hoisted] for term in plan.terms), strict=True))
    fixed |= dict(zip(plan.vectors, (outside[node] for node in plan.vector_values), strict=True))
    values, found = Values(fixed, {}), linear_recurrence(plan)
    return values, broadcast(values[found.slope], x, shape), broadcast(values[found.offset], x, shape)


def broadcast(value: Tensor, x: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.as_tensor(value, dtype=x.dtype, device=x.device).expand(*shape)


def has_positive_slopes(plan: Plan, x: Tensor, H: int, weights: Mapping[str, Tensor]) -> bool:
    """Return whether every a is above 0 for these inputs."""
    with torch.no_grad():
        return bool((coefficients(plan, x, (*x.shape[:2], H), weights)[1] > 0).all())


def unroll(
    plan: Plan, scan: Solve, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Compute y (T, B, H) and the final states of x (T, B, D) and states (B, H), as `Cell.unroll`. The initial state is part of b_1."""
    found, shape = linear_recurrence(plan), (len(x), *states[0].shape)
    start, leaf = states[found.s], plan.states[found.s]
    values, a, b = coefficients(plan, x, shape, weights)
    h = scan(a, torch.cat([(a[0] * start + b[0]).unsqueeze(0), b[1:]]))
    values.done[found.after] = h
    if leaf in set(walk(found.outputs)):
        values.done[leaf] = torch.cat([start.unsqueeze(0), h[:-1]])
    outputs = [broadcast(values[node], x, shape) for node in found.outputs]
    return outputs[0], tuple(value[-1] for value in outputs)
