"""The autograd function of a recurrence, for every cell and schedule: input projections, time loop and gradients.

The backward loop computes the gradients of the terms. Those of the matrices are a few large products after it.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.derive.buffers import Layout, contiguous_slots, layout
from kernels.derive.plan import Plan
from kernels.layer import equations
from kernels.schedules.diagonal_blocks import compress, expand, outer_products
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs, Products
from kernels.schedules.packed_steps import Steps


class Recurrence(torch.autograd.Function):
    """Runs one direction of a (bi)directional layer, forward and backward pass: `Recurrence.apply(plan, schedule, keep, steps, *tensors)`.

    Args:
        keep: whether to save what a backward pass needs.
        steps: T; or the steps of packed rows, whose tensors have (N, 1) in the place of (T, B).
        tensors: for each input projection its input (T, B, K), or None if the input is also a hoisted tensor of the step, which follows
            below; its weight (G·H, K); its bias (G·H) or None. If the weight is None, the input is the projected rows (T, B, G·H); only
            callers outside `RNN` pass None here. Then the other hoisted tensors (T, B, H), the vectors (H), the weights of the product
            groups (P·H, H) and the initial states (B, H).

    Returns:
        y (T, B, H), and the final states (B, H).
    """

    @staticmethod
    def forward(ctx: Any, plan: Plan, schedule: ModuleType, keep: bool, steps: Steps, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        inputs = make_pass_inputs(plan, schedule, keep, steps, tensors)
        result: ForwardResult = schedule.forward(inputs)
        if keep:
            ctx.set_materialize_grads(False)
            ctx.plan, ctx.schedule, ctx.steps, ctx.versions = plan, schedule, steps, None  # `versions`: of what it doesn't save, if watched
            ctx.counts = len(tensors), len(inputs.terms), len(result.history)
            ctx.save_for_backward(*tensors, *inputs.terms, *result.history, *result.arguments)
        return result.history[0], *inputs.final_states(result)

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *d_final: Tensor | None) -> tuple[Any, ...]:
        take = iter(ctx.saved_tensors)
        if ctx.versions is not None:
            ctx.versions.check()
        tensors, terms, history = ([next(take) for _ in range(n)] for n in ctx.counts)
        needs = ctx.needs_input_grad[4:]
        if needs_equations(dy, *d_final):
            return None, None, None, None, *differentiate_equations(ctx.plan, ctx.steps, tensors, needs, dy, d_final)
        result = ForwardResult(history, list(take))
        gradients_of_tensors = differentiate(ctx.plan, ctx.schedule, ctx.steps, tensors, terms, result, dy, d_final, needs)
        return None, None, None, None, *gradients_of_tensors


def needs_equations(*upstream: Tensor | None) -> bool:
    """Returns whether a backward pass is itself differentiated, or is called with batched gradients: a schedule can do neither."""
    return torch.is_grad_enabled() or any(d is not None and torch._C._functorch.is_legacy_batchedtensor(d) for d in upstream)


def differentiate_equations(
    plan: Plan, steps: Steps, tensors: Sequence[Tensor | None], needs: Sequence[bool], dy: Tensor | None, d_final: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Computes what `differentiate` does by the equations, from the tensors of the forward pass alone."""

    def function(*tensors: Tensor | None) -> equations.Result:
        return equations.unroll(plan, steps, unflatten(plan, layout(plan), tensors))

    return equations.vjp(plan.cell.name, function, tensors, needs, (dy, *d_final))


