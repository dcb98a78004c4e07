"""Runs work units in a worker process that may die: records stay, the case at fault is recorded, and the remaining cases are measured."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.harness.experiment import RunStopped
from bench.harness.jobs import remaining_work
from bench.harness.outcome import make_case_record
from bench.harness.work_unit import PREVIEWS, Checked, WorkUnit
from bench.harness.worker import Progress, UnitDone, Worker, WorkerDied, WorkerFailed
from bench.measure.fingerprint import Fingerprint
from bench.records import Case, CaseRecord, Environment, Record, Records
from bench.records.case_record import join_builds

TRIES = 3
"""The number of processes that may die in a row without a current case; then the machine is at fault."""


class NoWorker(RunStopped):
    """Every worker process dies; the message says how the last one ended."""


class Supervisor:
    """Gives work units to a worker process, which may die.

    Args:
        worker: The worker process.
        tell: Receives what runs now, "" if unchanged, and the number of finished pieces.
        builds: How often the cases of a timing group are built anew and timed.

    Attributes:
        spent: Seconds by activity.
        skipped: The units that were not measured for lack of time.
        failed: Lines about failed units that have no cases.
    """

    def __init__(self, worker: Worker, tell: Callable[[str, int], None], builds: int = 1):
        self.worker, self.tell, self.builds = worker, tell, builds
        self.timed: dict[Case, list[CaseRecord]] = {}
        self.fingerprints: dict[Case, Fingerprint] = {}
        self.spent: dict[str, float] = {}
        self.timing = False
        self.skipped: list[WorkUnit] = []
        self.failed: list[str] = []

    def read_machine(self) -> Environment:
        """Returns the description of the device and the libraries, with the device's measured peak rates."""
        found: list[Any] = []
        self.run_unit(WorkUnit("machine", "reading the machine"), found.append)
        return found[0]

    def run_units(self, units: list[WorkUnit], emit: Callable[[Record], None], before: Records | None, until: float = math.inf) -> None:
        """Measures what `before` lacks of the units, and emits each record. Cases without time left get the status "skipped".

        Args:
            units: The work units.
            emit: Receives each record.
            before: The records of the run that is resumed, or None.
            until: The time, on the clock of `time.monotonic`, after which no unit starts. If it is finite, timing groups come first.

        Raises:
            NoWorker: Every worker process dies.
        """
        for unit in sorted(units, key=lambda unit: until < math.inf and unit.kind != "timing group"):
            rest = remaining_work(unit, before)
            if rest is None:
                self.tell(f"{unit.name} is measured", unit.pieces)
            elif time.monotonic() >= until:
                self.skipped.append(rest)
            else:
                self.run_unit(rest, emit)
        had = {record.case for record in before.cases} if before else set()
        for case in (case for unit in self.skipped if unit.kind != "gradients" for case in unit.cases if case not in had):
            emit(make_case_record(case, "skipped", "left out: the budget was spent"))

    def run_unit(self, unit: WorkUnit, emit: Callable[[Any], None]) -> None:
        """Runs a unit until all its cases have a record: a timing group once for each build, in a new process where that is feasible. If
        it can't be completed, emits what was timed."""
        self.timed, self.fingerprints = {}, {}
        try:
            for build in range(self.builds if unit.kind == "timing group" else 1):
                if build:
                    self.worker.renew()
                unit = self.run_build(replace(unit, build=build, fingerprints=self.fingerprints), emit)
                if not unit.cases:
                    break
            self.emit_timed(emit)
        except Exception:
            self.emit_timed(emit, stopped="interrupted")
            raise

    def run_build(self, unit: WorkUnit, emit: Callable[[Any], None]) -> WorkUnit:
        """Runs one build of a unit, and returns the unit without the cases that failed.

        A case that ends its process, or exceeds its time, is recorded. The build then runs again without this case and without those that
        have failed.
        """
        deaths, failed = 0, list[Case]()

        def keep(line: Any) -> None:
            self.keep(line, emit)
            if isinstance(line, CaseRecord) and line.status != "ok":
                failed.append(line.case)

        while unit.cases or unit.kind == "machine" or unit.kind in PREVIEWS:
            try:
                for message in self.worker.run_unit(unit):
                    self.on_message(message, keep)
                return unit.remove_cases(failed)
            except WorkerDied as end:
                deaths = 0 if end.cases else deaths + 1
                for case in end.cases:
                    self.keep(make_case_record(case, "timeout" if end.late else "crashed", str(end)), emit)
                unit = unit.remove_cases([*end.cases, *failed])
                if unit.kind in PREVIEWS:
                    self.failed.append(f"{unit.name}: {end}")
                    break
                if deaths == TRIES:
                    raise NoWorker(f"{unit.name}: {end}, {TRIES} times in a row, before a case was begun") from None
        return unit

    def keep(self, line: Any, emit: Callable[[Any], None]) -> None:
        """Keeps the times of a case until all builds are timed, and emits any other record. A build that runs again counts once, a case
        that fails in a later build has failed."""
        if isinstance(line, Checked):
            self.fingerprints[line.case] = line.fingerprint
        elif isinstance(line, CaseRecord) and line.status == "ok":
            before = [record for record in self.timed.get(line.case, []) if record.builds != line.builds]
            self.timed[line.case] = [*before, line]
        else:
            if isinstance(line, CaseRecord):
                self.timed.pop(line.case, None)
            emit(line)

    def emit_timed(self, emit: Callable[[Any], None], **changes: Any) -> None:
        """Emits the records of the timed cases, each with the samples of all its builds."""
        for case in list(self.timed):
            emit(join_builds(self.timed[case]).model_copy(update=changes))
            del self.timed[case]

    def on_message(self, message: Any, emit: Callable[[Any], None]) -> None:
        """Handles a message of the process; None means that there was none."""
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

    def stop(self, emit: Callable[[Record], None]) -> None:
        """Ends the worker process and emits the records it has finished.

        Args:
            emit: Receives each record.
        """
        try:
            for message in self.worker.drain():
                if not isinstance(message, (Progress, UnitDone, WorkerFailed, Environment)):
                    self.keep(message, emit)
        finally:
            self.emit_timed(emit, stopped="interrupted")
