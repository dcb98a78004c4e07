"""Chaos: the paper's maps by its protocol, and what becomes of any cell without input.

A map runs as the eager reference in float64: with two units, thousands of trajectories at once are faster there than in a loop that
goes from sequence to sequence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.records import DecayRecord, MapRecord
from bench.studies.signals.chaotic_maps import ChaoticMap
from bench.studies.signals.lyapunov import advance, exponents
from bench.studies.signals.single_thread import one_thread
from cells.grammar.cell import Cell
from kernels import RNN

EPSILON = 1e-7
"""How far the paper puts its copies from one another, at most, in each coordinate."""
CLOUD = 4_000
"""Points that are kept of a cloud."""
LATER = 250
"""Steps over which the distance of two trajectories is followed: it has grown to the attractor's size long before."""


@dataclass(frozen=True)
class ChaosSize:
    """How much is run. `starts` starting points, `settle` steps until they are on the attractor and `steps` over which the exponent is
    taken, for each of `seeds`; `copies` of one point that are followed over `iterations` steps."""

    seeds: int
    starts: int
    settle: int
    steps: int
    copies: int
    iterations: int


PAPER = ChaosSize(seeds=3, starts=5_000, settle=1_000, steps=2_000, copies=10_000, iterations=20_000)
"""The copies and iterations of Laurent & von Brecht."""
PREVIEW = ChaosSize(seeds=2, starts=200, settle=100, steps=200, copies=500, iterations=300)


def measure_map(map: ChaoticMap, size: ChaosSize, seed: int = 0) -> MapRecord:
    """Exponents, the cloud that a point becomes, and the distance of two points that were close."""
    with one_thread():
        return run_protocol(map, size, seed)


def run_protocol(map: ChaoticMap, size: ChaosSize, seed: int) -> MapRecord:
    rnn, found = map.make_layer("eager"), list[float]()
    seeds = list(range(seed, seed + size.seeds))
    for number in seeds:
        generator = torch.Generator().manual_seed(number)
        begun = advance(rnn, map.draw_states(size.starts, generator), size.settle)
        found.append(exponents(rnn, begun, size.steps, generator).mean().item())
    generator = torch.Generator().manual_seed(seed)
    one = map.draw_states(1, generator)
    copies = [s + EPSILON * (2 * torch.rand(size.copies, 2, generator=generator, dtype=s.dtype) - 1) for s in one]
    cloud = advance(rnn, copies, size.iterations)[0][:CLOUD]
    times, distance = follow_distance(rnn, make_pair(advance(rnn, one, size.settle), generator), LATER)
    return MapRecord(
        name=map.name, cell=map.cell, weights=map.weights, seeds=seeds, starts=size.starts, steps=size.steps, exponents=found,
        epsilon=EPSILON, copies=size.copies, iterations=size.iterations, cloud=[(round(a, 5), round(b, 5)) for a, b in cloud.tolist()],
        times=times, distance=distance,
    )  # fmt: skip


def make_pair(states: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """One point and another within EPSILON of it."""
    return [torch.cat([s, s + EPSILON * (2 * torch.rand(s.shape, generator=generator, dtype=s.dtype) - 1)]) for s in states]


def follow_distance(rnn: RNN, states: list[Tensor], steps: int) -> tuple[list[int], list[float]]:
    """‖Δh‖ of two trajectories, after 0, 1, …, `steps` steps."""
    found = [state_distance(states)]
    for _ in range(steps):
        states = advance(rnn, states, 1)
        found.append(state_distance(states))
    return list(range(steps + 1)), found


def state_distance(states: Sequence[Tensor]) -> float:
    return (states[0][0] - states[0][1]).norm().item()


def measure_decay(cell: Cell, init: str, T: int, B: int, H: int, seed: int, backend: str = "auto") -> DecayRecord:
    """Measure a cell without input, with weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rnn = RNN(cell, H, H, backend=backend, dtype=torch.float64)
    return measure_autonomous(rnn, init, T, B, seed)


def measure_autonomous(rnn: RNN, init: str, T: int, B: int, seed: int) -> DecayRecord:
    """B trajectories of a layer in float64 without input, from standard normal states."""
    H, generator = rnn.hidden_size, torch.Generator().manual_seed(seed)
    begun = [rnn.cell.random_state(name, torch.randn(B, H, generator=generator, dtype=torch.float64)) for name in rnn.cell.states]
    states, times, norm, distance, lost = begun, [0], list[float](), list[float](), 0
    while True:
        h, held = states[0], torch.cat(states, 1).norm(dim=1).isfinite()
        lost = int((~held).sum())
        if lost:
            times.pop()
            break
        norm.append(h.norm(dim=1).mean().item() / math.sqrt(H))
        distance.append((h - h.roll(1, 0)).norm(dim=1).mean().item() / math.sqrt(H))
        if times[-1] == T:
            break
        times.append(min(T, max(times[-1] + 1, round(times[-1] * 1.25))))
        states = advance(rnn, states, times[-1] - times[-2])
    settled = advance(rnn, begun, T // 2)
    grown = [] if lost else exponents(rnn, settled, T, generator).tolist()
    return DecayRecord(
        cell=rnn.cell.name, init=init, T=T, B=B, H=H, seed=seed, exponent=grown, times=times, norm=norm, distance=distance, lost=lost
    )
