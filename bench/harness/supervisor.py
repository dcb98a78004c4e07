"""A run, carried out by a process that may die: what was measured is kept, what was at fault is recorded, and the rest goes on."""

import math
import time
from collections.abc import Callable
from typing import Any

from bench.harness.jobs import SHORT, Job, left
from bench.harness.runner import outcome
from bench.harness.worker import Died, Done, Gone, Said, Worker
from bench.records import Case, CaseRecord, Environment, Record, Records

TRIES = 3
"""Processes that may die one after another with no case at hand: then it is the machine."""


class Broken(RuntimeError):
    """No process stays alive here; the message says how the last one ended."""


class Sitting:
    """Does `jobs` with a worker. `emit` gets each record, `tell` what runs now and how much is finished, and "" while nothing is new.
    Where there is an end, `until` in seconds of time.monotonic(), races come first, and after it no job is begun: those are `skipped`.
    `spent` are seconds by activity, `failed` what has no case to be the status of."""

    def __init__(self, worker: Worker, emit: Callable[[Record], None], tell: Callable[[str, int], None]):
        self.worker, self.emit, self.tell = worker, emit, tell
        self.spent: dict[str, float] = {}
        self.timing = False
        self.skipped: list[Job] = []
        self.failed: list[str] = []

    def machine(self) -> Environment:
        """The device, the libraries and what the device does at its best."""
        found: list[Any] = []
        self.job(Job("machine", "reading the machine"), found.append)
        return found[0]

    def all(self, jobs: list[Job], before: Records | None, until: float = math.inf) -> None:
        for job in sorted(jobs, key=lambda job: until < math.inf and job.kind != "race"):  # where time is short, speed is asked first
            rest = left(job, before)
            if rest is None:
                self.tell(f"{job.name} is measured", job.pieces)
            elif time.monotonic() >= until:
                self.skipped.append(rest)
            else:
                self.job(rest, self.emit)
        had = {record.case for record in before.cases} if before else set()
        for case in (case for job in self.skipped if job.kind != "gradients" for case in job.cases if case not in had):
            self.emit(outcome(case, "skipped", "left out: the budget was spent"))

    def job(self, job: Job, emit: Callable[[Any], None]) -> None:
        """Do a job. A case that ends its process, or never ends, is recorded and left out, and the others are asked for again, but for
        those that have failed by then."""
        deaths, failed = 0, list[Case]()

        def keep(line: Any) -> None:
            emit(line)
            if isinstance(line, CaseRecord) and line.status != "ok":
                failed.append(line.case)

        while job.cases or job.kind == "machine" or job.kind in SHORT:
            try:
                for message in self.worker.do(job):
                    self.heard(message, keep)
                return
            except Died as end:
                deaths = 0 if end.cases else deaths + 1
                for case in end.cases:
                    self.emit(outcome(case, "timeout" if end.late else "crashed", str(end)))
                job = job.without([*end.cases, *failed])
                if job.kind in SHORT:
                    self.failed.append(f"{job.name}: {end}")
                    return
                if deaths == TRIES:
                    raise Broken(f"{job.name}: {end}, {TRIES} times in a row, before a case was begun") from None

    def heard(self, message: Any, emit: Callable[[Any], None]) -> None:
        if message is None:
            if not self.timing:
                self.tell("", 0)
        elif isinstance(message, Said):
            self.timing = message.timing
            self.tell(message.words, message.finished)
        elif isinstance(message, Done):
            self.spent = {name: self.spent.get(name, 0.0) + message.spent.get(name, 0.0) for name in {**self.spent, **message.spent}}
        else:
            emit(message)

    def stop(self) -> None:
        """End the process, and keep what it has to say."""
        for message in self.worker.last_words():
            if not isinstance(message, (Said, Done, Gone, Environment)):
                self.emit(message)
