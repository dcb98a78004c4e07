"""Jacobians of the last state over lag, and their singular values.

Row i of ∂s_T/∂s_{T-k} and ∂h_T/∂x_{T-k} is the gradient of the i-th entry of s_T: as many copies of the sequence as there are rows go
through the backend as one batch, and one backward pass has the rows at every lag. Where that is too many, random combinations of
the rows tell the mean square of the singular values: E‖Jᵀg‖² = ‖J‖² for g standard normal (Hutchinson 1990).
"""

import torch
from torch import Tensor

from bench.dynamics.chain import Chain, doubling
from bench.measure.backends import layer
from bench.measure.problem import Problem
from bench.records import JacobianRecord, Spectrum
from kernels.backend import choose

ROWS = 512
"""The most rows that are written out."""
PROBES = 64
"""Random vectors where they aren't: the mean square then has a standard error of some √(2/64)/√rank, at most 18%."""


def measure(problem: Problem, init: str = "default", backend: str = "auto") -> JacobianRecord:
    """Along the first sequence of a problem, from its random initial states."""
    cell, H, dtype = problem.cell, problem.H, problem.dtype
    count = len(cell.states)
    whole = count * H <= ROWS
    rows = torch.eye(count * H) if whole else probes(count * H, H, problem.seed)
    upstream = [part.to(problem.device, dtype).contiguous() for part in rows.split(H, dim=1)]
    x = problem.x[:, :1].expand(-1, len(rows), -1).contiguous()
    states = [s[:1].expand(len(rows), -1).contiguous() for s in problem.states]
    chain = Chain(layer(backend, problem), x, states, upstream, doubling(problem.T))
    links = list(chain.back())
    ran = choose(chain.rnn.backend, chain.rnn.plan, dtype, problem.device, len(rows), H)
    return JacobianRecord(
        cell=cell.name, T=problem.T, D=problem.D, H=H, dtype=str(dtype).removeprefix("torch."), seed=problem.seed, init=init,
        backend="eager" if ran is None else ran.__name__.rpartition(".")[2], lags=list(chain.lags), probes=0 if whole else PROBES,
        state=spectrum([torch.cat(link.states, 1)[: None if whole else PROBES] for link in links], count * H, whole),
        input=spectrum([g[:H] if whole else g[PROBES:] for g in (link.input for link in links) if g is not None], min(H, problem.D), whole),
    )  # fmt: skip


def probes(width: int, H: int, seed: int) -> Tensor:
    """Random vectors over all states, then as many over h, the first H of them, alone."""
    drawn = torch.randn(2 * PROBES, width, generator=torch.Generator().manual_seed(seed))
    drawn[PROBES:, H:] = 0.0
    return drawn


def spectrum(jacobians: list[Tensor], rank: int, whole: bool) -> Spectrum:
    """Of Jacobians, or of their products with random vectors."""
    if not whole:
        return Spectrum(mean_square=[(j.double().square().sum().item() / len(j)) / rank for j in jacobians])
    values = [torch.linalg.svdvals(j.double()).tolist() if j.isfinite().all() else [] for j in jacobians]
    return Spectrum(values=values, mean_square=[j.double().square().sum().item() / rank for j in jacobians])
