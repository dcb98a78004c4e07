"""torch's own operator in the place of a derived loop: cuDNN's layer on a GPU, for the cells that torch.nn has.

cuDNN wants all weights of a layer in one buffer, as nn.LSTM's `flatten_parameters` lays them out: W_ih, W_hh, b_ih, b_hh, each gate by
gate. The weights here, one for each gate, are joined into such a buffer in every call, and their gradients come back through the join.
That costs a copy of the weights, some thousandths of what a long sequence takes.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from cells.grammar.cell import Cell
from cells.grammar.torch_equivalent import Twin
from kernels.layer.inputs import autocasts


def unsupported_reason(cell: Cell) -> str | None:
    """Why torch has no operator for a cell; None where it has one."""
    return None if cell.twin else f"runs the cells of torch.nn, which has no {cell.name}"


def apply(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer in one direction by torch's operator, as `Cell.unroll`: differentiable in everything, as far as torch is.

    Args:
        cell: One with a twin in torch.nn.
        x: The input (T, B, D).
        states: The initial states, each (B, H).
        weights: Every learned value by name ("W.ix", "b.i").
    Returns:
        The outputs (T, B, H), and the final states.
    """
    twin = cell.twin
    assert twin is not None
    biased = any(name.startswith("b.") for name in weights)
    trains = is_trained(x, states, weights)
    initial = [state.unsqueeze(0).contiguous() for state in states]
    with torch.autocast(x.device.type, enabled=False) if autocasts(x.device.type) else nullcontext():
        hidden: Any = initial if len(initial) > 1 else initial[0]
        y, *final = find(twin)(x, hidden, join_weights(twin, weights, biased), biased, 1, 0.0, trains, False, False)
    return y, tuple(state.squeeze(0) for state in final)


def is_trained(x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> bool:
    """Returns whether gradients may be asked for: cuDNN saves for them in training only."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *states, *weights.values()))


def find(twin: Twin) -> Any:
    """torch.lstm, torch.gru, torch.rnn_tanh or torch.rnn_relu."""
    return getattr(torch, "_".join([twin.module.lower(), *twin.options.values()]))


def join_weights(twin: Twin, weights: Mapping[str, Tensor], biased: bool) -> list[Tensor]:
    """A layer's tensors as torch packs them, in one buffer. Without biases it ends in zeros: cuDNN has room for two, and adds them."""
    packed = twin.packed(weights, biased)
    gates = [part for parts in packed.values() for part in parts]
    spare = [] if biased else [gates[-1].new_zeros(2 * len(twin.gates) * len(gates[-1]))]
    sizes = [sum(part.numel() for part in parts) for parts in packed.values()]
    pieces = torch.cat([part.flatten() for part in (*gates, *spare)]).split([*sizes, *(len(s) for s in spare)])
    return [piece.view(-1, *parts[0].shape[1:]) for piece, parts in zip(pieces, packed.values(), strict=False)]
