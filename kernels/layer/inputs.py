"""Checks the arguments of a layer's call as nn.LSTM does, and brings them into the layout (T, B, D) of the schedules."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

if TYPE_CHECKING:
    from kernels.layer.rnn import RNN

Hidden = Tensor | tuple[Tensor, ...]

NO_STEPS = "Expected sequence length to be larger than 0 in RNN"


def batched_input(rnn: "RNN", input: Any, hx: Hidden | None) -> tuple[Tensor, Sequence[Tensor], bool]:
    """Returns x as (T, B, D), the states as (num_layers · directions, B, H), and whether the input had a batch dimension."""
    if not isinstance(input, Tensor):
        raise TypeError(f"expected a tensor or a PackedSequence, got {type(input).__name__}")
    if input.dim() not in (2, 3):
        raise ValueError(f"RNN: Expected input to be 2D or 3D, got {input.dim()}D instead")
    input = check_input(rnn, input)
    batched = input.dim() == 3
    x = input.unsqueeze(1) if not batched else input.transpose(0, 1) if rnn.batch_first else input
    if x.size(0) == 0:
        raise RuntimeError(NO_STEPS)
    given = initial_states(rnn, x, x.size(1), hx, batched)
    return x, given if batched else [s.unsqueeze(1) for s in given], batched


def packed_input(rnn: "RNN", input: PackedSequence, hx: Hidden | None) -> tuple[Tensor, Sequence[Tensor]]:
    """Returns the packed rows (N, D), and the states as (num_layers · directions, B, H) in the caller's order of sequences."""
    x = check_input(rnn, input.data)
    return x, initial_states(rnn, x, int(input.batch_sizes[0]), hx, True)


def check_input(rnn: "RNN", input: Tensor) -> Tensor:
    """Checks that the input (…, D) has the dtype and device of the weights, and returns it."""
    input = cast(rnn, input)
    for name, weight in rnn._parameters.items():
        assert weight is not None
        if input.dtype != weight.dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}, {name}). "
                f"Convert input: input.to({weight.dtype}), or convert model: model.to({input.dtype})"
            )
        if input.device != weight.device:
            raise RuntimeError(f"Input and parameter tensors are not at the same device: {input.device}, {name} at {weight.device}")
    if input.size(-1) != rnn.input_size:
        raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {rnn.input_size}, got {input.size(-1)}")
    return input


def cast(rnn: "RNN", given: Tensor) -> Tensor:
    """Casts a tensor to the dtype of the weights under autocast, since the loops compute in that dtype."""
    return given.to(next(rnn.parameters()).dtype) if given.is_floating_point() and is_autocast_on(given.device.type) else given


def is_autocast_on(kind: str) -> bool:
    """Returns whether autocast is on for a type of device.

    torch raises for a type without autocast, as meta, and Dynamo of torch 2.11 can't trace `is_autocast_available`.
    """
    known = kind != "meta" if torch.compiler.is_compiling() else torch.amp.is_autocast_available(kind)
    return known and torch.is_autocast_enabled(kind)


def initial_states(rnn: "RNN", x: Tensor, B: int, hx: Hidden | None, batched: bool) -> Sequence[Tensor]:
    """Returns the given initial states, or those that the cell starts with.

    Args:
        x: the input, for dtype and device.
        B: the batch size.
        hx: the given states, (num_layers · directions, B, H) each, or without B if not `batched`.
        batched: whether the input has a batch dimension.

    Raises:
        ValueError: there are too many or too few states.
        RuntimeError: a state has the wrong shape, dtype or device.
    """
    count = rnn.num_layers * rnn.directions
    expected = (count, B, rnn.hidden_size) if batched else (count, rnn.hidden_size)
    if hx is None:
        return rnn.cell.initial(x, *expected)
    given = tuple(cast(rnn, state) for state in ([hx] if isinstance(hx, Tensor) else hx))
    if len(given) != len(rnn.cell.states):
        raise ValueError(f"{rnn.cell.name} has the states {', '.join(rnn.cell.states)}: got {len(given)} of {len(rnn.cell.states)}")
    for name, state in zip(rnn.cell.states, given, strict=True):
        if tuple(state.shape) != expected:
            raise RuntimeError(f"Expected hidden size {expected} for {name}, got {list(state.shape)}")
        if state.dtype != x.dtype or state.device != x.device:
            raise RuntimeError(f"Expected {name} in {x.dtype} on {x.device}, got {state.dtype} on {state.device}")
    return given


def previous_input(rnn: "RNN", before: Tensor, x: Tensor, batched: bool) -> Tensor:
    """Checks the input (B, D) one step before x (T, B, D), and returns it."""
    if rnn.num_layers * rnn.directions > 1:
        raise ValueError("before takes a single layer in one direction: give a deeper one its whole sequence")
    before = cast(rnn, before if batched else before.unsqueeze(0))
    if before.shape != x.shape[1:] or before.dtype != x.dtype or before.device != x.device:
        found = f"{list(before.shape)} in {before.dtype} on {before.device}"
        raise RuntimeError(f"Expected before {tuple(x.shape[1:])} in {x.dtype} on {x.device}, got {found}")
    return before
