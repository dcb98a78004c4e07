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
from bench.harness.device import target
from bench.harness.progress import say
from bench.measure import environment
from bench.records import Run, ScaleRecord, read, write
from bench.records.scale_record import Scaling
from bench.studies.scaling.data_parallel_step import Work, measure
from bench.studies.scaling.ranks import Ranks, counts

SCALINGS: tuple[Scaling, ...] = ("strong", "weak")


def folder(ranks: Ranks, out: Path | None) -> Path:
    """The folder for the results, made by the first rank. Raises UsageError on every rank where it can't be."""
    made: list[Any] = [None]
    if ranks.rank == 0:
        try:
            made = [target(out, ranks.device.type, "scale")]
        except UsageError as error:
            made = [error]
    dist.broadcast_object_list(made)
    if isinstance(made[0], UsageError):
        raise made[0]
    return Path(made[0])


def render(place: Path) -> None:
    """The tables on stdout, and the report."""
    from bench.render import console, run_report, scaling_report

    records = read(place)
    console.print_tables(scaling_report.scaling_tables(records.scale))
    say(f"report: {run_report.write(place, records)[0]}")


class Study:
    """What one rank does of it. `path` is the records file, which the first rank alone writes."""

    def __init__(self, works: Sequence[Work], ranks: Ranks, path: Path):
        self.works, self.ranks, self.path = works, ranks, path
        self.now = "starting"
        signal.signal(signal.SIGTERM, self.ended)

    def run(self, settings: dict[str, Any]) -> None:
        """Raises SystemExit(1) where a rank is lost, once what was measured is told."""
        first = self.ranks.rank == 0
        if first:
            self.write(self.header(settings))
        for work in self.works:
            for scaling in SCALINGS:
                for count in counts(self.ranks.world):
                    self.now = f"{work.cell} {scaling} on {count} of {self.ranks.world} ranks"
                    if first:
                        say(self.now)
                    try:
                        found = measure(work, scaling, count, self.ranks) if self.ranks.rank < count else None
                        dist.barrier()
                    except RuntimeError as error:
                        self.lost(str(error))
                    if first and found:
                        self.write(found)

    def header(self, settings: dict[str, Any]) -> Run:
        here = environment.capture(self.ranks.device, rates=False)
        now = datetime.datetime.now(datetime.UTC)
        command = shlex.join(["torchrun", "--nproc-per-node", str(self.ranks.world), "-m", "bench", *sys.argv[1:]])
        return Run(started=f"{now:%Y-%m-%dT%H:%M:%SZ}", command=command, seed=0, environment=here, settings=settings)

    def write(self, line: Run | ScaleRecord) -> None:
        with FileIO(self.path, "a") as stream:
            write(stream, line)

    def lost(self, why: str) -> NoReturn:
        say(f"rank {self.ranks.rank}: {self.now}: {why.splitlines()[0]}; what was measured before is in {self.path}")
        raise SystemExit(1)

    def ended(self, number: int, _: FrameType | None) -> NoReturn:
        """torchrun ends all ranks once one has died."""
        self.lost("ended, as another rank was lost")
