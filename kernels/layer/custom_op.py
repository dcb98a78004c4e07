"""A recurrence as an operator of torch, `recurrent_bench::recurrence`: what torch.compile and torch.export put into their graphs.

They see its shapes, not its loop, which is fused already; the products in front of it are theirs, and in their graphs. Everywhere else
the same is `kernels.layer.autograd.Recurrence`, with less to do for each call.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import cells
from cells.grammar.cell import Cell
from kernels.derive.buffers import layout
from kernels.derive.plan import Plan, plan
from kernels.layer import select
from kernels.layer.autograd import differentiate, make_pass
from kernels.layer.input_products import aligned, hoist
from kernels.layer.inputs import NO_STEPS
from kernels.schedules.interface import ForwardResult

KNOWN: dict[str, Cell] = {}
"""Cells by the name that a graph has for them."""

Results = tuple[Tensor, list[Tensor], list[Tensor]]


def register(cell: Cell) -> str:
    """The name for a cell in a graph: its own if its equations are those of that cell in the tree, else with a digest of them, so that no
    other process takes another cell of that name for it."""
    made = digest(cell)
    tree = cell.name in cells.names() and digest(cells.load(cell.name)) == made
    name = cell.name if tree else f"{cell.name}#{made}"
    KNOWN.setdefault(name, cell)
    return name


@cache
def digest(cell: Cell) -> str:
    """Of a cell's equations, with their names and their order, by which a graph's tensors are told apart."""
    made = plan(cell)
    nodes = [(n.index, n.op, n.label, n.name, n.value, [a.index for a in n.args]) for n in made.ordered_nodes]
    return hashlib.sha256(repr((cell.states, nodes, made.graph.stencils, sorted(cell.heads.items()))).encode()).hexdigest()[:16]


def find_plan(name: str, bias: bool) -> Plan:
    """Raises RuntimeError for a cell that only another process knows."""
    if name not in KNOWN and "#" in name:
        raise RuntimeError(f"the cell {name.partition('#')[0]} is not in the tree: make an RNN of it before a graph that holds it runs")
    return plan(KNOWN.get(name) or cells.load(name), bias)


def apply(
    cell: str, bias: bool, backend: str, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor],
    before: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:  # fmt: skip
    """The same as `kernels.layer.input_products.apply`, for a graph."""
    given = cell, bias, backend, x, list(states), list(parameters), list(parameters.values()), before
    y, final = torch.ops.recurrent_bench.layer(*given) if torch.compiler.is_dynamo_compiling() else layer(*given)
    return y, tuple(final)


def layer(
    cell: str, bias: bool, backend: str, x: Tensor, states: list[Tensor], names: list[str], values: list[Tensor], before: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    """Run one layer in one direction; the parameters are the `values` of those `names`. It is a composite operator, which
    Dynamo puts into its graph whole and the compiler takes apart. (torch.compiler.allow_in_graph is like it, but has Dynamo imported.)"""
    with torch.autocast(x.device.type, enabled=False):
        tensors = [*hoist(find_plan(cell, bias), x, states[0].shape[1], dict(zip(names, values, strict=True)), before), *states]
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        present = [t is not None for t in tensors]
        y, final, _ = recurrence(cell, bias, backend, keep, x.shape[0], present, [t for t in tensors if t is not None])
    return y, final


torch.library.define(
    "recurrent_bench::layer",
    "(str cell, bool bias, str backend, Tensor x, Tensor[] states, str[] names, Tensor[] values, Tensor? before) -> (Tensor, Tensor[])",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.impl("recurrent_bench::layer", "CompositeImplicitAutograd", layer)


@torch.library.custom_op("recurrent_bench::recurrence", mutates_args=())
def recurrence(cell: str, bias: bool, backend: str, keep: bool, T: int, present: Sequence[bool], tensors: Sequence[Tensor]) -> Results:
    """The tensors are those of `Recurrence` but for the ones that aren't `there`: torch looks for gradients in no list with a None. Returns
    y (T, B, H), the final states (B, H) and, if `keep`, what the backward pass takes: the terms, the history of all states but the
    first, the arguments. Raises RuntimeError where no schedule can run, and where there is no step: a graph of any T may be given none."""
    if T == 0:
        raise RuntimeError(NO_STEPS)
    if tensors[-1].shape[0] == 0:
        return fake(cell, bias, backend, keep, T, present, tensors)  # of no sequence there is no more to say
    plan = find_plan(cell, bias)
    schedule = require_schedule(plan, backend, tensors[-1])
    loop = make_pass(plan, schedule, keep, T, with_nones(present, tensors), recompute=False)  # a graph knows no list with a None
    trajectory: ForwardResult = schedule.forward(loop)
    y, *others = trajectory.history
    others = [h.clone() if shares_memory(h, [y]) else h for h in others]
    kept = [term.clone() if shares_memory(term, tensors) else term for term in loop.terms] + others + trajectory.arguments
    return y, [h[-1].clone() for h in trajectory.history], kept if keep else []


def require_schedule(plan: Plan, backend: str, state: Tensor) -> ModuleType:
    schedule = select.choose(backend, plan, state.dtype, state.device, *state.shape)
    if schedule is None:
        raise RuntimeError(
            f"a graph holds no loop of {plan.cell.name} but a fused one, and none can run here: make it with backend='eager'"
        )
    return schedule


def with_nones(present: Sequence[bool], tensors: Sequence[Tensor]) -> list[Tensor | None]:
    take = iter(tensors)
    return [aligned(next(take)) if here else None for here in present]


def shares_memory(term: Tensor, tensors: Sequence[Tensor]) -> bool:
    """Whether a term lies in the memory of one of the inputs, which an operator may not return."""
    return any(t.untyped_storage().data_ptr() == term.untyped_storage().data_ptr() for t in tensors)


@recurrence.register_fake
def fake(cell: str, bias: bool, backend: str, keep: bool, T: int, present: Sequence[bool], tensors: Sequence[Tensor]) -> Results:
    plan = find_plan(cell, bias)
    place, states = layout(plan), tensors[-len(plan.states) :]
    B, H = states[0].shape
    arguments = sum(group.computed >= 0 for group in place.groups)
    empty = states[0].new_empty
    kept = [empty(T, B, G, H) for G in place.widths] + [empty(T, B, H) for _ in range(len(states) - 1 + arguments)]
    return empty(T, B, H), [empty(B, H) for _ in states], kept if keep else []


@torch.library.custom_op("recurrent_bench::recurrence_backward", mutates_args=())
def recurrence_backward(
    cell: str, bias: bool, backend: str, present: Sequence[bool], tensors: Sequence[Tensor], y: Tensor, kept: Sequence[Tensor],
    dy: Tensor | None, d_final: Sequence[Tensor | None], needs: Sequence[bool],
) -> list[Tensor]:  # fmt: skip
    """The gradients of those of the tensors that need one."""
    if y.shape[1] == 0:
        return [torch.zeros_like(t) for t, need in zip(tensors, needs, strict=True) if need]
    plan = find_plan(cell, bias)
    widths, others = len(layout(plan).widths), len(plan.states) - 1
    terms, history, arguments = kept[:widths], kept[widths : widths + others], kept[widths + others :]
    trajectory = ForwardResult([y, *history], list(arguments))
    schedule = require_schedule(plan, backend, y[0])
    take = iter(needs)
    wanted = [here and next(take) for here in present]
    found = differentiate(plan, schedule, with_nones(present, tensors), list(terms), trajectory, dy, d_final, wanted)
    return [d.clone() if d._is_view() else d for d, want in zip(found, wanted, strict=True) if want and d is not None]


@recurrence_backward.register_fake
def _(
    cell: str, bias: bool, backend: str, present: Sequence[bool], tensors: Sequence[Tensor], y: Tensor, kept: Sequence[Tensor],
    dy: Tensor | None, d_final: Sequence[Tensor | None], needs: Sequence[bool],
) -> list[Tensor]:  # fmt: skip
    return [t.new_empty(t.shape) for t, need in zip(tensors, needs, strict=True) if need]


def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
    cell, bias, backend, _, _, present, tensors = inputs
    y, _, kept = output
    ctx.what, ctx.count, ctx.needs = (cell, bias, backend, present), len(tensors), [t.requires_grad for t in tensors]
    ctx.save_for_backward(*tensors, y, *kept)


def backward(ctx: Any, dy: Tensor | None, d_final: Sequence[Tensor | None], _: Any) -> tuple[Any, ...]:
    tensors, (y, *kept) = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    found = iter(recurrence_backward(*ctx.what, tensors, y, kept, dy, list(d_final), ctx.needs))
    return None, None, None, None, None, None, [next(found) if need else None for need in ctx.needs]


recurrence.register_autograd(backward, setup_context=setup_context)
