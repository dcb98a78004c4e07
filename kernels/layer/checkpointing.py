"""A layer in chunks of time, which keeps nothing for its backward pass but its input and its states: `RNN(…, memory="low")`.

Forward, the rows in front of the loop exist for one chunk at a time. Backward, chunk by chunk from the last, the rows and the
terms are made again from the input and the states by large products (`restore`): no loop over time runs twice. A chunk hands
the gradients of its first states on to the one before it; those of the parameters add up, in at least float32.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from cells.grammar.cell import Cell
from kernels.derive.plan import Plan
from kernels.layer.autograd import differentiate, no_forward_mode, once, prepare
from kernels.layer.input_products import hoist, plain
from kernels.layer.recompute import restore
from kernels.schedules.interface import Trajectory

CHUNK = 128
"""Time steps. An LSTM's terms and their gradients, 8·H wide, then take a quarter of what its states hold at T = 2048, and the
products still have 128·B rows. A multiple of 32: `replay` runs it in whole graphs, and no chunk's memory is out of line."""

Result = tuple[Tensor, tuple[Tensor, ...]]


def run(
    plan: Plan, schedule: ModuleType, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor], before: Tensor | None = None
) -> Result:
    """The same as `hoist.run`, but that the states are rounded to their dtype between chunks."""
    lead = int(before is not None and plan.looks_back)
    x = torch.cat([before.unsqueeze(0), x]) if before is not None and lead else x
    given = [x, *parameters.values(), *states]
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    with torch.cuda.device_of(x), torch.autocast(x.device.type, enabled=False):
        y, *final = Chunked.apply(plan, schedule, keep, lead, tuple(parameters), *given)
    return y, tuple(final)


def unroll(cell: Cell, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor], before: Tensor | None = None) -> Result:
    """The same as `cell.unroll`, which runs a second time, chunk by chunk, in the backward pass: it can be differentiated twice."""
    outputs = []
    for part in x.split(CHUNK):
        y, states = checkpoint(cell.unroll, part, states, parameters, before, use_reentrant=False, preserve_rng_state=False)
        outputs.append(y)
        before = part[-1]
    return torch.cat(outputs), tuple(states)


class Chunked(torch.autograd.Function):
    """Called with plan, schedule, keep, lead, names, x (lead + T, B, D), the parameters of those names and the initial states (B, H);
    returns y (T, B, H) and the final states (B, H). `keep` says whether a backward pass may follow, `lead`, 0 or 1, how many rows of
    x are of the step before the first."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, schedule: ModuleType, keep: bool, lead: int, names: tuple[str, ...], x: Tensor, *given: Tensor
    ) -> Any:
        parameters = dict(zip(names, given, strict=False))
        states = [plain(state) for state in given[len(names) :]]
        T, (B, H) = len(x) - lead, states[0].shape
        kept = [s.new_empty(T if keep or k == 0 else min(T, CHUNK), B, H) for k, s in enumerate(states)]
        for first in range(0, T, CHUNK):
            early, part = rows(plan, x, first + lead)
            history = [h[first : first + CHUNK] if len(h) == T else h[: len(part) - early] for h in kept]
            tensors = [*hoist(plan, part[early:], H, parameters, part[0] if early else None), *states]
            schedule.forward(prepare(plan, schedule, False, len(part) - early, tensors, history))
            states = [h[-1].clone() for h in history]
        if keep:
            ctx.set_materialize_grads(False)
            ctx.plan, ctx.schedule, ctx.lead, ctx.names = plan, schedule, lead, names
            ctx.save_for_backward(x, *given, *kept)
        return kept[0], *states

    jvp = staticmethod(no_forward_mode)

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *d_states: Tensor | None) -> tuple[Any, ...]:
        once(dy, *d_states)
        x, *saved = (t.detach() for t in ctx.saved_tensors)
        count, states = len(ctx.names), len(d_states)
        values, initial, history = saved[:count], saved[count : count + states], saved[count + states :]
        needs_x, *needs = ctx.needs_input_grad[5 : 6 + count]
        parameters = [value.requires_grad_(need) for value, need in zip(values, needs, strict=True)]
        wide = torch.promote_types(x.dtype, torch.float32)
        sums = [torch.zeros_like(v, dtype=wide) if need else None for v, need in zip(values, needs, strict=True)]
        dx = torch.zeros_like(x) if needs_x else None
        d_last: Sequence[Tensor | None] = d_states
        for first in reversed(range(0, len(history[0]), CHUNK)):
            _, part = rows(ctx.plan, x, first + ctx.lead)
            given = [part.requires_grad_(needs_x), *parameters]
            steps = [around(*state, first) for state in zip(initial, history, strict=True)]
            upstream = None if dy is None else dy[first : first + CHUNK]
            with torch.autocast(x.device.type, enabled=False):
                (d_part, *found), d_last = pull(ctx, given, steps, upstream, d_last)
            if dx is not None and d_part is not None:
                rows(ctx.plan, dx, first + ctx.lead)[1].add_(d_part)
            for total, d in zip(sums, found, strict=True):
                if total is not None and d is not None:
                    total += d
        return None, None, None, None, None, dx, *(None if total is None else total.to(x.dtype) for total in sums), *d_last


def rows(plan: Plan, x: Tensor, first: int) -> tuple[int, Tensor]:
    """The rows of x for the chunk that begins at row `first`, with the one before it where there is one and the cell asks for it; how
    many such there are, 0 or 1."""
    early = int(plan.looks_back and first > 0)
    return early, x[first - early : first + CHUNK]


def around(initial: Tensor, history: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """A state before and after every step of the chunk that begins at `first`, both (T, B, H)."""
    after = history[first : first + CHUNK]
    if first == 0:
        return torch.cat([initial.unsqueeze(0), after[:-1]]), after
    return history[first - 1 : first - 1 + len(after)], after


def pull(
    ctx: Any, given: list[Tensor], steps: list[tuple[Tensor, Tensor]], dy: Tensor | None, d_last: Sequence[Tensor | None]
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """The gradients of one chunk: of what is `given`, its input and the parameters, where they take one, and of its first states.
    `steps` are the states before and after every step."""
    x, *values = given
    before, after = [b for b, _ in steps], [a for _, a in steps]
    early = len(x) - len(after[0])
    with torch.enable_grad(), saved_tensors_hooks(same, same):  # what it saves is gone on return: not for the hooks of a caller
        parameters = dict(zip(ctx.names, values, strict=True))
        tensors = hoist(ctx.plan, x[early:], before[0].shape[2], parameters, x[0] if early else None)
    needs = [t is not None and t.requires_grad for t in tensors]
    tensors += [plain(b[0]) for b in before]
    terms, arguments = restore(ctx.plan, tensors, before)
    gradients = differentiate(ctx.plan, ctx.schedule, tensors, terms, Trajectory(after, arguments), dy, d_last, needs)
    ends = [(t, d) for t, d in zip(tensors, gradients, strict=True) if t is not None and t.requires_grad]
    leaves = [leaf for leaf in given if leaf.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(leaves)
    if ends:
        found = torch.autograd.grad([t for t, _ in ends], leaves, [d for _, d in ends], allow_unused=True)
    take = iter(found)
    return [next(take) if leaf.requires_grad else None for leaf in given], gradients[len(needs) :]


def same(tensor: Tensor) -> Tensor:
    return tensor
