"""Doing a job of a run: check every case against float64, time those of a group in turns, and hand out each record as it is done."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch

from bench.harness.cases import count, formula
from bench.harness.jobs import SHORT, Job, check, label
from bench.harness.settings import Settings
from bench.measure import clock, cudnn_algorithm, environment, gate, memory, numerics, torch_flags
from bench.measure.backends import Unsupported, Workload, build
from bench.measure.cache_flush import Flush
from bench.measure.clock import Contestant, Interrupted, Samples, interleave, times
from bench.measure.energy import joules
from bench.measure.failure import full, lost, named
from bench.measure.launches import NoGraph, launches, replayed
from bench.measure.lower_bound import demand
from bench.measure.problem import Answer, Problem, problem
from bench.measure.stopwatch import Stopwatch
from bench.records import Case, CaseRecord, Environment, Errors, Memory, Record, Status
from bench.studies.signals import gradient_norms
from cells import load
from kernels.derive.cost_formulas import flop_counts, parameter_count
from kernels.derive.plan import plan

Emit = Callable[[Record | Environment], None]
Tell = Callable[[str, int], None]
"""Called with what runs now, and how many pieces of work it has finished since it was last called."""

BESIDE = 5
"""Samples of what is beside the time."""

ENERGY = 0.5
"""Seconds of calls that energy is counted over."""


class At(Protocol):
    """Called with the case at hand, and whether it is being checked: then it stands for all that share its check."""

    def __call__(self, case: Case, checking: bool) -> None: ...


class Lost(RuntimeError):
    """The GPU takes no more work from this process, since the case at hand; the message says why."""


@dataclass
class Entry:
    """A case that passed its gate with that `answer`, some of which is kept, waiting for its samples."""

    case: Case
    work: Workload
    errors: Errors
    build_seconds: float
    memory: Memory | None
    answer: Answer

    def call(self) -> Any:
        """What is checked: the same as is timed or, of the backward pass, training, which it is the second half of."""
        return self.work.infer() if self.case.mode == "inference" else self.work.train()


class Runner:
    """Does the jobs of a run in this process. `emit` gets what was found, `tell` what runs now; `run` is told at which case it is."""

    def __init__(self, settings: Settings, emit: Emit, tell: Tell):
        self.settings, self.emit, self.tell = settings, emit, tell
        self.device = torch.device(settings.device)
        self.rule = clock.rule(self.device, settings.quick, settings.lean, settings.thorough)
        self.flush: Flush | None = None
        self.watch = Stopwatch()
        self.at: At = lambda case, checking: None
        torch_flags.set_precision(settings.precision)

    def run(self, job: Job, at: At = lambda case, checking: None) -> None:
        self.at = at
        if job.kind == "machine":
            with self.watch.on("constants"):
                self.emit(environment.capture(self.device))
        elif job.kind == "race":
            self.race(job)
        elif job.kind in SHORT:
            self.glance(job)
        else:
            self.tell(job.name, 1)
            for case in job.cases:
                at(case, True)
                self.check(case) if job.kind == "check" else self.gradient(case)

    def check(self, case: Case) -> None:
        with self.watch.on("gates"):
            entry = self.prepare(case, self.problem(case), {})
        if entry:
            where = f"in Triton's interpreter at T={case.T} B={case.B} D={case.D} H={case.H}: right, and without a time"
            self.record(entry, "verified", where)

    def glance(self, job: Job) -> None:
        """Raises Lost where it can't."""
        from bench.harness.previews import glance  # takes most of a second, which every start of a process would pay

        self.tell(job.name, 1)
        try:
            with self.watch.on(job.kind):
                for record in glance(job.kind, self.settings, lambda words: self.tell(words, 0)):
                    self.emit(record)
        except Exception as error:
            raise Lost(named(error)) from error

    def gradient(self, case: Case) -> None:
        try:
            with self.watch.on("gradients"):
                found = gradient_norms.measure(self.problem(case))
        except Exception as error:
            self.emit(self.fault(case, error))
        else:
            self.emit(found)

    def race(self, job: Job) -> None:
        """Everything that takes turns: gates first, then the timing of all, and after it the gates again."""
        with self.watch.on("gates"):
            entries = dict(self.prepared(job))
            before: dict[Case, list[torch.Tensor]] = {}
            for case, entry in entries.items():
                self.at(case, False)
                try:
                    before[case] = gate.kept(entry.work, entry.call())
                except Exception as error:
                    self.emit(self.fault(case, error))
            contestants = {case: entries[case].work.contestant(case.mode) for case in before}

        def failed(case: Case, error: Exception) -> None:
            self.tell(f"timing {job.name}: {label(case)} failed", 1)
            self.emit(self.fault(case, error))

        self.tell(f"timing {job.name}", 0)
        turn = partial(self.at, checking=False)
        try:
            with self.watch.on("timing"):
                taken = interleave(contestants, self.rule, self.settings.seed, self.device, turn, failed)
        except Interrupted as cut:
            for case, samples in cut.taken.items():
                self.finish(entries[case], samples, before[case])
            self.at(cut.key, False)  # if nobody asked for it, a call did it
            raise
        for case, samples in taken.items():
            self.tell(f"checking {job.name} again: {label(case)}", 1)
            self.finish(entries[case], samples, before.pop(case), beside=True)

    def finish(self, entry: Entry, samples: Samples, before: list[torch.Tensor], beside: bool = False) -> None:
        """After the timing: is it still right, and what is there `beside` its time? Then its record."""
        case = entry.case
        self.at(case, False)
        try:
            with self.watch.on("gates"):
                wrong = self.again(entry, before)
            if wrong:
                self.emit(self.made(case, "incorrect", wrong, entry.errors))
                return
            with self.watch.on("timing"):
                found = self.beside(entry) if beside else {}
        except Exception as error:
            self.emit(self.fault(case, error))
        else:
            self.record(entry, "ok", samples=samples, **found)

    def again(self, entry: Entry, before: list[torch.Tensor]) -> str:
        """Why a case is no longer right, or ""."""
        stood, allowed = torch_flags.read(), gate.tolerance(entry.case.dtype, entry.case.precision)
        try:
            wrong = gate.again(entry.work, entry.call, before, allowed)
            if not wrong and entry.case.mode == "training":
                wrong = gate.repeated(gate.sample(entry.work.answer()), entry.answer, allowed)
            if not wrong and entry.case.mode == "inference":  # right once, it may have been wrong ever since
                wrong = gate.repeated(Answer(before, {}), Answer(entry.answer.outputs[:1], {}), allowed)
        finally:
            changed = torch_flags.restore(stood)
        return wrong or changed

    def beside(self, entry: Entry) -> dict[str, Any]:
        """Cold caches and energy where they are asked for; on a GPU the call as one graph, and what it launches."""
        work, mode, found = entry.work, entry.case.mode, dict[str, Any]()
        if self.settings.lean:
            return found
        if self.settings.thorough:
            self.flush = self.flush or Flush(self.device)
            found["cold"] = times(work.contestant(mode), self.device, BESIDE, self.flush)
            found["energy"] = joules(entry.call, self.device, ENERGY) if mode != "backward" else None
        if self.device.type == "cuda" and mode != "backward":
            try:
                found["graph"] = times(Contestant(replayed(entry.call, self.device)), self.device, BESIDE)
            except NoGraph as reason:
                found["no_graph"] = str(reason)
            found["launches"] = launches(entry.call, self.device)
        return found

    def prepared(self, job: Job) -> Iterator[tuple[Case, Entry]]:
        """The cases that can run and are right. A gate and the memory of a workload are shared by both modes."""
        problems: dict[tuple[str, int, int, int, int], Problem] = {}
        known: dict[tuple[object, ...], Entry | CaseRecord] = {}
        for case in job.cases:
            self.tell(f"checking {job.name}: {label(case)}", 1)  # if that fails, it is the doing of the case before
            self.at(case, True)
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
            return replace(found, case=case)
        self.emit(found.model_copy(update={"case": case}))
        return None

    def attempt(self, case: Case, given: Problem) -> Entry | CaseRecord:
        stood = torch_flags.read()
        found = self.tried(case, given)
        changed = torch_flags.restore(stood)
        return self.made(case, "failed", changed) if changed and isinstance(found, Entry) else found

    def tried(self, case: Case, given: Problem) -> Entry | CaseRecord:
        if given.unfit:
            return self.made(case, "unsupported", given.unfit)
        try:
            given.answer  # noqa: B018  drawn and computed before a backend can change how
        except Exception as error:
            found = self.fault(case, error)
            return found.model_copy(update={"reason": f"there is no reference to hold it to: {found.reason}"})
        try:
            begin = time.perf_counter()
            work = build(case.backend, given, case.input_product)
            answer = work.answer()
            seconds = time.perf_counter() - begin
            allowed = gate.tolerance(case.dtype, case.precision)
            errors, wrong = gate.compare(given, answer, allowed)
            wrong = wrong or gate.inference(given, work.infer(), allowed) or gate.untouched(given, work)
            if wrong:
                return self.made(case, "incorrect", wrong, errors=errors)
            shown = case.input_product and not case.stands_for and not case.control
            with self.watch.on("memory"):
                held = memory.measure(work) if shown else None
            return Entry(case, work, errors, seconds, held, gate.sample(answer))
        except Unsupported as reason:
            return self.made(case, "unsupported", str(reason))
        except Exception as error:
            return self.fault(case, error)

    def fault(self, case: Case, error: Exception) -> CaseRecord:
        """The record of a case that raised. Raises Lost where it took the GPU with it."""
        if lost(self.device):
            raise Lost(named(error)) from error
        return self.made(case, "oom" if full(error) else "failed", named(error))

    def record(self, entry: Entry, status: Status, reason: str = "", samples: Samples | None = None, **beside: Any) -> None:
        taken = samples or Samples()
        self.emit(
            self.made(
                entry.case, status, reason, entry.errors, samples=taken.seconds, rounds=taken.rounds, stopped=taken.stopped,
                host=taken.host, readings=taken.readings, memory=entry.memory, build_seconds=entry.build_seconds,
                work=numerics.work(entry.case, entry.work), **beside,
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
        return cudnn_algorithm.named(twin.module, case, here.multi_processor_count) if here.major >= 8 and here.minor != 6 else ""

    def problem(self, case: Case) -> Problem:
        return problem(case.cell, case.T, case.B, case.D, case.H, case.dtype, self.settings.device, self.settings.seed)


def outcome(case: Case, status: Status, reason: str, **measured: Any) -> CaseRecord:
    """A record, with what the plan knows of the cell."""
    p = plan(load(case.cell))
    return CaseRecord(
        case=case, status=status, reason=reason, parameters=count(parameter_count(p), case.D, case.H), formula=formula(parameter_count(p)),
        flops=sum(count(f, case.D, case.H) for f in flop_counts(p).values()), demand=demand(p, case),
        unit="cell update" * bool(p.stencil_inputs), **measured
    )  # fmt: skip
