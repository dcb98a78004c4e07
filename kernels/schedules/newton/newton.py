"""Solves all time steps at once by Newton's method, with the part of the Jacobian that stays within a unit.

An iteration is a product over all T·B rows for each group of recurrent products, the linearised step (`kernels.derive.linearised`), and
an affine scan over time. It is quasi-DEER (Gonzalez et al. 2024, 2407.19115) with derivatives from the equations, and exact Newton (DEER,
Lim et al. 2023, 2309.12252) for a cell without a recurrent product. The gradients are a linear system, solved in the same way backward
in time.

Each iteration makes at least one more step exact, as the first step's states are given. A step has converged if the residual of each of
its sequences, its states minus the step of the states before, is at most `TOLERANCE` units in the last place. What hasn't converged in
`BUDGET` iterations runs step by step, by another schedule, from the last step that has: the result is that of the equations, NaN
included. How many iterations run depends on the numbers alone; under torch.use_deterministic_algorithms it is the budget always. A layer
that keeps a history (`RNN.keep_newton_history`) goes by its earlier calls too.

A pass in 16 bit iterates in float32, with float32 copies of the matrices too, and rounds what it returns.
"""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from kernels.derive.linearised import find_obstacle
from kernels.derive.plan import Plan
from kernels.schedules.cpu import compiled
from kernels.schedules.interface import SIXTEEN_BIT, ForwardResult, Gradients, PassInputs
from kernels.schedules.newton import cpu_form
from kernels.schedules.newton.pass_history import PassHistory
from kernels.schedules.newton.systems import BackwardSystem, ForwardSystem, System
from kernels.schedules.stepwise import stepwise

try:
    from kernels.schedules.newton import triton_form
    from kernels.schedules.scan import scan
except ImportError as missing:
    if missing.name is None or not missing.name.startswith("triton"):
        raise
    triton_form = scan = None  # type: ignore[assignment]

COMPUTES_PROJECTIONS = False
WIDE_VECTORS = True
BUDGET = 32
"""Maximum number of iterations of a pass. Cells that mix units through gates alone take fewer than 25 with weights six times as large as
at their start; what takes more is faster step by step."""
TOLERANCE = 8
"""The largest residual of a step that has converged, in units in the last place of the largest element of its row."""
NO_HISTORY = PassHistory(warm_start=False, pause=False)
ALIGNED_STEPS = 4
"""The rest begins at a multiple of so many steps: its buffers are then aligned to 16 bytes, as Triton assumes."""


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    """Returns None if this schedule can run a plan on a device, else a verb phrase that completes "the backend 'x' …"."""
    if found := find_obstacle(plan):
        return f"solves for units that read themselves, and those of {plan.cell.name} read {found}"
    reason: str | None = find_rest(plan, device).unsupported_reason(plan, dtype, device, B, H)
    return reason


def widen(inputs: PassInputs) -> PassInputs:
    """Returns a copy in float32, matrices too, of inputs in 16 bit, else the inputs themselves."""
    wide = inputs.widen()
    return inputs if wide is inputs else replace(wide, weights=[W.float() for W in inputs.weights])


def find_tolerance(dtype: torch.dtype) -> float:
    """Returns the largest residual of a step that has converged, for a pass whose tensors are of `dtype`: in 16 bit an eighth of what
    rounding the step's result costs in any case."""
    return torch.finfo(dtype).eps * (1 / 16 if dtype in SIXTEEN_BIT else TOLERANCE)


def find_rest(plan: Plan, device: torch.device) -> ModuleType:
    """Returns the schedule that runs the steps that have not converged, from any of them on."""
    return compiled if device.type == "cpu" else stepwise if plan.stages or scan is None else scan


def is_captured(inputs: PassInputs) -> bool:
    """Returns whether the caller captures a CUDA graph, in which the host can't read how far an iteration has come. The whole pass then
    runs step by step."""
    return inputs.states[0].is_cuda and torch.cuda.is_current_stream_capturing()


def find_form(device: torch.device) -> Any:
    """Returns the form for a device: a module with `evaluate` and `Iteration`."""
    return cpu_form if device.type == "cpu" else triton_form


def iterate(system: System, tolerance: float, budget: int) -> Iterator[Any]:
    """Yields the iteration after each update of the trajectory; ends one update after all steps are known to have converged, or under
    torch.use_deterministic_algorithms after the budget."""
    is_fixed = torch.are_deterministic_algorithms_enabled()
    iteration = find_form(system.values[0].device).Iteration(system, tolerance, budget, is_fixed)
    for _ in range(budget):
        if iteration.converged == system.T and not is_fixed:
            return
        iteration.advance()
        yield iteration


