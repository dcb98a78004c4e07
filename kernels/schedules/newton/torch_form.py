"""The newton schedule in torch operations, on any device: the form that its kernels are compared with, and that a CPU runs."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isqrt

import torch
from torch import Tensor

from kernels.derive.adjoint import compile_pointwise
from kernels.derive.plan_types import Pointwise
from kernels.schedules.newton.systems import System

BLOCK = 2**15
"""Elements that a pointwise function is evaluated for at once, so that what is between its operations stays in a CPU's cache."""


def evaluate(f: Pointwise, inputs: Sequence[Tensor], outputs: Sequence[Tensor | None], add: bool = False) -> None:
    """Evaluates a pointwise function over all rows.

    Args:
        inputs: (T, B, H) each, or (H).
        outputs: where to write the results, (T, B, H) each; None for those that aren't needed.
        add: whether they are added to the outputs.
    """
    run, like = compile_pointwise(f), next(out for out in outputs if out is not None)
    rows = max(1, BLOCK // like[0].numel())
    for first in range(0, len(like), rows):
        now = slice(first, first + rows)
        for whole, value in zip(outputs, run(*(v[now] if v.dim() > 1 else v for v in inputs)), strict=True):
            if whole is not None:
                out = whole[now]
                value = value if isinstance(value, Tensor) else out.new_tensor(value)
                out.add_(value) if add else out.copy_(value)


def measure_residuals(system: System) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields for each state the largest residual of every row, and the largest finite element of its value and of the row before, (T, B)
    each."""
    T = system.T
    for value, rows in zip(system.values, system.trajectory, strict=True):
        now, source = (rows[:T], rows[1:]) if system.is_reversed else (rows[1:], rows[:T])
        yield largest(value - now), torch.maximum(*(largest(torch.where(v.isfinite(), v, 0.0)) for v in (value, source)))


def largest(values: Tensor) -> Tensor:
    """Returns the largest size in every row, without a copy of the whole."""
    low, high = values.aminmax(dim=-1)
    return torch.maximum(-low, high)


class Iteration:
    """The steps of an iteration behind the evaluation of a system, and how much of the trajectory has converged.

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

    def count_converged(self) -> int:
        """Returns the number of steps, in the order in which they follow from each other, that had converged before the last update."""
        assert self.converged is not None
        return self.converged

    def check(self) -> None:
        """Counts the steps of the trajectory that have converged. A residual that is no number has not."""
        system, T = self.system, self.system.T
        ok = torch.ones(T, dtype=torch.bool, device=system.values[0].device)
        for residual, scale in measure_residuals(system):
            ok &= (residual <= self.tolerance * scale).all(-1)
        ok = ok.flip(0) if system.is_reversed else ok
        self.converged = int(ok.cumprod(0).sum())

    def update(self) -> None:
        """Solves the linearised system: adds to the trajectory the affine scan of its residuals. What overflows becomes 0."""
        system, T = self.system, self.system.T
        rows = [r[:T] if system.is_reversed else r[1:] for r in system.trajectory]
        residuals = [value - now for value, now in zip(system.values, rows, strict=True)]
        scan([[slope.clone() for slope in by] for by in system.slopes], residuals, system.is_reversed)
        for now, change in zip(rows, residuals, strict=True):
            now.add_(change).nan_to_num_(0.0, 0.0, 0.0)


def scan(slopes: list[list[Tensor]], values: list[Tensor], is_reversed: bool) -> None:
    """Runs the affine recurrence v_t += slopes_t v_{t-1} in place, for t + 1 instead of t - 1 if it is reversed.

    Time is split into about √T chunks, which run at once from zero; then the end of each is carried into the next. The slopes, (T, …)
    each, are overwritten.
    """
    T = len(values[0])
    length = isqrt(T)
    body = slice(T - T // length * length, T) if is_reversed else slice(0, T // length * length)
    A = [[slope[body].unflatten(0, (-1, length)) for slope in by] for by in slopes]
    v = [value[body].unflatten(0, (-1, length)) for value in values]
    order = list(reversed(range(length))) if is_reversed else list(range(length))
    for last, now in pairwise(order):
        advance([[a[:, now] for a in by] for by in A], [x[:, now] for x in v], [x[:, last] for x in v])
        for by in A:
            columns = [sum(a[:, now] * A[k][q][:, last] for k, a in enumerate(by)) for q in range(len(by))]
            for a, column in zip(by, columns, strict=True):
                a[:, now] = column
    end, chunks = order[-1], list(range(T // length))
    chunks = chunks[::-1] if is_reversed else chunks
    for last, now in pairwise(chunks):
        advance([[a[now, end] for a in by] for by in A], [x[now, end] for x in v], [x[last, end] for x in v])
    inner, later, earlier = (slice(1, None), slice(0, -1), slice(1, None)) if is_reversed else (slice(0, -1), slice(1, None), slice(0, -1))
    advance([[a[later, inner] for a in by] for by in A], [x[later, inner] for x in v], [x[earlier, end, None] for x in v])
    rest = range(T % length)
    for i in rest:
        now, last = (T % length - 1 - i, T % length - i) if is_reversed else (T - T % length + i, T - T % length + i - 1)
        advance([[a[now] for a in by] for by in slopes], [x[now] for x in values], [x[last] for x in values])


def advance(slopes: Sequence[Sequence[Tensor]], values: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    """Adds to each value the product of the slopes and the values of the step before."""
    for by, value in zip(slopes, values, strict=True):
        for slope, last in zip(by, before, strict=True):
            value.addcmul_(slope, last)
