"""Defines the interface of experiments. Each kind of run has a subclass that measures; `bench.harness.run` makes folders, resumes and
renders."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from bench.records import Constants, Environment, Plan, Record, Records, write_record
from bench.records.methods import METHODS

Unit = TypeVar("Unit")


class RunStopped(RuntimeError):
    """The run can't continue; the message gives the reason. Its records stay, and the exit code is 1."""


@dataclass
class OpenRun:
    """A run that is being measured.

    Attributes:
        folder: The folder of its records.
        stream: The records file, open at its end.
        before: The records of the run that is resumed; None for a new run.
        until: The time, on the clock of `time.monotonic`, after which no new work starts.
        count: The number of records emitted.
    """

    folder: Path
    stream: FileIO
    before: Records | None
    until: float
    count: int = 0

    @property
    def out_of_time(self) -> bool:
        """Returns whether `until` has passed."""
        return time.monotonic() > self.until

    def emit(self, record: Record) -> None:
        """Writes a record; an experiment calls it as soon as it has one."""
        write_record(self.stream, record)
        self.count += 1


class Experiment(AbstractContextManager["Experiment"], ABC):
    """A kind of run. As a context manager it holds its resources, such as a worker process or a progress bar.

    Args:
        name: A word for the default folder of a run; may be "".
        device: "cpu" or "cuda".
        settings: The settings that a resumed run must share with this one. "seed" among them is the seed of the run.

    Attributes:
        launcher: The words in front of `-m bench` in the command that repeats the run.
        plan: What the run is to measure, known before `measure`.
        method: How it measures, for the record.
        spent: Seconds by activity, if the experiment counts them.
        constants: The peak rates of the device at the end, if the experiment measures them again.
        left_out: Lines about what was not measured for lack of time.
        failed: Lines about what couldn't be measured.
        exit_code: The exit code of a completed run.
    """

    launcher: tuple[str, ...] = ("python",)
    plan: Plan | None = None
    method: dict[str, str] = METHODS

    def __init__(self, name: str, device: str, settings: dict[str, Any]):
        self.name, self.device, self.settings = name, device, settings
        self.spent: dict[str, float] = {}
        self.constants: Constants | None = None
        self.left_out: list[str] = []
        self.failed: list[str] = []
        self.exit_code = 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Releases the resources; the base class has none."""

    def read_environment(self) -> Environment:
        """Returns the description of the machine and the libraries."""
        import torch

        from bench.measure import environment

        return environment.read_environment(torch.device(self.device), rates=False)

    @abstractmethod
    def measure(self, run: OpenRun) -> None:
        """Measures what `run.before` lacks, until everything is measured or time is up, and emits each record as soon as it is complete.

        Args:
            run: The run, which receives the records.

        Raises:
            RunStopped: The run can't continue.
        """

    def interrupt(self, run: OpenRun) -> None:
        """Emits finished records after an interruption; the base class has none.

        Args:
            run: The run, which receives the records.
        """


def select_shard(shard: str, units: Sequence[Unit]) -> list[Unit]:
    """Returns the units of a shard: every N-th, starting with the I-th.

    Args:
        shard: "I/N", or "" for all units.
        units: All units of the run.
    """
    part, parts = map(int, shard.split("/")) if shard else (1, 1)
    return list(units[part - 1 :: parts])
