"""Measures how many iterations of Newton's method solve all time steps at once: the schedule `newton`, and what it depends on.

Two properties may matter. Contraction: how a difference of states dies away, the largest Lyapunov exponent. Diagonality: how much of a
step's derivatives stays within a unit, of which the iteration takes exact account. Let D be that part of the derivatives of all steps,
N the rest. One iteration turns an error e into (1 - D)⁻¹N e in linear order; the rate is the root mean square of that factor over random
errors, and a prediction of the iterations is ln(tolerance) / ln(rate). N is nilpotent, so that any error is gone after T iterations.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from bench.measure.backends import make_layer
from bench.measure.problem import Problem
from bench.records import ParallelRecord
from bench.studies.signals.chunked_vjp import ChunkedVJP
from bench.studies.signals.lyapunov import STRETCH
from kernels.derive.plan import plan
from kernels.layer.autograd import align, make_pass_inputs
from kernels.layer.input_products import recurrence_operands
from kernels.schedules.interface import ForwardResult, PassInputs
from kernels.schedules.newton import newton
from kernels.schedules.newton.systems import BackwardSystem, ForwardSystem, System

TOLERANCES = (1e-3, 1e-6)
BUDGET = 60


def measure_iterations(problem: Problem, init: str, scale: float = 1.0, full: bool = True) -> ParallelRecord:
    """Measures the iterations of one problem, forward and backward.

    Args:
        problem: The cell, its sizes, weights and data.
        init: The name of the initialisation, which the record stores.
        scale: A factor of the recurrent matrices.
        full: Whether to iterate with all derivatives too, which takes T steps in an iteration.
    """
    weights = scale_recurrent(problem, scale)
    inputs, reference = make_inputs(problem, weights), make_inputs(problem, weights)
    result: ForwardResult = newton.find_rest(inputs.plan, problem.device).forward(reference)
    forward = ForwardSystem(inputs, inputs.allocate_result(), newton.find_form(problem.device).evaluate)
    states = count_iterations(forward, lambda: deviation([forward.trajectory[0][1:]], result.history[:1]))
    backward_inputs = PassInputs(
        inputs.plan, inputs.T, [(v, None, b) for v, _, b in reference.projections], [], reference.terms, inputs.vectors, inputs.weights,
        inputs.states,
    )  # fmt: skip
    zeros = [torch.zeros_like(s) for s in inputs.states]
    expected = newton.find_rest(inputs.plan, problem.device).backward(backward_inputs, result, problem.dy, zeros).terms
    backward = BackwardSystem(backward_inputs, result, problem.dy, zeros, newton.find_form(problem.device).evaluate)

    def gradient_error() -> float:
        backward.finish()
        return deviation(backward.d_terms, expected)

    gradients = count_iterations(backward, gradient_error)
    coupling, rate = measure_coupling(backward_inputs, result)
    found = count_full_iterations(problem, weights, result) if full else []
    return ParallelRecord(
        cell=problem.name, T=problem.T, B=problem.B, D=problem.D, H=problem.H, dtype=str(problem.dtype).removeprefix("torch."),
        seed=problem.seed, init=init, scale=scale, tolerances=list(TOLERANCES), states=states, gradients=gradients, full=found,
        budget=BUDGET, exponent=measure_exponent(problem, weights), coupling=coupling, rate=rate,
    )  # fmt: skip


def scale_recurrent(problem: Problem, scale: float) -> dict[str, Tensor]:
    """Returns the weights with the recurrent matrices multiplied by a factor."""
    recurrent = {f"W.{name}" for name in plan(problem.cell).recurrent}
    return {name: value * scale if name in recurrent else value for name, value in problem.weights.items()}


def make_inputs(problem: Problem, weights: dict[str, Tensor]) -> PassInputs:
    """Returns the inputs of a forward pass that keeps what a backward pass needs."""
    made = plan(problem.cell)
    tensors = [*recurrence_operands(made, problem.x, problem.H, weights), *problem.states]
    return make_pass_inputs(made, newton, True, problem.T, [None if t is None else align(t) for t in tensors])


def deviation(found: list[Tensor], expected: list[Tensor]) -> float:
    """Returns the largest max|Δ| / max|expected|; NaN if a value is no number."""
    errors = [(a - b).abs().max() / b.abs().max().clamp_min(torch.finfo(b.dtype).tiny) for a, b in zip(found, expected, strict=True)]
    return float(torch.stack(errors).max())


def first_below(errors: list[float]) -> list[int | None]:
    """Returns the iteration, counted from 1, whose error is the first that each tolerance allows."""
    return [next((k for k, error in enumerate(errors, 1) if error <= tolerance), None) for tolerance in TOLERANCES]


def count_iterations(system: System, measure_error: Callable[[], float]) -> list[int | None]:
    """Returns the iterations that reach each tolerance.

    Args:
        system: The system to solve.
        measure_error: Returns the error of its trajectory.
    """
    errors: list[float] = []
    for _ in newton.iterate(system, 0.0, BUDGET):  # the schedule's residual may be reached before the error's smallest tolerance is
        errors.append(measure_error())
        if errors[-1] <= min(TOLERANCES):
            break
    return first_below(errors)


def count_full_iterations(problem: Problem, weights: dict[str, Tensor], result: ForwardResult) -> list[int | None]:
    """Returns the iterations that reach each tolerance with all derivatives of a step."""
    inputs = make_inputs(problem, weights)
    system, errors = ForwardSystem(inputs, inputs.allocate_result(), newton.find_form(problem.device).evaluate), list[float]()
    for _ in range(BUDGET):
        system.evaluate()
        for rows, change in zip(system.trajectory, zip(*solve_linearised(problem, weights, system), strict=True), strict=True):
            rows[1:].add_(torch.stack(change)).nan_to_num_(0.0, 0.0, 0.0)
        errors.append(deviation([system.trajectory[0][1:]], result.history[:1]))
        if errors[-1] <= min(TOLERANCES):
            break
    return first_below(errors)


def solve_linearised(problem: Problem, weights: dict[str, Tensor], system: ForwardSystem) -> Iterator[tuple[Tensor, ...]]:
    """Yields the changes of all states after every step, from one to the next by the derivatives of the equations."""
    change = tuple(torch.zeros_like(s) for s in problem.states)
    for t in range(problem.T):
        before = problem.x[t - 1] if t else None

        def step(*states: Tensor, t: int = t, before: Tensor | None = before) -> tuple[Tensor, ...]:
            return problem.cell.unroll(problem.x[t : t + 1], states, weights, before)[1]

        slope = torch.autograd.functional.jvp(step, tuple(rows[t] for rows in system.trajectory), change)[1]
        change = tuple(d + value[t] - rows[t + 1] for d, value, rows in zip(slope, system.values, system.trajectory, strict=True))
        yield change


def measure_coupling(inputs: PassInputs, result: ForwardResult) -> tuple[float, float]:
    """Returns the share of derivatives between units, and the rate, from random errors."""
    zeros = [torch.zeros_like(s) for s in inputs.states]
    system = BackwardSystem(inputs, result, None, zeros, newton.find_form(zeros[0].device).evaluate)
    generator = torch.Generator().manual_seed(0)
    for rows in system.trajectory:
        rows.copy_(torch.randn(rows.shape, generator=generator))
    system.evaluate()
    size = sum(float(rows.square().sum()) for rows in system.trajectory)
    whole = sum(float(value.square().sum()) for value in system.values)
    later = [rows[1:] for rows in system.trajectory]
    for value, by in zip(system.values, system.slopes, strict=True):
        for slope, row in zip(by, later, strict=True):
            value.addcmul_(slope, row, value=-1)
    between = sum(float(value.square().sum()) for value in system.values)
    change, grown = [torch.zeros_like(value[0]) for value in system.values], 0.0
    for t in reversed(range(system.T)):
        moved = [[slope[t] * d for slope, d in zip(by, change, strict=True)] for by in system.slopes]
        change = [value[t] + sum(parts) for value, parts in zip(system.values, moved, strict=True)]
        grown += sum(float(d.square().sum()) for d in change)
    return (between / whole if whole else 0.0), math.sqrt(grown / size)


def measure_exponent(problem: Problem, weights: dict[str, Tensor]) -> float:
    """Returns the largest Lyapunov exponent along the first sequence; -inf if differences vanish, NaN if a state isn't finite."""
    rnn = make_layer("auto", problem)
    rnn.set_weights(weights)
    generator = torch.Generator().manual_seed(problem.seed)
    vector = [torch.randn(1, problem.H, generator=generator).to(s) for s in problem.states]
    lags = sorted({*range(0, problem.T, STRETCH), problem.T})
    links = list(ChunkedVJP(rnn, problem.x[:, :1].contiguous(), [s[:1] for s in problem.states], vector, lags, unit=True).pull_back())
    turned = next(link for link in links if 10 * link.lag >= problem.T)
    if not torch.cat(links[-1].states, 1).any():
        return -math.inf
    return float((links[-1].scale - turned.scale) / max(1, links[-1].lag - turned.lag))
