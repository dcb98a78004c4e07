"""Which cases a run measures, in the order of its reader's questions: the shortest sequences first."""

from functools import cache

from sympy import Expr

import cells
from bench.backends import PEERS
from bench.record import Case, Mode
from bench.settings import Settings
from kernels.backend import SCHEDULES
from kernels.plan import D, H, plan

SMALL = {"T": 3, "B": 3, "D": 7, "H": 17}


def cases(settings: Settings) -> list[Case]:
    """All cases; those of one T are measured together, so that what they are compared with is among them."""
    return [case for T in settings.seq_lens for case in at_length(settings, T)]


def at_length(settings: Settings, T: int) -> list[Case]:
    modes: tuple[Mode, ...] = ("training", "inference")
    found = [
        make(settings, cell, backend, T, mode, input_product)
        for input_product in (True, False)
        for mode in modes
        for cell in settings.cells
        for backend in settings.backends
        if planned(settings, cell, backend, input_product)
    ]
    if "vendor" in settings.backends and "gru" in cells.names():
        without = [name for name in settings.cells if cells.load(name).twin is None]
        have = {(c.cell, c.mode) for c in found if c.backend == "vendor"}
        for mode in modes if without else ():
            if ("gru", mode) not in have:
                found.append(make(settings, "gru", "vendor", T, mode))
            found += [make(settings, "gru", "vendor", T, mode, stands_for=name) for name in without]
    return found


def planned(settings: Settings, cell: str, backend: str, input_product: bool) -> bool:
    """Whether a row makes sense: the loop alone is the schedules' own, and a peer has the cells it has."""
    if interpreted(settings, backend) or (backend == "torchrecurrent" and cell not in PEERS):
        return False
    return input_product or backend in SCHEDULES


def verified(settings: Settings) -> list[Case]:
    """The cases that Triton's interpreter checks on a machine without a GPU: small ones, without a time."""
    names = [backend for backend in settings.backends if interpreted(settings, backend)]
    return [make(settings, cell, backend, SMALL["T"], "training").model_copy(update=SMALL) for cell in settings.cells for backend in names]


def interpreted(settings: Settings, backend: str) -> bool:
    return backend.removesuffix("-low") in ("stepwise", "resident") and settings.device == "cpu"


def make(settings: Settings, cell: str, backend: str, T: int, mode: Mode, input_product: bool = True, stands_for: str = "") -> Case:
    width = settings.hidden if not stands_for else equal_parameters(stands_for, settings.input, settings.hidden)
    return Case(
        cell=cell, backend=backend, mode=mode, T=T, B=settings.batch, D=settings.input, H=width, dtype=settings.dtype,
        precision=settings.precision, input_product=input_product, stands_for=stands_for,
    )  # fmt: skip


@cache
def equal_parameters(cell: str, d: int, h: int) -> int:
    """The hidden width at which a GRU has as many parameters as `cell` has at (d, h), or as near as can be."""
    wanted = count(plan(cells.load(cell)).parameters, d, h)
    formula = plan(cells.load("gru")).parameters
    return min(range(1, 2 * h + 2), key=lambda width: abs(count(formula, d, width) - wanted))


def count(formula: Expr, d: int, h: int) -> int:
    return int(formula.subs({D: d, H: h}))


def formula(value: Expr) -> str:
    """A formula in D and H as one writes it: 4·D·H + 4·H² + 4·H."""
    return str(value).replace("**2", "²").replace("**3", "³").replace("*", "·")
