"""The autograd function of a recurrence, for every cell and schedule: feeds, time loop and gradients.

The backward loop emits the gradients of the terms; those of the matrices are a few large products after it.
"""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.derive.buffers import Layout, layout
from kernels.derive.plan import Plan
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs, Products


def refuse_forward_mode(ctx: Any, *tangents: Any) -> Any:
    raise RuntimeError("a fused recurrence has no derivative in forward mode: make the layer with backend='eager'")


class Recurrence(torch.autograd.Function):
    """Runs one layer in one direction: `Recurrence.apply(plan, schedule, keep, T, *tensors)`.

    Args:
        keep: whether to save what a backward pass needs.
        tensors: for each feed its argument (T, B, K), None if it is one of the values; its weight (G·H, K); its bias (G·H) or None. A
            feed without a weight has its rows (T, B, G·H) as argument. Then the other hoisted values (T, B, H), the vectors (H), the
            weights of the product groups (P·H, H) and the initial states (B, H).

    Returns:
        y (T, B, H), and the final states (B, H).
    """

    @staticmethod
    def forward(ctx: Any, plan: Plan, schedule: ModuleType, keep: bool, T: int, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        loop = make_pass(plan, schedule, keep, T, tensors)
        trajectory: ForwardResult = schedule.forward(loop)
        if keep:
            ctx.set_materialize_grads(False)
            ctx.plan, ctx.schedule = plan, schedule
            ctx.counts = len(tensors), len(loop.terms), len(trajectory.history)
            ctx.save_for_backward(*tensors, *loop.terms, *trajectory.history, *trajectory.arguments)
        return trajectory.history[0], *(h[-1].clone() for h in trajectory.history)

    jvp = staticmethod(refuse_forward_mode)

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *d_final: Tensor | None) -> tuple[Any, ...]:
        refuse_double_backward(dy, *d_final)
        take = iter(ctx.saved_tensors)
        tensors, terms, history = ([next(take) for _ in range(n)] for n in ctx.counts)
        trajectory = ForwardResult(history, list(take))
        result = differentiate(ctx.plan, ctx.schedule, tensors, terms, trajectory, dy, d_final, ctx.needs_input_grad[4:])
        return None, None, None, None, *result


def refuse_double_backward(*upstream: Tensor | None) -> None:
    """Raises RuntimeError if a backward pass is itself differentiated, or is called with batched gradients."""
    if any(d is not None and torch._C._functorch.is_legacy_batchedtensor(d) for d in upstream):
        raise RuntimeError("a fused recurrence takes one gradient at a time: is_grads_batched and vectorize take backend='eager'")
    if torch.is_grad_enabled():
        raise RuntimeError("a fused recurrence can't be differentiated twice: create_graph=True takes backend='eager'")


def make_pass(
    plan: Plan, schedule: ModuleType, keep: bool, T: int, tensors: Sequence[Tensor | None], history: list[Tensor] | None = None,
    recompute: bool = True,
) -> PassInputs:  # fmt: skip
    """Makes the inputs of a forward pass from the tensors of `Recurrence`: computes the feeds, and allocates what is saved.

    Args:
        history: tensors for the states after every time step, (T, B, H) each.
        recompute: whether narrow feeds may be recomputed in the backward pass instead of saved.
    """
    place = layout(plan)
    feeds, values, vectors, weights, states = unflatten(plan, place, tensors)
    B, H = states[0].shape
    hoisted: list[Any] = []
    for k, (feed, (v, W, bias)) in enumerate(zip(place.feeds, feeds, strict=True)):
        if W is None or not schedule.COMPUTES_FEEDS:
            hoisted.append((v.contiguous() if W is None else F.linear(v, W, bias)).view(T, B, -1, H))
        else:
            short = recompute and v.shape[-1] <= schedule.RECOMPUTE_COLUMNS and k not in place.accumulated
            hoisted.append(v.new_empty(T, B, len(feed.terms), H) if keep and not short else None)
    hoisted += [v.contiguous().unsqueeze(2) for v in values]
    terms: list[Any] = list(hoisted) if keep else []
    for k, (feed, (_, W, _)) in enumerate(zip(place.feeds, feeds, strict=True)):
        if keep and W is None and k in place.accumulated:  # given rows stay as they are: the loop writes elsewhere
            if all(plan.terms[i].matrix for i in feed.terms):
                terms[k] = torch.empty_like(terms[k])
            else:
                terms[k] = hoisted[k] = terms[k].clone()
    if place.recurrent_only:
        hoisted.append(None)
        terms += [states[0].new_empty(T, B, len(place.recurrent_only), H)] if keep else []
    feeds = [(v.contiguous(), W if schedule.COMPUTES_FEEDS else None, bias) for v, W, bias in feeds]
    return PassInputs(plan, T, feeds, hoisted, terms, vectors, weights, states, history)


