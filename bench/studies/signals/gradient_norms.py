"""Measures how far a gradient propagates: ‖∂L/∂s_t‖ by lag, ‖∂L/∂s_0‖ by length, and the norm for every parameter."""

import math

import torch
from torch import Tensor

from bench.measure.backends import make_layer
from bench.measure.problem import Problem
from bench.records import GradientRecord
from bench.studies.signals.chunked_vjp import ChunkedVJP, chunk_boundaries
from kernels.layer.select import select_schedule

LOSS = "L_b = y_T,b · g_b with g_b standard normal: the output of the last step only, for each sequence b"
SHORTEST_STORED = 64
"""Gradients of sequences up to this length are compared with the eager float64 reference, longer ones with the backend in float64."""


def measure_gradients(problem: Problem, init: str = "default", backend: str = "auto", compare: bool = False) -> GradientRecord:
    """Measures the gradients of the last output with respect to all earlier states and the parameters.

    Args:
        problem: The cell, its sizes, weights and data.
        init: The name of the initialisation, which the record stores.
        backend: The backend of the layer.
        compare: Compare the gradients with those in float64 too.
    """
    chain = make_vjp(problem, backend, problem.dtype)
    by_lag, kept, non_finite = list[float](), list[Tensor](), 0
    for link in chain.pull_back():
        gradient = torch.cat(link.states, 1)
        by_lag.append(drop_non_finite(gradient).norm(dim=1).mean().item())
        non_finite += int((~torch.isfinite(gradient)).sum())
        kept += [gradient.double()] if compare else []
    ran = select_schedule(chain.rnn.backend, chain.rnn.plan, problem.dtype, problem.device, problem.B, problem.H)
    return GradientRecord(
        cell=problem.name, T=problem.T, B=problem.B, D=problem.D, H=problem.H,
        dtype=str(problem.dtype).removeprefix("torch."), seed=problem.seed, loss=LOSS, init=init,
        backend="eager" if ran is None else ran.__name__.rpartition(".")[2], by_lag=by_lag, lags=list(chain.lags),
        parameters={name: (drop_non_finite(g) / problem.B).norm().item() for name, g in chain.weights.items()},
        non_finite=non_finite + sum(int((~torch.isfinite(g)).sum()) for g in chain.weights.values()),
        errors=relative_distances(problem, kept) if compare else [],
    )  # fmt: skip


def make_vjp(problem: Problem, backend: str, dtype: torch.dtype) -> ChunkedVJP:
    """Returns the chunked backward pass of a problem, in a data type."""
    states = [s.to(dtype) for s in problem.states]
    upstream = [problem.dy[-1].to(dtype), *(torch.zeros_like(s) for s in states[1:])]
    return ChunkedVJP(make_layer(backend, problem, dtype), problem.x.to(dtype), states, upstream, chunk_boundaries(problem.T))


def relative_distances(problem: Problem, found: list[Tensor]) -> list[float]:
    """Returns, for each lag, the distance of the gradients from the float64 ones, relative to the norm of the latter; infinite if it is
    0."""
    exact = make_vjp(problem, "eager" if problem.T <= SHORTEST_STORED else "auto", torch.float64)
    pairs = ((g, torch.cat(link.states, 1)) for g, link in zip(found, exact.pull_back(), strict=True))
    return [((g - e).norm() / e.norm()).nan_to_num(math.inf, math.inf).item() if g.ne(e).any() else 0.0 for g, e in pairs]


def drop_non_finite(gradient: Tensor) -> Tensor:
    return torch.nan_to_num(gradient.double(), nan=0.0, posinf=0.0, neginf=0.0)
