"""Prepares the operands of the time loop: evaluates the values that depend on no state for all T·B rows, and concatenates weights.

`make_pass_inputs` or the schedule then computes the input projections.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cells.grammar.cell import count_steps
from cells.grammar.functions import FUNCTIONS
from cells.grammar.masked import split_mask
from cells.grammar.parameters import apply_matrix, find_matrix
from kernels.derive.buffers import layout
from kernels.derive.graph import Node, walk
from kernels.derive.plan import Plan
from kernels.layer import random_masks
from kernels.layer.autograd import Recurrence, align
from kernels.layer.bound_parameters import TorchParameters, bias_names, bind, concat_blocks
from kernels.layer.versions import Versions, name_tensors
from kernels.schedules.interface import SIXTEEN_BIT, widens_vectors
from kernels.schedules.packed_steps import PackedSteps

ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg,
}  # fmt: skip


def apply(
    plan: Plan,
    schedule: ModuleType,
    x: Tensor,
    states: Sequence[Tensor],
    parameters: Mapping[str, Tensor],
    before: Tensor | None = None,
    numbers: Tensor | None = None,
    packed: PackedSteps | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Applies one layer to a sequence with a schedule, as `Cell.unroll` does; differentiable in all tensors.

    Args:
        x: the input, (T, B, D).
        states: the initial states, (B, H) each.
        parameters: the trainable parameters by name ("W.z", "b.u"), or torch's tensors of a layer by theirs ("weight_ih").
        before: prev(x) in the first step, (B, D). Default: 0
        numbers: time() of each row of x, (T, 1, 1) or (T, B, 1), or `random_masks.step_columns`. Default: the number of its step
        packed: the steps of packed rows; x is then (N, 1, D), and so is y. Default: x is a batch

    Returns:
        y (T, B, H), and the final states (B, H).
    """
    with torch.cuda.device_of(x), torch.autocast(x.device.type, enabled=False):  # Triton launches on the current device
        tensors = [
            t if t is None else align(t)
            for t in (
                *recurrence_operands(plan, x, states[0].shape[1], parameters, before, numbers, packed, widens_vectors(schedule)),
                *states,
            )
        ]
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        y, *final = Recurrence.apply(plan, schedule, keep, packed or len(x), *tensors)
        if y.grad_fn is not None:
            saved, read = {id(t) for t in tensors}, name_tensors(x, dict(zip(plan.cell.states, states, strict=True)), parameters, before)
            y.grad_fn.versions = Versions(plan.cell.name, {name: t for name, t in read.items() if id(t) not in saved})
    return y, tuple(final)


def recurrence_operands(
    plan: Plan, x: Tensor, H: int, parameters: Mapping[str, Tensor], before: Tensor | None = None, numbers: Tensor | None = None,
    packed: PackedSteps | None = None, wide_vectors: bool = False,
) -> list[Tensor | None]:  # fmt: skip
    """Returns the flat tensor arguments of `Recurrence.apply`, without the initial states.

    Args:
        x: the input, (T, B, D).
        H: the hidden size.
        parameters: as in `apply`.
        before: prev(x) in the first step, (B, D). Default: 0
        numbers: as in `apply`.
        packed: the steps of packed rows; x is then (N, 1, D). Default: x is a batch
        wide_vectors: whether to compute the vectors in float32 where x is in 16 bit.
    """
    buffer_layout = layout(plan)
    bound = bind(plan, parameters)
    given = bind_inputs(plan, x, before, numbers, packed)
    if plan.cell.draws_masks:
        assert numbers is not None
        given |= random_masks.bind(plan, numbers, x.shape[-1] - int(plan.is_masked), x, H)
    values = GraphEvaluator({plan.graph.leaf("ones", "ones"): x.new_ones(H), **given}, bound)
    tensors: list[Tensor | None] = []
    for projection in buffer_layout.projections:
        terms = [plan.terms[i] for i in projection.terms]
        tensors += [
            None if projection.operand_index >= 0 else values[projection.operand].to(x.dtype),
            bound.concat([f"W.{term.projection.label}" for term in terms if term.projection is not None]),
            bound.concat_biases([bias_names(term) for term in terms]),
        ]
    T, B = x.shape[:2]
    tensors += [values[plan.terms[i].hoisted].to(x.dtype).expand(T, B, H) for i in buffer_layout.elementwise_terms]
    if wide_vectors and plan.vectors and x.dtype in SIXTEEN_BIT:
        learned = {node: bound[f"{node.op}.{node.label}"].float() for node in walk(plan.vector_values) if node.op in ("b", "p", "s")}
        values = GraphEvaluator({plan.graph.leaf("ones", "ones"): x.new_ones(H, dtype=torch.float32), **learned}, bound)
    tensors += [values[node].expand(H).contiguous() for node in plan.vector_values]
    for group in buffer_layout.groups:
        names = [f"W.{plan.terms[i].matrix}" for i in group.terms]
        tensors.append(concat_blocks(bound, names) if group.heads > 1 else bound.concat(names))
    return tensors


