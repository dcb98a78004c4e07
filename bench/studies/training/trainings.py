"""Runs the trainings of a plan: searches for learning rates, trains interleaved, and analyses and records each training as soon as it
ends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import torch

from bench.records.training_record import LearnedRecord, Point, TrainingRecord, Trial
from bench.studies.training import training_checkpoint, unit_analysis
from bench.studies.training.adding import Adding
from bench.studies.training.layer_check import WrongResult
from bench.studies.training.learning_rate_search import Search
from bench.studies.training.round_robin import round_robin
from bench.studies.training.task import Task, make_rng
from bench.studies.training.trainer import ANALYSED_SEEDS, Tell, Training
from bench.studies.training.training_plan import TrainingPlan

Emit = Callable[[TrainingRecord | LearnedRecord], None]


@dataclass
class TrainingRunner:
    """Runs the trainings of a plan that are not done.

    Attributes:
        plan: The plan.
        device: The device to train on.
        folder: The folder of checkpoints.
        emit: Receives each record.
        tell: Called with every evaluation.
        until: The time, on the clock of `time.monotonic`, at which all remaining trainings end.
        done: The records of earlier trainings; new ones are added.
        reached: The task's baselines, once computed.
        wrong: The error of each cell that was not trained because its layer doesn't compute it.
    """

    plan: TrainingPlan
    device: torch.device
    folder: Path
    emit: Emit
    tell: Tell
    until: float
    done: list[TrainingRecord] = field(default_factory=list)
    reached: dict[str, float] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def run_all(self) -> int:
        """Runs all trainings and returns how many are unfinished for lack of time.

        The trainings of one seed and one variant of the task form a group and are interleaved; groups share the time evenly.
        """
        search = Search(self.folder, self.device, self.tell)
        planned = [(task, trial) for task, trial in self.plan.trials() if not self.is_finished(trial)]
        groups = [list(found) for _, found in groupby(planned, lambda pair: (pair[1].seed, pair[1].examples))]
        for k, group in enumerate(groups):
            now = time.monotonic()
            if now < self.until:
                self.train(group[0][0], [trial for _, trial in group], search, now + (self.until - now) / (len(groups) - k))
        return sum(not self.is_finished(trial) and trial.cell not in self.wrong for _, trial in planned)

    def is_finished(self, trial: Trial) -> bool:
        """Returns whether a trial has a complete record."""
        return any(is_same_training(r.trial, trial) and r.trial.equal == trial.equal and is_complete(r, trial) for r in self.done)

    def train(self, task: Task, trials: Sequence[Trial], search: Search, until: float) -> None:
        """Trains a group of trials. Trials that are the same training under two comparisons are trained once, such as the cell whose
        parameters the others match."""
        for trial in trials:
            found = next((r for r in self.done if is_same_training(r.trial, trial) and is_complete(r, trial)), None)
            if found:
                self.keep_record(found, trial)
        left = [trial for trial in trials if not self.is_finished(trial)]
        single = [trial for k, trial in enumerate(left) if not any(is_same_training(trial, other) for other in left[:k])]
        rng = make_rng(single[0].seed if single else 0, single[0].examples if single else 0, 13)
        search.search_rates(task, single, rng, until)
        for training, end in round_robin(self.start_trainings(task, single, search), rng, self.tell, until):
            record = training.record(end)
            if training.trial.seed < ANALYSED_SEEDS and training.trial.equal == "hidden" and end not in ("time", "diverged"):
                self.emit(unit_analysis.analyze_units(task, training.model, training.trial))
            record = record.model_copy(update={"search": search.find_rates(training.trial), "baselines": self.baselines(task)})
            for trial in left:
                if is_same_training(training.trial, trial):
                    self.keep_record(record, trial)

    def start_trainings(self, task: Task, trials: Sequence[Trial], search: Search) -> list[Training]:
        """Returns the trainings at the learning rates that were found; adds layers that fail their check to `wrong`."""
        found = []
        for trial in trials:
            path = self.folder / f"{training_checkpoint.checkpoint_name(trial)}.pt"
            try:
                found.append(Training(task, trial.model_copy(update={"rate": search.best_rate(task, trial)}), self.device, path))
            except WrongResult as error:
                self.wrong[trial.cell] = str(error)
        return found

    def keep_record(self, record: TrainingRecord, trial: Trial) -> None:
        """Emits a training's record for a trial, with the trial's comparison."""
        record = record.model_copy(update={"trial": record.trial.model_copy(update={"equal": trial.equal})})
        self.done.append(record)
        self.emit(record)

    def baselines(self, task: Task) -> dict[str, float]:
        """Returns the task's baselines, which its variants share."""
        if not self.reached:
            self.reached.update(task.baselines())
        return self.reached


def is_same_training(one: Trial, other: Trial) -> bool:
    """Returns whether two trials are the same training, apart from learning rate, number of steps and comparison."""
    return all(getattr(one, key) == getattr(other, key) for key in ("task", "cell", "H", "seed", "examples"))


def is_complete(record: TrainingRecord, trial: Trial) -> bool:
    """Returns whether a training is finished. One that did all its steps is unfinished if the trial asks for more."""
    return record.end != "time" and not (record.end == "steps" and record.steps < trial.steps)


def preview_training(device: torch.device, say: Callable[[str], None]) -> list[TrainingRecord]:
    """Trains a gated and a vanilla cell on the adding problem for a few seconds, and returns the records.

    Args:
        device: The device to train on.
        say: Called with a line of progress.
    """
    task = Adding(T=16, B=32, H=16, steps=150, every=50, rates=(2e-2,))
    records = []
    for _, trial in TrainingPlan(task, ("minimal", "vanilla"), 1).trials():
        say(f"training {trial.cell} on the adding problem")
        records.append(Training(task, trial, device).run(ignore).model_copy(update={"baselines": task.baselines()}))
    return records


def ignore(trial: Trial, point: Point) -> None:
    """Ignores an evaluation."""
