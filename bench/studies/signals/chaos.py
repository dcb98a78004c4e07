"""Measures chaos: the maps of Laurent & von Brecht (1612.06212) by their protocol, and the states of any cell without input.

The maps run on the eager backend in float64. With two units and thousands of trajectories at once, it is faster than a fused loop, which
processes one sequence after another.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.records import DecayRecord, MapRecord
from bench.studies.signals.chaotic_maps import ChaoticMap
from bench.studies.signals.lyapunov import advance, measure_exponents
from bench.studies.signals.single_thread import one_thread
from cells.grammar.cell import Cell
from kernels import RNN

EPSILON = 1e-7
"""The largest initial distance, in each coordinate, between the paper's copies of a point."""
CLOUD = 4_000
"""The number of points of a cloud that are stored."""
LATER = 250
"""The number of steps over which the distance of two trajectories is recorded; it reaches the attractor's size much earlier."""


@dataclass(frozen=True)
class ChaosSize:
    """The amount of computation for a map.

    Attributes:
        seeds: The number of seeds.
        starts: Starting points for each seed.
        settle: Steps before the measurement, in which trajectories approach the attractor.
        steps: Steps over which the exponent is measured.
        copies: Copies of one point, which become the cloud.
        iterations: Steps of the copies.
    """

    seeds: int
    starts: int
    settle: int
    steps: int
    copies: int
    iterations: int


PAPER = ChaosSize(seeds=3, starts=5_000, settle=1_000, steps=2_000, copies=10_000, iterations=20_000)
"""The size of Laurent & von Brecht's experiments: their copies and iterations."""
PREVIEW = ChaosSize(seeds=2, starts=200, settle=100, steps=200, copies=500, iterations=300)


def measure_map(map: ChaoticMap, size: ChaosSize, seed: int = 0) -> MapRecord:
    """Measures a chaotic map: its Lyapunov exponents, the cloud that copies of one point become, and the distance of two close points.

    Args:
        map: The map.
        size: The amount of computation.
        seed: The first seed.
    """
    with one_thread():
        return run_protocol(map, size, seed)


def run_protocol(map: ChaoticMap, size: ChaosSize, seed: int) -> MapRecord:
    """Measures a map without changing the number of threads."""
    rnn, found = map.make_layer("eager"), list[float]()
    seeds = list(range(seed, seed + size.seeds))
    for number in seeds:
        generator = torch.Generator().manual_seed(number)
        begun = advance(rnn, map.draw_states(size.starts, generator), size.settle)
        found.append(measure_exponents(rnn, begun, size.steps, generator).mean().item())
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
    """Returns a point and another one within EPSILON of it, as a batch of two."""
    return [torch.cat([s, s + EPSILON * (2 * torch.rand(s.shape, generator=generator, dtype=s.dtype) - 1)]) for s in states]


def follow_distance(rnn: RNN, states: list[Tensor], steps: int) -> tuple[list[int], list[float]]:
    """Returns the steps 0, 1, …, `steps`, and ‖Δh‖ of two trajectories after each."""
    found = [state_distance(states)]
    for _ in range(steps):
        states = advance(rnn, states, 1)
        found.append(state_distance(states))
    return list(range(steps + 1)), found


def state_distance(states: Sequence[Tensor]) -> float:
    """Returns ‖Δh‖ of the two trajectories in a batch."""
    return (states[0][0] - states[0][1]).norm().item()


def measure_decay(cell: Cell, init: str, T: int, B: int, H: int, seed: int, backend: str = "auto") -> DecayRecord:
    """Measures a cell without input, with weights drawn from `seed`.

    Args:
        cell: The cell, with its initialisation.
        init: The name of the initialisation, which the record stores.
        T: Time steps.
        B: The number of trajectories.
        H: The hidden width.
        seed: The seed of weights and initial states.
        backend: The backend of the layer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rnn = RNN(cell, H, H, backend=backend, dtype=torch.float64)
    return measure_autonomous(rnn, init, T, B, seed)


def measure_autonomous(rnn: RNN, init: str, T: int, B: int, seed: int) -> DecayRecord:
    """Measures a float64 layer without input: norms, distances and Lyapunov exponents of trajectories from standard normal states.

    Args:
        rnn: The layer.
        init: The name of its initialisation, which the record stores.
        T: Time steps.
        B: The number of trajectories.
        seed: The seed of the initial states.

    Returns:
        The record. If a state becomes infinite or NaN, it stops there, and the exponents are those of the steps before.
    """
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
    settle, steps = (times[-1] // 2, (times[-1] + 1) // 2) if lost else (T // 2, T)
    found = measure_exponents(rnn, advance(rnn, begun, settle), steps, generator).tolist() if steps else [math.inf] * B
    grown = [math.inf if math.isnan(value) else value for value in found]  # a difference that overflows between two divisions
    return DecayRecord(
        cell=rnn.cell.name, init=init, T=T, B=B, H=H, seed=seed, exponent=grown, times=times, norm=norm, distance=distance, lost=lost
    )
