"""Analyses a trained layer: what drives its units' updates, how open its gates are, and how robust it is to noise."""

import torch
from torch import Tensor, nn

from bench.records.training_record import Gate, LearnedRecord, Trial
from bench.studies.training.noise_robustness import add_noise
from bench.studies.training.task import Task
from cells.grammar.cell import Cell
from kernels import RNN
from kernels.derive.graph import Node
from kernels.derive.plan_types import addends
from kernels.layer.input_products import GraphEvaluator, bind_inputs

SEQUENCES, STEPS, UNITS, POINTS = 16, 100, 6, 64
"""The sequences and steps of validation data that are analysed, the units whose trajectories are stored, and the points at which
derivatives are computed."""

ENTRIES = 2**24
"""The largest number of entries of all derivatives; for a wide layer, derivatives are computed at fewer points."""

NOISE = (0.1, 0.3, 1.0)
States = tuple[Tensor, ...]


@torch.no_grad()
def analyze_units(task: Task, model: nn.Module, trial: Trial) -> LearnedRecord:
    """Returns the analysis of a trained model on validation data, and its metric on test data with noise.

    Args:
        task: The task.
        model: The trained model.
        trial: The training.
    """
    rnn = model.rnn
    assert isinstance(rnn, RNN)
    x = task.inputs(model)[:STEPS, :SEQUENCES]
    path = run_states(rnn, x)
    own, neighbours, input = variance_shares(rnn.cell, x, path, rnn.weights())
    noise = {"none": task.measure(model, "test")}
    for scale in NOISE:
        for kind in ("inputs", "states"):
            with add_noise(model, **{kind: scale}):
                noise[f"{kind} {scale:g}"] = task.measure(model, "test")
    return LearnedRecord(
        trial=trial, own=own, neighbours=neighbours, input=input, gates=measure_gates(rnn, x, path),
        trajectories=path[0][1:, 0, :UNITS].T.tolist(), noise=noise, field=task.field(model),
    )  # fmt: skip


def run_states(rnn: RNN, x: Tensor) -> States:
    """Returns every state (T + 1, B, H) along a sequence, the initial one first."""
    path: list[States] = [tuple(rnn.cell.initial(x, x.shape[1], rnn.hidden_size))]
    weights, before = rnn.weights(), None
    for x_t in x.split(1):
        path.append(rnn.cell.unroll(x_t, path[-1], weights, before)[1])
        before = x_t[0]
    return tuple(torch.stack(s) for s in zip(*path, strict=True))


def variance_shares(cell: Cell, x: Tensor, path: States, weights: dict[str, Tensor]) -> tuple[float, float, float]:
    """Returns the shares of the variance of a unit's next state, to first order, that come from its own states, from its neighbours' and
    from the input.

    These are treated as independent. The derivatives are taken at up to POINTS points along the path, in float64.

    Args:
        cell: The cell.
        x: The input (T, B, D).
        path: The states (T + 1, B, H) each.
        weights: The parameters by name.
    """
    parameters = {name: value.double() for name, value in weights.items()}
    learned = cell.bind_parameters(parameters)
    before = [s[:-1].flatten(0, 1).double() for s in path]
    flat, last = (v.flatten(0, 1).double() for v in (x, torch.cat([torch.zeros_like(x[:1]), x[:-1]])))
    H, count = before[0].shape[1], len(before)
    joined = torch.cat(before, dim=1)
    finite = joined.isfinite().all(1)  # a state may begin at -inf
    joined, flat, last = joined[finite], flat[finite], last[finite]

    def step(state: Tensor, x_t: Tensor, before: Tensor) -> Tensor:
        return torch.cat(cell(state.split(H), x_t, learned, before))

    points = max(1, min(POINTS, len(flat), ENTRIES // (H * count) ** 2))
    chosen = torch.linspace(0, len(flat) - 1, points, device=x.device).long()
    of_state, of_input = torch.func.vmap(torch.func.jacrev(step, argnums=(0, 1)))(joined[chosen], flat[chosen], last[chosen])
    from_state = (of_state**2 * joined.var(0, correction=0)).view(-1, count, H, count, H)
    own = from_state.diagonal(dim1=2, dim2=4).sum()
    input = (of_input**2 * flat.var(0, correction=0)).sum()
    total = from_state.sum() + input
    return (own / total).item(), ((from_state.sum() - own) / total).item(), (input / total).item()


def measure_gates(rnn: RNN, x: Tensor, path: States) -> list[Gate]:
    """Returns the quantiles over time of every sigmoid of the cell."""
    plan = rnn.plan
    given = bind_inputs(plan, x) | {leaf: s[:-1] for leaf, s in zip(plan.states, path, strict=True)}
    values = GraphEvaluator(given, rnn.weights())
    found = {node: values[node] for node in plan.ordered_nodes if node.op == "call" and node.label == "sigmoid"}
    return [measure_gate(node, v if v.dim() == 3 else v.expand(len(x), 1, len(v))) for node, v in found.items()]


def measure_gate(node: Node, value: Tensor) -> Gate:
    """Returns the quantiles of a gate. Its name is the cell's name for it, else that of its bias."""
    biases = [n.label for n in addends(node.args[0]) if n.op == "b"]
    levels = torch.tensor((0.1, 0.5, 0.9), dtype=value.dtype, device=value.device)
    low, middle, high = value.flatten(1).quantile(levels, dim=1).tolist()
    return Gate(name=node.name or next(iter(biases), "gate"), low=low, middle=middle, high=high)
