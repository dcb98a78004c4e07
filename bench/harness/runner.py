"""Runs work units: checks every case against float64, times the cases of a group interleaved, and emits each complete record."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch

from bench.harness.extra_measurements import measure_extras
from bench.harness.jobs import case_label, check_key
from bench.harness.outcome import make_case_record
from bench.harness.settings import Settings
from bench.harness.work_unit import PREVIEWS, Checked, WorkUnit
from bench.measure import cudnn_algorithm, environment, gate, memory, numerics, residual, torch_flags
from bench.measure.backends import build_workload
from bench.measure.clock import Interrupted, Samples, interleave
from bench.measure.failure import describe_error, is_gpu_lost, is_out_of_memory
from bench.measure.fingerprint import explain_difference, take_fingerprint
from bench.measure.problem import Answer, Problem, make_problem
from bench.measure.stopwatch import Stopwatch
from bench.measure.workload import Unsupported, Workload
from bench.records import Case, CaseRecord, Environment, Errors, Memory, Record, Status
from bench.records.backend_table import find_backend
from bench.records.tolerance import allowed_error
from bench.studies.signals import gradient_norms
from cells import load

Emit = Callable[[Record | Environment | Checked], None]
Tell = Callable[[str, int], None]
"""A function of what runs now, and the number of pieces of work finished since the last call."""

PADDING = 2**20
"""The most bytes that are allocated, and not used, before a build, so that its buffers lie elsewhere than those of the build before."""


class OnCase(Protocol):
    """A function that is called with the current case before it runs. While `checking`, the case represents all cases that share its
    check."""

    def __call__(self, case: Case, checking: bool) -> None: ...


class WorkerUnusable(RuntimeError):
    """This process must be replaced: its GPU accepts no more work, or a preview failed. The message is the reason."""


@dataclass
class CheckedCase:
    """A case that passed its correctness checks and waits to be timed. `answer` is a sample of its outputs and gradients."""

    case: Case
    work: Workload
    errors: Errors
    build_seconds: float
    memory: Memory | None
    answer: Answer

    def call(self) -> Any:
        """Runs what is checked: the timed call or, for mode "backward", a training step."""
        return self.work.infer() if self.case.mode == "inference" else self.work.train()


class Runner:
    """Runs work units in this process. `emit` receives each record, `tell` the progress."""

    def __init__(self, settings: Settings, emit: Emit, tell: Tell):
        self.settings, self.emit, self.tell = settings, emit, tell
        self.device = torch.device(settings.device)
        self.rule = settings.rule
        self.watch = Stopwatch()
        self.build = 0
        self.at: OnCase = lambda case, checking: None
        torch_flags.set_precision(settings.precision)

    def run_unit(self, unit: WorkUnit, at: OnCase = lambda case, checking: None) -> None:
        """Runs a unit; calls `at` with each case before it runs. Raises WorkerUnusable if this process must be replaced."""
        self.at, self.build = at, unit.build
        if unit.kind == "machine":
            with self.watch.time_activity("constants"):
                self.emit(environment.read_environment(self.device, quick=self.settings.quick))
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
        """Checks a case without timing it and emits its record."""
        with self.watch.time_activity("gates"):
            entry = self.check_or_report(case, self.make_problem(case), {})
        if entry:
            where = f"in Triton's interpreter at T={case.T} B={case.B} D={case.D} H={case.H}: right, and without a time"
            self.emit_record(entry, "verified", where)

    def preview(self, unit: WorkUnit) -> None:
        """Runs a preview. Raises WorkerUnusable if it fails."""
        from bench.harness.previews import preview  # importing it takes most of a second

        self.tell(unit.name, 1)
        try:
            with self.watch.time_activity(unit.kind):
                for record in preview(unit.kind, self.settings, lambda words: self.tell(words, 0)):
                    self.emit(record)
        except Exception as error:
            raise WorkerUnusable(describe_error(error)) from error

    def measure_gradients(self, case: Case) -> None:
        try:
            with self.watch.time_activity("gradients"):
                found = gradient_norms.measure_gradients(self.make_problem(case))
        except Exception as error:
            self.emit(self.failure_record(case, error))
        else:
            self.emit(found)

    def time_group(self, unit: WorkUnit) -> None:
        """Builds the cases of a group and times them interleaved. In the first build they are checked before and after; in a later one
        their results are compared with those of the first."""
        draw = random.Random(f"{self.settings.seed} {unit.build}")
        self.padding = torch.empty(draw.randrange(PADDING), dtype=torch.uint8, device=self.device)
        with self.watch.time_activity("gates"):
            entries = dict(self.checked_cases(unit, draw.sample(unit.cases, len(unit.cases))))
            before: dict[Case, list[torch.Tensor]] = {}
            for case, entry in entries.items():
                self.at(case, False)
                try:
                    before[case] = gate.copy_outputs(entry.work, entry.call())
                    wrong = self.compare_with_first(unit, case, before[case])
                    failed = self.case_record(case, "incorrect", wrong) if wrong else None
                except Exception as error:
                    failed = self.failure_record(case, error)
                if failed:
                    before.pop(case, None)
                    self.emit(failed)
            contestants = {case: entries[case].work.make_contestant(case.mode) for case in before}

        def on_error(case: Case, error: Exception) -> None:
            self.tell(f"timing {unit.name}: {case_label(case)} failed", 1)
            self.emit(self.failure_record(case, error))

        self.tell(f"timing {unit.name}: build {unit.build + 1} of {self.rule.builds}", 0)
        on_call, seed = partial(self.at, checking=False), self.settings.seed * self.rule.builds + unit.build
        taken: dict[Case, Samples] = {}
        try:
            with self.watch.time_activity("timing"):
                taken = interleave(contestants, self.rule, seed, self.device, on_call, on_error)
            for case in list(taken):
                if not unit.build:
                    self.tell(f"checking {unit.name} again: {case_label(case)}", 1)
                self.finish_case(entries[case], taken[case], before[case], extras=not unit.build)
                del taken[case], before[case]
        except KeyboardInterrupt as cut:
            left, at_fault = (cut.taken, cut.key) if isinstance(cut, Interrupted) else (taken, next(iter(taken), unit.cases[0]))
            for case, samples in left.items():
                self.finish_case(entries[case], samples, before[case], extras=False)
            self.at(at_fault, False)  # if the parent did not interrupt, this case's call did
            raise

    def compare_with_first(self, unit: WorkUnit, case: Case, result: list[torch.Tensor]) -> str:
        """Emits the fingerprint of a result in the first build; in a later one, returns how it differs from that, or ""."""
        found = take_fingerprint(result)
        if unit.build:
            return explain_difference(found, unit.fingerprints[case], allowed_error(case))
        self.emit(Checked(case, found))
        return ""

    def finish_case(self, entry: CheckedCase, samples: Samples, before: list[torch.Tensor], extras: bool) -> None:
        """Checks a timed case again in the first build, takes its extra measurements if asked for, and emits its record."""
        case = entry.case
        self.at(case, False)
        try:
            with self.watch.time_activity("gates"):
                wrong = "" if self.build else self.recheck(entry, before)
            if wrong:
                self.emit(self.case_record(case, "incorrect", wrong, entry.errors))
                return
            with self.watch.time_activity("timing"):
                found = measure_extras(entry.work, case.mode, self.settings, self.device) if extras else {}
        except Exception as error:
            self.emit(self.failure_record(case, error))
        else:
            self.emit_record(entry, "ok", samples=samples, **found)

    def recheck(self, entry: CheckedCase, before: list[torch.Tensor]) -> str:
        """Returns the reason why a case is no longer correct, or ""."""
        stood, allowed = torch_flags.read_flags(), allowed_error(entry.case)
        try:
            wrong = gate.recheck_after_timing(entry.work, entry.call, before, allowed)
            if not wrong and entry.case.mode == "training":
                wrong = gate.recheck_answer(gate.sample_answer(entry.work.answer()), entry.answer, allowed)
            if not wrong and entry.case.mode == "inference":  # the first call was checked, later ones were not
                wrong = gate.recheck_answer(Answer(before, {}), Answer(entry.answer.outputs[:1], {}), allowed)
        finally:
            changed = torch_flags.restore_flags(stood)
        return wrong or changed

    def checked_cases(self, unit: WorkUnit, order: Sequence[Case]) -> Iterator[tuple[Case, CheckedCase]]:
        """Yields the cases that can run and are correct, built in an order. The modes of a case share its check and its memory
        measurement."""
        problems: dict[tuple[str, int, int, int, int], Problem] = {}
        known: dict[tuple[object, ...], CheckedCase | CaseRecord] = {}
        for case in order:
            if not unit.build:
                self.tell(f"checking {unit.name}: {case_label(case)}", 1)  # a failure here is due to the case before
            self.at(case, True)
            if (key := (case.cell, case.T, case.B, case.D, case.H)) not in problems:
                problems[key] = self.make_problem(case)
            entry = self.check_or_report(case, problems[key], known)
            if entry:
                yield case, entry
        for given in problems.values():
            given.forget_answers()

    def check_or_report(self, case: Case, given: Problem, known: dict[tuple[object, ...], CheckedCase | CaseRecord]) -> CheckedCase | None:
        """Builds a case and compares it with the reference; if it can't run or is wrong, emits a record. An A/A repeat is built
        separately; so is inference on a CPU, since a layer packs its matrices again after a backward pass."""
        if (key := check_key(case)) not in known:
            known[key] = self.build_and_check(case, given)
        found = known[key]
        if isinstance(found, CheckedCase):
            alone = case.mode == "inference" and self.device.type == "cpu" and not find_backend(case.backend).apart
            return replace(found, case=case, work=build_workload(case.backend, given, case.input_product) if alone else found.work)
        return self.emit(found.model_copy(update={"case": case}))

    def build_and_check(self, case: Case, given: Problem) -> CheckedCase | CaseRecord:
        """Builds and checks a case; changed global flags of torch are restored and count as a failure."""
        stood = torch_flags.read_flags()
        found = self.build_again(case, given) if self.build else self.build_and_compare(case, given)
        changed = torch_flags.restore_flags(stood)
        return self.case_record(case, "failed", changed) if changed and isinstance(found, CheckedCase) else found

    def build_and_compare(self, case: Case, given: Problem) -> CheckedCase | CaseRecord:
        """Builds a case and compares it with the reference."""
        if given.size_error:
            return self.case_record(case, "unsupported", given.size_error)
        try:
            given.answer  # noqa: B018  computed before a backend can change global state
        except Exception as error:
            found = self.failure_record(case, error)
            return found.model_copy(update={"reason": f"there is no reference to compare it with: {found.reason}"})
        try:
            begin = time.perf_counter()
            work = build_workload(case.backend, given, case.input_product)
            answer = work.answer()
            seconds, allowed = time.perf_counter() - begin, allowed_error(case)
            errors, wrong = gate.check_workload(given, work, answer, allowed, "training" in find_backend(case.backend).modes)
            if wrong:
                return self.case_record(case, "incorrect", wrong, errors=errors)
            shown = case.input_product and not (case.matched_params_of or case.aa_repeat or find_backend(case.backend).apart)
            with self.watch.time_activity("memory"):
                held = memory.measure_memory(work) if shown else None
            return CheckedCase(case, work, residual.add_residual(errors, case.backend, given), seconds, held, gate.sample_answer(answer))
        except Unsupported as reason:
            return self.case_record(case, "unsupported", str(reason))
        except Exception as error:
            return self.failure_record(case, error)

    def build_again(self, case: Case, given: Problem) -> CheckedCase | CaseRecord:
        """Builds a case that was checked in an earlier build."""
        try:
            return CheckedCase(case, build_workload(case.backend, given, case.input_product), Errors(output=0.0), 0.0, None, Answer([], {}))
        except Exception as error:
            return self.failure_record(case, error)

    def failure_record(self, case: Case, error: Exception) -> CaseRecord:
        """Returns the record of a case that raised. Raises WorkerUnusable if the GPU is lost."""
        if is_gpu_lost(self.device):
            raise WorkerUnusable(describe_error(error)) from error
        return self.case_record(case, "oom" if is_out_of_memory(error) else "failed", describe_error(error))

    def emit_record(self, entry: CheckedCase, status: Status, reason: str = "", samples: Samples | None = None, **extras: Any) -> None:
        taken = {("samples" if name == "seconds" else name): value for name, value in vars(samples or Samples()).items()}
        sampled: dict[str, Any] = {**taken, "builds": [self.build] * len(taken["samples"])}
        if self.build:  # all else is in the record of the first build
            self.emit(CaseRecord(case=entry.case, status=status, parameters=0, flops=0, **sampled))
            return
        known = {"memory": entry.memory, "build_seconds": entry.build_seconds, **sampled, **extras}
        work = numerics.describe_numerics(entry.case, entry.work)
        self.emit(self.case_record(entry.case, status, reason, entry.errors, numerics=work, **known))

    def case_record(self, case: Case, status: Status, reason: str, errors: Errors | None = None, **measured: Any) -> CaseRecord:
        return make_case_record(case, status, reason, errors=errors, algorithm=self.expected_algorithm(case), **measured)

    def expected_algorithm(self, case: Case) -> str:
        """Returns the algorithm that cuDNN is expected to choose; "" if unknown, or for another backend."""
        twin = load(case.cell).torch_equivalent
        if case.backend != "vendor" or twin is None or self.device.type != "cuda":
            return ""
        here = torch.cuda.get_device_properties(self.device)
        return cudnn_algorithm.name_algorithms(twin.module, case, here.multi_processor_count) if here.major >= 8 and here.minor != 6 else ""

    def make_problem(self, case: Case) -> Problem:
        return make_problem(case.cell, case.T, case.B, case.D, case.H, case.dtype, self.settings.device, self.settings.seed)
