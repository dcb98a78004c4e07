"""Checks the derived gradient of a cell against central differences in float64, once for each cell.

The inputs are sampled as they occur in a step. A check that passed is recorded in the user's cache folder by a hash of the functions.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from cells.grammar.errors import cell_error
from kernels.derive.adjoint import TRITON, adjoint, print_source
from kernels.derive.buffers import layout
from kernels.derive.graph import Node, walk
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise
from kernels.layer.autograd import unflatten
from kernels.layer.input_products import GraphEvaluator, recurrence_operands
from kernels.layer.recompute import recompute_terms
from kernels.schedules.cpu.library import cache_folder

STEPS = 1e-6, 2e-6, 4e-6
"""The steps of central differences. By how much their results differ is their own error: the truncation grows by four from one to the next,
and rounding errors are independent."""
TOLERANCE = 1e-6
"""Relative tolerance beside that error."""

ROWS, UNITS = 64, 8
"""Sequences, and units of a cell whose grid doesn't fix them; rounded up to a multiple of its heads."""


def gradcheck(plan: Plan) -> None:
    """Checks the gradients of a plan's functions.

    Raises:
        CellError: a gradient differs from central differences, or is not finite where the function is.
    """
    functions = [*(s.argument for s in plan.stages if s.argument), plan.step]
    text = "".join(print_source(f, TRITON) + print_source(adjoint(f), TRITON) for f in functions)
    known = cache_folder() / f"proof-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if known.exists():
        return
    generator = torch.Generator().manual_seed(0)
    given = sample_inputs(plan, generator)
    for f in functions:
        reason = describe_mismatch(f, given, generator)
        if reason:
            raise cell_error(plan.cell.step, reason)
    known.touch()


def sample_inputs(plan: Plan, generator: torch.Generator) -> dict[Node, Tensor]:
    """Samples every input of a plan's functions, (ROWS, H) each, as in a step from random states with random weights."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    H = plan.fixed_width or plan.round_up_width(UNITS)
    D = H if plan.elementwise_input or plan.fixed_width is None else UNITS
    weights = {name: normal(*shape) / shape[-1] ** 0.5 for name, shape in plan.cell.shapes(D, H, plan.bias).items()}
    states = [plan.cell.random_state(name, normal(ROWS, H)) for name in plan.cell.states]
    tensors = [*recurrence_operands(plan, normal(1, ROWS, D), H, weights, normal(ROWS, D)), *states]
    terms, _ = recompute_terms(plan, tensors, [s[None] for s in states])
    buffer_layout = layout(plan)
    vectors = unflatten(plan, buffer_layout, tensors).vectors
    parts = [terms[buffer][0, :, slot] for buffer, slot in buffer_layout.slots]
    near = [n.stencil(states[n.state]) for n in plan.stencil_inputs]
    leaves = (*plan.states, *plan.vectors, *plan.term_leaves, *plan.stencil_leaves)
    return dict(zip(leaves, (*states, *vectors, *parts, *near), strict=True))


def describe_mismatch(f: Pointwise, given: Mapping[Node, Tensor], generator: torch.Generator) -> str:
    """Describes how the adjoint of `f` differs from central differences; "" if it doesn't."""
    reverse = adjoint(f)
    size = ROWS, max(value.shape[-1] for value in given.values())
    upstream, along = (
        {n: torch.randn(size, generator=generator, dtype=torch.float64) for n in nodes}
        for nodes in (reverse.inputs[len(f.inputs) :], f.inputs)
    )

    for n in walk(f.outputs):
        if n.op == "call" and n.label == "where" and n.args[0] in along:
            along[n.args[0]].zero_()  # a hoisted comparison is 0 or 1: it has no derivative

    def evaluate(step: float) -> list[Tensor]:
        values = GraphEvaluator({n: given[n] + step * along[n] for n in f.inputs}, {})
        return [torch.as_tensor(values[out], dtype=torch.float64).expand(size) for out in f.outputs]

    here = evaluate(0.0)
    derived = GraphEvaluator({**{n: given[n].expand(size) for n in f.inputs}, **upstream}, {})
    ours = sum(torch.as_tensor(derived[d], dtype=torch.float64) * along[n] for n, d in zip(f.inputs, reverse.outputs, strict=True))
    differences = [
        torch.stack([d * (up - down) for d, up, down in zip(upstream.values(), evaluate(step), evaluate(-step), strict=True)]).sum(0)
        for step in STEPS
    ]
    slopes = torch.stack([difference / (2 * step) for difference, step in zip(differences, STEPS, strict=True)])
    assert isinstance(ours, Tensor)
    if f.reductions:  # an input of one unit changes the results of others
        here, ours, slopes = [h.sum(-1, keepdim=True) for h in here], ours.sum(-1, keepdim=True), slopes.sum(-1, keepdim=True)
    finite = torch.stack(here).isfinite().all(0) & slopes.isfinite().all(0)
    if not ours[finite].isfinite().all():
        return (
            "its gradient is not finite where its values are: where(…) computes both sides, so keep the one not taken finite too, "
            "as where(v > 0, log(maximum(v, 1e-6)), 0)"
        )
    error = (ours - slopes).abs().amin(0) - (slopes.amax(0) - slopes.amin(0))
    off = error[finite] / (1 + sum(h.abs() for h in here) + slopes[0].abs())[finite]
    return "" if (off <= TOLERANCE).all() else f"the derived gradient of {f.name} is off by {off.max():.0e} of what differences say"
