"""Computes the metrics of trainings: the quality of each cell over its seeds, and its time to a common quality.

A mean over seeds has a 95% interval by Student's t, which stays between the values that the metric can have. Times use the geometric mean,
with the interval from their logarithms. A single seed has no interval.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import TypeVar

from bench.analysis.mean_ci import geometric_mean_ci, mean_ci
from bench.analysis.median_ci import Estimate
from bench.records.training_record import LearnedRecord, Point, TrainingRecord

Line = TypeVar("Line", TrainingRecord, LearnedRecord)
COUNTS, GAP = "counts to", "gap, training - test"
"""Extras of a training whose values have limits of their own."""


def best_value(record: TrainingRecord) -> float:
    """Returns the best value on the validation data; ±infinity if no evaluation was finite."""
    finite = [point.value for point in record.curve if math.isfinite(point.value)]
    worst = -math.inf if record.higher else math.inf
    return (max if record.higher else min)(finite, default=worst)


def is_better(record: TrainingRecord, value: float, than: float) -> bool:
    """Returns whether a value is better than another one in the metric of a record."""
    return value > than if record.higher else value < than


def quality_ci(records: Sequence[TrainingRecord], looks: int = 1) -> Estimate:
    """Returns the mean final value of a cell's trainings.

    Args:
        records: The trainings of a cell.
        looks: The number of cells that are looked at together.
    """
    return metric_ci([record.final for record in records], looks, share=records[0].higher)


def metric_ci(values: Sequence[float], looks: int = 1, share: bool = False) -> Estimate:
    """Returns the mean of a metric over seeds. Its interval stays positive if no value is negative, and up to 1 for a share.

    Args:
        values: The values.
        looks: The number of means that are looked at together.
        share: The metric is a share if all values are at most 1.
    """
    low = 0.0 if min(values) >= 0 else -math.inf
    return mean_ci(values, looks, low, 1.0 if share and low == 0 and max(values) <= 1 else math.inf)


def extra_ci(records: Sequence[TrainingRecord], name: str, looks: int = 1) -> Estimate:
    """Returns the mean over seeds of an extra that each record has. Its interval stays within what the extra can be: a count goes up to 4N,
    a gap between two accuracies from -1 to 1, a share up to 1.

    Args:
        records: The trainings of a cell.
        name: The name of the extra.
        looks: The number of means that are looked at together.
    """
    values = [record.extras[name] for record in records]
    if name == GAP:
        return mean_ci(values, looks, -1.0, 1.0)
    if name == COUNTS and "N" in records[0].sizes:
        return mean_ci(values, looks, 0.0, 4.0 * records[0].sizes["N"])
    return metric_ci(values, looks, share=name.startswith(("share", "accuracy")))


def steps_ci(records: Sequence[TrainingRecord], level: float, looks: int = 1) -> Estimate:
    """Returns the geometric mean of the steps to a level, which every training reaches, over seeds. A level is reached between two
    evaluations, so the interval begins with that of the evaluations before.

    Args:
        records: The trainings of a cell.
        level: The level.
        looks: The number of cells that are looked at together.
    """
    after = [point for record in records if (point := first_reaching(record, level))]
    before = [max((p.step for p in record.curve if p.step < point.step), default=0) for record, point in zip(records, after, strict=True)]
    found = geometric_mean_ci([point.step for point in after], looks)
    return Estimate(found.value, geometric_mean_ci([max(1, step) for step in before], looks).low, found.high, found.n)


def beats_baselines(records: Sequence[TrainingRecord]) -> bool:
    """Returns whether the median of a cell's final values is better than every baseline, measured or expected."""
    middle, first = median(record.final for record in records), records[0]
    return math.isfinite(middle) and all(is_better(first, middle, v) for v in (*first.baselines.values(), *first.expected.values()))


def sort_by_seed(records: Iterable[Line]) -> list[Line]:
    """Sorts records by seed, with the gru before the other cells. Interleaved trainings end in no fixed order."""
    return sorted(records, key=lambda r: (r.trial.seed, r.trial.cell != "gru", r.trial.cell))


def group_by_cell(records: Iterable[TrainingRecord]) -> dict[str, list[TrainingRecord]]:
    """Groups records by cell, in the order of reports."""
    found: dict[str, list[TrainingRecord]] = {}
    for record in sort_by_seed(records):
        found.setdefault(record.trial.cell, []).append(record)
    return found


def common_quality(records: Sequence[TrainingRecord]) -> float | None:
    """Returns the quality up to which times are compared: the target of the task, or what every seed of every cell that beats the baselines
    reaches; None if no cell does."""
    if records[0].target is not None:
        return records[0].target
    reached = [best_value(record) for group in group_by_cell(records).values() if beats_baselines(group) for record in group]
    return (min if records[0].higher else max)(reached, default=None)


def first_reaching(record: TrainingRecord, level: float) -> Point | None:
    """Returns the first evaluation that is at least as good as a level, or None."""
    curve = record.curve if record.end != "incorrect" else []
    return next((p for p in curve if (p.value >= level if record.higher else p.value <= level)), None)


def compare_times(
    records: Sequence[TrainingRecord], others: Sequence[TrainingRecord], level: float, of: Callable[[Point], float]
) -> Estimate | None:
    """Returns the seconds or steps of a cell to a quality, divided by those of another cell, over pairs of the same seed; None without such
    a pair."""
    theirs = {r.trial.seed: point for r in others if (point := first_reaching(r, level)) and of(point) > 0}
    pairs = [(of(point), of(theirs[r.trial.seed])) for r in records if (point := first_reaching(r, level)) and r.trial.seed in theirs]
    ratios = [mine / other for mine, other in pairs if mine > 0]
    return geometric_mean_ci(ratios) if ratios else None
