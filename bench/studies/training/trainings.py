"""A run of trainings: their learning rates are searched for, they are trained interleaved, and each is looked into and written down as soon
as it ends."""

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
from bench.studies.training.trainer import Tell, Training
from bench.studies.training.training_plan import TrainingPlan

Emit = Callable[[TrainingRecord | LearnedRecord], None]


@dataclass
class TrainingRunner:
    """Trains what a plan has and `done` doesn't. `folder` is where checkpoints are kept; after `until`, by `time.monotonic`, all that is
    left ends where it is. `wrong` says, by cell, which layers were not trained since they don't compute it."""

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
        """Trains everything and returns how many trainings the time did not suffice for.

        The trainings of one seed and one variant of the task are interleaved; such groups share the time evenly.
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
        return any(is_same_training(r.trial, trial) and r.trial.equal == trial.equal and is_complete(r, trial) for r in self.done)

    def train(self, task: Task, trials: Sequence[Trial], search: Search, until: float) -> None:
        """Train the trials. Those that are one training under two headings, as the cell that gives the parameters has the same width twice,
        are trained once."""
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
            if training.trial.seed == 0 and training.trial.equal == "hidden" and end not in ("time", "diverged"):
                self.emit(unit_analysis.analyze_units(task, training.model, training.trial))
            record = record.model_copy(update={"search": search.record_of(training.trial), "baselines": self.baselines(task)})
            for trial in left:
                if is_same_training(training.trial, trial):
                    self.keep_record(record, trial)

    def start_trainings(self, task: Task, trials: Sequence[Trial], search: Search) -> list[Training]:
        """Trainings at the rates that were found."""
        found = []
        for trial in trials:
            path = self.folder / f"{training_checkpoint.checkpoint_name(trial)}.pt"
            try:
                found.append(Training(task, trial.model_copy(update={"rate": search.rate(task, trial)}), self.device, path))
            except WrongResult as error:
                self.wrong[trial.cell] = str(error)
        return found

    def keep_record(self, record: TrainingRecord, trial: Trial) -> None:
        """A training's record, under the heading of a trial."""
        record = record.model_copy(update={"trial": record.trial.model_copy(update={"equal": trial.equal})})
        self.done.append(record)
        self.emit(record)

    def baselines(self, task: Task) -> dict[str, float]:
        """The task's; its variants share them."""
        if not self.reached:
            self.reached.update(task.baselines())
        return self.reached


def is_same_training(one: Trial, other: Trial) -> bool:
    """Return whether two trials are the same training but for its rate, its end, and the heading it is under."""
    return all(getattr(one, key) == getattr(other, key) for key in ("task", "cell", "H", "seed", "examples"))


def is_complete(record: TrainingRecord, trial: Trial) -> bool:
    """Return whether nothing is left to do: a training that did all its steps has some left if more are asked for."""
    return record.end != "time" and not (record.end == "steps" and record.steps < trial.steps)


def preview_training(device: torch.device, say: Callable[[str], None]) -> list[TrainingRecord]:
    """A few seconds of the adding problem: does a gated cell learn here, and how far does a vanilla one get in as many steps?"""
    task = Adding(T=16, B=32, H=16, steps=150, every=50, rates=(2e-2,))
    records = []
    for _, trial in TrainingPlan(task, ("minimal", "vanilla"), 1).trials():
        say(f"training {trial.cell} on the adding problem")
        records.append(Training(task, trial, device).run(ignore).model_copy(update={"baselines": task.baselines()}))
    return records


def ignore(trial: Trial, point: Point) -> None:
    """Tell nobody."""
