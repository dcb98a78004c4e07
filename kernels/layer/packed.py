"""Runs packed sequences: nothing is computed past the end of a sequence.

torch packs the rows by time step, the longest sequence first; step t has `sizes[t]` rows. Steps with equal sizes form a rectangle
(T', B', D). Each rectangle runs as a batch, from the final states of the one before it. There is one for each distinct length.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

States = Sequence[Tensor]
LayerFunction = Callable[[Tensor, States, Tensor | None], tuple[Tensor, Sequence[Tensor]]]
"""Maps x (T, B, D), the initial states (B, H) and the input (B, D) before the first step, or None, to y (T, B, H) and the final states."""


def apply(layer: LayerFunction, x: Tensor, sizes: Sequence[int], states: States) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Applies a layer to packed rows.

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


def reversal_index(sizes: Sequence[int], device: torch.device) -> Tensor:
    """Returns the index (N) that reverses every sequence of packed rows: x[index] are the rows of the reversed sequences."""
    counts = torch.tensor(sizes)
    first = counts.cumsum(0) - counts
    lengths = (counts[:, None] > torch.arange(sizes[0])).sum(0)
    t = torch.arange(len(sizes)).repeat_interleave(counts)
    b = torch.arange(len(t)) - first[t]
    return (first[lengths[b] - 1 - t] + b).to(device)
