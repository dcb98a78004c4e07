"""Defines the experiment of `bench scale`: trains each cell on 1, 2, 4, … ranks, with strong and weak scaling.

The first rank controls the run and broadcasts each measurement to the others, until none is left.
"""

import contextlib
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import torch.distributed as dist

from bench.harness.experiment import Experiment, OpenRun, RunStopped
from bench.harness.progress import print_line
from bench.records import Plan
from bench.records.scale_record import ScaleRecord, Scaling
from bench.studies.scaling.data_parallel_step import ScalingCase, measure_scaling
from bench.studies.scaling.ranks import Ranks, rank_counts

SCALINGS: tuple[Scaling, ...] = ("strong", "weak")
Step = tuple[ScalingCase, Scaling, int]
"""A case, its kind of scaling, and the number of ranks."""


class ScalingExperiment(Experiment):
    """Measures data-parallel training on this rank: the first rank by `measure`, the others by `follow_first_rank`.

    Args:
        cases: The cells and sizes.
        ranks: This rank and the others.
        settings: The settings that a resumed run must share.
    """

    def __init__(self, cases: Sequence[ScalingCase], ranks: Ranks, settings: dict[str, Any]):
        super().__init__("scale", ranks.device.type, settings)
        self.launcher = ("torchrun", "--nproc-per-node", str(ranks.world))
        self.steps = [(case, scaling, count) for case in cases for scaling in SCALINGS for count in rank_counts(ranks.world)]
        self.plan = Plan(unit="measurement", count=len(self.steps))
        self.ranks, self.now = ranks, "starting"
        signal.signal(signal.SIGTERM, self.on_sigterm)

    def measure(self, run: OpenRun) -> None:
        done = {(r.cell, r.scaling, r.ranks) for r in run.before.scale} if run.before else set()
        left = [(case, scaling, count) for case, scaling, count in self.steps if (case.cell, scaling, count) not in done]
        for k, step in enumerate(left):
            if run.out_of_time:
                self.left_out = [f"{len(left) - k} of {len(self.steps)} measurements"]
                return
            try:
                self.tell(step)
                if found := self.measure_step(step):
                    run.emit(found)
            except RuntimeError as error:
                raise RunStopped(self.describe_loss(str(error))) from None

    def follow_first_rank(self) -> None:
        """Takes part in every measurement that the first rank broadcasts; runs on another rank.

        Raises:
            SystemExit: A rank is lost (1).
        """
        try:
            while step := self.tell(None):
                self.measure_step(step)
        except RuntimeError as error:
            print_line(self.describe_loss(str(error)))
            raise SystemExit(1) from None

    def dismiss(self) -> None:
        """Tells the other ranks that no measurement is left."""
        with contextlib.suppress(RuntimeError):  # where they are lost
            self.tell(None)

    def tell(self, step: Step | None) -> Step | None:
        """Broadcasts the first rank's step, None for the end, and returns it on every rank."""
        told = [step]
        dist.broadcast_object_list(told)
        return told[0]

    def measure_step(self, step: Step) -> ScaleRecord | None:
        case, scaling, count = step
        self.now = f"{case.cell} {scaling} on {count} of {self.ranks.world} ranks"
        if self.ranks.rank == 0:
            print_line(self.now)
        found = measure_scaling(case, scaling, count, self.ranks) if self.ranks.rank < count else None
        dist.barrier()
        return found

    def describe_loss(self, why: str) -> str:
        return f"rank {self.ranks.rank}: {self.now}: {why.splitlines()[0]}"

    def on_sigterm(self, number: int, _: FrameType | None) -> NoReturn:
        """Exits with a message; torchrun sends SIGTERM to all ranks when one has died."""
        print_line(f"{self.describe_loss('ended, because another rank was lost')}; what was measured before is kept")
        raise SystemExit(1)
