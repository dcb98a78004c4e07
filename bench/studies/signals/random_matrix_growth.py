"""Measures the growth of a perturbation of the states in a wide cell, with the cell's own equations, to test mean-field theory.

With untied weights every step draws new matrices, as the theory assumes. With tied weights all steps share them, as in a network.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.autograd.functional import jvp

from bench.studies.signals.mean_field import Point
from cells.grammar.cell import Cell, Rule
from cells.grammar.initializers import Normal

KEEPS = {"minimal": "b.u", "minimal_deep": "b.u", "cfn": "b.theta", "gru_reset_before": "b.u", "gru": "b.z", "lstm": "b.f"}
"""The bias of the gate that keeps the state."""


def make_rules(cell: Cell, point: Point) -> dict[str, Rule]:
    """Returns a point as rules of initialisation, which `Cell.with_init` takes."""
    found: dict[str, Rule] = {"b": 0.0}
    for name in cell.shapes(1, 1):
        if name.startswith("W."):
            found[name] = Normal(point.phi if name in ("W.z", "W.a") else point.w if name.endswith("h") else point.v)
    if cell.name in KEEPS:
        found[KEEPS[cell.name]] = point.mu
    return found


def measure_growth(cell: Cell, point: Point, N: int, steps: int, seed: int, tied: bool = False, sequences: int = 8) -> list[float]:
    """Returns ln of the growth of E‖δ‖² in each of `steps` steps, δ being a random perturbation of all states.

    At least as many steps run before, and three times those that an open gate remembers, so that the states become stationary. Each
    value is the mean over the sequences, which share their matrices.

    Args:
        cell: The cell.
        point: The point in parameter space.
        N: The width of states and inputs.
        steps: The number of steps.
        seed: The seed of matrices and inputs.
        tied: All steps share their matrices.
        sequences: The number of sequences.
    """
    chosen, generator = cell.with_init(make_rules(cell, point)), torch.Generator().manual_seed(seed)
    states = [torch.zeros(sequences, N) for _ in cell.states]
    deltas = [torch.randn(sequences, N, generator=generator) for _ in cell.states]
    shapes, found = chosen.shapes(N, N), list[float]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = draw_weights(chosen, shapes)
        settle = max(steps, round(3 * (1 + math.exp(point.mu))))
        for step in range(settle + steps):
            weights = weights if tied or not step else draw_weights(chosen, shapes)
            x = torch.randn(sequences, N, generator=generator)
            after, moved = jvp(make_step(chosen, x, weights), tuple(states), tuple(deltas))
            grown = squared_norm(moved) / squared_norm(deltas)
            states = list(after)
            deltas = [d / squared_norm(moved).sqrt() for d in moved]
            if step >= settle:
                found.append(grown.log().mean().item())
    return found


def draw_weights(cell: Cell, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    values = {name: torch.empty(shape) for name, shape in shapes.items()}
    cell.initialise(values)
    return values


def make_step(cell: Cell, x: Tensor, weights: Mapping[str, Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Returns one step of the equations as a function of the states."""
    learned = cell.bind_parameters(weights)
    return lambda *states: cell(states, x, learned)


def squared_norm(deltas: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Returns ‖δ‖² of each sequence, over all states: (sequences, 1)."""
    return sum((d**2).sum(1, keepdim=True) for d in deltas) + torch.zeros(1)
