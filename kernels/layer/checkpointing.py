"""Runs a layer in chunks of time and saves only its input and states for the backward pass: `RNN(…, memory="low")`.

The forward pass holds the input projections of one chunk at a time. The backward pass visits the chunks in reverse and recomputes their
terms from the input and the states by large products (`recompute_terms`): no time loop runs twice. A chunk passes the gradients of its
first states on to the chunk before it. The gradients of the parameters are summed in at least float32.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from cells.grammar.cell import Cell, count_steps
from kernels.derive.plan import Plan
from kernels.layer import equations
from kernels.layer.autograd import align, differentiate, make_pass_inputs, needs_equations
from kernels.layer.bound_parameters import read_weights
from kernels.layer.input_products import recurrence_operands
from kernels.layer.recompute import recompute_terms
from kernels.layer.versions import Versions, name_tensors
from kernels.schedules.interface import ForwardResult, widens_vectors

CHUNK = 128
"""Time steps of a chunk. The terms of an LSTM and their gradients, 8·H wide, then take a quarter of the memory of its states at T = 2048,
and products still have 128·B rows. It is a multiple of 32: `cuda_graph` runs whole graphs, and the memory of every chunk is aligned."""

Result = tuple[Tensor, tuple[Tensor, ...]]


def apply(
    plan: Plan, schedule: ModuleType, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor], before: Tensor | None = None,
    numbers: Tensor | None = None,
) -> Result:  # fmt: skip
    """Applies one layer as `input_products.apply` does, chunk by chunk. States are rounded to their dtype between chunks."""
    has_previous = int(before is not None and plan.uses_prev)
    numbers = count_steps(x) if numbers is None else numbers
    x = torch.cat([before.unsqueeze(0), x]) if before is not None and has_previous else x
    given = [x, *parameters.values(), *states]
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    with torch.cuda.device_of(x), torch.autocast(x.device.type, enabled=False):
        y, *final = ChunkedRecurrence.apply(plan, schedule, keep, has_previous, tuple(parameters), numbers, *given)
    return y, tuple(final)


def unroll(
    layer: Callable[..., Result], cell: Cell, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor],
    before: Tensor | None = None, numbers: Tensor | None = None,
) -> Result:  # fmt: skip
    """Runs a layer with activation checkpointing chunk by chunk, by `Cell.unroll` or torch's operator, where torch can checkpoint;
    differentiable as they are."""
    if equations.reason_for_equations((x,)):
        return layer(cell, x, states, parameters, before, numbers)
    outputs: list[Tensor] = []
    run: Callable[..., Result] = partial(layer, cell)
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # checkpoint doesn't notice that what it was given has changed
        versions = Versions(cell.name, name_tensors(x, dict(zip(cell.states, states, strict=True)), parameters, before))

        def run_unchanged(*given: Any) -> Result:
            versions.check()
            return layer(cell, *given)

        run = run_unchanged
    numbers = count_steps(x) if numbers is None else numbers
    for part, number in zip(x.split(CHUNK), numbers.split(CHUNK), strict=True):
        y, states = checkpoint(run, part, states, parameters, before, number, use_reentrant=False, preserve_rng_state=False)
        outputs.append(y)
        before = part[-1]
    return torch.cat(outputs), tuple(states)


class ChunkedRecurrence(torch.autograd.Function):
    """Runs one layer in one direction: `apply(plan, schedule, keep, has_previous, names, numbers, x, *parameters, *states)`.

    Args:
        keep: whether a backward pass may follow.
        has_previous: 1 if the first row of x is the input before the first step, else 0.
        names: the names of the parameters.
        numbers: time() of each step, (T, 1, 1) or (T, B, 1).
        x: the input, (has_previous + T, B, D).
        parameters: the parameters of those names.
        states: the initial states, (B, H) each.

    Returns:
        y (T, B, H), and the final states (B, H).
    """

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, schedule: ModuleType, keep: bool, has_previous: int, names: tuple[str, ...], numbers: Tensor, x: Tensor,
        *given: Tensor,
    ) -> Any:  # fmt: skip
        parameters = dict(zip(names, given, strict=False))
        states = [align(state) for state in given[len(names) :]]
        T, (B, H) = len(x) - has_previous, states[0].shape
        kept = [s.new_empty(T if keep or k == 0 else min(T, CHUNK), B, H) for k, s in enumerate(states)]
        for first in range(0, T, CHUNK):
            chunk_has_previous, part = chunk_rows(plan, x, first + has_previous)
            history = [h[first : first + CHUNK] if len(h) == T else h[: len(part) - chunk_has_previous] for h in kept]
            previous, number = part[0] if chunk_has_previous else None, numbers[first : first + CHUNK]
            wide = widens_vectors(schedule)
            operands = recurrence_operands(plan, part[chunk_has_previous:], H, parameters, previous, number, wide_vectors=wide)
            tensors = [*align_all(operands), *states]
            schedule.forward(make_pass_inputs(plan, schedule, False, len(part) - chunk_has_previous, tensors, history))
            states = [h[-1].clone() for h in history]
        if keep:
            ctx.set_materialize_grads(False)
            ctx.plan, ctx.schedule, ctx.has_previous, ctx.names, ctx.numbers = plan, schedule, has_previous, names, numbers
            ctx.save_for_backward(x, *given, *kept)
        return kept[0], *states

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *d_states: Tensor | None) -> tuple[Any, ...]:
        count, states = len(ctx.names), len(d_states)
        if needs_equations(dy, *d_states):

            def function(x: Tensor, *given: Tensor) -> Result:
                before = x[0] if ctx.has_previous else None
                weights = read_weights(ctx.plan.cell, dict(zip(ctx.names, given, strict=False)))
                return ctx.plan.cell.unroll(x[ctx.has_previous :], given[count:], weights, before, ctx.numbers)

            tensors = ctx.saved_tensors[: 1 + count + states]
            all_found = equations.vjp(ctx.plan.cell.name, function, tensors, ctx.needs_input_grad[6:], (dy, *d_states))
            return None, None, None, None, None, None, *all_found
        x, *saved = (t.detach() for t in ctx.saved_tensors)
        values, initial, history = saved[:count], saved[count : count + states], saved[count + states :]
        needs_x, *needs = ctx.needs_input_grad[6 : 7 + count]
        parameters = [value.requires_grad_(need) for value, need in zip(values, needs, strict=True)]
        wide = torch.promote_types(x.dtype, torch.float32)
        sums = [torch.zeros_like(v, dtype=wide) if need else None for v, need in zip(values, needs, strict=True)]
        dx = torch.zeros_like(x) if needs_x else None
        d_last: Sequence[Tensor | None] = d_states
        for first in reversed(range(0, len(history[0]), CHUNK)):
            _, part = chunk_rows(ctx.plan, x, first + ctx.has_previous)
            given = [part.requires_grad_(needs_x), *parameters]
            steps = [states_before_after(*state, first) for state in zip(initial, history, strict=True)]
            upstream = None if dy is None else dy[first : first + CHUNK]
            with torch.autocast(x.device.type, enabled=False):
                (d_part, *found), d_last = chunk_vjp(ctx, given, steps, upstream, d_last, ctx.numbers[first : first + CHUNK])
            if dx is not None and d_part is not None:
                chunk_rows(ctx.plan, dx, first + ctx.has_previous)[1].add_(d_part)
            for total, d in zip(sums, found, strict=True):
                if total is not None and d is not None:
                    total += d
        return None, None, None, None, None, None, dx, *(None if total is None else total.to(x.dtype) for total in sums), *d_last


def chunk_rows(plan: Plan, x: Tensor, first: int) -> tuple[int, Tensor]:
    """Returns the rows of x for the chunk that begins at row `first`.

    If the cell uses prev(x) and there is a row before, it comes first; the count of such rows, 0 or 1, is returned too.
    """
    chunk_has_previous = int(plan.uses_prev and first > 0)
    return chunk_has_previous, x[first - chunk_has_previous : first + CHUNK]


def states_before_after(initial: Tensor, history: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """Returns a state before and after every step of the chunk that begins at step `first`, both (T, B, H)."""
    after = history[first : first + CHUNK]
    if first == 0:
        return torch.cat([initial.unsqueeze(0), after[:-1]]), after
    return history[first - 1 : first - 1 + len(after)], after


def chunk_vjp(
    ctx: Any, given: list[Tensor], steps: list[tuple[Tensor, Tensor]], dy: Tensor | None, d_last: Sequence[Tensor | None], numbers: Tensor
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """Computes the gradients of one chunk by recomputing its terms.

    Args:
        given: the input of the chunk and the parameters.
        steps: each state before and after every step, (T, B, H).
        dy: the gradient of the chunk's output, (T, B, H).
        d_last: the gradients of its last states, (B, H).
        numbers: time() of its steps.

    Returns:
        The gradients of `given` (None if not needed), and of the chunk's first states.
    """
    x, *values = given
    before, after = [b for b, _ in steps], [a for _, a in steps]
    chunk_has_previous = len(x) - len(after[0])
    with (
        torch.enable_grad(),
        saved_tensors_hooks(return_tensor, return_tensor),
    ):  # saved tensors are freed on return, so the hooks of a caller are bypassed
        parameters = dict(zip(ctx.names, values, strict=True))
        first = x[0] if chunk_has_previous else None
        H, wide = before[0].shape[2], widens_vectors(ctx.schedule)
        tensors = align_all(recurrence_operands(ctx.plan, x[chunk_has_previous:], H, parameters, first, numbers, wide_vectors=wide))
    needs = [t is not None and t.requires_grad for t in tensors]
    tensors += [align(b[0]) for b in before]
    terms, arguments = recompute_terms(ctx.plan, tensors, before)
    gradients = differentiate(ctx.plan, ctx.schedule, len(after[0]), tensors, terms, ForwardResult(after, arguments), dy, d_last, needs)
    ends = [(t, d) for t, d in zip(tensors, gradients, strict=True) if t is not None and t.requires_grad]
    leaves = [leaf for leaf in given if leaf.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(leaves)
    if ends:
        found = torch.autograd.grad([t for t, _ in ends], leaves, [d for _, d in ends], allow_unused=True)
    take = iter(found)
    return [next(take) if leaf.requires_grad else None for leaf in given], gradients[len(needs) :]


def align_all(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Returns the tensors, each as `align` does."""
    return [None if t is None else align(t) for t in tensors]


def return_tensor(tensor: Tensor) -> Tensor:
    """Returns the tensor, as a saved-tensor hook that does nothing."""
    return tensor
