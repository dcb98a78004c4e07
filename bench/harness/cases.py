"""Lists the cases of a run and groups those that are timed together.

A suite determines its own order. Any other run starts with the shortest sequences.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from sympy import Expr

import cells
from bench.harness.settings import Settings
from bench.harness.suites import SUITES, Shape, smallest_shapes
from bench.harness.work_unit import WorkUnit
from bench.measure import eager_loop
from bench.measure.linear_recurrence import is_linear_recurrence
from bench.measure.torchrecurrent_cells import PEERS
from bench.records import Case, Mode
from bench.records.backend_table import find_backend
from kernels.derive.cost_formulas import D, H, parameter_count
from kernels.derive.plan import plan
from kernels.layer.select import SCHEDULES

SMALL = (3, 3, 7, 17)
"""T, B, D and H of cases that are only checked."""


def timing_groups(settings: Settings) -> list[WorkUnit]:
    """Returns all timed cases of a run, in groups that are timed interleaved.

    A group has all cases of one T or, in a suite, all cases of one size that are compared with the same torch.nn module.
    """
    found: dict[tuple[object, ...], list[Shape]] = {}
    for shape in list_shapes(settings):
        size = (shape.T, shape.B, shape.D, shape.H, shape.dtype, shape.modes)
        found.setdefault((*size, vendor_cell(shape.cell)) if settings.suite else size, []).append(shape)
    return [
        WorkUnit("timing group", name_group(settings, members), tuple(list_group_cases(settings, members))) for members in found.values()
    ]


def list_shapes(settings: Settings) -> list[Shape]:
    """Returns the shapes of a run, each once: those of the settings, or those of the suite in the dtypes of the settings."""
    if not settings.suite:
        sizes = [(T, B, settings.input or H, H) for T in settings.seq_lens for B in settings.batch for H in settings.hidden]
        return [Shape(cell, *size, settings.dtype, settings.modes) for size in sizes for cell in settings.cells]
    chosen = [shape for shape in SUITES[settings.suite] if shape.cell in settings.cells]
    if settings.dtype:
        chosen = [replace(shape, dtype=settings.dtype) for shape in chosen]
    chosen = list(dict.fromkeys(chosen))
    return list(smallest_shapes(chosen) if settings.quick else chosen)


def vendor_cell(cell: str) -> str:
    """Returns the cell whose torch.nn module a cell is compared with: itself if torch.nn has it, else "gru"."""
    return cell if cells.load(cell).torch_equivalent else "gru"


def name_group(settings: Settings, members: Sequence[Shape]) -> str:
    """Returns a group's name in words, for progress lines."""
    first = members[0]
    if not settings.suite and len(settings.batch) == len(settings.hidden) == 1:
        return f"T={first.T}"
    widths = f"H={first.H}" if first.D == first.H else f"D={first.D} H={first.H}"
    return f"{', '.join(shape.cell for shape in members)} T={first.T} B={first.B} {widths} {first.dtype}"


def list_group_cases(settings: Settings, members: Sequence[Shape]) -> list[Case]:
    """Returns the cases of shapes that differ in their cell only. For cells that torch.nn doesn't have, the vendor's GRU is added."""
    modes = tuple(mode for mode in members[0].modes if mode != "backward" or not settings.lean)
    found = [
        make_case(settings, shape, backend, mode, input_product)
        for input_product in (True, *([] if settings.lean else [False]))
        for mode in modes
        for shape in members
        for backend in settings.backends
        if is_planned(settings, shape.cell, backend, input_product)
        and mode in find_backend(backend).modes
        and not (0 < settings.slow_up_to < shape.T and (find_backend(backend).slow or not input_product))
    ]
    if "vendor" in settings.backends and "gru" in cells.names():
        without = [shape for shape in members if cells.load(shape.cell).torch_equivalent is None and not is_wave(shape.cell)]
        have = {(c.cell, c.mode) for c in found if c.backend == "vendor"}
        for mode in modes if without else ():
            if ("gru", mode) not in have:
                found.append(make_case(settings, replace(without[0], cell="gru"), "vendor", mode))
            if not settings.lean:
                found += [
                    make_case(settings, replace(shape, cell="gru"), "vendor", mode, matched_params_of=shape.cell) for shape in without
                ]
    return [*found, *select_aa_repeats(found)]


