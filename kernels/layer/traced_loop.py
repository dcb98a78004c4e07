"""Records a recurrence as a loop over the time steps of its input, in torch.jit.trace and the TorchScript-based torch.onnx.export.

A trace repeats what the example did: a loop of Python is recorded for the T of the example. So it calls a scripted loop, which calls a step
that is traced by itself, and runs for any T and B.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from cells.grammar.functions import in_onnx_export
from kernels.derive.buffers import layout
from kernels.derive.plan import Plan
from kernels.layer import equations
from kernels.layer.autograd import unflatten
from kernels.layer.input_products import recurrence_operands


def apply(
    plan: Plan,
    x: Tensor,
    states: Sequence[Tensor],
    parameters: Mapping[str, Tensor],
    before: Tensor | None = None,
    numbers: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Applies one layer as `input_products.apply` does, inside a trace; what it records is differentiable."""
    with torch.autocast(x.device.type, enabled=False):
        operands = recurrence_operands(plan, x, states[0].shape[1], parameters, before, numbers)
        tensors = unflatten(plan, layout(plan), [*operands, *states])
        rows = equations.hoisted_rows(tensors) or [x.unsqueeze(2)]  # a cell may not read x
        vectors = torch.stack(tensors.vectors) if tensors.vectors else x.new_zeros(0)
        weights = torch.cat([W.flatten() for W in tensors.weights]) if tensors.weights else x.new_zeros(0)
        with pause_trace():
            steps = script_steps(plan, states[0].shape[1], x.dtype, x.device, in_onnx_export())
        y, final = steps(torch.cat(rows, 2), torch.stack(tensors.states), vectors, weights)
    return y, final.unbind(0)


@cache
def script_steps(plan: Plan, H: int, dtype: torch.dtype, device: torch.device, to_onnx: bool) -> Callable[..., Any]:
    """Scripts the time loop of a plan.

    Args:
        to_onnx: whether it is for ONNX, which has other functions; it tells apart what is cached.

    Returns:
        A function of the rows (T, B, G, H), the initial states (S, B, H), the vectors (V, H) and all elements of the weights, to the
        outputs (T, B, H) and the final states (S, B, H).
    """
    buffer_layout = layout(plan)
    widths = buffer_layout.widths[: len(buffer_layout.projections) + len(buffer_layout.elementwise_terms)]
    shapes = [(len(group.terms) * H, H // group.heads) for group in buffer_layout.groups]
    sizes = [rows * columns for rows, columns in shapes]

    def compute_step(row: Tensor, states: Tensor, vectors: Tensor, weights: Tensor) -> Tensor:
        parts = [part.view(shape) for part, shape in zip(weights.split(sizes), shapes, strict=True)] if sizes else ()
        rows = row.split(widths, 1) if widths else ()
        return torch.stack(equations.step(plan, rows, states.unbind(0), vectors.unbind(0) if plan.vectors else (), parts))

    given = (2, sum(widths), H), (len(plan.states), 2, H), (len(plan.vectors), H), (sum(sizes),)
    example = tuple(torch.zeros(shape, dtype=dtype, device=device) for shape in given)
    compute_step(*example)  # computes and caches the weights of stencils, which are constants of the trace then
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its TorchScript deprecated, and a user chose it knowingly
        step = torch.jit.trace(compute_step, example, check_trace=False)

        def run_steps(rows: Tensor, states: Tensor, vectors: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            outputs: list[Tensor] = []
            for row in rows.unbind(0):  # not by the size of rows, which the ONNX exporter takes for that of the example
                states = step(row, states, vectors, weights)
                outputs.append(states[0])
            return torch.stack(outputs), states

        return torch.jit.script(run_steps)


@contextmanager
def pause_trace() -> Iterator[None]:
    """Computes what is inside without recording it: a trace can't be made inside another one."""
    state = torch._C._get_tracing_state()
    set_state: Callable[[Any], None] = torch._C._set_tracing_state  # type: ignore[attr-defined]
    set_state(None)
    try:
        yield
    finally:
        set_state(state)
