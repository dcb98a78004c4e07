"""Runs packed sequences: nothing is computed past the end of a sequence.

Rows lie as torch packs them: the longest sequence first, and of each time step those that are still on, `sizes[t]` of them. Where
`sizes` doesn't change the rows are a rectangle (T', B', D), and each of these runs as any batch does, from the states of the one
before it. There are as many as there are distinct lengths.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

States = Sequence[Tensor]
LayerFunction = Callable[[Tensor, States, Tensor | None], tuple[Tensor, Sequence[Tensor]]]
"""x (T, B, D), initial states (B, H) and the input (B, D) before the first, if there is one → y (T, B, H) and the final states."""


def apply(layer: LayerFunction, x: Tensor, sizes: Sequence[int], states: States) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Applies `layer` to packed rows x (N, D), N the sum of the batch `sizes` of the time steps.

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
