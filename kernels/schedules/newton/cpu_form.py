"""The newton schedule on a CPU: pointwise functions and the affine scan in C++ (`iteration.cpp`), products by torch.

The update of the states reads terms and states once: it evaluates the linearised step, adds up its residuals over time, and finds the
largest of each row. That of the gradients does so with values and slopes that are given.
"""

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from kernels.derive.adjoint import CPP, adjoint, print_source
from kernels.derive.linearised import linearise
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise
from kernels.schedules.cpu import library
from kernels.schedules.cpu.pass_arguments import list_addresses
from kernels.schedules.cpu.threads import MIN_THREADED_FLOP, POINTWISE_COLUMNS
from kernels.schedules.newton.systems import System

HERE = Path(__file__).parent


class Operand(ctypes.Structure):
    """`struct Operand` of iteration.cpp."""

    _fields_ = [("data", ctypes.c_void_p), ("stride", ctypes.c_int64)]


class IterationBuffers(ctypes.Structure):
    """`struct IterationBuffers` of iteration.cpp, with its fields in the same order."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("T", "B", "H", "threads")),
        *((name, ctypes.c_void_p) for name in ("rows", "values", "largest")),
    ]


@cache
def list_functions(plan: Plan) -> tuple[Pointwise, ...]:
    """Returns the pointwise functions of an iteration: first the linearised step, then those of the stages, and all adjoints."""
    stages = [stage.argument for stage in plan.stages if stage.argument]
    return (linearise(plan), *stages, *(adjoint(f) for f in (plan.step, *stages)))


def generate_source(plan: Plan, dtype: torch.dtype) -> str:
    """Returns the C++ source of an iteration: the functions of the plan, then `iteration.cpp`."""
    functions = list_functions(plan)
    state_of = ", ".join(str(plan.states.index(n) if n in plan.states else -1) for n in functions[0].inputs)
    return "\n".join([
        f"typedef {library.REAL[dtype]} real;",
        (Path(library.__file__).parent / "vector.h").read_text(),
        "namespace {  // keeps equal names in the libraries of several cells apart",
        f"constexpr int STATES = {len(plan.states)};",
        *(
            f"struct Function{k} {{\nstatic constexpr int count = {len(f.inputs)}, outputs = {len(f.outputs)};\n"
            f"static {print_source(replace(f, name='run'), CPP)}}};"
            for k, f in enumerate(functions)
        ),
        f"constexpr int state_of[] = {{{state_of}}};",
        "template <class Body> void with_function(int64_t function, Body body) {",
        *(f"    if (function == {k}) body(Function{k}{{}});" for k in range(len(functions))),
        "}\n}",
        (HERE / "iteration.cpp").read_text(),
    ])  # fmt: skip


def build_iteration(plan: Plan, dtype: torch.dtype) -> Path:
    """Compiles the iteration of a plan, unless it is in the cache, and returns its file.

    Raises:
        RuntimeError: the compiler failed; the message holds its output.
    """
    return library.build(f"{plan.cell.name}-newton", ".so", generate_source(plan, dtype), ["-shared", *library.openmp_flags()])


@cache
def build_library(plan: Plan, dtype: torch.dtype) -> ctypes.CDLL:
    """Builds and loads the iteration of a plan. Raises as `build_iteration`."""
    return ctypes.CDLL(str(build_iteration(plan, dtype)))


def count_threads(elements: int) -> int:
    """Returns how many threads evaluate a pointwise function for so many elements."""
    return torch.get_num_threads() if elements * 2 * POINTWISE_COLUMNS >= MIN_THREADED_FLOP else 1


def make_operands(tensors: Sequence[Tensor | None]) -> ctypes.Array[Operand]:
    """Returns tensors (T, B, H) whose rows are equally far apart, (H), or None as a C array."""

    def operand(t: Tensor | None) -> Operand:
        if t is None:
            return Operand(None, 0)
        return Operand(t.data_ptr(), 0 if t.dim() == 1 else t.stride(int(t.shape[1] > 1)))

    return (Operand * len(tensors))(*map(operand, tensors))


def evaluate(plan: Plan, f: Pointwise, inputs: Sequence[Tensor], outputs: Sequence[Tensor | None], add: bool = False) -> None:
    """Evaluates a pointwise function over all rows.

    Args:
        plan: the plan that the function is of.
        inputs: (T, B, H) each, or (H).
        outputs: where to write the results, (T, B, H) each; None for those that aren't needed.
        add: whether they are added to the outputs.
    """
    like = next(out for out in outputs if out is not None)
    T, B, H = like.shape
    sizes = [ctypes.c_int64(n) for n in (T * B, H, add, count_threads(like.numel()))]
    number = ctypes.c_int64(list_functions(plan).index(f))
    build_library(plan, like.dtype).evaluate(number, make_operands(inputs), make_operands(outputs), *sizes)


class Iteration:
    """The steps of an iteration, and how much of the trajectory has converged.

    Args:
        system: the system to solve.
        tolerance: the largest residual of a row that has converged, relative to the largest of its elements.
        budget: the maximum number of iterations, which this form doesn't need to know.
        is_fixed: whether all of them run, which this form needn't know either.

    Attributes:
        converged: the number of steps, in the order in which they follow from each other, known to have converged before the last
            update; None if nothing is known yet.
    """

    def __init__(self, system: System, tolerance: float, budget: int, is_fixed: bool):
        self.system, self.tolerance = system, tolerance
        self.converged: int | None = 0
        T, B, H = system.T, system.B, system.H
        self.library = build_library(system.plan, system.values[0].dtype)
        threads = count_threads(T * B * H)
        self.largest = system.values[0].new_empty(threads, T, B, len(system.values), 2)
        self.given = [] if system.is_reversed else system.find_linearised_inputs()
        self.operands = make_operands(self.given)
        slopes = [slope for by in system.slopes for slope in by]
        self.pointers = [array("q", list_addresses(tensors)) for tensors in (system.trajectory, [*system.values, *slopes])]
        addresses = [pointers.buffer_info()[0] for pointers in self.pointers]
        self.trajectory = IterationBuffers(T, B, H, threads, *addresses, self.largest.data_ptr())

    def count_converged(self) -> int:
        """Returns the number of steps, in the order in which they follow from each other, that had converged before the last update."""
        assert self.converged is not None
        return self.converged

    def advance(self) -> None:
        """Updates the trajectory, whose values are not computed yet."""
        self.system.prepare_update()
        self.update()

    def update(self) -> None:
        """Solves the linearised system: adds to the trajectory the affine scan of its residuals. What overflows becomes 0. Counts the steps
        that had converged before; a residual that is no number has not."""
        self.largest.zero_()
        if self.system.is_reversed:
            self.library.update_gradients(ctypes.byref(self.trajectory))
        else:
            self.library.update_states(ctypes.byref(self.trajectory), self.operands)
        residual, scale = self.largest.amax(0).unbind(-1)
        ok = (residual <= self.tolerance * scale).flatten(1).all(-1)
        ok = ok.flip(0) if self.system.is_reversed else ok
        self.converged = int(ok.cumprod(0).sum())
