"""The order of packed rows, in which nothing is stored past the end of a sequence.

torch packs rows by time step, the longest sequence first: step t has the rows of the first `sizes[t]` sequences (`PackedSequence`).
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor


class PackedSteps:
    """The steps of N packed rows.

    Args:
        sizes: the batch size of each time step, T of them; none is larger than the one before it.
        device: the device of the indices.
    """

    def __init__(self, sizes: Sequence[int], device: torch.device):
        self.counts, self.device = torch.tensor(sizes, device="cpu"), device
        self.T, self.B, self.N = len(sizes), int(sizes[0]), int(self.counts.sum())

    @cached_property
    def starts(self) -> Tensor:
        """The first row of each step, and N: (T + 1) on the CPU."""
        return torch.cat([self.counts.new_zeros(1), self.counts.cumsum(0)])

    @cached_property
    def lengths(self) -> Tensor:
        """The length of each sequence, (B) on the CPU."""
        return (self.counts[:, None] > torch.arange(self.B, device="cpu")).sum(0)

    @cached_property
    def previous(self) -> Tensor:
        """The row of the same sequence one step earlier, for each row but the first B: (N - B)."""
        return (torch.arange(self.B, self.N, device="cpu") - self.counts[:-1].repeat_interleave(self.counts[1:])).to(self.device)

    @cached_property
    def last(self) -> Tensor:
        """The last row of each sequence, (B)."""
        return (self.starts[self.lengths - 1] + torch.arange(self.B, device="cpu")).to(self.device)

    @cached_property
    def places(self) -> Tensor:
        """Returns the index (N) of each packed row among the rows (T·B) of a padded batch."""
        return self.padded_index(torch.arange(self.B, device="cpu"), self.B)

    def pad(self, rows: Tensor, value: float | None = None) -> Tensor:
        """Returns packed rows (N, …) as a padded batch (T, B, …), filled with a value, or with the last row of each sequence: what a step
        computes there is then finite, and where it is left out its gradient is 0."""
        fill = (
            rows.detach()[self.last].repeat(self.T, *[1] * (rows.dim() - 1)) if value is None else rows.new_full((self.T * self.B,), value)
        )
        return fill.index_copy(0, self.places, rows).unflatten(0, (self.T, self.B))

    def padded_index(self, order: Tensor, batch: int) -> Tensor:
        """Returns where the packed rows are among the rows (T·batch) of a padded batch, (N).

        Args:
            order: the place in the batch of each sequence, (B) on the CPU.
            batch: the batch size, at least B.
        """
        t, b = self.steps_and_sequences
        return (t * batch + order[b]).to(self.device)

    @cached_property
    def steps_and_sequences(self) -> tuple[Tensor, Tensor]:
        """The step and the sequence of each row, (N) each on the CPU."""
        t = torch.arange(self.T, device="cpu").repeat_interleave(self.counts)
        return t, torch.arange(self.N, device="cpu") - self.starts[t]

    @cached_property
    def reversal(self) -> Tensor:
        """The index (N) that reverses every sequence: x[index] are the rows of the reversed sequences."""
        t, b = self.steps_and_sequences
        return (self.starts[self.lengths[b] - 1 - t] + b).to(self.device)


Steps = int | PackedSteps
"""The number of time steps T of a batch, or the steps of packed rows."""
