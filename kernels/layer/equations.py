"""Runs a recurrence as its equations, one time step after another, where no fused loop can: in torch.func, in forward mode, where the
gradient is itself differentiated or batched, and on tensors without memory of their own.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from kernels.derive.adjoint import compile_pointwise
from kernels.derive.buffers import layout
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise
from kernels.schedules.diagonal_blocks import multiply
from kernels.schedules.packed_steps import Steps

if TYPE_CHECKING:
    from kernels.layer.autograd import Tensors

Result = tuple[Tensor, Sequence[Tensor]]


def reason_for_equations(tensors: Sequence[Tensor]) -> str | None:
    """Returns the reason why no fused loop can run a call, None if one can: in all of these the tensors have no memory that it may read."""
    if torch._C._are_functorch_transforms_active():
        return "inside torch.func (grad, vmap, …)"
    if forward_ad._current_level >= 0:
        return "in forward-mode differentiation"
    for tensor in tensors:
        if type(tensor) not in (Tensor, nn.Parameter) and type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__:
            return f"on tensors of the class {type(tensor).__name__}"
    return None


@cache
def warn_once(cell: str, reason: str) -> None:
    """Warns that a cell runs as its equations, once for each reason."""
    message = f"{cell} runs as its equations {reason}, step by step, since no fused loop can: backend='eager' does so without this warning"
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def vjp(
    cell: str, function: Callable[..., Result], tensors: Sequence[Tensor | None], needs: Sequence[bool], upstream: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Computes the gradients of a recurrence in a backward pass that a schedule can't do: they are differentiable, and may be batched.

    Args:
        cell: the cell's name.
        function: the recurrence, from `tensors` to the output and the final states.
        tensors: those that the forward pass saved.
        needs: for each tensor, whether its gradient is needed.
        upstream: the gradients of the output and of the final states, None for zero.
    """
    create_graph = torch.is_grad_enabled()
    warn_once(
        cell, "for a second derivative (create_graph=True)" if create_graph else "for batched gradients (is_grads_batched, vectorize)"
    )
    with torch.enable_grad():
        # A view of each, so that a gradient stops there and doesn't go on to another one that depends on it.
        leaves = [t if t is None or not need else t.view_as(t) if create_graph else t.detach().requires_grad_()
                  for t, need in zip(tensors, needs, strict=True)]  # fmt: skip
        y, final = function(*leaves)
        ends = [(out, d) for out, d in zip((y, *final), upstream, strict=True) if d is not None and out.requires_grad]
        wanted = [t for t, need in zip(leaves, needs, strict=True) if t is not None and need]
        outputs, gradients = ([end[k] for end in ends] for k in (0, 1))
        found = iter(
            torch.autograd.grad(outputs, wanted, gradients, create_graph=create_graph, allow_unused=True) if ends else [None] * len(wanted)
        )
    return [next(found) if t is not None and need else None for t, need in zip(leaves, needs, strict=True)]


def unroll(plan: Plan, steps: Steps, tensors: "Tensors") -> Result:
    """Runs the recurrence of a plan in plain torch, under autograd.

    Args:
        plan: the plan of the cell.
        steps: T; or the steps of packed rows, with (N, 1) in the place of (T, B).
        tensors: the tensors of `Recurrence`.

    Returns:
        y (T, B, H), and the final states (B, H).
    """
    _, _, vectors, weights, states = tensors
    vectors = [v.to(states[0].dtype) for v in vectors]
    B = len(states[0])
    rows = [v.flatten(0, 1) for v in hoisted_rows(tensors)]
    outputs: list[Tensor] = []
    ended: list[list[Tensor]] = []
    first = 0
    for count in [B] * steps if isinstance(steps, int) else steps.counts.tolist():
        if count < len(states[0]):
            ended.insert(0, [s[count:] for s in states])
            states = [s[:count] for s in states]
        states = step(plan, [v[first : first + count] for v in rows], states, vectors, weights)
        outputs.append(states[0])
        first += count
    y = torch.stack(outputs) if isinstance(steps, int) else torch.cat(outputs).unsqueeze(1)
    return y, [torch.cat(parts) for parts in zip(states, *ended, strict=True)] if ended else states


def hoisted_rows(tensors: "Tensors") -> list[Tensor]:
    """Computes what a step reads beside states and parameters, ahead of the time loop: (T, B, G, H) for each buffer of hoisted terms."""
    H = tensors.states[0].shape[1]
    rows = [(v if W is None else F.linear(v, W, bias)).unflatten(-1, (-1, H)) for v, W, bias in tensors.projections]
    return rows + [v.unsqueeze(2) for v in tensors.values]


def step(
    plan: Plan, rows: Sequence[Tensor], states: Sequence[Tensor], vectors: Sequence[Tensor], weights: Sequence[Tensor]
) -> list[Tensor]:
    """Computes the next states (B, H) from those before them; `rows` are one time step of `hoisted_rows`, (B, G, H) each."""
    buffer_layout = layout(plan)
    terms: list[Any] = [
        None if term.hoisted is None else rows[buffer][:, slot]
        for term, (buffer, slot) in zip(plan.terms, buffer_layout.slots, strict=True)
    ]
    computed: list[Tensor] = []
    for group, weight in zip(buffer_layout.groups, weights, strict=True):
        argument = plan.stages[group.stage].argument
        if group.runs_stage_function and argument is not None:
            computed += evaluate(plan, argument, states, vectors, terms)
        operand = states[group.state] if group.computed < 0 else computed[group.computed]
        for i, product in zip(group.terms, multiply(operand, weight).chunk(len(group.terms), 1), strict=True):
            terms[i] = product if terms[i] is None else terms[i] + product
    return evaluate(plan, plan.step, states, vectors, terms)


def evaluate(plan: Plan, function: Pointwise, states: Sequence[Tensor], vectors: Sequence[Tensor], terms: Sequence[Any]) -> list[Tensor]:
    """Evaluates a pointwise function of a plan at one time step; each result is (B, H)."""
    near = [n.stencil(states[n.state]) for n in plan.stencil_inputs]
    leaves = (*plan.states, *plan.vectors, *plan.term_leaves, *plan.stencil_leaves)
    known = dict(zip(leaves, (*states, *vectors, *terms, *near), strict=True))
    found = compile_pointwise(function)(*(known[leaf] for leaf in function.inputs))
    like = states[0]
    return [v.to(like.dtype).expand_as(like) if isinstance(v, Tensor) else torch.full_like(like, v) for v in found]