def make_pass_inputs(
    plan: Plan, schedule: ModuleType, keep: bool, steps: Steps, tensors: Sequence[Tensor | None], history: list[Tensor] | None = None,
    recompute: bool = True,
) -> PassInputs:  # fmt: skip
    """Makes the inputs of a forward pass: computes the input projections, unless the schedule does, and allocates what is saved.

    Args:
        keep: whether to save what a backward pass needs.
        tensors: those of `Recurrence`.
        history: tensors for the states after every time step, (T, B, H) each. Default: the schedule allocates them.
        recompute: whether narrow projections may be recomputed in the backward pass instead of saved.
    """
    buffer_layout = layout(plan)
    projections, values, vectors, weights, states = unflatten(plan, buffer_layout, tensors)
    B, H = states[0].shape
    T, packed = (steps, None) if isinstance(steps, int) else (steps.T, steps)
    rows = (T, B) if packed is None else (packed.N, 1)
    hoisted: list[Any] = []
    for k, (projection, (v, W, bias)) in enumerate(zip(buffer_layout.projections, projections, strict=True)):
        if W is None or not schedule.COMPUTES_PROJECTIONS:
            hoisted.append((v.contiguous() if W is None else F.linear(v, W, bias)).view(*rows, -1, H))
        else:
            recompute_in_backward = recompute and v.shape[-1] <= schedule.RECOMPUTE_COLUMNS and k not in buffer_layout.recurrent_buffers
            hoisted.append(v.new_empty(*rows, len(projection.terms), H) if keep and not recompute_in_backward else None)
    hoisted += [v.contiguous().unsqueeze(2) for v in values]
    terms: list[Any] = list(hoisted) if keep else []
    for k, (projection, (_, W, _)) in enumerate(zip(buffer_layout.projections, projections, strict=True)):
        if keep and W is None and k in buffer_layout.recurrent_buffers:
            # The loop adds recurrent products in place. The rows belong to the caller, so copy them.
            if all(plan.terms[i].matrix for i in projection.terms):
                terms[k] = torch.empty_like(terms[k])
            else:
                terms[k] = hoisted[k] = terms[k].clone()
    if buffer_layout.recurrent_only:
        hoisted.append(None)
        terms += [states[0].new_empty(*rows, len(buffer_layout.recurrent_only), H)] if keep else []
    projections = [(v.contiguous(), W if schedule.COMPUTES_PROJECTIONS else None, bias) for v, W, bias in projections]
    inputs = PassInputs(plan, T, projections, hoisted, terms, vectors, weights, states, history, packed=packed)
    inputs.check()
    return expand_weights(inputs, schedule)


def expand_weights(inputs: PassInputs, schedule: ModuleType) -> PassInputs:
    """Returns the inputs with whole matrices, for a schedule that knows no diagonal blocks."""
    if getattr(schedule, "RUNS_BLOCKS", False) or all(group.heads == 1 for group in inputs.layout.groups):
        return inputs
    return replace(inputs, weights=[expand(W, inputs.shape[2]) for W in inputs.weights])


def align(tensor: Tensor) -> Tensor:
    """Returns the tensor contiguous and aligned to 16 bytes, as Triton assumes when it compiles."""
    tensor = tensor.contiguous()
    return tensor if tensor.data_ptr() % 16 == 0 and not tensor.is_neg() else tensor.resolve_neg().clone()