def differentiate(
    plan: Plan, schedule: ModuleType, tensors: Sequence[Tensor | None], terms: list[Tensor], trajectory: ForwardResult,
    dy: Tensor | None, d_final: Sequence[Tensor | None], needs: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """Returns the gradients of the tensors of `Recurrence` from the result of its forward pass.

    The gradient of a feed's argument, weight or bias, or of a group's weight, is None if `needs` has False for it.
    """
    feeds, values, vectors, weights, states = unflatten(plan, layout(plan), tensors)
    flags = iter(needs)
    wanted: Products[bool] = Products([(next(flags), next(flags), next(flags)) for _ in feeds], [])
    wanted.weights = list(flags)[len(values) + len(vectors) :][: len(weights)]
    loop = PassInputs(plan, len(trajectory.history[0]), feeds, [], terms, vectors, weights, states, wanted=wanted)
    d_states = [torch.zeros_like(s) if d is None else d.contiguous() for s, d in zip(states, d_final, strict=True)]
    dy = None if dy is None else dy.contiguous()
    gradients: Gradients = schedule.backward(loop, trajectory, dy, d_states)

    d_values = [d.squeeze(2) for d in gradients.terms[len(feeds) : len(feeds) + len(values)]]
    products = gradients.products or weight_gradients(loop, trajectory, gradients.terms, d_values)
    result: list[Tensor | None] = []
    for (_, W, _), d, found in zip(feeds, gradients.terms, products.feeds, strict=False):
        result += found if W is not None else (d.flatten(2), None, None)
    return [*result, *d_values, *gradients.vectors, *products.weights, *gradients.states]


def weight_gradients(loop: PassInputs, trajectory: ForwardResult, d_terms: list[Tensor], d_values: list[Tensor]) -> Products[Tensor | None]:
    """Computes the gradients of the products' operands after the time loop, by large products over all T·B rows.

    Adds the gradient of a feed's argument that is one of the values to `d_values`.
    """
    assert loop.wanted is not None
    found: Products[Tensor | None] = Products([], [])
    for feed, (v, W, _), d, wanted in zip(loop.layout.feeds, loop.feeds, d_terms, loop.wanted.feeds, strict=False):
        if W is None:
            found.feeds.append((None, None, None))
            continue
        flat = d.flatten(2).flatten(0, 1)
        if feed.value >= 0:  # its argument is among the values, not here
            d_values[feed.value].flatten(0, 1).addmm_(flat, W)
        found.feeds.append((
            (flat @ W).view(v.shape) if wanted[0] else None,
            flat.t() @ v.reshape(len(flat), -1) if wanted[1] else None,
            flat.sum(0) if wanted[2] else None,
        ))  # fmt: skip
    found.weights = [weight_gradient(g, loop, trajectory, d_terms) if wanted else None for g, wanted in enumerate(loop.wanted.weights)]
    return found


def weight_gradient(g: int, loop: PassInputs, trajectory: ForwardResult, d_terms: list[Tensor]) -> Tensor:
    """Computes the gradient (P·H, H) of a group's weight: a product over all T·B rows for each range of contiguous slots."""
    T, B, H = loop.shape
    place = loop.layout
    group = place.groups[g]
    d_weight = d_terms[0].new_empty(len(group.terms) * H, H)
    for first, count, buffer, slot in contiguous_slots([place.slots[i] for i in group.terms]):
        d = d_terms[buffer].view(T * B, -1)[:, slot * H : (slot + count) * H]
        out = d_weight[first * H : (first + count) * H]
        if group.computed >= 0:
            torch.mm(d.t(), trajectory.arguments[group.computed].flatten(0, 1), out=out)
        else:
            torch.mm(d[:B].t(), loop.states[group.state], out=out)
            out.addmm_(d[B:].t(), trajectory.history[group.state][:-1].flatten(0, 1))
    return d_weight


def contiguous_slots(slots: list[tuple[int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Yields ranges of contiguous slots in one buffer: (index of the first, count, buffer, its slot)."""
    first = 0
    for k in range(1, len(slots) + 1):
        buffer, slot = slots[first]
        if k == len(slots) or slots[k] != (buffer, slot + k - first):
            yield first, k - first, buffer, slot
            first = k


class Tensors(NamedTuple):
    """The tensors of `Recurrence`, by kind."""

    feeds: list[Any]
    values: list[Any]
    vectors: list[Any]
    weights: list[Any]
    states: list[Any]


def unflatten(plan: Plan, slots: Layout, tensors: Sequence[Any]) -> Tensors:
    """Sorts the flat tensors of `Recurrence` by kind; feeds whose argument is one of the values get that."""
    take = iter(tensors)
    feeds = [(next(take), next(take), next(take)) for _ in slots.feeds]
    counts = (len(slots.values), len(plan.vectors), len(slots.groups), len(plan.states))
    values, *rest = ([next(take) for _ in range(n)] for n in counts)
    feeds = [(values[feed.value] if v is None else v, W, b) for feed, (v, W, b) in zip(slots.feeds, feeds, strict=True)]
    return Tensors(feeds, values, *rest)
