"""Backends that `bench calibrate` times: the equations of a cell in a Python loop, and the same with a share of more steps.

They are loaded as a user's backend is, by the name FILE.py:NAME: `plain` and `same` do the same work, and `slowed_5` has 5% more steps.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor

from bench.measure.problem import Problem
from bench.measure.workload import Result, Workload, wrap

PREFIX = "slowed_"


def build_steps(problem: Problem, percent: float) -> Workload:
    """Returns the workload of a problem with a percentage of more steps, whose results are thrown away."""
    extra = round(problem.T * percent / 100)

    def forward(x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Result:
        if extra:
            problem.cell.unroll(x[:extra], list(states), dict(weights))
        y, final = problem.cell.unroll(x, list(states), dict(weights))
        return y, tuple(final)

    return wrap(problem, forward, {name: value.clone().requires_grad_() for name, value in problem.weights.items()})


def __getattr__(name: str) -> Callable[[Problem], Workload]:
    if name in ("plain", "same"):
        return partial(build_steps, percent=0.0)
    if name.startswith(PREFIX):
        return partial(build_steps, percent=float(name.removeprefix(PREFIX)))
    raise AttributeError(name)
