"""The record of data-parallel training on several ranks."""

from typing import Literal

from pydantic import Field

from bench.records.base_record import Model, Name, Seconds, Size

Scaling = Literal["strong", "weak"]
"""Strong: all ranks share the batch of a single rank. Weak: each rank has as many sequences as a single rank."""


class ScaleRecord(Model):
    """A cell trained by `ranks` processes.

    Attributes:
        B: Sequences per rank.
        exchange: The library by which torch.distributed sends gradients.
        threads: Threads per rank.
        status: "incorrect" if an error exceeds its limit; there is no time then.
        loss_error: max|Δ| / max|reference| of the losses of the first steps, against one process with the whole batch.
        gradient_error: The same of the worst gradient of the first step.
        step: Seconds of a training step of the slowest rank, by round.
        alone: The same without the exchange of gradients, interleaved.
    """

    kind: Literal["scale"] = "scale"
    cell: Name
    scaling: Scaling
    ranks: Size
    T: Size
    B: Size
    D: Size
    H: Size
    exchange: Name
    threads: Size
    status: Literal["ok", "incorrect", "failed"]
    reason: str = ""
    loss_error: float | None = None
    gradient_error: float | None = None
    step: list[Seconds] = Field(default_factory=list)
    alone: list[Seconds] = Field(default_factory=list)

    @property
    def key(self) -> tuple[object, ...]:
        """Returns what identifies the measurement."""
        return self.cell, self.scaling, self.ranks, self.T, self.B, self.D, self.H
