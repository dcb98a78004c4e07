"""Builds a cell of the package pararnn-torch (github.com/bugkira/pararnn-torch, 0.17), which solves all time steps by Newton's method: on
a GPU by its fused kernels, on a CPU in eager torch.

It iterates until the largest residual is `RESIDUAL`, at most `ITERATIONS` times: the iterations of its default, three, are not enough for
the tolerance. Its bound on the recurrent parameters, which the paper doesn't have in the equations, is off.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.measure.problem import Problem
from bench.measure.workload import Result, Unsupported, Workload, requires_grad_copy

CELLS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "paragru": ("ParaGRU", "zrn", {"a_z": "p.z", "a_r": "p.r", "a_n": "p.n"}),
    "paralstm": ("ParaLSTM", "fgo", {"a_f": "p.fh", "a_z": "p.gh", "a_o": "p.oh", "c_f": "p.fc", "c_o": "p.oc"}),
}
"""Its cell for each of ours, the order of the gates in its input projection, and our name for each of its vectors."""
PACKAGE = "pararnn-torch"
RESIDUAL = 1e-7
ITERATIONS = 32


def build_pararnn(problem: Problem) -> Workload:
    """Builds a layer of the package with the weights of a problem. Raises Unsupported if it lacks the cell or isn't installed."""
    if problem.name not in CELLS:
        raise Unsupported("pararnn-torch has no such cell")
    if importlib.util.find_spec("pararnn") is None:
        raise Unsupported("pararnn-torch is not installed: pip install pararnn-torch")
    import pararnn

    name, gates, vectors = CELLS[problem.name]
    cell = getattr(pararnn, name)(problem.D, problem.H, max_recurrent_norm=None, device=problem.device, dtype=problem.dtype)
    parameters = dict(cell.named_parameters())
    parts = {"W_x.weight": [f"W.{k}" for k in gates], "W_x.bias": [f"b.{k}" for k in gates]} | {k: [v] for k, v in vectors.items()}
    with torch.no_grad():
        for key, names in parts.items():
            parameters[key].copy_(torch.cat([problem.weights[part] for part in names]))
    config = pararnn.NewtonConfig(max_iters=ITERATIONS, residual_atol=RESIDUAL)
    layer = pararnn.ParaRNN(cell, config=config, return_hidden=True, output_hidden=True, solver="newton", batch_first=False)

    def forward(inputs: Sequence[Tensor], states: Sequence[Tensor]) -> Result:
        if len(states) == 1:
            y, end = layer(inputs[0], states[0])
            return y, (end,)
        y, end = layer(inputs[0], torch.stack([states[1], states[0]], 1))  # its slots are (c, h)
        return y, (end[:, 1], end[:, 0])

    def named(gradients: Sequence[Any]) -> dict[str, Tensor]:
        found = dict(zip(parts, gradients, strict=True))
        return {part: d for key, names in parts.items() for part, d in zip(names, found[key].chunk(len(names)), strict=True)}

    return Workload(problem, forward, [requires_grad_copy(problem.x)], [parameters[key] for key in parts], named)
