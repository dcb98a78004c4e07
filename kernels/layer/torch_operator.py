"""Runs a layer by torch's own operator instead of a derived loop, on a GPU by cuDNN, for the cells that torch.nn has.

It takes the layer's parameters as they are. cuDNN wants them in one buffer: `LayerParameters.flatten_parameters`.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack

from cells.grammar.cell import Cell
from cells.grammar.torch_equivalent import TorchEquivalent
from kernels.layer.inputs import is_autocast_on, is_traced
from kernels.schedules.packed_steps import PackedSteps


def unsupported_reason(cell: Cell) -> str | None:
    """Returns None if torch has an operator for a cell, else a verb phrase that completes "the backend 'torch' …"."""
    return None if cell.torch_equivalent else f"runs the cells of torch.nn, which has no {cell.name}"


def must_run(backend: str) -> bool:
    """Returns whether torch's operator, and no fused loop, can run here: in a trace, and in grad or vjp of torch.func unless "eager"."""
    if is_traced():
        return True
    if backend == "eager" or not torch._C._are_functorch_transforms_active():
        return False
    return all(level.key() == TransformType.Grad for level in get_interpreter_stack() or ())  # it has no rule for vmap and jvp


def apply(
    cell: Cell, x: Tensor, states: Sequence[Tensor], tensors: Mapping[str, Tensor], before: Tensor | None = None,
    numbers: Tensor | None = None, packed: PackedSteps | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:  # fmt: skip
    """Runs one layer in one direction by torch's operator, as `Cell.unroll` does; differentiable as far as torch's operator is.

    Args:
        cell: a cell with a `torch_equivalent`.
        x: the input, (T, B, D).
        states: the initial states, (B, H) each.
        tensors: the parameters by torch's names, in torch's order.
        before, numbers: not used: none of these cells has prev(x) or time().
        packed: the steps of packed rows; x is then (N, 1, D), and so is y. Default: x is a batch

    Returns:
        y (T, B, H), and the final states (B, H).
    """
    equivalent = cell.torch_equivalent
    assert equivalent is not None
    initial = [state.unsqueeze(0).contiguous() for state in states]
    hx = initial if len(initial) > 1 else initial[0]
    given = [*tensors.values()], len(tensors) == 4, 1, 0.0, needs_gradients(x, states, tensors), False
    arguments = (x, hx, *given, False) if packed is None else (x.squeeze(1), packed.counts, hx, *given)
    with torch.autocast(x.device.type, enabled=False) if is_autocast_on(x.device.type) else nullcontext():
        y, *final = find_operator(equivalent)(*arguments)
    return y if packed is None else y.unsqueeze(1), tuple(state.squeeze(0) for state in final)


def needs_gradients(x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> bool:
    """Returns whether gradients may be computed: cuDNN saves what a backward pass needs in training mode only. A trace may be trained."""
    return is_traced() or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *states, *weights.values())))


def find_operator(equivalent: TorchEquivalent) -> Any:
    """Returns torch.lstm, torch.gru, torch.rnn_tanh or torch.rnn_relu."""
    return getattr(torch, equivalent.mode.lower())
