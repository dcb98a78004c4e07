"""Writes a recurrence into the graph of torch.onnx.export(dynamo=True): as ONNX's LSTM, GRU or RNN for the cells of torch.nn, as a Scan for
others. T and B are free in both.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.derive.buffers import layout
from kernels.derive.plan import Plan
from kernels.layer import equations
from kernels.layer.autograd import Tensors, unflatten

Results = tuple[Tensor, list[Tensor]]

OPERATORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "LSTM": ("LSTM", "iofg", {}),
    "GRU": ("GRU", "zrn", {"linear_before_reset": 1}),
    "RNN_TANH": ("RNN", "h", {"activations": ["Tanh"]}),
    "RNN_RELU": ("RNN", "h", {"activations": ["Relu"]}),
}
"""By the mode of torch.nn's module: ONNX's operator, the order of its gates, and its attributes."""


def apply(plan: Plan, T: int, operands: Sequence[Tensor | None]) -> Results:
    """Adds one layer in one direction to the graph that is being traced.

    Args:
        T: the number of time steps.
        operands: the tensors of `Recurrence`.

    Returns:
        y (T, B, H), and the final states (B, H).
    """
    # Detached: the Scan of a traced graph that needs gradients runs into an error of torch when its sizes are free.
    tensors = unflatten(plan, layout(plan), [None if t is None else t.detach() for t in operands])
    return apply_operator(plan, T, tensors) if plan.cell.torch_equivalent else apply_scan(plan, T, tensors)


def apply_operator(plan: Plan, T: int, tensors: Tensors) -> Results:
    """Applies ONNX's operator for a cell of torch.nn."""
    equivalent, buffer_layout = plan.cell.torch_equivalent, layout(plan)
    assert equivalent is not None
    operator, order, attributes = OPERATORS[equivalent.mode]
    (x, weight_x, bias), weight_h, states = tensors.projections[0], tensors.weights[0], tensors.states
    B, H = states[0].shape
    terms_x, terms_h = ([plan.terms[i] for i in part.terms] for part in (buffer_layout.projections[0], buffer_layout.groups[0]))
    gates_x, gates_h = [term.projection.label[:-1] for term in terms_x if term.projection is not None], [t.matrix[:-1] for t in terms_h]

    def reorder(tensor: Tensor, gates: Sequence[str]) -> Tensor:
        return torch.cat([tensor[gates.index(gate) * H :][:H] for gate in order]).unsqueeze(0)

    both = None
    if bias is not None:
        second = [F.pad(vector, (bias.shape[0] - len(vector), 0)) for vector in tensors.vectors] or [torch.zeros_like(bias)]
        both = torch.cat([reorder(bias, gates_x), second[0].unsqueeze(0)], 1)  # a GRU's b.nh is that of its last gate
    y, *final = torch.onnx.ops.symbolic_multi_out(
        operator,
        [x, reorder(weight_x, gates_x), reorder(weight_h, gates_h), both, None, *(state.unsqueeze(0) for state in states)],
        {"hidden_size": H, **attributes},
        dtypes=[x.dtype] * (1 + len(states)),
        shapes=[(T, 1, B, H), *[(1, B, H)] * len(states)],
    )
    return y.squeeze(1), [state.squeeze(0) for state in final]


def apply_scan(plan: Plan, T: int, tensors: Tensors) -> Results:
    """Applies torch's higher-order operator `scan`, which becomes ONNX's Scan, to the step of a cell."""
    rows = equations.hoisted_rows(tensors) or [tensors.states[0].new_zeros(T, 1)]  # a cell may not read x
    S, R, V = len(tensors.states), len(rows), len(tensors.vectors)

    def compute_step(*given: Tensor) -> list[Tensor]:
        states, row, vectors, weights = given[:S], given[S : S + R], given[S + R : S + R + V], given[S + R + V :]
        after = equations.step(plan, row, states, vectors, weights)
        return [state.clone() for state in (*after, after[0])]  # scan takes no results that share memory

    *final, y = torch.ops.higher_order.scan(compute_step, [*tensors.states], rows, (*tensors.vectors, *tensors.weights))
    return y, final
