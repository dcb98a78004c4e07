"""The plan of a run of trainings: which cells, how wide, from which seeds, and with which learning rate."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cells
from bench.records.training_record import Trial
from bench.studies.training.task import Task

MEASURE = "gru"
"""The cell whose count of parameters the others get, where parameters are equal."""

EQUAL = ("hidden", "parameters")


@dataclass(frozen=True)
class TrainingPlan:
    """A task for `cells`, each from `seeds` seeds: at equal width H, or at as many parameters as a GRU of width H has, or both."""

    task: Task
    cells: tuple[str, ...]
    seeds: int
    equal: tuple[str, ...] = EQUAL[:1]

    def trials(self) -> Iterator[tuple[Task, Trial]]:
        """Each with its variant of the task, every cell once before any has its second seed, and the first rate of the task."""
        for seed in range(self.seeds):
            for task in self.task.variants():
                for equal in self.equal:
                    for cell in self.cells:
                        yield task, self.trial(task, cell, equal, seed)

    def trial(self, task: Task, cell: str, equal: str, seed: int) -> Trial:
        width = task.H if equal == "hidden" else matching_width(cell, task.D, count_recurrent_parameters(MEASURE, task.D, task.H))
        known = {"seed": seed, "rate": task.rates[0], "steps": task.steps, "examples": getattr(task, "examples", 0)}
        return Trial.model_validate({"task": task.name, "cell": cell, "H": width, "equal": equal, **known})


def count_recurrent_parameters(cell: str, D: int, H: int) -> int:
    """Count the parameters of a recurrent layer."""
    return sum(math.prod(shape) for shape in cells.load(cell).shapes(D, H).values())


def matching_width(cell: str, D: int, wanted: int) -> int:
    """The width at which a layer has the number of parameters nearest to `wanted`."""
    step = cells.load(cell).round_up_width(1)
    widths: Sequence[int] = range(step, wanted + step, step)
    above = widths[bisect_left(widths, wanted, key=lambda H: count_recurrent_parameters(cell, D, H))]
    return min((max(step, above - step), above), key=lambda H: abs(count_recurrent_parameters(cell, D, H) - wanted))
