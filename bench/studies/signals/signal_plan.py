"""Lists the pieces that each signal study measures."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

import cells
from bench.measure.problem import DTYPES, Problem
from bench.records import DecayRecord, TheoryRecord
from bench.studies.signals import chaos, gradient_norms, mean_field, random_matrix_growth
from bench.studies.signals.chaotic_maps import MAPS
from bench.studies.signals.initializations import initialize_as
from bench.studies.signals.jacobians import measure_jacobians
from bench.studies.signals.mean_field import Point
from bench.studies.signals.piece import Piece

USUAL = Point(3**-0.5, 3**-0.5, phi=3**-0.5)
"""The default start, U(-1/√H, 1/√H) for every parameter, where D = H; its biases vanish in a wide cell."""
CRITICAL = {
    "minimal": Point(6.88, 1.39, phi=1.197), "minimal_deep": Point(8.218, 1.39, phi=1.197), "cfn": Point(9.724, 1.0),
    "gru_reset_before": Point(2.970, 1.0), "gru": Point(3.126, 1.0), "lstm": Point(4.718, 2.0),
}  # fmt: skip
"""The point of each cell's variant `critical`, where χ = 1."""
GATED = {cell: {"default": USUAL, "open": replace(USUAL, mu=5.0), "critical": point} for cell, point in CRITICAL.items()}
POINTS: dict[str, dict[str, Point]] = GATED | {
    "vanilla": {"default": USUAL, "": Point(1.0, 0.2), " ": Point(2.0, 0.5)},
    "cfn": {"critical": CRITICAL["cfn"], "": Point(3.0, 1.0), " ": Point(12.0, 1.0)},
}
"""The points of each cell by its start, and others that no start has: of vanilla near the edge of chaos and beyond it, of a CFN on both
sides of it, since the theory is that of a gate η without a bias, which its paper's start has."""

STARTS = ("default", "open", "critical")
"""The initialisations that studies compare by default."""

TRAJECTORIES = 16
"""The number of trajectories of every cell without input."""


def make_study_problem(cell: str, init: str, T: int, B: int, D: int, H: int, dtype: str, device: str, seed: int) -> Problem:
    """Returns the problem of a study.

    Args:
        cell: The cell's name.
        init: The name of the initialisation.
        T: Time steps.
        B: Sequences in a batch.
        D: Input width.
        H: Hidden width.
        dtype: The name of the data type.
        device: "cpu" or "cuda".
        seed: The seed of weights and data.
    """
    return Problem(cell, initialize_as(cells.load(cell), init), T, B, D, H, DTYPES[dtype], torch.device(device), seed)


def gradient_pieces(
    names: Sequence[str], inits: Sequence[str], lengths: Sequence[int], size: tuple[int, int, int], dtypes: Sequence[str], seeds: int,
    device: str,
) -> Sequence[Piece]:  # fmt: skip
    """Returns the pieces of `bench gradients`.

    Args:
        names: The names of the cells.
        inits: The initialisations; a cell skips variants it doesn't have.
        lengths: Sequence lengths T.
        size: B, D and H.
        dtypes: The names of the data types.
        seeds: The number of seeds.
        device: "cpu" or "cuda".
    """
    return [
        (
            f"{cell} {init} T={T} {dtype} seed {seed}",
            partial(measure_with_errors, make_study_problem(cell, init, T, *size, dtype, device, seed), init),
        )
        for cell in names for init in pair_known(cell, inits) for T in lengths for dtype in dtypes for seed in range(seeds)
    ]  # fmt: skip


measure_with_errors = partial(gradient_norms.measure_gradients, compare=True)