def bind_inputs(
    plan: Plan, x: Tensor, before: Tensor | None = None, numbers: Tensor | None = None, packed: PackedSteps | None = None
) -> dict[Node, Tensor]:
    """Maps the nodes of x and, if the cell uses them, prev(x) and time() to tensors (T, B, D) and (T, 1, 1); prev(x) begins with `before`
    (B, D) or 0. If the last column is a mask, it is the tensor (T, B, 1) of a node of its own."""
    given = {plan.graph.leaf("x", "x", "D"): x}
    if plan.uses_prev:
        first = torch.zeros_like(x[: 1 if packed is None else packed.B]) if before is None else before.unsqueeze(0 if packed is None else 1)
        given[plan.graph.leaf("before", "x_before", "D")] = torch.cat([first, x[:-1] if packed is None else x[packed.previous]])
    if plan.is_masked:
        parts = [zip(split_mask(node), split_mask(rows), strict=True) for node, rows in given.items()]
        given = {leaf: part if leaf in given else part.detach() for pairs in parts for leaf, part in pairs}
    if plan.uses_time:
        counted = count_steps(x) if packed is None else packed.steps_and_sequences[0].to(x.device, torch.float64).view(-1, 1, 1)
        given[plan.graph.leaf("time", "time", "")] = counted if numbers is None else numbers[..., -1:]
    return given


class GraphEvaluator:
    """Evaluates nodes of a graph, each once: `values[node]` is its tensor.

    It is a class because a recursive local function is a reference cycle, which would keep its tensors until a garbage collection.

    Args:
        given: the values of leaves.
        parameters: the trainable parameters by name.
    """

    def __init__(self, given: Mapping[Node, Tensor], parameters: Mapping[str, Tensor] | TorchParameters):
        self.done: dict[Node, Any] = dict(given)
        self.parameters = parameters

    def __getitem__(self, node: Node | None) -> Tensor:
        assert node is not None
        if node not in self.done:
            self.done[node] = self.compute(node)
        value: Tensor = self.done[node]
        return value

    def compute(self, node: Node) -> Any:
        """Evaluates a node from the values of its operands."""
        if node.value is not None:
            return node.value
        if node.op in ("b", "p", "s"):
            return self.parameters[f"{node.op}.{node.label}"]
        if node.op == "product":
            weight = find_matrix(self.parameters, f"W.{node.label}")
            return apply_matrix(weight, self[node.args[0]].to(weight.dtype))
        if node.op == "add" and node.args[0].op == "product" and node.args[1].op in ("b", "p"):
            W, bias = find_matrix(self.parameters, f"W.{node.args[0].label}"), self[node.args[1]]
            operand = self[node.args[0].args[0]].to(W.dtype)
            return F.linear(operand, W, bias) if W.dim() == 2 else apply_matrix(W, operand) + bias
        if node.op in ("stencil", "reduce"):
            operator = node.graph.stencils[node.label] if node.op == "stencil" else node.graph.reductions[node.label]
            return operator(self[node.args[0]])
        if node.op == "call":
            return FUNCTIONS[node.label](*(self[a] for a in node.args))
        return ARITHMETIC[node.op](*(self[a] for a in node.args))
