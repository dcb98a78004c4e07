"""A run, carried out by a process that may die: measurements are kept, the case at fault is recorded, and the rest continues."""

import math
import time
from collections.abc import Callable
from typing import Any

from bench.harness.jobs import PREVIEWS, WorkUnit, remaining_work
from bench.harness.runner import make_case_record
from bench.harness.worker import Progress, UnitDone, Worker, WorkerDied, WorkerFailed
from bench.records import Case, CaseRecord, Environment, Record, Records

TRIES = 3
"""Processes that may die one after another with no case at hand: then it is the machine."""


class NoWorker(RuntimeError):
    """No process stays alive here; the message says how the last one ended."""


class Supervisor:
    """Does `jobs` with a worker. `emit` gets each record, `tell` what runs now and how much is finished, and "" while nothing is new.
    Where there is an end, `until` in seconds of time.monotonic(), races come first, and after it no unit is begun: those are `skipped`.
    `spent` are seconds by activity, `failed` what has no case to be the status of."""

    def __init__(self, worker: Worker, emit: Callable[[Record], None], tell: Callable[[str, int], None]):
        self.worker, self.emit, self.tell = worker, emit, tell
        self.spent: dict[str, float] = {}
        self.timing = False
        self.skipped: list[WorkUnit] = []
        self.failed: list[str] = []

    def read_machine(self) -> Environment:
        """The device, the libraries and what the device does at its best."""
        found: list[Any] = []
        self.run_unit(WorkUnit("machine", "reading the machine"), found.append)
        return found[0]

    def run_units(self, units: list[WorkUnit], before: Records | None, until: float = math.inf) -> None:
        # with a budget, speed comes first
        for unit in sorted(units, key=lambda unit: until < math.inf and unit.kind != "timing group"):
            rest = remaining_work(unit, before)
            if rest is None:
                self.tell(f"{unit.name} is measured", unit.pieces)
            elif time.monotonic() >= until:
                self.skipped.append(rest)
            else:
                self.run_unit(rest, self.emit)
        had = {record.case for record in before.cases} if before else set()
        for case in (case for unit in self.skipped if unit.kind != "gradients" for case in unit.cases if case not in had):
            self.emit(make_case_record(case, "skipped", "left out: the budget was spent"))

    def run_unit(self, unit: WorkUnit, emit: Callable[[Any], None]) -> None:
        """Do a unit. A case that ends its process, or never ends, is recorded and left out, and the others are asked for again, but for
        those that have failed by then."""
        deaths, failed = 0, list[Case]()

        def keep(line: Any) -> None:
            emit(line)
            if isinstance(line, CaseRecord) and line.status != "ok":
                failed.append(line.case)

        while unit.cases or unit.kind == "machine" or unit.kind in PREVIEWS:
            try:
                for message in self.worker.run_unit(unit):
                    self.on_message(message, keep)
                return
            except WorkerDied as end:
                deaths = 0 if end.cases else deaths + 1
                for case in end.cases:
                    self.emit(make_case_record(case, "timeout" if end.late else "crashed", str(end)))
                unit = unit.without([*end.cases, *failed])
                if unit.kind in PREVIEWS:
                    self.failed.append(f"{unit.name}: {end}")
                    return
                if deaths == TRIES:
                    raise NoWorker(f"{unit.name}: {end}, {TRIES} times in a row, before a case was begun") from None

    def on_message(self, message: Any, emit: Callable[[Any], None]) -> None:
        if message is None:
            if not self.timing:
                self.tell("", 0)
        elif isinstance(message, Progress):
            self.timing = message.timing
            self.tell(message.words, message.finished)
        elif isinstance(message, UnitDone):
            self.spent = {name: self.spent.get(name, 0.0) + message.spent.get(name, 0.0) for name in {**self.spent, **message.spent}}
        else:
            emit(message)

    def stop(self) -> None:
        """End the process, and keep what it has to say."""
        for message in self.worker.drain():
            if not isinstance(message, (Progress, UnitDone, WorkerFailed, Environment)):
                self.emit(message)
