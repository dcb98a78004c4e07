"""Which cases a run measures, and which of them together: in the order of its reader's questions, the shortest sequences first, or in
that of its suite."""

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
"""T, B, D and H of what is only checked."""


def timing_groups(settings: Settings) -> list[WorkUnit]:
    """All cases of a run: those of one T together or, in a suite, those of one size that are compared with the same torch.nn module."""
    found: dict[tuple[object, ...], list[Shape]] = {}
    for shape in list_shapes(settings):
        size = (shape.T, shape.B, shape.D, shape.H, shape.dtype, shape.modes)
        found.setdefault((*size, vendor_cell(shape.cell)) if settings.suite else size, []).append(shape)
    return [
        WorkUnit("timing group", name_group(settings, members), tuple(list_group_cases(settings, members))) for members in found.values()
    ]


def list_shapes(settings: Settings) -> list[Shape]:
    """The sizes of a run, each once: those asked for, or the suite's, in the one dtype asked for."""
    if not settings.suite:
        size = (settings.batch, settings.input, settings.hidden, settings.dtype)
        return [Shape(cell, T, *size, settings.modes) for T in settings.seq_lens for cell in settings.cells]
    chosen = [shape for shape in SUITES[settings.suite] if shape.cell in settings.cells]
    if settings.dtype:
        chosen = [replace(shape, dtype=settings.dtype) for shape in chosen]
    chosen = list(dict.fromkeys(chosen))
    return list(smallest_shapes(chosen) if settings.quick else chosen)


def vendor_cell(cell: str) -> str:
    """The cell whose torch.nn module it is compared with: its own, or gru."""
    return cell if cells.load(cell).torch_equivalent else "gru"


def name_group(settings: Settings, members: Sequence[Shape]) -> str:
    first = members[0]
    if not settings.suite:
        return f"T={first.T}"
    widths = f"H={first.H}" if first.D == first.H else f"D={first.D} H={first.H}"
    return f"{', '.join(shape.cell for shape in members)} T={first.T} B={first.B} {widths} {first.dtype}"


def list_group_cases(settings: Settings, members: Sequence[Shape]) -> list[Case]:
    """The cases of shapes that differ in their cell alone, and the vendor's GRU for the cells it doesn't have."""
    modes = tuple(mode for mode in members[0].modes if mode != "backward" or not settings.lean)
    found = [
        make_case(settings, shape, backend, mode, input_product)
        for input_product in (True, *([] if settings.lean else [False]))
        for mode in modes
        for shape in members
        for backend in settings.backends
        if is_planned(settings, shape.cell, backend, input_product)
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
    """The A/A of a group: one case a second time, the vendor's where it has one. What they differ by is noise."""
    own = [case for case in found if case.backend == "vendor" and cells.load(case.cell).torch_equivalent and not case.matched_params_of]
    return [case.model_copy(update={"aa_repeat": True}) for case in (own or found)[:1]]


def is_planned(settings: Settings, cell: str, backend: str, input_product: bool) -> bool:
    """Return whether a backend can run a case: only schedules time the loop alone, and a peer has cells of its own."""
    if (backend == "conv2d" and cell != "wave") or (find_backend(backend).cells == "waves" and not is_wave(cell)):
        return False
    if is_interpreted(settings, backend) or (backend == "torchrecurrent" and cell not in PEERS):
        return False
    if find_backend(backend).cells == "linear recurrences" and not is_linear_recurrence(plan(cells.load(cell))):
        return False
    return input_product or SCHEDULES.get(backend) is not None or (backend == "eager" and eager_loop.has_eager_loop(plan(cells.load(cell))))


def is_wave(cell: str) -> bool:
    """Return whether the units of a cell read their neighbours, as no layer of torch.nn does."""
    return bool(plan(cells.load(cell)).stencil_inputs)


def list_interpreter_cases(settings: Settings) -> list[Case]:
    """The cases that Triton's interpreter checks on a machine without a GPU: small ones, without a time."""
    names = [backend for backend in settings.backends if is_interpreted(settings, backend)]
    kinds = dict.fromkeys(Shape(shape.cell, *small_size(shape.cell), shape.dtype) for shape in list_shapes(settings))
    return [
        make_case(settings, shape, backend, "training")
        for shape in kinds
        for backend in names
        if is_wave(shape.cell) or find_backend(backend).cells != "waves"
    ]


def small_size(cell: str) -> tuple[int, int, int, int]:
    """`SMALL`, with D = H for a cell that takes no other, and an H that its heads can share, or that its grid has."""
    T, B, D, H = SMALL
    H = plan(cells.load(cell)).fixed_width or cells.load(cell).round_up_width(H)
    return T, B, H if plan(cells.load(cell)).elementwise_input else D, H


def is_interpreted(settings: Settings, backend: str) -> bool:
    return find_backend(backend).interpreted and settings.device == "cpu"


def make_case(settings: Settings, shape: Shape, backend: str, mode: Mode, input_product: bool = True, matched_params_of: str = "") -> Case:
    width = shape.H if not matched_params_of else matched_width(matched_params_of, shape.D, shape.H)
    return Case(
        cell=shape.cell, backend=backend, mode=mode, T=shape.T, B=shape.B, D=shape.D, H=width, dtype=shape.dtype,
        precision=settings.precision, input_product=input_product, matched_params_of=matched_params_of,
    )  # fmt: skip


@cache
def matched_width(cell: str, d: int, h: int) -> int:
    """The hidden width at which a GRU has as many parameters as `cell` has at (d, h), or as near as can be."""
    wanted = evaluate_formula(parameter_count(plan(cells.load(cell))), d, h)
    formula = parameter_count(plan(cells.load("gru")))
    return min(range(1, 2 * h + 2), key=lambda width: abs(evaluate_formula(formula, d, width) - wanted))


def evaluate_formula(formula: Expr, d: int, h: int) -> int:
    return int(formula.subs({D: d, H: h}))


def format_formula(value: Expr) -> str:
    """A formula in D and H as one writes it: 4·D·H + 4·H² + 4·H."""
    return str(value).replace("**2", "²").replace("**3", "³").replace("*", "·")
