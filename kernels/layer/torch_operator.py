"""Runs a layer by torch's own operator instead of a derived loop, on a GPU by cuDNN, for the cells that torch.nn has.

cuDNN takes all weights of a layer in one buffer, in the layout of nn.LSTM's `flatten_parameters`: W_ih, W_hh, b_ih, b_hh, each gate by
gate. A layer here has one weight per gate. They are concatenated into such a buffer in every call, and autograd splits its gradient.
The copy takes some thousandths of the time of a long sequence.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from cells.grammar.cell import Cell
from cells.grammar.torch_equivalent import TorchEquivalent
from kernels.layer.inputs import is_autocast_on


def unsupported_reason(cell: Cell) -> str | None:
    """Returns None if torch has an operator for a cell, else a verb phrase that completes "the backend 'torch' …"."""
    return None if cell.torch_equivalent else f"runs the cells of torch.nn, which has no {cell.name}"


def apply(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs one layer in one direction by torch's operator, as `Cell.unroll` does; differentiable as far as torch's operator is.

    Args:
        cell: a cell with a `torch_equivalent`.
        x: the input, (T, B, D).
        states: the initial states, (B, H) each.
        weights: the parameters by name ("W.ix", "b.i").

    Returns:
        y (T, B, H), and the final states (B, H).
    """
    equivalent = cell.torch_equivalent
    assert equivalent is not None
    biased = any(name.startswith("b.") for name in weights)
    trains = needs_gradients(x, states, weights)
    initial = [state.unsqueeze(0).contiguous() for state in states]
    with torch.autocast(x.device.type, enabled=False) if is_autocast_on(x.device.type) else nullcontext():
        hidden: Any = initial if len(initial) > 1 else initial[0]
        y, *final = find_operator(equivalent)(x, hidden, join_weights(equivalent, weights, biased), biased, 1, 0.0, trains, False, False)
    return y, tuple(state.squeeze(0) for state in final)


def needs_gradients(x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> bool:
    """Returns whether gradients may be computed: cuDNN saves what a backward pass needs in training mode only."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *states, *weights.values()))


def find_operator(equivalent: TorchEquivalent) -> Any:
    """Returns torch.lstm, torch.gru, torch.rnn_tanh or torch.rnn_relu."""
    return getattr(torch, "_".join([equivalent.module.lower(), *equivalent.options.values()]))


def join_weights(equivalent: TorchEquivalent, weights: Mapping[str, Tensor], biased: bool) -> list[Tensor]:
    """Returns a layer's tensors as torch packs them, views into one buffer. Without biases it ends in zeros for cuDNN's two biases."""
    packed = equivalent.pack(weights, biased)
    gates = [part for parts in packed.values() for part in parts]
    spare = [] if biased else [gates[-1].new_zeros(2 * len(equivalent.gates) * len(gates[-1]))]
    sizes = [sum(part.numel() for part in parts) for parts in packed.values()]
    pieces = torch.cat([part.flatten() for part in (*gates, *spare)]).split([*sizes, *(len(s) for s in spare)])
    return [piece.view(-1, *parts[0].shape[1:]) for piece, parts in zip(pieces, packed.values(), strict=False)]
