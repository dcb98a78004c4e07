"""What trainings say: how good each cell became over its seeds, and how long it took to a quality that all reach.

A mean over seeds has a 95% interval by Student's t; of times it is the geometric mean, by the logarithms. Of one seed there is none.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import TypeVar

from bench.analysis.mean_ci import geometric_mean_ci
from bench.analysis.median_ci import Estimate
from bench.records.training_record import LearnedRecord, Point, TrainingRecord

Line = TypeVar("Line", TrainingRecord, LearnedRecord)


def best_value(record: TrainingRecord) -> float:
    """The best value on the validation data; the worst there is, where no look was finite."""
    finite = [point.value for point in record.curve if math.isfinite(point.value)]
    worst = -math.inf if record.higher else math.inf
    return (max if record.higher else min)(finite, default=worst)


def is_better(record: TrainingRecord, value: float, than: float) -> bool:
    return value > than if record.higher else value < than


def beats_baselines(records: Sequence[TrainingRecord]) -> bool:
    """Whether one cell's trainings are better, in the median of their final values, than every baseline."""
    middle = median(record.final for record in records)
    return math.isfinite(middle) and all(is_better(records[0], middle, value) for value in records[0].baselines.values())


def sort_by_seed(records: Iterable[Line]) -> list[Line]:
    """From the first seed, the gru before the others: interleaved trainings end in no order."""
    return sorted(records, key=lambda r: (r.trial.seed, r.trial.cell != "gru", r.trial.cell))


def group_by_cell(records: Iterable[TrainingRecord]) -> dict[str, list[TrainingRecord]]:
    """Records by cell, in the order that reports have."""
    found: dict[str, list[TrainingRecord]] = {}
    for record in sort_by_seed(records):
        found.setdefault(record.trial.cell, []).append(record)
    return found


def common_quality(records: Sequence[TrainingRecord]) -> float | None:
    """The quality that times are taken to: the task's target, or what every seed of every cell reaches that is better than the baselines;
    None where no cell is."""
    if records[0].target is not None:
        return records[0].target
    reached = [best_value(record) for group in group_by_cell(records).values() if beats_baselines(group) for record in group]
    return (min if records[0].higher else max)(reached, default=None)


def first_reaching(record: TrainingRecord, level: float) -> Point | None:
    """The first look as good as that."""
    return next((p for p in record.curve if (p.value >= level if record.higher else p.value <= level)), None)


def compare_times(
    records: Sequence[TrainingRecord], others: Sequence[TrainingRecord], level: float, of: Callable[[Point], float]
) -> Estimate | None:
    """A cell's seconds or steps to a quality over those of another, in pairs of one seed; None where no seed of both reaches it."""
    theirs = {r.trial.seed: point for r in others if (point := first_reaching(r, level)) and of(point) > 0}
    pairs = [(of(point), of(theirs[r.trial.seed])) for r in records if (point := first_reaching(r, level)) and r.trial.seed in theirs]
    ratios = [mine / other for mine, other in pairs if mine > 0]
    return geometric_mean_ci(ratios) if ratios else None
