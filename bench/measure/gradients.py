"""How far a gradient travels: ‖∂L/∂s_t‖ by lag, ‖∂L/∂s_0‖ by length, and the norm for every learned value."""

import torch
from torch import Tensor

from bench.measure.problem import Problem
from bench.records import GradientRecord
from cells.cell import Learned

LOSS = "L_b = y_T,b · g_b with g_b standard normal: the output of the last step only, for each sequence b"


def measure(problem: Problem) -> GradientRecord:
    """Unroll the equations and differentiate the last output by every state on the way there."""
    cell, weights = problem.cell, {k: v.clone().requires_grad_() for k, v in problem.weights.items()}
    W = Learned(lambda name: lambda v: torch.nn.functional.linear(v, weights[f"W.{name}"]))
    b, p = Learned(lambda name: weights[f"b.{name}"]), Learned(lambda name: weights[f"p.{name}"])
    path: list[tuple[Tensor, ...]] = [tuple(s.clone().requires_grad_() for s in problem.states)]
    for x_t in problem.x.unbind(0):
        path.append(tuple(s.clone() for s in cell(path[-1], x_t, W, b, p)))  # c_t itself, not also what h_t takes from it
    loss = (path[-1][0] * problem.dy[-1]).sum()
    flat = [state for states in path for state in states]
    gradients = torch.autograd.grad(loss, [*flat, *weights.values()], allow_unused=True)
    found = [torch.zeros_like(v) if g is None else g for g, v in zip(gradients, [*flat, *weights.values()], strict=True)]
    count = len(cell.states)
    by_time = [torch.cat(found[k : k + count], dim=1) for k in range(0, len(flat), count)]
    return GradientRecord(
        cell=cell.name, T=problem.T, B=problem.B, D=problem.D, H=problem.H,
        dtype=str(problem.dtype).removeprefix("torch."), seed=problem.seed, loss=LOSS,
        by_lag=[finite(g).norm(dim=1).mean().item() for g in reversed(by_time)],
        parameters={k: (finite(g) / problem.B).norm().item() for k, g in zip(weights, found[len(flat) :], strict=True)},
        non_finite=sum(int((~torch.isfinite(g)).sum()) for g in found),
    )  # fmt: skip


def finite(gradient: Tensor) -> Tensor:
    return torch.nan_to_num(gradient.double(), nan=0.0, posinf=0.0, neginf=0.0)
