"""Runs a cell whose step is affine in its only state, h_t = a_t h_{t-1} + b_t, on any solver of that recurrence.

a and b are derived from the cell's step and computed for all times at once, in eager torch under autograd, as a user of such a scan would
compute them. Only the solver differs between backends (`bench.measure.scan_peers`).
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
from kernels.layer.input_products import GraphEvaluator, bind_inputs


def is_linear_recurrence(plan: Plan) -> bool:
    """Returns whether a plan has no matrix product in its loop and is affine in exactly one state."""
    return not plan.stages and not plan.stencil_inputs and is_affine(plan.step) and len(list_read_states(plan)) == 1


@dataclass(frozen=True)
class LinearRecurrence:
    """The step of a plan as a linear recurrence.

    Attributes:
        s: The index of the state.
        slope: a.
        offset: b.
        after: The placeholder for the solved state.
        outputs: All next states as functions of the solved state.
    """

    s: int
    slope: Node
    offset: Node
    after: Node
    outputs: tuple[Node, ...]


@cache
def derive_recurrence(plan: Plan) -> LinearRecurrence:
    """Derives the recurrence of a plan. Operations on 0 or 1 are folded, because each one is a pass over all T·B·H numbers."""
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
    """Returns an expression with the `known` nodes replaced, folded as if it had been written that way."""
    if node not in known:
        arguments = [substitute(argument, known) for argument in node.args]
        known[node] = node.graph.node(node.op, *arguments, label=node.label) if arguments else node
    return known[node]


def compute_coefficients(
    plan: Plan, x: Tensor, shape: Sequence[int], weights: Mapping[str, Tensor]
) -> tuple[GraphEvaluator, Tensor, Tensor]:
    """Computes a and b, each (T, B, H), and the values that the step reads besides its state."""
    outside = GraphEvaluator(bind_inputs(plan, x), weights)
    fixed = dict(zip(plan.term_leaves, (outside[term.hoisted] for term in plan.terms), strict=True))
    fixed |= dict(zip(plan.vectors, (outside[node] for node in plan.vector_values), strict=True))
    values, found = GraphEvaluator(fixed, {}), derive_recurrence(plan)
    return values, broadcast(values[found.slope], x, shape), broadcast(values[found.offset], x, shape)


def broadcast(value: Tensor, x: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.as_tensor(value, dtype=x.dtype, device=x.device).expand(*shape)


def has_positive_slopes(plan: Plan, x: Tensor, H: int, weights: Mapping[str, Tensor]) -> bool:
    """Returns whether every a is positive for the inputs x (T, B, D)."""
    with torch.no_grad():
        return bool((compute_coefficients(plan, x, (*x.shape[:2], H), weights)[1] > 0).all())


def run_recurrence(
    plan: Plan, scan: Solve, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs a cell on a solver. The initial state becomes part of the first offset.

    Args:
        plan: The plan of the cell.
        scan: The solver, which starts at 0.
        x: Inputs (T, B, D).
        states: Initial states, each (B, H).
        weights: The weights of the cell by name.

    Returns:
        y (T, B, H) and the final states (B, H).
    """
    found, shape = derive_recurrence(plan), (len(x), *states[0].shape)
    start, leaf = states[found.s], plan.states[found.s]
    values, a, b = compute_coefficients(plan, x, shape, weights)
    h = scan(a, torch.cat([(a[0] * start + b[0]).unsqueeze(0), b[1:]]))
    values.done[found.after] = h
    if leaf in set(walk(found.outputs)):
        values.done[leaf] = torch.cat([start.unsqueeze(0), h[:-1]])
    outputs = [broadcast(values[node], x, shape) for node in found.outputs]
    return outputs[0], tuple(value[-1] for value in outputs)
