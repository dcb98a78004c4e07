"""Which cases a run measures, and which of them together: in the order of its reader's questions, the shortest sequences first, or in
that of its suite."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from sympy import Expr

import cells
from bench.harness.settings import Settings
from bench.harness.suites import SUITES, Shape, smallest
from bench.measure import eager_loop
from bench.measure.linear_recurrence import suited
from bench.measure.scan_peers import SCANS
from bench.measure.torchrecurrent_cells import PEERS
from bench.records import Case, Mode
from kernels.derive.cost_formulas import D, H, parameter_count
from kernels.derive.plan import plan
from kernels.layer.select import SCHEDULES

SMALL = (3, 3, 7, 17)
"""T, B, D and H of what is only checked."""


@dataclass(frozen=True)
class Group:
    """Cases that take turns, so that what they are compared with is among them."""

    name: str
    cases: tuple[Case, ...]


def groups(settings: Settings) -> list[Group]:
    """All cases of a run: those of one T together or, in a suite, those of one size that are compared with the same torch.nn module."""
    found: dict[tuple[object, ...], list[Shape]] = {}
    for shape in shapes(settings):
        size = (shape.T, shape.B, shape.D, shape.H, shape.dtype, shape.modes)
        found.setdefault((*size, peer(shape.cell)) if settings.suite else size, []).append(shape)
    return [Group(named(settings, members), tuple(grouped(settings, members))) for members in found.values()]


def shapes(settings: Settings) -> list[Shape]:
    """The sizes of a run, each once: those asked for, or the suite's, in the one dtype asked for."""
    if not settings.suite:
        size = (settings.batch, settings.input, settings.hidden, settings.dtype)
        return [Shape(cell, T, *size, settings.modes) for T in settings.seq_lens for cell in settings.cells]
    chosen = [shape for shape in SUITES[settings.suite] if shape.cell in settings.cells]
    if settings.dtype:
        chosen = [replace(shape, dtype=settings.dtype) for shape in chosen]
    chosen = list(dict.fromkeys(chosen))
    return list(smallest(chosen) if settings.quick else chosen)


def peer(cell: str) -> str:
    """The cell whose torch.nn module it is compared with: its own, or gru."""
    return cell if cells.load(cell).twin else "gru"


def named(settings: Settings, members: Sequence[Shape]) -> str:
    first = members[0]
    if not settings.suite:
        return f"T={first.T}"
    widths = f"H={first.H}" if first.D == first.H else f"D={first.D} H={first.H}"
    return f"{', '.join(shape.cell for shape in members)} T={first.T} B={first.B} {widths} {first.dtype}"


def grouped(settings: Settings, members: Sequence[Shape]) -> list[Case]:
    """The cases of shapes that differ in their cell alone, and the vendor's GRU for the cells it doesn't have."""
    modes = tuple(mode for mode in members[0].modes if mode != "backward" or not settings.lean)
    found = [
        make(settings, shape, backend, mode, input_product)
        for input_product in (True, *([] if settings.lean else [False]))
        for mode in modes
        for shape in members
        for backend in settings.backends
        if planned(settings, shape.cell, backend, input_product)
    ]
    if "vendor" in settings.backends and "gru" in cells.names():
        without = [shape for shape in members if cells.load(shape.cell).twin is None and not waves(shape.cell)]
        have = {(c.cell, c.mode) for c in found if c.backend == "vendor"}
        for mode in modes if without else ():
            if ("gru", mode) not in have:
                found.append(make(settings, replace(without[0], cell="gru"), "vendor", mode))
            if not settings.lean:
                found += [make(settings, replace(shape, cell="gru"), "vendor", mode, stands_for=shape.cell) for shape in without]
    return [*found, *controls(found)]


def controls(found: Sequence[Case]) -> list[Case]:
    """The A/A of a group: one case a second time, the vendor's where it has one. What they differ by is noise."""
    own = [case for case in found if case.backend == "vendor" and cells.load(case.cell).twin and not case.stands_for]
    return [case.model_copy(update={"control": True}) for case in (own or found)[:1]]


def planned(settings: Settings, cell: str, backend: str, input_product: bool) -> bool:
    """Whether a row makes sense: the loop alone is the schedules' own, and a peer has the cells it has."""
    if (backend == "conv2d" and cell != "wave") or (backend.startswith("stencil") and not waves(cell)):
        return False
    if interpreted(settings, backend) or (backend == "torchrecurrent" and cell not in PEERS):
        return False
    if backend in SCANS and not suited(plan(cells.load(cell))):
        return False
    return input_product or backend in SCHEDULES or (backend == "eager" and eager_loop.suited(plan(cells.load(cell))))


def waves(cell: str) -> bool:
    """Whether the units of a cell look at their neighbours: no layer of torch.nn says anything of it."""
    return bool(plan(cells.load(cell)).stencil_inputs)


def verified(settings: Settings) -> list[Case]:
    """The cases that Triton's interpreter checks on a machine without a GPU: small ones, without a time."""
    names = [backend for backend in settings.backends if interpreted(settings, backend)]
    kinds = dict.fromkeys(Shape(shape.cell, *small(shape.cell), shape.dtype) for shape in shapes(settings))
    return [
        make(settings, shape, backend, "training")
        for shape in kinds
        for backend in names
        if waves(shape.cell) or not backend.startswith("stencil")
    ]


def small(cell: str) -> tuple[int, int, int, int]:
    """`SMALL`, with D = H for a cell that takes no other, and an H that its heads can share, or that its grid has."""
    T, B, D, H = SMALL
    H = plan(cells.load(cell)).fixed_width or cells.load(cell).round_up_width(H)
    return T, B, H if plan(cells.load(cell)).elementwise_input else D, H


def interpreted(settings: Settings, backend: str) -> bool:
    return backend.removesuffix("-low") in ("stepwise", "resident", "scan", "stencil") and settings.device == "cpu"


def make(settings: Settings, shape: Shape, backend: str, mode: Mode, input_product: bool = True, stands_for: str = "") -> Case:
    width = shape.H if not stands_for else equal_parameters(stands_for, shape.D, shape.H)
    return Case(
        cell=shape.cell, backend=backend, mode=mode, T=shape.T, B=shape.B, D=shape.D, H=width, dtype=shape.dtype,
        precision=settings.precision, input_product=input_product, stands_for=stands_for,
    )  # fmt: skip


@cache
def equal_parameters(cell: str, d: int, h: int) -> int:
    """The hidden width at which a GRU has as many parameters as `cell` has at (d, h), or as near as can be."""
    wanted = count(parameter_count(plan(cells.load(cell))), d, h)
    formula = parameter_count(plan(cells.load("gru")))
    return min(range(1, 2 * h + 2), key=lambda width: abs(count(formula, d, width) - wanted))


def count(formula: Expr, d: int, h: int) -> int:
    return int(formula.subs({D: d, H: h}))


def formula(value: Expr) -> str:
    """A formula in D and H as one writes it: 4·D·H + 4·H² + 4·H."""
    return str(value).replace("**2", "²").replace("**3", "³").replace("*", "·")
