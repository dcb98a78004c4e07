"""Measures how well states solve the equations of all time steps: for a backend that iterates until they do."""

import torch
from torch import Tensor

from bench.measure.problem import Problem
from bench.records import Errors
from bench.records.backend_table import LOW, strip_low
from kernels.derive.plan import plan
from kernels.layer.autograd import align, make_pass_inputs
from kernels.layer.checkpointing import CHUNK
from kernels.layer.input_products import recurrence_operands
from kernels.schedules.newton import newton
from kernels.schedules.newton.systems import ForwardSystem


def add_residual(errors: Errors, backend: str, problem: Problem) -> Errors:
    """Returns the errors with the residual of a backend that iterates; those of another backend unchanged."""
    if strip_low(backend) != "newton":
        return errors
    return errors.model_copy(update={"residual": measure_residual(problem, CHUNK if backend.endswith(LOW) else problem.T)})


@torch.no_grad()
def measure_residual(problem: Problem, length: int) -> float:
    """Returns the largest difference of a state and the step of the states before it, over the largest element of its sequence in either.

    Args:
        problem: The problem, which is solved again. Its states count as they are returned, in the dtype of the problem.
        length: The steps of a chunk that is solved at once.
    """
    made, states, found = plan(problem.cell), list(problem.states), list[Tensor]()
    operands = recurrence_operands(made, problem.x, problem.H, problem.weights)
    for first in range(0, problem.T, length):
        part = [None if v is None else align(v[first : first + length] if v.dim() > 2 else v) for v in operands]
        steps = min(length, problem.T - first)
        inputs = make_pass_inputs(made, newton, True, steps, [*part, *map(align, states)])
        wide = newton.widen(inputs)
        system = ForwardSystem(wide, wide.allocate_result(), newton.find_form(problem.device).evaluate)
        result = newton.forward(inputs)
        for rows, history in zip(system.trajectory, result.history, strict=True):
            rows[1:] = history
        system.evaluate()
        for value, before, after in zip(system.values, system.states_before(), result.history, strict=True):
            scale = torch.maximum(value.abs().amax(-1), before.abs().amax(-1)).clamp_min(torch.finfo(value.dtype).tiny)
            found.append(((value - after).abs().amax(-1) / scale).max())
        states = inputs.final_states(result)
    return float(torch.stack(found).max())
