"""Fits the cost model of a time step (`kernels.schedules.persistent.tiling.COST`) to measured tile configurations, and rates how well it
ranks them.

    python -m bench.harness.fit_cost_model TILINGS.jsonl

`python -m bench tune` writes the file. The fit is nonnegative least squares on the logarithm of the time. Differences within a pass have
double weight, because the model's purpose is to rank the tile configurations of a pass.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from bench.harness.tune import PassKey
from kernels.schedules.persistent.tiling import COST, H100, Chip, Tiles, count_costs, estimate_seconds

WITHIN = 2.0
"""The weight of differences within a pass, relative to differences between passes."""

FEWEST = {"load_round": 20e-9, "smem_read": 1e-12}
"""Lower bounds of costs that the data don't determine, since the timed tile configurations have few rounds. A load from L2 takes 146 ns;
its part here is a lower bound."""

Timings = dict[PassKey, list[tuple[Tiles, float]]]


def read_timings(path: Path) -> Timings:
    """Returns the timed tile configurations of every pass with their seconds per step.

    Args:
        path: A tilings.jsonl of `bench tune`.
    """
    found: Timings = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["tiles"]:
            name = PassKey(row["cell"], row["direction"], row["B"], row["H"], row["dtype"], row.get("tf32", False))
            found.setdefault(name, []).append((Tiles(**row["tiles"]), row["seconds"]))
    return found


def fit_costs(timings: Timings, chip: Chip) -> dict[str, float]:
    """Returns the fitted cost of each part of a step, in seconds per unit of the part.

    Args:
        timings: The tile configurations of every pass with their seconds per step.
        chip: The GPU that they were timed on.
    """
    rows = [(name, tiles, took) for name, timed in timings.items() for tiles, took in timed]
    of = np.array([[count_costs(name.work, chip, tiles)[part] for part in COST] for name, tiles, _ in rows], float)
    scale = np.maximum(of.mean(0), 1e-12) * 1e6  # costs in microseconds of the mean tile configuration
    costs = np.array(list(COST.values()))
    rest = np.array([estimate_seconds(name.work, chip, tiles) for name, tiles, _ in rows]) - of @ costs
    took = np.log([t for _, _, t in rows])
    groups = np.unique([list(timings).index(name) for name, _, _ in rows], return_inverse=True)[1]
    share = np.eye(len(timings))[groups]
    share /= share.sum(0)

    def residuals(costs: np.ndarray) -> np.ndarray:
        error = np.log(of / scale @ costs + rest) - took
        return np.concatenate([error, WITHIN * (error - (share.T @ error)[groups])])

    least = np.array([FEWEST.get(part, 0.0) for part in COST]) * scale
    found = least_squares(residuals, np.maximum(0.05, least * 1.01), bounds=(least, np.inf), x_scale="jac").x
    return dict(zip(COST, found / scale, strict=True))


def judge_ranking(timings: Timings, model: dict[PassKey, Sequence[float]]) -> dict[str, float]:
    """Rates how well a model ranks the tile configurations.

    Args:
        timings: The tile configurations of every pass with their seconds per step.
        model: The seconds per step that the model estimates, in the same order.

    Returns:
        "rank": The mean rank correlation over passes with at least three tile configurations.
        "first_mean", "first_worst": The measured time of the model's first choice relative to the best measured time, as the geometric
        mean over passes and at worst.
        "three_mean", "three_worst": The same for the best of the model's first three choices.
    """
    rank, first, three = [], [], []
    for name, timed in timings.items():
        took, said = np.array([t for _, t in timed]), np.array(model[name])
        order = np.argsort(said, kind="stable")
        if len(took) > 2:
            rank.append(np.nan_to_num(spearmanr(said, took).statistic))
        first.append(took[order[0]] / took.min())
        three.append(took[order[:3]].min() / took.min())
    mean = {f"{label}_mean": math.exp(np.log(of).mean()) for label, of in (("first", first), ("three", three))}
    return {"rank": float(np.mean(rank)), **mean, "first_worst": float(max(first)), "three_worst": float(max(three))}


def model_times(timings: Timings, chip: Chip) -> dict[PassKey, Sequence[float]]:
    """Returns the seconds per step that the cost model estimates for each timed tile configuration.

    Args:
        timings: The tile configurations of every pass.
        chip: The GPU to estimate for.
    """
    return {name: [estimate_seconds(name.work, chip, tiles) for tiles, _ in timed] for name, timed in timings.items()}


def main(path: Path) -> None:
    """Prints the rating of the model before the fit, after it, and fitted without the cell it is rated on."""
    timings = read_timings(path)
    print("before the fit", judge_ranking(timings, model_times(timings, H100)))
    costs = fit_costs(timings, H100)
    print({part: float(f"{cost:.2g}") for part, cost in costs.items()})
    COST.update(costs)
    print("after the fit", judge_ranking(timings, model_times(timings, H100)))
    left: dict[PassKey, Sequence[float]] = {}
    for cell in sorted({name.cell for name in timings}):
        COST.update(fit_costs({name: timed for name, timed in timings.items() if name.cell != cell}, H100))
        left.update(model_times({name: timed for name, timed in timings.items() if name.cell == cell}, H100))
    print("fitted without the rated cell", judge_ranking(timings, left))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
