"""The work of a run: check every case against float64, time the cases of a group interleaved, and emit each record when it is complete."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch

from bench.harness.jobs import case_label, check_key
from bench.harness.outcome import make_case_record
from bench.harness.settings import Settings
from bench.harness.work_unit import PREVIEWS, WorkUnit
from bench.measure import clock, cudnn_algorithm, environment, gate, memory, numerics, torch_flags
from bench.measure.backends import Unsupported, Workload, build_workload
from bench.measure.cache_flush import Flush
from bench.measure.clock import Contestant, Interrupted, Samples, interleave, time_calls
from bench.measure.energy import measure_energy
from bench.measure.failure import describe_error, is_gpu_lost, is_out_of_memory
from bench.measure.launches import NoGraph, capture_graph, count_launches
from bench.measure.problem import Answer, Problem, make_problem
from bench.measure.stopwatch import Stopwatch
from bench.records import Case, CaseRecord, Environment, Errors, Memory, Record, Status
from bench.studies.signals import gradient_norms
from cells import load

Emit = Callable[[Record | Environment], None]
Tell = Callable[[str, int], None]
"""Called with what runs now, and how many pieces of work it has finished since it was last called."""

EXTRA_SAMPLES = 5
"""Samples of what is beside the time."""

ENERGY_SECONDS = 0.5
"""Seconds of calls that energy is counted over."""


class OnCase(Protocol):
    """Called with the case at hand, and whether it is being checked: then it stands for all that share its check."""

    def __call__(self, case: Case, checking: bool) -> None: ...


class DeviceLost(RuntimeError):
    """The GPU takes no more work from this process, since the case at hand; the message says why."""


@dataclass
class CheckedCase:
    """A case that passed its gate with that `answer`, some of which is kept, waiting for its samples."""

    case: Case
    work: Workload
    errors: Errors
    build_seconds: float
    memory: Memory | None
    answer: Answer

    def call(self) -> Any:
        """Call what is checked: what is timed or, for the backward pass, training."""
        return self.work.infer() if self.case.mode == "inference" else self.work.train()


class Runner:
    """Runs work units in this process. `emit` receives the records, `tell` the progress."""

    def __init__(self, settings: Settings, emit: Emit, tell: Tell):
        self.settings, self.emit, self.tell = settings, emit, tell
        self.device = torch.device(settings.device)
        self.rule = clock.choose_rule(self.device, settings.quick, settings.lean, settings.thorough)
        self.flush: Flush | None = None
        self.watch = Stopwatch()
        self.at: OnCase = lambda case, checking: None
        torch_flags.set_precision(settings.precision)

    def run_unit(self, unit: WorkUnit, at: OnCase = lambda case, checking: None) -> None:
        self.at = at
        if unit.kind == "machine":
            with self.watch.time_activity("constants"):
                self.emit(environment.read_environment(self.device))
        elif unit.kind == "timing group":
            self.time_group(unit)
        elif unit.kind in PREVIEWS:
            self.preview(unit)
        else:
            self.tell(unit.name, 1)
            for case in unit.cases:
                at(case, True)
                self.check_case(case) if unit.kind == "check" else self.measure_gradients(case)

    def check_case(self, case: Case) -> None:
        with self.watch.time_activity("gates"):
            entry = self.check_or_report(case, self.make_problem(case), {})
        if entry:
            where = f"in Triton's interpreter at T={case.T} B={case.B} D={case.D} H={case.H}: right, and without a time"
            self.emit_record(entry, "verified", where)

    def preview(self, unit: WorkUnit) -> None:
        """Raises Lost where it can't."""
        from bench.harness.previews import preview  # takes most of a second, which every start of a process would pay

        self.tell(unit.name, 1)
        try:
            with self.watch.time_activity(unit.kind):
                for record in preview(unit.kind, self.settings, lambda words: self.tell(words, 0)):
                    self.emit(record)
        except Exception as error:
            raise DeviceLost(describe_error(error)) from error

    def measure_gradients(self, case: Case) -> None:
        try:
            with self.watch.time_activity("gradients"):
                found = gradient_norms.measure_gradients(self.make_problem(case))
        except Exception as error:
            self.emit(self.failure_record(case, error))
        else:
            self.emit(found)

    def time_group(self, unit: WorkUnit) -> None:
        """Check the cases of a group, time them interleaved, and check them again."""
        with self.watch.time_activity("gates"):
            entries = dict(self.checked_cases(unit))
            before: dict[Case, list[torch.Tensor]] = {}
            for case, entry in entries.items():
                self.at(case, False)
                try:
                    before[case] = gate.copy_outputs(entry.work, entry.call())
                except Exception as error:
                    self.emit(self.failure_record(case, error))
            contestants = {case: entries[case].work.make_contestant(case.mode) for case in before}

        def failed(case: Case, error: Exception) -> None:
            self.tell(f"timing {unit.name}: {case_label(case)} failed", 1)
            self.emit(self.failure_record(case, error))

        self.tell(f"timing {unit.name}", 0)
        turn = partial(self.at, checking=False)
        try:
            with self.watch.time_activity("timing"):
                taken = interleave(contestants, self.rule, self.settings.seed, self.device, turn, failed)
        except Interrupted as cut:
            for case, samples in cut.taken.items():
                self.finish_case(entries[case], samples, before[case])
            self.at(cut.key, False)  # if nobody asked for it, a call did it
            raise
        for case, samples in taken.items():
            self.tell(f"checking {unit.name} again: {case_label(case)}", 1)
            self.finish_case(entries[case], samples, before.pop(case), beside=True)

    def finish_case(self, entry: CheckedCase, samples: Samples, before: list[torch.Tensor], beside: bool = False) -> None:
        """After the timing: is it still right, and what is there `beside` its time? Then its record."""
        case = entry.case
        self.at(case, False)
        try:
            with self.watch.time_activity("gates"):
                wrong = self.recheck(entry, before)
            if wrong:
                self.emit(self.case_record(case, "incorrect", wrong, entry.errors))
                return
            with self.watch.time_activity("timing"):
                found = self.extra_measurements(entry) if beside else {}
        except Exception as error:
            self.emit(self.failure_record(case, error))
        else:
            self.emit_record(entry, "ok", samples=samples, **found)

    def recheck(self, entry: CheckedCase, before: list[torch.Tensor]) -> str:
        """Why a case is no longer right, or ""."""
        stood, allowed = torch_flags.read_flags(), gate.find_tolerance(entry.case.dtype, entry.case.precision)
        try:
            wrong = gate.recheck_after_timing(entry.work, entry.call, before, allowed)
            if not wrong and entry.case.mode == "training":
                wrong = gate.recheck_answer(gate.sample_answer(entry.work.answer()), entry.answer, allowed)
            if not wrong and entry.case.mode == "inference":  # right once, it may have been wrong ever since
                wrong = gate.recheck_answer(Answer(before, {}), Answer(entry.answer.outputs[:1], {}), allowed)
        finally:
            changed = torch_flags.restore_flags(stood)
        return wrong or changed

    def extra_measurements(self, entry: CheckedCase) -> dict[str, Any]:
        """Cold caches and energy where they are asked for; on a GPU the call as one graph, and what it launches."""
        work, mode, found = entry.work, entry.case.mode, dict[str, Any]()
        if self.settings.lean:
            return found
        if self.settings.thorough:
            self.flush = self.flush or Flush(self.device)
            found["cold"] = time_calls(work.make_contestant(mode), self.device, EXTRA_SAMPLES, self.flush)
            found["energy"] = measure_energy(entry.call, self.device, ENERGY_SECONDS) if mode != "backward" else None
        if self.device.type == "cuda" and mode != "backward":
            try:
                found["graph"] = time_calls(Contestant(capture_graph(entry.call, self.device)), self.device, EXTRA_SAMPLES)
            except NoGraph as reason:
                found["no_graph"] = str(reason)
            found["launches"] = count_launches(entry.call, self.device)
        return found

    def checked_cases(self, unit: WorkUnit) -> Iterator[tuple[Case, CheckedCase]]:
        """The cases that can run and are right. A gate and the memory of a workload are shared by both modes."""
        problems: dict[tuple[str, int, int, int, int], Problem] = {}
        known: dict[tuple[object, ...], CheckedCase | CaseRecord] = {}
        for case in unit.cases:
            self.tell(f"checking {unit.name}: {case_label(case)}", 1)  # if that fails, it is the doing of the case before
            self.at(case, True)
            key = (case.cell, case.T, case.B, case.D, case.H)
            if key not in problems:
                problems[key] = self.make_problem(case)
            entry = self.check_or_report(case, problems[key], known)
            if entry:
                yield case, entry
        for given in problems.values():
            given.__dict__.pop("answer", None)  # the float64 gradients are no longer needed

    def check_or_report(self, case: Case, given: Problem, known: dict[tuple[object, ...], CheckedCase | CaseRecord]) -> CheckedCase | None:
        """Build a case and compare it with the reference; emit a record if it can't run or is wrong. An A/A repeat is built anew."""
        key = check_key(case)
        if key not in known:
            known[key] = self.build_and_check(case, given)
        found = known[key]
        if isinstance(found, CheckedCase):
            return replace(found, case=case)
        self.emit(found.model_copy(update={"case": case}))
        return None

    def build_and_check(self, case: Case, given: Problem) -> CheckedCase | CaseRecord:
        stood = torch_flags.read_flags()
        found = self.build_and_compare(case, given)
        changed = torch_flags.restore_flags(stood)
        return self.case_record(case, "failed", changed) if changed and isinstance(found, CheckedCase) else found

    def build_and_compare(self, case: Case, given: Problem) -> CheckedCase | CaseRecord:
        if given.size_error:
            return self.case_record(case, "unsupported", given.size_error)
        try:
            given.answer  # noqa: B018  drawn and computed before a backend can change how
        except Exception as error:
            found = self.failure_record(case, error)
            return found.model_copy(update={"reason": f"there is no reference to compare it with: {found.reason}"})
        try:
            begin = time.perf_counter()
            work = build_workload(case.backend, given, case.input_product)
            answer = work.answer()
            seconds = time.perf_counter() - begin
            allowed = gate.find_tolerance(case.dtype, case.precision)
            errors, wrong = gate.compare_answer(given, answer, allowed)
            wrong = wrong or gate.check_inference(given, work.infer(), allowed) or gate.check_inputs_unchanged(given, work)
            if wrong:
                return self.case_record(case, "incorrect", wrong, errors=errors)
            shown = case.input_product and not case.matched_params_of and not case.aa_repeat
            with self.watch.time_activity("memory"):
                held = memory.measure_memory(work) if shown else None
            return CheckedCase(case, work, errors, seconds, held, gate.sample_answer(answer))
        except Unsupported as reason:
            return self.case_record(case, "unsupported", str(reason))
        except Exception as error:
            return self.failure_record(case, error)

    def failure_record(self, case: Case, error: Exception) -> CaseRecord:
        """The record of a case that raised. Raises Lost where it took the GPU with it."""
        if is_gpu_lost(self.device):
            raise DeviceLost(describe_error(error)) from error
        return self.case_record(case, "oom" if is_out_of_memory(error) else "failed", describe_error(error))

    def emit_record(self, entry: CheckedCase, status: Status, reason: str = "", samples: Samples | None = None, **beside: Any) -> None:
        taken = samples or Samples()
        self.emit(
            self.case_record(
                entry.case, status, reason, entry.errors, samples=taken.seconds, rounds=taken.rounds, stopped=taken.stopped,
                host=taken.host, readings=taken.readings, memory=entry.memory, build_seconds=entry.build_seconds,
                numerics=numerics.describe_numerics(entry.case, entry.work), **beside,
            )
        )  # fmt: skip

    def case_record(self, case: Case, status: Status, reason: str, errors: Errors | None = None, **measured: Any) -> CaseRecord:
        return make_case_record(case, status, reason, errors=errors, algorithm=self.expected_algorithm(case), **measured)

    def expected_algorithm(self, case: Case) -> str:
        """Return the algorithm that cuDNN is expected to choose; "" for another backend, or an unknown one."""
        twin = load(case.cell).torch_equivalent
        if case.backend != "vendor" or twin is None or self.device.type != "cuda":
            return ""
        here = torch.cuda.get_device_properties(self.device)
        return cudnn_algorithm.name_algorithms(twin.module, case, here.multi_processor_count) if here.major >= 8 and here.minor != 6 else ""

    def make_problem(self, case: Case) -> Problem:
        return make_problem(case.cell, case.T, case.B, case.D, case.H, case.dtype, self.settings.device, self.settings.seed)
