"""Measures the Jacobians of the last state by lag, and their singular values.

Row i of ∂s_T/∂s_{T-k} and ∂h_T/∂x_{T-k} is the gradient of the i-th entry of s_T. A batch with one copy of the sequence for each row
runs through the backend, and one backward pass gives the rows at every lag. If there are too many rows, random combinations of them give
the mean square of the singular values: E‖Jᵀg‖² = ‖J‖² for g standard normal (Hutchinson 1990).

∂h_T/∂z_{T-k} comes from the rows of ∂h_T/∂s_{T-k} by the equations of the single step from s_{T-k-1}; z is the latent value that a cell
computes from its input alone (MinimalRNN's, Chen 2017).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.measure.backends import make_layer
from bench.measure.problem import Problem
from bench.records import JacobianRecord, Spectrum
from bench.studies.signals import input_latent
from bench.studies.signals.chunked_vjp import ChunkedVJP, VJPStep, octave_lags
from kernels.layer.select import select_schedule

ROWS = 512
"""The largest number of rows that are computed exactly."""
PROBES = 64
"""The number of random vectors for more rows. The standard error of the mean square is then about √(2/64)/√rank, at most 18%."""


def measure_jacobians(problem: Problem, init: str = "default", backend: str = "auto") -> JacobianRecord:
    """Measures the Jacobians along the first sequence of a problem, from its random initial states.

    Args:
        problem: The cell, its sizes, weights and data.
        init: The name of the initialisation, which the record stores.
        backend: The backend of the layer.
    """
    cell, H, dtype = problem.cell, problem.H, problem.dtype
    count = len(cell.states)
    whole = count * H <= ROWS
    rows = torch.eye(count * H) if whole else draw_probes(count * H, H, problem.seed)
    upstream = [part.to(problem.device, dtype).contiguous() for part in rows.split(H, dim=1)]
    x = problem.x[:, :1].expand(-1, len(rows), -1).contiguous()
    states = [s[:1].expand(len(rows), -1).contiguous() for s in problem.states]
    chain = ChunkedVJP(make_layer(backend, problem), x, states, upstream, octave_lags(problem.T))
    links = list(chain.pull_back())
    of_h = slice(H) if whole else slice(PROBES, None)
    inner = [g for g in latent_jacobians(problem, links[:-1], of_h) if g is not None]
    ran = select_schedule(chain.rnn.backend, chain.rnn.plan, dtype, problem.device, len(rows), H)
    return JacobianRecord(
        cell=problem.name, T=problem.T, D=problem.D, H=H, dtype=str(dtype).removeprefix("torch."), seed=problem.seed, init=init,
        backend="eager" if ran is None else ran.__name__.rpartition(".")[2], lags=list(chain.lags), probes=0 if whole else PROBES,
        state=make_spectrum([torch.cat(link.states, 1)[: None if whole else PROBES] for link in links], count * H, whole),
        input=make_spectrum([link.input[of_h] for link in links if link.input is not None], min(H, problem.D), whole),
        latent=make_spectrum(inner, min(H, inner[0].shape[1]), whole) if inner else None,
    )  # fmt: skip


def latent_jacobians(problem: Problem, links: list[VJPStep], rows: slice) -> Iterator[Tensor | None]:
    """Yields rows of ∂h_T/∂z_{T-k} at every lag; None if the cell has no latent value."""
    cell, x, weights = problem.cell, problem.x[:, :1], problem.weights
    path = [tuple(s[:1] for s in problem.states)]
    for x_t in x.split(1):
        path.append(cell.unroll(x_t, path[-1], weights)[1])
    for link in links:
        t = problem.T - link.lag - 1
        yield input_latent.latent_gradient(cell, x[t], path[t], weights, [g[rows] for g in link.states])


def draw_probes(width: int, H: int, seed: int) -> Tensor:
    """Returns PROBES random vectors over all states, then PROBES over h, the first H entries, alone: (2 · PROBES, width)."""
    drawn = torch.randn(2 * PROBES, width, generator=torch.Generator().manual_seed(seed))
    drawn[PROBES:, H:] = 0.0
    return drawn


def make_spectrum(jacobians: list[Tensor], rank: int, whole: bool) -> Spectrum:
    """Returns the singular values and mean squares of Jacobians or, unless `whole`, the mean squares from products with random vectors."""
    if not whole:
        return Spectrum(mean_square=[(j.double().square().sum().item() / len(j)) / rank for j in jacobians])
    values = [torch.linalg.svdvals(j.double()).tolist() if j.isfinite().all() else [] for j in jacobians]
    return Spectrum(values=values, mean_square=[j.double().square().sum().item() / rank for j in jacobians])
