"""The work of a run, cut into pieces that one process is asked for at a time: in which order, and what is left of it."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from bench.harness.cases import groups, make, shapes, verified
from bench.harness.settings import Settings
from bench.harness.suites import Shape
from bench.measure.problem import Problem, problem
from bench.records import Case, Records

Kind = Literal["machine", "check", "gradients", "dynamics", "learning", "race"]
SHORT: dict[Kind, str] = {"dynamics": "how signals travel", "learning": "what is learned"}
"""What a run only has a glance at: the verbs of `bench` do it in full. It has no cases, and where it fails the run goes on."""


@dataclass(frozen=True)
class Job:
    """What a process is asked for: to read the machine it is on, check a case without a time, measure the gradient norms that go with a
    case, have a glance at dynamics and learning, or race the cases of a group."""

    kind: Kind
    name: str
    cases: tuple[Case, ...] = ()

    @property
    def pieces(self) -> int:
        """How far the progress moves on with it."""
        return {"machine": 0, "race": 2}.get(self.kind, 1) * max(1, len(self.cases))

    def without(self, cases: Collection[Case]) -> "Job":
        return replace(self, cases=tuple(case for case in self.cases if case not in cases))


def jobs(settings: Settings) -> list[Job]:
    """All of a run, or of its shard, but reading the machine; the most telling of it last: what fails fails early."""
    return shared(settings.shard, [
        *(Job("check", f"checking {label(case)} in Triton's interpreter", (case,)) for case in verified(settings)),
        *(
            Job("gradients", f"gradient norms of {shape.cell} T={shape.T}", (make(settings, shape, "eager", "training"),))
            for shape in travelled(settings)
        ),
        *(Job(kind, name) for kind, name in SHORT.items() if not (settings.suite or settings.quick)),
        *(Job("race", group.name, group.cases) for group in groups(settings)),
    ])  # fmt: skip


def shared(shard: str, planned: list[Job]) -> list[Job]:
    """The jobs of a shard: dealt out in turn, each kind for itself. A race stays whole, for its cases are compared turn by turn."""
    if not shard:
        return planned
    part, parts = map(int, shard.split("/"))
    dealt, turn = [], Counter[Kind]()
    for job in planned:
        turn[job.kind] += 1
        dealt += [job] if turn[job.kind] % parts == part % parts else []
    return dealt


def left(job: Job, before: Records | None) -> Job | None:
    """What an earlier sitting has left of a job; None where that is nothing.

    Of a race with a case missing that is all of it, for its cases are compared turn by turn, but for what took its process down or
    never ended.
    """
    if before is None:
        return job
    if job.kind == "gradients":
        known = {(record.cell, record.T) for record in before.gradients}
        return None if {(case.cell, case.T) for case in job.cases} <= known else job
    if job.kind in SHORT:
        return None if (before.maps if job.kind == "dynamics" else before.training) else job
    had = {record.case: record.status for record in before.cases}
    if all(had.get(case, "skipped") != "skipped" for case in job.cases):
        return None
    return job.without([case for case, status in had.items() if status in ("crashed", "timeout")])


def travelled(settings: Settings) -> list[Shape]:
    """The sizes whose gradient norms are measured: a suite's are not, it asks for speed; nor are those that a cell can't have, of which
    its cases say why."""
    fitting = (shape for shape in shapes(settings) if not settings.suite and not sized(settings, shape).unfit)
    return sorted(fitting, key=lambda shape: settings.cells.index(shape.cell))


def sized(settings: Settings, shape: Shape) -> Problem:
    return problem(shape.cell, shape.T, shape.B, shape.D, shape.H, shape.dtype, settings.device, settings.seed)


def check(case: Case) -> tuple[object, ...]:
    """What cases of a race share that are built and checked once, whichever mode they are timed in."""
    return case.cell, case.backend, case.T, case.B, case.D, case.H, case.input_product, case.control


def label(case: Case) -> str:
    stand_in = f" (parameters of {case.stands_for})" if case.stands_for else ""
    control = " again" if case.control else ""
    return f"{case.cell} {case.backend}{control} {case.mode}{'' if case.input_product else ', rows given'}{stand_in}"
