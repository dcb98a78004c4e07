"""Lists the pieces of the study of time in parallel."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import cells
from bench.measure.problem import Problem
from bench.records import ParallelRecord
from bench.studies.signals import mean_field
from bench.studies.signals.piece import Piece
from bench.studies.signals.signal_plan import POINTS, make_study_problem, pair_known
from bench.studies.signals.time_parallel import measure_iterations
from bench.studies.training import trained_start
from kernels.derive.plan import plan


def parallel_pieces(
    names: Sequence[str], inits: Sequence[str], lengths: Sequence[int], size: tuple[int, int, int], scales: Sequence[float], seeds: int,
    device: str,
) -> Sequence[Piece]:  # fmt: skip
    """Returns the pieces of `bench parallel`. All derivatives, which take T steps in an iteration, are used at the smallest T alone.

    Args:
        names: The names of the cells.
        inits: The initialisations; a cell skips those it doesn't have. Trained weights are not scaled.
        lengths: Sequence lengths T.
        size: B, D and H.
        scales: Factors of the recurrent matrices; a cell without any is measured once.
        seeds: The number of seeds.
        device: "cpu" or "cuda".
    """
    return [
        (
            f"{cell} {init} ×{scale:g} T={T} seed {seed}",
            partial(measure, cell, init, scale, T, size, seed, device, min(lengths) == T),
        )
        for cell in names for init in list_starts(cell, inits, size[2]) for scale in list_scales(cell, init, scales)
        for T in lengths for seed in range(seeds)
    ]  # fmt: skip


def list_starts(cell: str, inits: Sequence[str], H: int) -> list[str]:
    """Returns the starts that a cell has, in order. A cell that uses x unit by unit can't be trained on a task of another width."""
    known = pair_known(cell, [init for init in inits if not name_task(init)])
    any_width = not plan(cells.load(cell)).elementwise_input
    trained = [init for init in inits if (task := name_task(init)) and (any_width or trained_start.has_width(task, H))]
    return [init for init in inits if init in {*known, *trained}]


def name_task(init: str) -> str:
    """Returns the task of a trained start; "" for another start."""
    return init.removeprefix(trained_start.PREFIX) if init in trained_start.STARTS else ""


def list_scales(cell: str, init: str, scales: Sequence[float]) -> Sequence[float]:
    """Returns the factors of the recurrent matrices at which a start of a cell is measured."""
    return (1.0,) if name_task(init) else scales if plan(cells.load(cell)).stages else scales[:1]


def measure(
    cell: str, init: str, scale: float, T: int, size: tuple[int, int, int], seed: int, device: str, full: bool
) -> ParallelRecord:  # fmt: skip
    """Measures one cell at one start, beside theory's χ where it has one."""
    B, D, H = size
    problem: Problem = (
        trained_start.make_trained_problem(cell, task, T, B, H, seed)
        if (task := name_task(init))
        else make_study_problem(cell, init, T, B, D, H, "float32", device, seed)
    )
    return measure_iterations(problem, init, scale, full).model_copy(update={"chi": predict_growth(cell, init, scale)})


def predict_growth(cell: str, init: str, scale: float) -> float | None:
    """Returns theory's χ, the growth of a gradient's mean square per step, of a start with its recurrent matrices scaled; None without a
    theory of it."""
    point = POINTS.get(cell, {}).get(init)
    return None if point is None else mean_field.CELLS[cell](replace(point, w=point.w * scale)).chi
