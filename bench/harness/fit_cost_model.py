"""Fit what the parts of a step cost (`kernels.schedules.persistent.tiling.COST`) to the tile configurations that a device timed, and say
how well the model ranks them.

    python -m bench.harness.fit_cost_model TILINGS.jsonl

The file is what `python -m bench tune` keeps. Costs are found by least squares on the logarithm of the time, none below zero, with
what differs between those of one pass counted twice: ranking them is what the model is for.
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
"""The weight of the differences within a pass, beside those between passes."""

FEWEST = {"load_round": 20e-9, "smem_read": 1e-12}
"""Costs that the data don't show, since the tile configurations that were timed have few rounds: no less than a part of the 146 ns of a
load from L2."""

Timings = dict[PassKey, list[tuple[Tiles, float]]]


def read_timings(path: Path) -> Timings:
    """Return the tile configurations of every pass, and the seconds of a step of each."""
    found: Timings = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if row["tiles"]:
            name = PassKey(row["cell"], row["direction"], row["B"], row["H"], row["dtype"], row.get("tf32", False))
            found.setdefault(name, []).append((Tiles(**row["tiles"]), row["seconds"]))
    return found


def fit_costs(timings: Timings, chip: Chip) -> dict[str, float]:
    """The cost of each part."""
    rows = [(name, tiles, took) for name, timed in timings.items() for tiles, took in timed]
    of = np.array([[count_costs(name.work, chip, tiles)[part] for part in COST] for name, tiles, _ in rows], float)
    scale = np.maximum(of.mean(0), 1e-12) * 1e6  # costs in microseconds of the mean tile configuration
    costs = np.array(list(COST.values()))
    rest = np.array([estimate_seconds(name.work, chip, tiles) for name, tiles, _ in rows]) - of @ costs
    took = np.log([t for _, _, t in rows])
    groups = np.unique([list(timings).index(name) for name, _, _ in rows], return_inverse=True)[1]
    share = np.eye(len(timings))[groups]
    share /= share.sum(0)

    def off(costs: np.ndarray) -> np.ndarray:
        error = np.log(of / scale @ costs + rest) - took
        return np.concatenate([error, WITHIN * (error - (share.T @ error)[groups])])

    least = np.array([FEWEST.get(part, 0.0) for part in COST]) * scale
    found = least_squares(off, np.maximum(0.05, least * 1.01), bounds=(least, np.inf), x_scale="jac").x
    return dict(zip(COST, found / scale, strict=True))


def judge_ranking(timings: Timings, model: dict[PassKey, Sequence[float]]) -> dict[str, float]:
    """Rate how a model's times rank the tile configurations: the mean rank correlation over passes of three and more, and how much slower
    than the best that was measured its first choice and the best of its first three are, in the geometric mean and at worst."""
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
    return {name: [estimate_seconds(name.work, chip, tiles) for tiles, _ in timed] for name, timed in timings.items()}


def main(path: Path) -> None:
    timings = read_timings(path)
    print("as it is", judge_ranking(timings, model_times(timings, H100)))
    costs = fit_costs(timings, H100)
    print({part: float(f"{cost:.2g}") for part, cost in costs.items()})
    COST.update(costs)
    print("fitted", judge_ranking(timings, model_times(timings, H100)))
    left: dict[PassKey, Sequence[float]] = {}
    for cell in sorted({name.cell for name in timings}):
        COST.update(fit_costs({name: timed for name, timed in timings.items() if name.cell != cell}, H100))
        left.update(model_times({name: timed for name, timed in timings.items() if name.cell == cell}, H100))
    print("fitted without the cell", judge_ranking(timings, left))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
