"""All of it: each cell on 1, 2, 4, … ranks, strong and weak; the first rank writes each record as it is measured."""

import datetime
import shlex
import signal
import sys
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch.distributed as dist

from bench.errors import UsageError
from bench.harness.device import make_run_folder
from bench.harness.progress import print_line
from bench.measure import environment
from bench.records import Run, ScaleRecord, read_records, write_record
from bench.records.scale_record import Scaling
from bench.studies.scaling.data_parallel_step import ScalingCase, measure_scaling
from bench.studies.scaling.ranks import Ranks, rank_counts

SCALINGS: tuple[Scaling, ...] = ("strong", "weak")


def make_shared_folder(ranks: Ranks, out: Path | None) -> Path:
    """The folder for the results, made by the first rank. Raises UsageError on every rank where it can't be."""
    made: list[Any] = [None]
    if ranks.rank == 0:
        try:
            made = [make_run_folder(out, ranks.device.type, "scale")]
        except UsageError as error:
            made = [error]
    dist.broadcast_object_list(made)
    if isinstance(made[0], UsageError):
        raise made[0]
    return Path(made[0])


def render_scaling(place: Path) -> None:
    """The tables on stdout, and the report."""
    from bench.render import console, run_report, scaling_report

    records = read_records(place)
    console.print_tables(scaling_report.scaling_tables(records.scale))
    print_line(f"report: {run_report.write(place, records)[0]}")


class ScalingRun:
    """The part of a scaling run that one rank does. `path` is the records file, which the first rank alone writes."""

    def __init__(self, works: Sequence[ScalingCase], ranks: Ranks, path: Path):
        self.works, self.ranks, self.path = works, ranks, path
        self.now = "starting"
        signal.signal(signal.SIGTERM, self.on_sigterm)

    def run(self, settings: dict[str, Any]) -> None:
        """Measures everything and writes each record. Raises SystemExit(1) when a rank is lost, after the line that says where the
        records are."""
        first = self.ranks.rank == 0
        if first:
            self.write(self.run_record(settings))
        for work in self.works:
            for scaling in SCALINGS:
                for count in rank_counts(self.ranks.world):
                    self.now = f"{work.cell} {scaling} on {count} of {self.ranks.world} ranks"
                    if first:
                        print_line(self.now)
                    try:
                        found = measure_scaling(work, scaling, count, self.ranks) if self.ranks.rank < count else None
                        dist.barrier()
                    except RuntimeError as error:
                        self.exit_lost(str(error))
                    if first and found:
                        self.write(found)

    def run_record(self, settings: dict[str, Any]) -> Run:
        here = environment.read_environment(self.ranks.device, rates=False)
        now = datetime.datetime.now(datetime.UTC)
        command = shlex.join(["torchrun", "--nproc-per-node", str(self.ranks.world), "-m", "bench", *sys.argv[1:]])
        return Run(started=f"{now:%Y-%m-%dT%H:%M:%SZ}", command=command, seed=0, environment=here, settings=settings)

    def write(self, line: Run | ScaleRecord) -> None:
        with FileIO(self.path, "a") as stream:
            write_record(stream, line)

    def exit_lost(self, why: str) -> NoReturn:
        print_line(f"rank {self.ranks.rank}: {self.now}: {why.splitlines()[0]}; what was measured before is in {self.path}")
        raise SystemExit(1)

    def on_sigterm(self, number: int, _: FrameType | None) -> NoReturn:
        """torchrun ends all ranks once one has died."""
        self.exit_lost("ended, as another rank was lost")
