"""A recurrence as the torch operator `recurrent_bench::recurrence`, for the graphs of torch.compile and torch.export.

A graph sees the shapes of the operator and not the time loop, which is fused already. The input projections are ordinary operators of
the graph. Outside a graph `kernels.layer.autograd.Recurrence` does the same with less overhead in each call.
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
from cells.grammar.functions import in_onnx_export
from cells.grammar.masked import LENGTHS, NOISE, RESETS, masked, with_noise
from kernels.derive.buffers import layout
from kernels.derive.plan import Plan, plan
from kernels.layer import onnx_operators, select
from kernels.layer.autograd import align, differentiate, differentiate_equations, make_pass_inputs, needs_equations
from kernels.layer.bound_parameters import read_weights
from kernels.layer.input_products import recurrence_operands
from kernels.layer.inputs import NO_STEPS
from kernels.schedules.interface import SIXTEEN_BIT, ForwardResult, widens_vectors

CELLS_BY_NAME: dict[str, Cell] = {}
"""Registered cells by the name that a graph refers to them with."""

Results = tuple[Tensor, list[Tensor], list[Tensor]]


def register(cell: Cell) -> str:
    """Registers a cell for graphs, which can't trace how it is rewritten, and returns its name there.

    A built-in cell has its own name. Any other cell has a hash of its equations behind its name, so that another process can't
    confuse it with a different cell of the same name.
    """
    digest = hash_equations(cell)
    is_builtin = cell.name in cells.names() and hash_equations(cells.load(cell.name)) == digest
    name = cell.name if is_builtin else f"{cell.name}#{digest}"
    CELLS_BY_NAME.setdefault(name, cell)
    for mask in (LENGTHS, RESETS):
        masked(cell, mask)
        if plan(cell).masks:
            masked(cell, with_noise(mask))
    return name


@cache
def hash_equations(cell: Cell) -> str:
    """Returns a hash of a cell's equations, including the names and the order of its parameters."""
    plan_of_cell = plan(masked(cell, NOISE) if plan(cell).masks else cell)  # evaluation has no dropout, and its rate
    nodes = [(n.index, n.op, n.label, n.name, n.value, [a.index for a in n.args]) for n in plan_of_cell.ordered_nodes]
    return hashlib.sha256(
        repr((cell.states, nodes, plan_of_cell.graph.stencils, sorted(cell.heads.items()), *plan_of_cell.masks)).encode()
    ).hexdigest()[:16]


def masked_name(name: str, mask: str) -> str:
    """Returns the name of a cell rewritten by `mask` (`cells.grammar.masked`), from that of the cell; without a mask they are the same."""
    return f"{name}+{mask}" if mask else name


def find_plan(name: str, bias: bool) -> Plan:
    """Returns the plan of a registered or built-in cell, or of one rewritten; raises RuntimeError if only another process has registered
    it."""
    name, _, mask = name.partition("+")
    if name not in CELLS_BY_NAME and "#" in name:
        cell = name.partition("#")[0]
        raise RuntimeError(f"{cell} is not built in: construct RNN({cell}, …) in this process before the graph runs")
    return plan(masked(CELLS_BY_NAME.get(name) or cells.load(name), mask), bias)


def apply(
    cell: str, bias: bool, backend: str, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor],
    before: Tensor | None = None, numbers: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:  # fmt: skip
    """Applies one layer as `kernels.layer.input_products.apply` does, inside a graph. `cell` is the name from `register`."""
    given = cell, bias, backend, x, list(states), list(parameters), list(parameters.values()), before, numbers
    y, final = torch.ops.recurrent_bench.layer(*given) if torch.compiler.is_dynamo_compiling() else layer(*given)
    return y, tuple(final)