def solve(system: System, dtype: torch.dtype, history: PassHistory) -> int:
    """Solves a system within the budget and returns the number of steps that have converged, in the order of `System.is_reversed`.

    Args:
        dtype: that of the pass.
        history: of the passes before it.
    """
    history.start(system)
    *_, last = iterate(system, find_tolerance(dtype), BUDGET)
    found: int = last.count_converged()
    history.note(system, found)
    return found


class OnHistory:
    """This schedule for one call of a layer, which keeps what its passes find.

    Args:
        forward, backward: the histories of the layer's passes.
    """

    COMPUTES_PROJECTIONS, WIDE_VECTORS = COMPUTES_PROJECTIONS, WIDE_VECTORS

    def __init__(self, forward: PassHistory, backward: PassHistory):
        self.histories = forward, backward

    def forward(self, inputs: PassInputs) -> ForwardResult:
        """Runs the forward pass."""
        return forward(inputs, self.histories[0])

    def backward(self, inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
        """Runs the backward pass."""
        return backward(inputs, result, dy, d_final, self.histories[1])


def forward(inputs: PassInputs, history: PassHistory = NO_HISTORY) -> ForwardResult:
    """Runs the forward pass."""
    if is_captured(inputs) or history.skips():
        whole: ForwardResult = find_rest(inputs.plan, inputs.states[0].device).forward(inputs)
        return whole
    result, wide = inputs.allocate_result(), widen(inputs)
    computed = result if wide is inputs else wide.allocate_result()
    system = ForwardSystem(wide, computed, find_form(inputs.states[0].device).evaluate)
    converged = solve(system, inputs.states[0].dtype, history)
    for kept, rows in zip(computed.history, system.trajectory, strict=True):
        kept.copy_(rows[-len(kept) :])
    if converged < inputs.T:
        run_rest(wide, system, computed, converged // ALIGNED_STEPS * ALIGNED_STEPS)
    if wide is not inputs:
        inputs.store(result, wide, computed)
    return result


def run_rest(inputs: PassInputs, system: ForwardSystem, result: ForwardResult, first: int) -> None:
    """Runs the steps from `first` on step by step, and writes their results."""
    history = [h[first:] for h in inputs.history] if inputs.history else None
    terms = [t[first:] for t in inputs.terms]
    part = PassInputs(
        inputs.plan, inputs.T - first, [(v[first:], None, bias) for v, _, bias in inputs.projections],
        [None if h is None else h[first:] for h in inputs.hoisted], terms, inputs.vectors, inputs.weights,
        [rows[first].clone() for rows in system.trajectory], history,
    )  # fmt: skip
    found: ForwardResult = find_rest(inputs.plan, inputs.states[0].device).forward(part)
    for kept, new in zip(result.history, found.history, strict=True):
        kept[-len(new) :] = new
    for argument, new in zip(result.arguments, found.arguments, strict=True):
        argument[first:] = new


def backward(
    inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor], history: PassHistory = NO_HISTORY
) -> Gradients:
    """Runs the backward pass. Gradients of a pass in 16 bit are in float32."""
    if is_captured(inputs) or history.skips():
        whole: Gradients = find_rest(inputs.plan, inputs.states[0].device).backward(inputs, result, dy, d_final)
        return whole
    dtype, inputs, result = inputs.states[0].dtype, widen(inputs), result.widen()
    dy = None if dy is None else dy.to(inputs.states[0].dtype)
    system = BackwardSystem(inputs, result, dy, d_final, find_form(inputs.states[0].device).evaluate)
    count = inputs.T - solve(system, dtype, history)
    system.finish()
    vectors = [d[count:].sum((0, 1)) for d in system.d_vectors]
    states = [rows[0].clone() for rows in system.trajectory]
    if count:
        found = run_rest_backward(inputs, system, result, count)
        states = found.states
        for d, new in zip(vectors, found.vectors, strict=True):
            d += new
        for d_term, new in zip(system.d_terms, found.terms, strict=True):
            d_term[:count] = new
    return Gradients(system.d_terms, vectors, states)


def run_rest_backward(inputs: PassInputs, system: BackwardSystem, result: ForwardResult, count: int) -> Gradients:
    """Runs the backward pass of the first `count` steps step by step."""
    dy = None
    if system.dy is not None:  # the last row is in the trajectory already
        dy = system.dy[:count].clone()
        dy[-1] = 0
    part = PassInputs(
        inputs.plan, count, [(v[:count], None, bias) for v, _, bias in inputs.projections], [], [t[:count] for t in inputs.terms],
        inputs.vectors, inputs.weights, inputs.states,
    )  # fmt: skip
    before = ForwardResult([h[:count] for h in result.history], [a[:count] for a in result.arguments])
    found: Gradients = find_rest(inputs.plan, inputs.states[0].device).backward(
        part, before, dy, [rows[count].clone() for rows in system.trajectory]
    )
    return found