def select_aa_repeats(found: Sequence[Case]) -> list[Case]:
    """Returns the A/A repeat of a group: one case again, a vendor's if possible. The difference between the two is noise."""
    own = [case for case in found if case.backend == "vendor" and cells.load(case.cell).torch_equivalent and not case.matched_params_of]
    return [case.model_copy(update={"aa_repeat": True}) for case in (own or found)[:1]]


def is_planned(settings: Settings, cell: str, backend: str, input_product: bool) -> bool:
    """Returns whether a run includes a backend for a cell. Only schedules can time the loop without the input projection.

    Args:
        settings: The settings of the run.
        cell: The cell's name.
        backend: The backend's name.
        input_product: The input projection is included in the time.
    """
    if (backend == "conv2d" and cell != "wave") or (find_backend(backend).cells == "waves" and not is_wave(cell)):
        return False
    if is_interpreted(settings, backend) or (backend == "torchrecurrent" and cell not in PEERS):
        return False
    if find_backend(backend).cells == "linear recurrences" and not is_linear_recurrence(plan(cells.load(cell))):
        return False
    return input_product or SCHEDULES.get(backend) is not None or (backend == "eager" and eager_loop.has_eager_loop(plan(cells.load(cell))))


def is_wave(cell: str) -> bool:
    """Returns whether the units of a cell read their neighbours; no layer of torch.nn does."""
    return bool(plan(cells.load(cell)).stencil_inputs)


def list_interpreter_cases(settings: Settings) -> list[Case]:
    """Returns the small cases that Triton's interpreter checks, without timing, on a machine without a GPU."""
    names = [backend for backend in settings.backends if is_interpreted(settings, backend)]
    kinds = dict.fromkeys(Shape(shape.cell, *small_size(shape.cell), shape.dtype) for shape in list_shapes(settings))
    return [
        make_case(settings, shape, backend, "training")
        for shape in kinds
        for backend in names
        if is_wave(shape.cell) or find_backend(backend).cells != "waves"
    ]


def small_size(cell: str) -> tuple[int, int, int, int]:
    """Returns T, B, D and H of SMALL, adapted to a cell: D = H if it uses x unit by unit, and an H that fits its heads or its grid."""
    T, B, D, H = SMALL
    H = plan(cells.load(cell)).fixed_width or plan(cells.load(cell)).round_up_width(H)
    return T, B, H if plan(cells.load(cell)).elementwise_input else D, H


def is_interpreted(settings: Settings, backend: str) -> bool:
    """Returns whether a backend runs in Triton's interpreter on the run's device."""
    return find_backend(backend).interpreted and settings.device == "cpu"


def make_case(settings: Settings, shape: Shape, backend: str, mode: Mode, input_product: bool = True, matched_params_of: str = "") -> Case:
    """Returns a case.

    Args:
        settings: The settings of the run.
        shape: The cell and the sizes.
        backend: The backend's name.
        mode: The pass that is timed.
        input_product: The input projection is included in the time.
        matched_params_of: The cell whose number of parameters a GRU is matched to; "" to keep the width.
    """
    width = shape.H if not matched_params_of else matched_width(matched_params_of, shape.D, shape.H)
    return Case(
        cell=shape.cell, backend=backend, mode=mode, T=shape.T, B=shape.B, D=shape.D, H=width, dtype=shape.dtype,
        precision=settings.precision, input_product=input_product, matched_params_of=matched_params_of,
    )  # fmt: skip


@cache
def matched_width(cell: str, d: int, h: int) -> int:
    """Returns the hidden width at which a GRU has nearly as many parameters as `cell`.

    Args:
        cell: The cell's name.
        d: The input width.
        h: The cell's hidden width.
    """
    wanted = evaluate_formula(parameter_count(plan(cells.load(cell))), d, h)
    formula, widths = parameter_count(plan(cells.load("gru"))), range(1, 2 * h + 2)

    def count(width: int) -> int:
        return evaluate_formula(formula, d, width)

    place = bisect_left(widths, wanted, key=count)  # a formula is evaluated symbolically, in milliseconds
    return min(widths[max(place - 1, 0) : place + 1], key=lambda width: abs(count(width) - wanted))


def evaluate_formula(formula: Expr, d: int, h: int) -> int:
    """Returns the value of a formula in D and H."""
    return int(formula.subs({D: d, H: h}))


def format_formula(value: Expr) -> str:
    """Returns a formula in D and H in mathematical notation: 4·D·H + 4·H² + 4·H."""
    return str(value).replace("**2", "²").replace("**3", "³").replace("*", "·")
