"""A run: check every case against float64, time those of one group in turns, and hand out each record as it is done."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from bench.cases import Group, count, formula, groups, make, shapes, verified
from bench.measure import cudnn, gate, gradients, memory
from bench.measure.backends import Unsupported, Workload, build
from bench.measure.clock import Rule, Samples, interleave
from bench.measure.demand import demand
from bench.measure.problem import Problem, problem
from bench.records import Case, CaseRecord, Errors, GradientRecord, Memory, Records, Status
from bench.settings import Settings
from bench.suites import Shape
from cells import load
from kernels.plan import plan

Tell = Callable[[str, int], None]
"""Called with what runs now, and how many pieces of work it has finished since it was last called."""


class Lost(RuntimeError):
    """The GPU takes no more work from this process; the message says since which case."""


@dataclass
class Entry:
    """A case that passed its gate, waiting for its samples."""

    case: Case
    work: Workload
    errors: Errors
    build_seconds: float
    memory: Memory | None


class Runner:
    """Measures what `settings` ask for. `emit` gets each record as it is finished, `tell` what runs now.

    What `before` holds isn't measured again, but a group with a case missing is, whole: its cases are compared turn by turn. Only what
    crashed or never ended stays out of it. After `until`, in seconds of time.monotonic(), no group is begun: those are `left`.
    `current` is the case at hand, and since when.
    """

    def __init__(
        self,
        settings: Settings,
        emit: Callable[[CaseRecord | GradientRecord], None],
        tell: Tell,
        before: Records | None = None,
        until: float = math.inf,
    ):
        self.settings, self.emit, self.tell, self.until = settings, emit, tell, until
        self.device = torch.device(settings.device)
        self.rule = Rule(3, 5, 0.1) if settings.quick else Rule()
        self.had = {record.case: record.status for record in before.cases} if before else {}
        self.norms = {(record.cell, record.T) for record in before.gradients} if before else set()
        self.left: list[Group] = []
        self.current: tuple[Case | None, float] = (None, 0.0)

    def run(self) -> None:
        set_precision(self.settings.precision)
        for case in verified(self.settings):
            self.tell(f"checking {label(case)} in Triton's interpreter", 1)
            entry = None if self.done(case) else self.prepare(case, self.problem(case), {})
            if entry:
                where = f"in Triton's interpreter at T={case.T} B={case.B} D={case.D} H={case.H}: right, and without a time"
                self.record(case, "verified", reason=where, entry=entry)
        for shape in travelled(self.settings):
            self.tell(f"gradient norms of {shape.cell} T={shape.T}", 1)
            if (shape.cell, shape.T) not in self.norms:
                self.gradient(shape)
        for group in groups(self.settings):
            if all(map(self.done, group.cases)):
                self.tell(f"{group.name} is measured", 2 * len(group.cases))
            elif time.monotonic() >= self.until:
                self.left.append(group)
            else:
                self.group(group)
        for case in (case for group in self.left for case in group.cases):
            if case not in self.had:
                self.emit(self.made(case, "skipped", "left out: the budget was spent"))

    def done(self, case: Case) -> bool:
        return self.had.get(case, "skipped") != "skipped"

    def group(self, group: Group) -> None:
        """Everything that takes turns: gates first, then the timing of all, and after it the gates again."""
        entries = dict(self.prepared(group))
        calls = {case: e.work.train if case.mode == "training" else e.work.infer for case, e in entries.items()}
        before: dict[Case, torch.Tensor] = {}
        for case in list(calls):
            self.current = case, time.monotonic()
            try:
                before[case] = gate.first(calls[case]()).clone()
            except Exception as error:
                del calls[case]
                self.emit(self.fault(case, error))

        def turn(case: Case) -> None:
            self.current = case, time.monotonic()
            self.tell(f"timing {group.name}: {label(case)}", 0)

        def done(case: Case, samples: Samples) -> None:
            self.tell(f"timing {group.name}: {label(case)}", 1)
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
            self.tell(f"timing {group.name}: {label(case)} failed", 1)
            self.emit(self.fault(case, error))

        interleave(calls, self.rule, self.settings.seed, self.device, turn, done, failed)
        self.current = None, 0.0

    def prepared(self, group: Group) -> Iterator[tuple[Case, Entry]]:
        """The cases that can run and are right. A gate and the memory of a workload are shared by both modes."""
        problems: dict[tuple[str, int, int, int, int], Problem] = {}
        known: dict[tuple[str, str, int, bool], Entry | CaseRecord] = {}
        for case in (case for case in group.cases if self.had.get(case) not in ("crashed", "timeout")):
            self.current = case, time.monotonic()
            self.tell(f"checking {group.name}: {label(case)}", 1)
            key = (case.cell, case.T, case.B, case.D, case.H)
            if key not in problems:
                problems[key] = self.problem(case)
            entry = self.prepare(case, problems[key], known)
            if entry:
                yield case, entry
        for given in problems.values():
            given.__dict__.pop("answer", None)  # the float64 gradients are no longer needed

    def prepare(self, case: Case, given: Problem, known: dict[tuple[str, str, int, bool], Entry | CaseRecord]) -> Entry | None:
        """Build a case and hold it to the reference; what can't run or is wrong is recorded instead."""
        key = (case.cell, case.backend, case.H, case.input_product)
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
            wrong = wrong or gate.inference(given, work.infer(), allowed)
            if wrong:
                return self.made(case, "incorrect", wrong, errors=errors)
            shown = case.input_product and not case.stands_for
            return Entry(case, work, errors, seconds, memory.measure(work) if shown else None)
        except Unsupported as reason:
            return self.made(case, "unsupported", str(reason))
        except Exception as error:
            return self.fault(case, error)

    def fault(self, case: Case, error: Exception) -> CaseRecord:
        """The record of a case that raised. Raises Lost where it took the GPU with it, once it is recorded."""
        if lost(self.device):
            why = f"{type(error).__name__}: {first_line(error)}"
            self.emit(self.made(case, "crashed", why))
            raise Lost(f"the GPU is lost to this process since {label(case)} T={case.T} B={case.B} H={case.H} ({why})")
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error):
            return self.made(case, "oom", first_line(error) or "out of memory")
        return self.made(case, "failed", f"{type(error).__name__}: {first_line(error)}")

    def record(self, case: Case, status: Status, entry: Entry, reason: str = "", samples: Samples | None = None) -> None:
        taken = samples or Samples()
        self.emit(
            self.made(
                case, status, reason, entry.errors, samples=taken.seconds, rounds=taken.rounds, memory=entry.memory,
                build_seconds=entry.build_seconds,
            )
        )  # fmt: skip

    def made(self, case: Case, status: Status, reason: str, errors: Errors | None = None, **measured: Any) -> CaseRecord:
        """A record, with what the plan knows of the cell."""
        p = plan(load(case.cell))
        return CaseRecord(
            case=case, status=status, reason=reason, errors=errors, parameters=count(p.parameters, case.D, case.H),
            formula=formula(p.parameters), flops=sum(count(f, case.D, case.H) for f in p.flops.values()), demand=demand(p, case),
            algorithm=self.algorithm(case), **measured,
        )  # fmt: skip

    def algorithm(self, case: Case) -> str:
        """What cuDNN is expected to take; "" where there is none, or where it isn't known."""
        twin = load(case.cell).twin
        if case.backend != "vendor" or twin is None or self.device.type != "cuda":
            return ""
        here = torch.cuda.get_device_properties(self.device)
        return cudnn.named(twin.module, case, here.multi_processor_count) if here.major >= 8 and here.minor != 6 else ""

    def problem(self, case: Case) -> Problem:
        return problem(case.cell, case.T, case.B, case.D, case.H, case.dtype, self.settings.device, self.settings.seed)

    def gradient(self, shape: Shape) -> None:
        case = make(self.settings, shape, "eager", "training")
        try:
            self.emit(gradients.measure(self.problem(case)))
        except Exception as error:
            self.emit(self.fault(case, error))


def travelled(settings: Settings) -> list[Shape]:
    """The sizes whose gradient norms are measured: a suite's are not, it asks for speed."""
    return [] if settings.suite else sorted(shapes(settings), key=lambda shape: settings.cells.index(shape.cell))


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


def label(case: Case) -> str:
    stand_in = f" (parameters of {case.stands_for})" if case.stands_for else ""
    return f"{case.cell} {case.backend} {case.mode}{'' if case.input_product else ', rows given'}{stand_in}"


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def pieces(settings: Settings) -> int:
    """How many pieces of work a run has, for its progress bar."""
    timed = [case for group in groups(settings) for case in group.cases]
    return 2 * len(timed) + len(verified(settings)) + len(travelled(settings))
