"""Data-parallel training on so many ranks."""

from typing import Literal

from pydantic import Field

from bench.records.base_record import Model, Name, Seconds, Size

Scaling = Literal["strong", "weak"]
"""All ranks share the batch of one, or each has as many sequences as one."""


class ScaleRecord(Model):
    """A cell, trained by `ranks` processes of so many `threads`, each with `B` sequences of `T` steps; D input and H hidden width.
    `exchange` is what torch.distributed sends gradients with.

    `step` and `alone` are seconds of a training step of the slowest rank, by round: with the gradients' exchange and, in turn with it,
    without. `loss_error` and `gradient_error` are max|Δ| / max|reference| from one process with the whole batch: of the losses of the
    first steps, and of the worst gradient of the first. What is off by more than may be is "incorrect", and has no time.
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
        return self.cell, self.scaling, self.ranks, self.T, self.B, self.D, self.H
