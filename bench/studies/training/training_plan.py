"""Plans the trainings of a run: cells, widths, seeds and learning rates."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cells
from bench.records.training_record import Trial
from bench.studies.training.task import Task
from kernels.derive.plan import plan

EQUAL = ("hidden", "parameters")


@dataclass(frozen=True)
class TrainingPlan:
    """The trainings of a run.

    Attributes:
        task: The task.
        cells: The names of the cells.
        seeds: The number of seeds for each cell.
        equal: What all cells have in common: "hidden", the width H, or "parameters", those of the task's `yardstick` at width H; both for
            two trainings each.
    """

    task: Task
    cells: tuple[str, ...]
    seeds: int
    equal: tuple[str, ...] = EQUAL[:1]

    def trials(self) -> Iterator[tuple[Task, Trial]]:
        """Yields each trial with its variant of the task and the task's first learning rate; all cells have their first seed before any
        has its second."""
        for seed in range(self.seeds):
            for task in self.task.variants():
                for equal in self.equal:
                    for cell in self.cells:
                        yield task, self.trial(task, cell, equal, seed)

    def trial(self, task: Task, cell: str, equal: str, seed: int) -> Trial:
        """Returns the trial of a cell."""
        width = task.H
        if equal == "parameters" and cell != task.yardstick:
            wanted = task.trained_parameters() or count_recurrent_parameters(task.yardstick, task.D, task.H)
            width = matching_width(cell, task.D, wanted)
        known = {"seed": seed, "rate": task.rates[0], "steps": task.steps, "examples": getattr(task, "examples", 0)}
        return Trial.model_validate({"task": task.name, "cell": cell, "H": width, "equal": equal, **known})


def count_recurrent_parameters(cell: str, D: int, H: int) -> int:
    """Returns the number of parameters of a recurrent layer.

    Args:
        cell: The cell's name.
        D: The input width.
        H: The hidden width.
    """
    return sum(math.prod(shape) for shape in cells.load(cell).shapes(D, H).values())


def matching_width(cell: str, D: int, wanted: int) -> int:
    """Returns the hidden width at which a layer has the number of parameters nearest to a given one.

    Args:
        cell: The cell's name.
        D: The input width.
        wanted: The number of parameters.
    """
    step = plan(cells.load(cell)).round_up_width(1)
    widths: Sequence[int] = range(step, wanted + step, step)
    above = widths[bisect_left(widths, wanted, key=lambda H: count_recurrent_parameters(cell, D, H))]
    return min((max(step, above - step), above), key=lambda H: abs(count_recurrent_parameters(cell, D, H) - wanted))