def layer(
    cell: str, bias: bool, backend: str, x: Tensor, states: list[Tensor], names: list[str], values: list[Tensor], before: Tensor | None,
    numbers: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """Runs one layer in one direction; the parameters are the `values` of those `names`.

    It is registered as a composite operator: Dynamo puts it into its graph as a whole, and the compiler decomposes it.
    torch.compiler.allow_in_graph does the same but imports Dynamo.
    """
    with torch.autocast(x.device.type, enabled=False):
        if torch._C._are_functorch_transforms_active():
            found = find_plan(cell, bias).cell
            y, finals = found.unroll(x, states, read_weights(found, dict(zip(names, values, strict=True))), before, numbers)
            return y, list(finals)
        plan, H, parameters = find_plan(cell, bias), states[0].shape[1], dict(zip(names, values, strict=True))
        wide = x.dtype in SIXTEEN_BIT and bool(plan.vectors) and widens_vectors(require_schedule(plan, backend, states[0]))
        tensors = [*recurrence_operands(plan, x, H, parameters, before, numbers, wide_vectors=wide), *states]
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        present = [t is not None for t in tensors]
        y, final, _ = recurrence(cell, bias, backend, keep, x.shape[0], present, [t for t in tensors if t is not None])
    return y, final


torch.library.define(
    "recurrent_bench::layer",
    "(str cell, bool bias, str backend, Tensor x, Tensor[] states, str[] names, Tensor[] values, Tensor? before, Tensor? numbers)"
    " -> (Tensor, Tensor[])",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.impl("recurrent_bench::layer", "CompositeImplicitAutograd", layer)


@torch.library.custom_op("recurrent_bench::recurrence", mutates_args=())
def recurrence(cell: str, bias: bool, backend: str, keep: bool, T: int, present: Sequence[bool], tensors: Sequence[Tensor]) -> Results:
    """Runs one layer in one direction, as `Recurrence` does.

    Args:
        cell: the name from `register`.
        present: for each tensor of `Recurrence`, whether it is given: torch differentiates no list that contains None.
        tensors: the tensors that are given.

    Returns:
        y (T, B, H); the final states (B, H); if `keep`, the terms, the history of all states but the first, and the computed arguments.

    Raises:
        RuntimeError: no schedule can run, or T is 0, which a graph for any T allows.
    """
    if T == 0:
        raise RuntimeError(NO_STEPS)
    if tensors[-1].shape[0] == 0:
        return fake_recurrence(cell, bias, backend, keep, T, present, tensors)  # all results are empty
    plan = find_plan(cell, bias)
    schedule = require_schedule(plan, backend, tensors[-1])
    inputs = make_pass_inputs(plan, schedule, keep, T, insert_nones(present, tensors), recompute=False)  # terms must all be tensors
    result: ForwardResult = schedule.forward(inputs)
    y, *others = result.history
    others = [h.clone() if shares_memory(h, [y]) else h for h in others]
    kept = [term.clone() if shares_memory(term, tensors) else term for term in inputs.terms] + others + result.arguments
    return y, inputs.final_states(result), kept if keep else []


def require_schedule(plan: Plan, backend: str, state: Tensor) -> ModuleType:
    """Returns the schedule for a state (B, H); raises RuntimeError if none can run."""
    schedule = select.select_schedule(backend, plan, state.dtype, state.device, *state.shape)
    if schedule is None:
        raise RuntimeError(
            f"torch.compile and torch.export need a schedule for {plan.cell.name}, and none supports this device, dtype and size: "
            "create the RNN with backend='eager'"
        )
    return schedule


def insert_nones(present: Sequence[bool], tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Returns the tensors of `Recurrence`, with None for those that are not present."""
    take = iter(tensors)
    return [align(next(take)) if here else None for here in present]


def shares_memory(term: Tensor, tensors: Sequence[Tensor]) -> bool:
    """Returns whether a term shares memory with an input: an operator must not return such a tensor."""
    return any(t.untyped_storage().data_ptr() == term.untyped_storage().data_ptr() for t in tensors)


@recurrence.register_fake
def fake_recurrence(cell: str, bias: bool, backend: str, keep: bool, T: int, present: Sequence[bool], tensors: Sequence[Tensor]) -> Results:
    """Allocates results of `recurrence` in the right shapes, for a graph; zeros, as an empty tensor may be filled in place."""
    plan = find_plan(cell, bias)
    buffer_layout, states = layout(plan), tensors[-len(plan.states) :]
    B, H = states[0].shape
    arguments = sum(group.computed >= 0 for group in buffer_layout.groups)
    zeros = states[0].new_zeros
    kept = [zeros(T, B, G, H) for G in buffer_layout.widths] + [zeros(T, B, H) for _ in range(len(states) - 1 + arguments)]
    return zeros(T, B, H), [zeros(B, H) for _ in states], kept if keep else []


def decompose(cell: str, bias: bool, backend: str, keep: bool, T: int, present: Sequence[bool], tensors: Sequence[Tensor]) -> Any:
    """Replaces a recurrence by the operators of ONNX, where torch.onnx.export decomposes a graph, an ExportedProgram's too."""
    if not in_onnx_export():
        return NotImplemented
    take = iter(tensors)
    y, final = onnx_operators.apply(find_plan(cell, bias), T, [next(take) if here else None for here in present])
    return y, final, fake_recurrence(cell, bias, backend, keep, T, present, tensors)[2]


torch._decomp.decomposition_table[recurrence._opoverload] = decompose
torch._decomp.meta_table[recurrence._opoverload] = fake_recurrence  # so that fake tensors don't ask for the decomposition


@torch.library.custom_op("recurrent_bench::recurrence_backward", mutates_args=())
def recurrence_backward(
    cell: str, bias: bool, backend: str, present: Sequence[bool], tensors: Sequence[Tensor], y: Tensor, kept: Sequence[Tensor],
    dy: Tensor | None, d_final: Sequence[Tensor | None], needs: Sequence[bool],
) -> list[Tensor]:  # fmt: skip
    """Computes the gradients of the tensors that need one; `kept` is the third result of `recurrence`."""
    if y.shape[1] == 0:
        return [torch.zeros_like(t) for t, need in zip(tensors, needs, strict=True) if need]
    plan = find_plan(cell, bias)
    widths, others = len(layout(plan).widths), len(plan.states) - 1
    terms, history, arguments = kept[:widths], kept[widths : widths + others], kept[widths + others :]
    result = ForwardResult([y, *history], list(arguments))
    schedule = require_schedule(plan, backend, y[0])
    take = iter(needs)
    wanted = [here and next(take) for here in present]
    found = differentiate(plan, schedule, len(y), insert_nones(present, tensors), list(terms), result, dy, d_final, wanted)
    return [d.clone() if d._is_view() else d for d, want in zip(found, wanted, strict=True) if want and d is not None]


@recurrence_backward.register_fake
def _(
    cell: str, bias: bool, backend: str, present: Sequence[bool], tensors: Sequence[Tensor], y: Tensor, kept: Sequence[Tensor],
    dy: Tensor | None, d_final: Sequence[Tensor | None], needs: Sequence[bool],
) -> list[Tensor]:  # fmt: skip
    return [t.new_empty(t.shape) for t, need in zip(tensors, needs, strict=True) if need]


def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
    """Saves what `backward` needs."""
    cell, bias, backend, _, _, present, tensors = inputs
    y, _, kept = output
    ctx.operator_arguments, ctx.count, ctx.needs = (cell, bias, backend, present), len(tensors), [t.requires_grad for t in tensors]
    ctx.save_for_backward(*tensors, y, *kept)


def backward(ctx: Any, dy: Tensor | None, d_final: Sequence[Tensor | None], _: Any) -> tuple[Any, ...]:
    """Computes the gradients of the tensors of `recurrence`."""
    tensors, (y, *kept) = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    if needs_equations(dy, *d_final):
        cell, bias, _, present = ctx.operator_arguments
        take = iter(ctx.needs)
        needs = [here and next(take) for here in present]
        gradients = differentiate_equations(find_plan(cell, bias), len(y), insert_nones(present, tensors), needs, dy, d_final)
        return None, None, None, None, None, None, [d for d, here in zip(gradients, present, strict=True) if here]
    found = iter(recurrence_backward(*ctx.operator_arguments, tensors, y, kept, dy, list(d_final), ctx.needs))
    return None, None, None, None, None, None, [next(found) if need else None for need in ctx.needs]


recurrence.register_autograd(backward, setup_context=setup_context)
