"""What is measured, apart from how a run is carried out: a subclass for every kind of run, which `bench.harness.run` carries out."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from bench.records import Environment, Record, Records, write_record

Unit = TypeVar("Unit")


class RunStopped(RuntimeError):
    """The run can't continue; the message says why. What was measured stays, and the exit code is 1."""


@dataclass
class OpenRun:
    """A run that is being measured.

    Attributes:
        folder: where its records are.
        stream: the end of its records file.
        before: the records of the run that is resumed; None for a new run.
        until: the time, of `time.monotonic`, after which no new work starts.
        count: the records that were emitted.
    """

    folder: Path
    stream: FileIO
    before: Records | None
    until: float
    count: int = 0

    @property
    def out_of_time(self) -> bool:
        return time.monotonic() > self.until

    def emit(self, record: Record) -> None:
        """Writes a record; called as soon as there is one."""
        write_record(self.stream, record)
        self.count += 1


class Experiment(AbstractContextManager["Experiment"], ABC):
    """One kind of run: what it measures. As a context it holds what measuring needs, such as a worker process and a progress bar.

    Args:
        name: a word for the default folder of a run, which may be "".
        device: "cpu" or "cuda".
        settings: what a run that is resumed must have in common with this one. Of these, "seed" is the seed of the run.

    Attributes:
        launcher: the words in front of `-m bench` in the command that repeats the run.
        spent: seconds by activity, of an experiment that counts them.
        left_out: lines that say what there was no time for.
        failed: lines that say what couldn't be measured.
        exit_code: the exit code of a run that came to its end.
    """

    launcher: tuple[str, ...] = ("python",)

    def __init__(self, name: str, device: str, settings: dict[str, Any]):
        self.name, self.device, self.settings = name, device, settings
        self.spent: dict[str, float] = {}
        self.left_out: list[str] = []
        self.failed: list[str] = []
        self.exit_code = 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Releases what the context holds: here, nothing."""

    def read_environment(self) -> Environment:
        """Returns the machine and the libraries of the run."""
        import torch

        from bench.measure import environment

        return environment.read_environment(torch.device(self.device), rates=False)

    @abstractmethod
    def measure(self, run: OpenRun) -> None:
        """Measures what `run.before` lacks until all is measured or time is up, and emits every record as soon as there is one.

        Raises:
            RunStopped: the run can't continue.
        """

    def interrupt(self, run: OpenRun) -> None:
        """Emits what is finished but not emitted, after an interruption: here, nothing."""


def deal(shard: str, units: Sequence[Unit]) -> list[Unit]:
    """Returns the units of a shard "I/N": every N-th from the I-th on; all of them for ""."""
    part, parts = map(int, shard.split("/")) if shard else (1, 1)
    return list(units[part - 1 :: parts])
