"""Lists the work units of a run in order, and what remains of each when a run is resumed."""

from itertools import groupby

from bench.harness.cases import list_interpreter_cases, list_shapes, make_case, timing_groups
from bench.harness.experiment import select_shard
from bench.harness.settings import Settings
from bench.harness.suites import Shape
from bench.harness.work_unit import PREVIEWS, WorkUnit
from bench.measure.problem import Problem, make_problem
from bench.records import Case, Records


def list_work_units(settings: Settings) -> list[WorkUnit]:
    """Returns the work units of a run or of its shard, without reading the machine. Timing comes last, so that errors appear early."""
    units = [
        *(WorkUnit("check", f"checking {case_label(case)} in Triton's interpreter", (case,)) for case in list_interpreter_cases(settings)),
        *(
            WorkUnit("gradients", f"gradient norms of {shape.cell} T={shape.T}", (make_case(settings, shape, "eager", "training"),))
            for shape in gradient_shapes(settings)
        ),
        *(WorkUnit(kind, name) for kind, name in PREVIEWS.items() if not (settings.suite or settings.quick)),
        *timing_groups(settings),
    ]  # fmt: skip
    # each kind is dealt out by itself; a timing group stays whole, since its cases are compared round by round
    return [unit for _, kind in groupby(units, lambda unit: unit.kind) for unit in select_shard(settings.shard, list(kind))]


def remaining_work(unit: WorkUnit, before: Records | None) -> WorkUnit | None:
    """Returns what remains of a work unit when a run is resumed.

    If a case of a timing group is missing, or was interrupted, the whole group is timed again, because its cases are compared round by
    round. Cases that crashed their process or timed out are excluded.

    Args:
        unit: The work unit.
        before: The records of the run that is resumed, or None.

    Returns:
        The remaining work; None if there is none.
    """
    if before is None:
        return unit
    if unit.kind == "gradients":
        known = {(record.cell, record.T) for record in before.gradients}
        return None if {(case.cell, case.T) for case in unit.cases} <= known else unit
    if unit.kind in PREVIEWS:
        return None if (before.maps if unit.kind == "dynamics" else before.training) else unit
    had = {record.case: "skipped" if record.stopped == "interrupted" else record.status for record in before.cases}
    if all(had.get(case, "skipped") != "skipped" for case in unit.cases):
        return None
    return unit.remove_cases([case for case, status in had.items() if status in ("crashed", "timeout")])


def gradient_shapes(settings: Settings) -> list[Shape]:
    """Returns the shapes whose gradient norms are measured, without those that a cell can't have: those of the first B and H, since a
    report has a norm for each cell and T. A suite measures speed only and has none."""
    if settings.suite:
        return []
    first = settings.batch[0], settings.hidden[0]
    shown = (shape for shape in list_shapes(settings) if first == (shape.B, shape.H))
    fitting = (shape for shape in shown if not make_shape_problem(settings, shape).size_error)
    return sorted(fitting, key=lambda shape: settings.cells.index(shape.cell))


def make_shape_problem(settings: Settings, shape: Shape) -> Problem:
    return make_problem(shape.cell, shape.T, shape.B, shape.D, shape.H, shape.dtype, settings.device, settings.seed)


def check_key(case: Case) -> tuple[object, ...]:
    """Returns a key that cases share if they are built and checked once for all modes."""
    return case.cell, case.backend, case.T, case.B, case.D, case.H, case.input_product, case.aa_repeat


def case_label(case: Case) -> str:
    """Returns a case in words, for progress lines."""
    stand_in = f" (parameters of {case.matched_params_of})" if case.matched_params_of else ""
    control = " again" if case.aa_repeat else ""
    return f"{case.cell} {case.backend}{control} {case.mode}{'' if case.input_product else ', input projection precomputed'}{stand_in}"