def differentiate(
    plan: Plan, schedule: ModuleType, steps: Steps, tensors: Sequence[Tensor | None], terms: list[Tensor], result: ForwardResult,
    dy: Tensor | None, d_final: Sequence[Tensor | None], needs: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """Computes the gradients of the tensors of `Recurrence`.

    Args:
        tensors: those of the forward pass.
        terms: the terms that it saved.
        result: its result.
        dy: the gradient of the output (T, B, H), None for zero.
        d_final: the gradients of the final states (B, H), None for zero.
        needs: for each tensor, whether its gradient is needed; the entries of the initial states are ignored.

    Returns:
        The gradient of each tensor. None for the input, weight and bias of a projection and the weight of a group if not needed.
    """
    projections, values, vectors, weights, states = unflatten(plan, layout(plan), tensors)
    flags = iter(needs)
    needs_grad: Products[bool] = Products([(next(flags), next(flags), next(flags)) for _ in projections], [])
    needs_grad.weights = list(flags)[len(values) + len(vectors) :][: len(weights)]
    T, packed = (steps, None) if isinstance(steps, int) else (steps.T, steps)
    inputs = PassInputs(plan, T, projections, [], terms, vectors, weights, states, needs_grad=needs_grad, packed=packed)
    d_states = [torch.zeros_like(s) if d is None else align(d) for s, d in zip(states, d_final, strict=True)]
    dy = None if dy is None else align(dy)
    rows, state = (*inputs.rows, inputs.shape[2]), inputs.shape[1:]
    saved = [("a saved state or operand", t, rows) for t in (*result.history, *result.arguments)]
    inputs.check(*saved, ("the gradient of the output", dy, rows), *(("the gradient of a state", d, state) for d in d_states))
    gradients: Gradients = schedule.backward(expand_weights(inputs, schedule), result, dy, d_states)

    d_values = [d.squeeze(2) for d in gradients.terms[len(projections) : len(projections) + len(values)]]
    products = gradients.products or weight_gradients(inputs, result, gradients.terms, d_values)
    products.weights = [
        None if d is None else compress(d, W.shape[1]) if d.shape != W.shape else d for d, W in zip(products.weights, weights, strict=True)
    ]
    gradients_of_tensors: list[Tensor | None] = []
    for (_, W, _), d, found in zip(projections, gradients.terms, products.projections, strict=False):
        gradients_of_tensors += found if W is not None else (d.flatten(2), None, None)
    all_found = [*gradients_of_tensors, *d_values, *gradients.vectors, *products.weights, *gradients.states]
    return [d if d is None or t is None else d.to(t.dtype) for d, t in zip(all_found, tensors, strict=True)]


def weight_gradients(inputs: PassInputs, result: ForwardResult, d_terms: list[Tensor], d_values: list[Tensor]) -> Products[Tensor | None]:
    """Computes the gradients of the products' operands after the time loop, by large products over all T·B rows.

    Adds the gradient of a projection's input that is one of the values to `d_values`.
    """
    if d_terms and d_terms[0].dtype != inputs.states[0].dtype:  # the gradients of a pass in 16 bit
        inputs, result = inputs.widen(), result.widen()
    assert inputs.needs_grad is not None
    found: Products[Tensor | None] = Products([], [])
    for projection, (v, W, _), d, needs_grad in zip(
        inputs.layout.projections, inputs.projections, d_terms, inputs.needs_grad.projections, strict=False
    ):
        if W is None:
            found.projections.append((None, None, None))
            continue
        flat, W = d.flatten(2).flatten(0, 1), W.to(d.dtype)
        if projection.operand_index >= 0:  # its input is one of the values
            d_values[projection.operand_index].flatten(0, 1).addmm_(flat, W)
        found.projections.append((
            (flat @ W).view(v.shape) if needs_grad[0] else None,
            flat.t() @ v.reshape(len(flat), -1) if needs_grad[1] else None,
            flat.sum(0) if needs_grad[2] else None,
        ))  # fmt: skip
    found.weights = [
        weight_gradient(g, inputs, result, d_terms) if needs_grad else None for g, needs_grad in enumerate(inputs.needs_grad.weights)
    ]
    return found


def weight_gradient(g: int, inputs: PassInputs, result: ForwardResult, d_terms: list[Tensor]) -> Tensor:
    """Computes the gradient (P·H, H / heads) of a group's weight: a product over all rows for each range of contiguous slots."""
    _, B, H = inputs.shape
    buffer_layout = inputs.layout
    group = buffer_layout.groups[g]
    n = H // group.heads
    d_weight = d_terms[0].new_empty(len(group.terms) * H, n)
    for first, count, buffer, slot in contiguous_slots([buffer_layout.slots[i] for i in group.terms]):
        d = d_terms[buffer].flatten(0, 1).flatten(1)[:, slot * H : (slot + count) * H]
        out = d_weight[first * H : (first + count) * H]
        if group.computed >= 0:
            pairs = [(d, result.arguments[group.computed].flatten(0, 1))]
        else:
            history = result.history[group.state]
            before = history[:-1].flatten(0, 1) if inputs.packed is None else history.squeeze(1)[inputs.packed.previous]
            pairs = [(d[:B], inputs.states[group.state]), (d[B:], before)]
        for k, (gradient, operand) in enumerate(pairs):
            if group.heads == 1:
                out.addmm_(gradient.t(), operand, beta=int(k > 0))
            else:
                out.copy_(outer_products(gradient, operand, n) + (out if k else 0))
    return d_weight


class Tensors(NamedTuple):
    """The tensors of `Recurrence`, by kind."""

    projections: list[Any]
    values: list[Any]
    vectors: list[Any]
    weights: list[Any]
    states: list[Any]


def unflatten(plan: Plan, buffer_layout: Layout, tensors: Sequence[Any]) -> Tensors:
    """Sorts the flat tensors of `Recurrence` by kind, and fills in the inputs of projections that are one of the values."""
    take = iter(tensors)
    projections = [(next(take), next(take), next(take)) for _ in buffer_layout.projections]
    counts = (len(buffer_layout.elementwise_terms), len(plan.vectors), len(buffer_layout.groups), len(plan.states))
    values, *rest = ([next(take) for _ in range(n)] for n in counts)
    projections = [
        (values[projection.operand_index] if v is None else v, W, b)
        for projection, (v, W, b) in zip(buffer_layout.projections, projections, strict=True)
    ]
    return Tensors(projections, values, *rest)
