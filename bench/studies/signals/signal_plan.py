"""The pieces that each study measures."""

from collections.abc import Sequence
from functools import partial

import torch

import cells
from bench.measure.problem import DTYPES, Problem
from bench.records import TheoryRecord
from bench.studies.signals import chaos, gradient_norms, mean_field, random_matrix_growth
from bench.studies.signals.chaotic_maps import MAPS
from bench.studies.signals.initializations import initialize_as
from bench.studies.signals.jacobians import measure_jacobians
from bench.studies.signals.mean_field import Point
from bench.studies.signals.piece import Piece

POINTS: dict[str, tuple[Point, ...]] = {
    "vanilla": (Point(0.9, 0.5), Point(1.0, 0.2), Point(2.0, 0.5)),
    "minimal": (Point(1.0, 1.0), Point(6.88, 1.39, phi=1.197), Point(4.0, 1.39, mu=2.0, phi=1.197)),
    "gru_reset_before": (Point(1.0, 1.0), Point(2.0, 0.5, mu=2.0), Point(4.0, 1.0)),
    "gru": (Point(1.0, 1.0), Point(2.0, 0.5, mu=2.0), Point(4.0, 1.0)),
    "lstm": (Point(1.0, 1.0), Point(2.0, 0.5, mu=2.0), Point(4.0, 1.0, mu=1.0)),
}
"""Ordered, near the edge, and beyond it or with a gate that keeps; the second of MinimalRNN is its critical initialisation."""

TRAJECTORIES = 16
"""Of every cell without input."""


def make_study_problem(cell: str, init: str, T: int, B: int, D: int, H: int, dtype: str, device: str, seed: int) -> Problem:
    return Problem(cell, initialize_as(cells.load(cell), init), T, B, D, H, DTYPES[dtype], torch.device(device), seed)


def gradient_pieces(
    names: Sequence[str], inits: Sequence[str], lengths: Sequence[int], size: tuple[int, int, int], dtypes: Sequence[str], seeds: int,
    device: str,
) -> Sequence[Piece]:  # fmt: skip
    """`size` is B, D and H."""
    return [
        (f"{cell} {init} T={T} {dtype} seed {seed}", partial(flow, make_study_problem(cell, init, T, *size, dtype, device, seed), init))
        for cell in names for init in pair_known(cell, inits) for T in lengths for dtype in dtypes for seed in range(seeds)
    ]  # fmt: skip


flow = partial(gradient_norms.measure_gradients, compare=True)


def jacobian_pieces(
    names: Sequence[str], inits: Sequence[str], T: int, size: tuple[int, int], dtype: str, seeds: int, device: str
) -> Sequence[Piece]:
    """`size` is D and H."""
    return [
        (f"{cell} {init} seed {seed}", partial(measure_jacobians, make_study_problem(cell, init, T, 1, *size, dtype, device, seed), init))
        for cell in names for init in pair_known(cell, inits) for seed in range(seeds)
    ]  # fmt: skip


def theory_pieces(names: Sequence[str], N: int, steps: int, seed: int, tied: bool = True) -> Sequence[Piece]:
    return [
        (f"{cell} σ_w={point.w:g} σ_v={point.v:g} μ={point.mu:g}", partial(measure_theory, cell, point, N, steps, seed, tied))
        for cell in names for point in POINTS[cell]
    ]  # fmt: skip


def measure_theory(cell: str, point: Point, N: int, steps: int, seed: int, tied: bool) -> TheoryRecord:
    """Theory at a point, and growth measured there."""
    said, measure = mean_field.CELLS[cell](point), partial(random_matrix_growth.measure_growth, cells.load(cell), point, N, steps, seed)
    return TheoryRecord(
        cell=cell, w=point.w, v=point.v, mu=point.mu, phi=point.phi, N=N, seed=seed, q=said.q, Q=said.Q, chi=said.chi, xi=said.xi,
        untied=measure(), tied=measure(tied=True) if tied else [],
    )  # fmt: skip


def chaos_pieces(size: chaos.ChaosSize, names: Sequence[str], inits: Sequence[str], T: int, H: int, seed: int) -> Sequence[Piece]:
    cases = [(cell, init) for cell in names for init in pair_known(cell, inits)]
    return [
        *((map.name, partial(chaos.measure_map, map, size, seed)) for map in MAPS),
        *(
            (f"{c} {init} without input", partial(chaos.measure_decay, initialize_as(cells.load(c), init), init, T, TRAJECTORIES, H, seed))
            for c, init in cases
        ),
    ]


def pair_known(cell: str, inits: Sequence[str]) -> list[str]:
    """Return the initialisations that the cell has: all but the variants of others."""
    return [init for init in inits if init == "default" or ":" in init or init in cells.load(cell).variants]


def preview_pieces(device: str, seed: int) -> Sequence[Piece]:
    """A few seconds' worth for a run of everything: one Jacobian for each cell, theory at one point each, both maps."""
    names = cells.SEED
    jacobians = jacobian_pieces(names, ("default",), 32, (16, 16), "float64" if device == "cpu" else "float32", 1, device)
    beside_one = [piece for cell in POINTS for piece in theory_pieces([cell], 128, 20, seed, tied=False)[:1]]
    return [*jacobians, *beside_one, *chaos_pieces(chaos.PREVIEW, (), (), 0, 0, seed)]
