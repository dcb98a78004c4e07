"""Runs sequences of different lengths: nothing is computed past the end of a sequence."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from kernels.layer import equations, input_products
from kernels.layer.inputs import Hidden, check_input, initial_states, packed_input
from kernels.schedules.packed_steps import PackedSteps

if TYPE_CHECKING:
    from kernels.layer.rnn import RNN

States = Sequence[Tensor]
LayerFunction = Callable[[Tensor, States, Tensor | None], tuple[Tensor, Sequence[Tensor]]]
"""Maps x (T, B, D), the initial states (B, H) and the input (B, D) before the first step, or None, to y (T, B, H) and the final states."""


def forward_packed(rnn: "RNN", input: PackedSequence, hx: Hidden | None) -> tuple[PackedSequence, Hidden]:
    """Runs a layer on a PackedSequence; `RNN` describes inputs and outputs."""
    data, sizes, order, back = input
    x, states = packed_input(rnn, input, hx)
    y, finals = run_rows(rnn, x, [s if order is None else s[:, order] for s in states], PackedSteps(sizes.tolist(), data.device))
    finals = finals if back is None else tuple(s[:, back] for s in finals)
    return PackedSequence(y, sizes, order, back), finals if len(finals) > 1 else finals[0]


def forward_padded(rnn: "RNN", input: Tensor | PackedSequence, hx: Hidden | None, lengths: Tensor | Sequence[int]) -> tuple[Tensor, Hidden]:
    """Runs a layer on a padded batch; `RNN` describes inputs and outputs.

    Raises:
        ValueError: the lengths don't fit the batch.
    """
    if not isinstance(input, Tensor) or input.dim() != 3:
        raise ValueError("`lengths` needs a padded 3-D input: a PackedSequence already contains its lengths")
    T, B = input.shape[:2] if not rnn.batch_first else input.shape[1::-1]
    given = torch.as_tensor(lengths).cpu()
    if given.shape == (B,) == (0,) or not T:
        y, final = rnn.forward(input, hx)  # no rows: B = 0 gives an empty result, T = 0 raises
        return y, final
    other = given.is_floating_point() or given.is_complex() or given.dtype == torch.bool
    if given.shape != (B,) or other or ((counts := given.to(torch.int64)) > T).any() or (counts < 0).any():
        raise ValueError(f"lengths are {B} whole numbers from 0 to {T}, one for each sequence of this batch: got {given.tolist()}")
    x = check_input(rnn, input.transpose(0, 1) if rnn.batch_first else input).flatten(0, 1)
    states = initial_states(rnn, x, B, hx, True)
    order = counts.argsort(descending=True, stable=True)[: counts.count_nonzero()]
    y, finals = x.new_zeros(T * B, rnn.directions * rnn.hidden_size), tuple(states)
    if len(order):
        steps = PackedSteps((counts > torch.arange(int(counts.max()), device="cpu")[:, None]).sum(1).tolist(), x.device)
        place, order = steps.padded_index(order, B), order.to(x.device)
        rows, ends = run_rows(rnn, x[place], [s[:, order] for s in states], steps)
        y = y.index_copy(0, place, rows)
        finals = tuple(s.index_copy(1, order, end) for s, end in zip(states, ends, strict=True))
    y = y.view(T, B, -1)
    return y.transpose(0, 1) if rnn.batch_first else y, finals if len(finals) > 1 else finals[0]


def run_rows(rnn: "RNN", x: Tensor, states: States, steps: PackedSteps) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs all layers on packed rows.

    Args:
        x: the rows, (N, D).
        states: the initial states, (num_layers · directions, B, H) each, the longest sequence first.

    Returns:
        y (N, directions · H), and the final states in the shape of the initial ones.
    """

    def run_layer(rows: Tensor, initial: States, tensors: Mapping[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        schedule = packed_schedule(rnn, rows, initial, tensors)
        if schedule is None:
            return apply(lambda x, states, before: rnn.run_layer(x, states, tensors, before), rows, steps.counts.tolist(), initial)
        y, ends = input_products.apply(rnn.plan, rnn.keep_panels(schedule, tensors), rows.unsqueeze(1), initial, tensors, packed=steps)
        return y.squeeze(1), ends

    return rnn.run_layers(x, states, run_layer, lambda rows: rows[steps.reversal])


def packed_schedule(rnn: "RNN", x: Tensor, states: States, tensors: Mapping[str, Tensor]) -> ModuleType | None:
    """Returns the schedule of a layer if it runs packed rows, in one loop whatever the lengths; else None."""
    in_graph = torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0
    if in_graph or rnn.memory == "low" or equations.reason_for_equations((x, *states, *tensors.values())):
        return None
    schedule = rnn.select_schedule(x, states)
    runs_packed = getattr(schedule, "RUNS_PACKED", False) and not rnn.uses_torch_operator(x.unsqueeze(1), states, tensors)
    return schedule if runs_packed else None


def apply(layer: LayerFunction, x: Tensor, sizes: Sequence[int], states: States) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Applies a layer that runs no packed rows. Steps with equal batch sizes form a rectangle (T', B', D), one for each distinct length.
    Each runs as a batch, from the final states of the one before it.

    Args:
        layer: runs one layer on a batch.
        x: packed rows, (N, D).
        sizes: the batch size of each time step; their sum is N.
        states: the initial states, (B, H) each.

    Returns:
        y (N, H), and the states (B, H) of each sequence after its own last step.
    """
    outputs: list[Tensor] = []
    ended: list[list[Tensor]] = []
    row, before = 0, None
    for steps, B in split_rectangles(sizes):
        ended.insert(0, [s[B:] for s in states])
        part = x[row : row + steps * B].view(steps, B, x.shape[1])
        y, states = layer(part, [s[:B] for s in states], None if before is None else before[:B])
        before = part[-1]
        outputs.append(y.flatten(0, 1))
        row += steps * B
    return torch.cat(outputs), tuple(map(torch.cat, zip(states, *ended, strict=True)))


def split_rectangles(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields (time steps, sequences) of each rectangle."""
    return ((len(list(same)), B) for B, same in groupby(sizes))
