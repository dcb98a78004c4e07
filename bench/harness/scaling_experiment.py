"""The experiment of `bench scale`: each cell on 1, 2, 4, … ranks, strong and weak.

The first rank carries out the run and tells the others what to measure next; they follow until there is nothing more.
"""

import contextlib
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import torch.distributed as dist

from bench.harness.experiment import Experiment, OpenRun, RunStopped
from bench.harness.progress import print_line
from bench.records.scale_record import ScaleRecord, Scaling
from bench.studies.scaling.data_parallel_step import ScalingCase, measure_scaling
from bench.studies.scaling.ranks import Ranks, rank_counts

SCALINGS: tuple[Scaling, ...] = ("strong", "weak")
Step = tuple[ScalingCase, Scaling, int]
"""A case, how it is scaled, and the number of ranks."""


class ScalingExperiment(Experiment):
    """Measures every case on this rank: the first rank by `measure`, the others by `follow_first_rank`."""

    def __init__(self, cases: Sequence[ScalingCase], ranks: Ranks, settings: dict[str, Any]):
        super().__init__("scale", ranks.device.type, settings)
        self.launcher = ("torchrun", "--nproc-per-node", str(ranks.world))
        self.steps = [(case, scaling, count) for case in cases for scaling in SCALINGS for count in rank_counts(ranks.world)]
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
        """Measures what the first rank says, on another rank. Raises SystemExit(1) when a rank is lost."""
        try:
            while step := self.tell(None):
                self.measure_step(step)
        except RuntimeError as error:
            print_line(self.describe_loss(str(error)))
            raise SystemExit(1) from None

    def dismiss(self) -> None:
        """Tells the other ranks that there is nothing more to measure."""
        with contextlib.suppress(RuntimeError):  # where they are lost
            self.tell(None)

    def tell(self, step: Step | None) -> Step | None:
        """Returns the step of the first rank on every rank."""
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
        """Ends this rank: torchrun ends all ranks once one has died."""
        print_line(f"{self.describe_loss('ended, as another rank was lost')}; what was measured before is kept")
        raise SystemExit(1)