def jacobian_pieces(
    names: Sequence[str], inits: Sequence[str], T: int, size: tuple[int, int], dtype: str, seeds: int, device: str
) -> Sequence[Piece]:
    """Returns the pieces of `bench jacobian`.

    Args:
        names: The names of the cells.
        inits: The initialisations; a cell skips variants it doesn't have.
        T: Time steps.
        size: D and H.
        dtype: The name of the data type.
        seeds: The number of seeds.
        device: "cpu" or "cuda".
    """
    return [
        (f"{cell} {init} seed {seed}", partial(measure_jacobians, make_study_problem(cell, init, T, 1, *size, dtype, device, seed), init))
        for cell in names for init in pair_known(cell, inits) for seed in range(seeds)
    ]  # fmt: skip


def theory_pieces(names: Sequence[str], N: int, steps: int, seed: int, tied: bool = True) -> Sequence[Piece]:
    """Returns the pieces of `bench theory`: every point of each cell.

    Args:
        names: The names of the cells.
        N: The width of states and inputs.
        steps: The number of steps in which growth is measured.
        seed: The seed of matrices and inputs.
        tied: Measure growth with tied weights too.
    """
    return [
        (f"{cell} σ_w={point.w:g} σ_v={point.v:g} μ={point.mu:g}", partial(measure_theory, cell, start, N, steps, seed, tied))
        for cell in names for start, point in POINTS[cell].items()
    ]  # fmt: skip


def measure_theory(cell: str, start: str, N: int, steps: int, seed: int, tied: bool) -> TheoryRecord:
    """Returns the theory at a point of POINTS and the growth measured there."""
    point = POINTS[cell][start]
    said, measure = mean_field.CELLS[cell](point), partial(random_matrix_growth.measure_growth, cells.load(cell), point, N, steps, seed)
    return TheoryRecord(
        cell=cell, init=start.strip(), w=point.w, v=point.v, mu=point.mu, phi=point.phi, N=N, seed=seed, q=said.q, Q=said.Q, chi=said.chi,
        xi=said.xi, untied=measure(), tied=measure(tied=True) if tied else [],
    )  # fmt: skip


def chaos_pieces(size: chaos.ChaosSize, names: Sequence[str], inits: Sequence[str], T: int, H: int, seed: int) -> Sequence[Piece]:
    """Returns the pieces of `bench chaos`: both maps, and every cell without input.

    Args:
        size: The amount of computation for a map.
        names: The names of the cells.
        inits: The initialisations; a cell skips variants it doesn't have.
        T: Time steps without input.
        H: Hidden width.
        seed: The seed of starting points and weights.
    """
    cases = [(cell, init) for cell in names for init in pair_known(cell, inits)]
    return [
        *((map.name, partial(chaos.measure_map, map, size, seed)) for map in MAPS),
        *((f"{c} {init} without input", partial(measure_decay, c, init, T, H, seed)) for c, init in cases),
    ]


def measure_decay(cell: str, init: str, T: int, H: int, seed: int) -> DecayRecord:
    """Measures a cell without input, under its name on the command line."""
    found = chaos.measure_decay(initialize_as(cells.load(cell), init), init, T, TRAJECTORIES, H, seed)
    return found.model_copy(update={"cell": cell})


def pair_known(cell: str, inits: Sequence[str]) -> list[str]:
    """Returns the initialisations that a cell has."""
    return [init for init in inits if init == "default" or ":" in init or init in cells.load(cell).variants]


def preview_pieces(device: str, seed: int) -> Sequence[Piece]:
    """Returns pieces that take a few seconds: one Jacobian for each cell and start, the theory of MinimalRNN's starts and of
    three cells at their default, and both maps.

    Args:
        device: "cpu" or "cuda".
        seed: The seed.
    """
    names = cells.DEFAULT
    jacobians = jacobian_pieces(names, STARTS, 32, (16, 16), "float64" if device == "cpu" else "float32", 1, device)
    starts = theory_pieces(["minimal"], 64, 20, seed, tied=False)
    others = [piece for cell in ("vanilla", "gru", "gru_reset_before") for piece in theory_pieces([cell], 128, 20, seed, tied=False)[:1]]
    return [*jacobians, *starts, *others, *chaos_pieces(chaos.PREVIEW, (), (), 0, 0, seed)]
