"""Doing a job of a run: check every case against float64, time those of a group in turns, and hand out each record as it is done."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bench.cases import count, formula
from bench.jobs import Job, check, label
from bench.measure import cudnn, environment, gate, gradients, memory
from bench.measure.backends import Unsupported, Workload, build
from bench.measure.clock import Rule, Samples, interleave
from bench.measure.demand import demand
from bench.measure.problem import Problem, problem
from bench.records import Case, CaseRecord, Environment, Errors, GradientRecord, Memory, Status
from bench.settings import Settings
from cells import load
from kernels.plan import plan

Emit = Callable[[CaseRecord | GradientRecord | Environment], None]
Tell = Callable[[str, int], None]
"""Called with what runs now, and how many pieces of work it has finished since it was last called."""

At = Callable[[Case, bool], None]
"""Called with the case at hand, and whether it is being checked: then it stands for all that share its check."""

QUICK = Rule(fewest=3, most=5, seconds=0.1)
RULES = {"cpu": Rule(fewest=5, most=50, seconds=0.05, target=0.02), "cuda": Rule(fewest=10, most=100, seconds=0.25, target=0.005)}


class Lost(RuntimeError):
    """The GPU takes no more work from this process, since the case at hand; the message says why."""


@dataclass
class Entry:
    """A case that passed its gate, waiting for its samples."""

    case: Case
    work: Workload
    errors: Errors
    build_seconds: float
    memory: Memory | None


class Runner:
    """Does the jobs of a run in this process. `emit` gets what was found, `tell` what runs now; `run` is told at which case it is."""

    def __init__(self, settings: Settings, emit: Emit, tell: Tell):
        self.settings, self.emit, self.tell = settings, emit, tell
        self.device = torch.device(settings.device)
        self.rule = QUICK if settings.quick else RULES[self.device.type]
        self.activity, self.since = "", 0.0
        self.seconds: dict[str, float] = {}
        self.at: At = lambda case, checking: None
        set_precision(settings.precision)

    def run(self, job: Job, at: At = lambda case, checking: None) -> None:
        self.at = at
        if job.kind == "machine":
            with self.spending("constants"):
                self.emit(environment.capture(self.device))
        elif job.kind == "race":
            self.race(job)
        else:
            self.tell(job.name, 1)
            for case in job.cases:
                at(case, True)
                self.check(case) if job.kind == "check" else self.gradient(case)

    def spent(self) -> dict[str, float]:
        """Seconds by activity since this was last asked."""
        found, self.seconds = self.seconds, {}
        return found

    @contextmanager
    def spending(self, activity: str) -> Iterator[None]:
        """What happens within is that activity, and not the one around it."""
        outer = self.activity
        self.switch(activity)
        try:
            yield
        finally:
            self.switch(outer)

    def switch(self, activity: str) -> None:
        now = time.perf_counter()
        if self.activity:
            self.seconds[self.activity] = self.seconds.get(self.activity, 0.0) + now - self.since
        self.activity, self.since = activity, now

    def check(self, case: Case) -> None:
        with self.spending("gates"):
            entry = self.prepare(case, self.problem(case), {})
        if entry:
            where = f"in Triton's interpreter at T={case.T} B={case.B} D={case.D} H={case.H}: right, and without a time"
            self.record(case, "verified", reason=where, entry=entry)

    def gradient(self, case: Case) -> None:
        try:
            with self.spending("gradients"):
                found = gradients.measure(self.problem(case))
        except Exception as error:
            self.emit(self.fault(case, error))
        else:
            self.emit(found)

    def race(self, job: Job) -> None:
        """Everything that takes turns: gates first, then the timing of all, and after it the gates again."""
        with self.spending("gates"):
            entries = dict(self.prepared(job))
            calls = {case: e.work.train if case.mode == "training" else e.work.infer for case, e in entries.items()}
            before: dict[Case, torch.Tensor] = {}
            for case in list(calls):
                self.at(case, False)
                try:
                    before[case] = gate.first(calls[case]()).clone()
                except Exception as error:
                    del calls[case]
                    self.emit(self.fault(case, error))

        def done(case: Case, samples: Samples) -> None:
            with self.spending("gates"):
                self.tell(f"timing {job.name}", 1)
                try:
                    wrong = gate.again(entries[case].work, calls[case], before.pop(case), gate.tolerance(case.dtype, case.precision))
                except Exception as error:
                    self.emit(self.fault(case, error))
                    return
                if wrong:
                    self.emit(self.made(case, "incorrect", wrong, entries[case].errors))
                else:
                    self.record(case, "ok", entry=entries[case], samples=samples)

        def failed(case: Case, error: Exception) -> None:
            self.tell(f"timing {job.name}: {label(case)} failed", 1)
            self.emit(self.fault(case, error))

        self.tell(f"timing {job.name}", 0)
        with self.spending("timing"):
            interleave(calls, self.rule, self.settings.seed, self.device, lambda case: self.at(case, False), done, failed)

    def prepared(self, job: Job) -> Iterator[tuple[Case, Entry]]:
        """The cases that can run and are right. A gate and the memory of a workload are shared by both modes."""
        problems: dict[tuple[str, int, int, int, int], Problem] = {}
        known: dict[tuple[object, ...], Entry | CaseRecord] = {}
        for case in job.cases:
            self.at(case, True)
            self.tell(f"checking {job.name}: {label(case)}", 1)
            key = (case.cell, case.T, case.B, case.D, case.H)
            if key not in problems:
                problems[key] = self.problem(case)
            entry = self.prepare(case, problems[key], known)
            if entry:
                yield case, entry
        for given in problems.values():
            given.__dict__.pop("answer", None)  # the float64 gradients are no longer needed

    def prepare(self, case: Case, given: Problem, known: dict[tuple[object, ...], Entry | CaseRecord]) -> Entry | None:
        """Build a case and hold it to the reference; what can't run or is wrong is recorded instead. A control is built anew."""
        key = check(case)
        if key not in known:
            known[key] = self.attempt(case, given)
        found = known[key]
        if isinstance(found, Entry):
            return Entry(case, found.work, found.errors, found.build_seconds, found.memory)
        self.emit(found.model_copy(update={"case": case}))
        return None

    def attempt(self, case: Case, given: Problem) -> Entry | CaseRecord:
        try:
            if plan(given.cell).square and case.D != case.H:
                raise Unsupported(f"{case.cell} uses x unit by unit: it takes D = H")
            begin = time.perf_counter()
            work = build(case.backend, given, case.input_product)
            answer = work.answer()
            seconds = time.perf_counter() - begin
            allowed = gate.tolerance(case.dtype, case.precision)
            errors, wrong = gate.compare(given, answer, allowed)
            wrong = wrong or gate.inference(given, work.infer(), allowed) or gate.untouched(work)
            if wrong:
                return self.made(case, "incorrect", wrong, errors=errors)
            shown = case.input_product and not case.stands_for and not case.control
            with self.spending("memory"):
                held = memory.measure(work) if shown else None
            return Entry(case, work, errors, seconds, held)
        except Unsupported as reason:
            return self.made(case, "unsupported", str(reason))
        except Exception as error:
            return self.fault(case, error)

    def fault(self, case: Case, error: Exception) -> CaseRecord:
        """The record of a case that raised. Raises Lost where it took the GPU with it."""
        if lost(self.device):
            raise Lost(f"{type(error).__name__}: {first_line(error)}") from error
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error):
            return self.made(case, "oom", first_line(error) or "out of memory")
        return self.made(case, "failed", f"{type(error).__name__}: {first_line(error)}")

    def record(self, case: Case, status: Status, entry: Entry, reason: str = "", samples: Samples | None = None) -> None:
        taken = samples or Samples()
        self.emit(
            self.made(
                case, status, reason, entry.errors, samples=taken.seconds, rounds=taken.rounds, stopped=taken.stopped,
                memory=entry.memory, build_seconds=entry.build_seconds,
            )
        )  # fmt: skip

    def made(self, case: Case, status: Status, reason: str, errors: Errors | None = None, **measured: Any) -> CaseRecord:
        return outcome(case, status, reason, errors=errors, algorithm=self.algorithm(case), **measured)

    def algorithm(self, case: Case) -> str:
        """What cuDNN is expected to take; "" where there is none, or where it isn't known."""
        twin = load(case.cell).twin
        if case.backend != "vendor" or twin is None or self.device.type != "cuda":
            return ""
        here = torch.cuda.get_device_properties(self.device)
        return cudnn.named(twin.module, case, here.multi_processor_count) if here.major >= 8 and here.minor != 6 else ""

    def problem(self, case: Case) -> Problem:
        return problem(case.cell, case.T, case.B, case.D, case.H, case.dtype, self.settings.device, self.settings.seed)


def outcome(case: Case, status: Status, reason: str, **measured: Any) -> CaseRecord:
    """A record, with what the plan knows of the cell."""
    p = plan(load(case.cell))
    return CaseRecord(
        case=case, status=status, reason=reason, parameters=count(p.parameters, case.D, case.H), formula=formula(p.parameters),
        flops=sum(count(f, case.D, case.H) for f in p.flops.values()), demand=demand(p, case), **measured,
    )  # fmt: skip


def lost(device: torch.device) -> bool:
    """Whether the GPU has failed this process for good: then it fails whatever is asked of it."""
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False


def set_precision(precision: str) -> None:
    """One setting for every fp32 product: cuBLAS, cuDNN and the kernels' own."""
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
