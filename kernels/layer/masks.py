"""Runs a layer whose states begin anew inside a sequence (`reset`), and prepares the inputs of a cell that takes a mask."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from cells.grammar.masked import RESET, RESETS, start_name
from kernels.schedules.interface import describe, describe_tensor
from kernels.schedules.packed_steps import PackedSteps

if TYPE_CHECKING:
    from kernels.layer.rnn import RNN

Operands = tuple[Tensor, Sequence[Tensor], Mapping[str, Tensor]]
"""The input, the initial states and the parameters of a layer."""


def check_reset(rnn: "RNN", reset: Any, sizes: tuple[int, ...], x: Tensor) -> Tensor:
    """Checks where states begin anew, and returns it as (T, B).

    Args:
        reset: (T, B), (B, T) with `batch_first`, or (T) without a batch.
        sizes: (T, B), or (T) without a batch.
        x: the input, for its device.

    Raises:
        TypeError: it is no tensor.
        RuntimeError: it has the wrong shape, dtype, device or layout.
    """
    if not isinstance(reset, Tensor):
        raise TypeError(f"reset is a {type(reset).__name__}: give a tensor of bools, one for each step of each sequence")
    shape = sizes[::-1] if rnn.batch_first else sizes
    if reset.shape != shape or reset.dtype != torch.bool or reset.device != x.device or reset.layout != torch.strided:
        raise RuntimeError(f"Expected reset to be {describe(shape, torch.bool, x.device)}, got {describe_tensor(reset)}: convert it")
    return reset.unsqueeze(1) if reset.dim() == 1 else reset.t() if rnn.batch_first else reset


def packed_reset(rnn: "RNN", reset: Any, input: PackedSequence, steps: PackedSteps) -> Tensor:
    """Returns where the states of packed rows begin anew, (N), given as a padded batch (T, B) or packed as the input is."""
    if isinstance(reset, PackedSequence):
        same = torch.equal(reset.batch_sizes, input.batch_sizes) and torch.equal(sequence_order(reset), sequence_order(input))
        if not same or reset.data.dim() != 1:
            raise RuntimeError("reset is packed in another way than the input: pack a bool for each of its rows, with the same lengths")
        return check_reset(rnn, reset.data, (steps.N,), input.data).squeeze(1)
    rows = check_reset(rnn, reset, (steps.T, steps.B), input.data)
    return rows.flatten()[steps.padded_index(sequence_order(input), steps.B)]


def sequence_order(packed: PackedSequence) -> Tensor:
    """Returns the place in the batch of each packed sequence, (B) on the CPU."""
    B = int(packed.batch_sizes[0])
    return torch.arange(B, device="cpu") if packed.sorted_indices is None else packed.sorted_indices.cpu()


def run_layer(
    rnn: "RNN", x: Tensor, states: Sequence[Tensor], tensors: Mapping[str, Tensor], reset: Tensor, before: Tensor | None = None,
    numbers: Tensor | None = None, drawn: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:  # fmt: skip
    """Runs one layer in one direction as `RNN.run_layer` does, with states that begin anew where `reset` (T, B) is True."""
    mask, states = begin_anew(rnn, states, reset)
    if before is not None:
        before = torch.cat([before, RESET * reset[0].to(x.dtype).unsqueeze(-1)], -1)
    numbers = None if numbers is None else restart(numbers, reset)
    y, finals = rnn.run_layer(*add_mask(rnn, RESETS, mask, x, states, tensors), before, RESETS, numbers, drawn)
    return y, finals[1:]


def restart(numbers: Tensor, reset: Tensor) -> Tensor:
    """Returns the numbers of steps (T, B, 1), from 0 on wherever `reset` (T, B) is True.

    Args:
        numbers: those without resets, (T, 1, 1).
    """
    steps = (numbers - numbers[:1]).squeeze(-1)
    last = torch.where(reset, steps, -1).cummax(0).values
    return torch.where(last < 0, numbers.squeeze(-1), steps - last).unsqueeze(-1)


def begin_anew(rnn: "RNN", states: Sequence[Tensor], reset: Tensor, packed: PackedSteps | None = None) -> tuple[Tensor, list[Tensor]]:
    """Returns the mask of the cell's RESETS rewriting, and the initial states: a reset before the first step changes them.

    Args:
        states: the initial states, (B, H) each.
        reset: where states begin anew, (T, B) or, of packed rows, (N).
        packed: the steps of packed rows. Default: a batch
    """
    first = reset[0] if packed is None else reset[: packed.B]
    states = [torch.where(first.unsqueeze(-1), rnn.cell.start.get(name, 0.0), s) for name, s in zip(rnn.cell.states, states, strict=True)]
    mask = RESET * reset.to(states[0].dtype)
    if packed is None:
        return F.pad(mask, (0, 0, 0, 1))[1:], states
    return torch.zeros_like(mask).index_copy(0, packed.previous, mask[packed.B :]), states


def add_mask(rnn: "RNN", kind: str, mask: Tensor, x: Tensor, states: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> Operands:
    """Returns the operands of the rewritten cell.

    Args:
        kind: the rewriting (`cells.grammar.masked`), "" for none.
        mask: (T, B), or (N) for packed rows.
        x: the input, (T, B, D) or (N, D).
        states: the initial states, (B, H) each.
        tensors: the parameters by torch's names or by those in the equations.
    """
    if not kind:
        return x, states, tensors
    named = rnn.read_weights(tensors)
    if kind == RESETS:
        named |= {f"p.{start_name(name)}": x.new_full((rnn.hidden_size,), value) for name, value in rnn.cell.start.items()}
        states = [torch.zeros_like(states[0]), *states]
    return torch.cat([x, mask.unsqueeze(-1).to(x.dtype)], -1), states, named
