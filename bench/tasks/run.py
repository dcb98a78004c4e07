"""A run of trainings: each is searched for its learning rate, trained, looked into, and written down as soon as it is finished."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bench.records.training import LearnedRecord, Point, TrainingRecord, Trial
from bench.tasks import learned
from bench.tasks.adding import Adding
from bench.tasks.plan import Plan
from bench.tasks.reference import Wrong
from bench.tasks.task import Task
from bench.tasks.training import Tell, Training

SEARCH_SEED = 10_000
"""No trial's own."""

SEARCH_SHARE = 4
"""A search trains for a fourth of the steps at each rate."""

Emit = Callable[[TrainingRecord | LearnedRecord], None]


@dataclass
class Runner:
    """Trains what a plan has and `done` doesn't. `folder` is where checkpoints are kept; after `until`, by `time.monotonic`, all that is
    left ends where it is. `wrong` says which layers were not trained since they don't compute their cell."""

    plan: Plan
    device: torch.device
    folder: Path
    emit: Emit
    tell: Tell
    until: float
    done: list[TrainingRecord] = field(default_factory=list)
    reached: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def run(self) -> int:
        """How many trainings were left unfinished for want of time."""
        planned = list(self.plan.trials())
        left = 0
        for k, (task, trial) in enumerate(planned):
            if self.finished(trial):
                continue
            if time.monotonic() >= self.until:
                return left + len(planned) - k
            share = time.monotonic() + (self.until - time.monotonic()) / (len(planned) - k)
            try:
                record = self.same(trial) or self.train(task, trial, share)
            except Wrong as error:
                self.wrong.append(str(error))
                continue
            self.done.append(record)
            self.emit(record)
            left += record.end == "time"
        return left

    def finished(self, trial: Trial) -> bool:
        return any(match(r.trial, trial) and r.trial.equal == trial.equal and complete(r, trial) for r in self.done)

    def same(self, trial: Trial) -> TrainingRecord | None:
        """The record of a training that is this one under another heading: the cell that gives the parameters has the same width twice."""
        found = next((r for r in self.done if match(r.trial, trial) and complete(r, trial)), None)
        return found and found.model_copy(update={"trial": found.trial.model_copy(update={"equal": trial.equal})})

    def train(self, task: Task, trial: Trial, until: float) -> TrainingRecord:
        search = self.search(task, trial, until)
        best = max if task.higher else min
        if search:
            trial = trial.model_copy(update={"rate": float(best(search, key=lambda rate: search[rate]))})
        training = Training(task, trial, self.device, self.folder / f"{name(trial)}.pt")
        record = training.run(self.tell, until)
        if trial.seed == 0 and trial.equal == "hidden" and record.end not in ("time", "diverged"):
            self.emit(learned.look(task, training.model, trial))
        return record.model_copy(update={"search": search, "baselines": self.baselines(task)})

    def baselines(self, task: Task) -> dict[str, float]:
        """The task's; its variants share them."""
        if not self.reached:
            self.reached.update(task.baselines())
        return self.reached

    def search(self, task: Task, trial: Trial, until: float) -> dict[str, float]:
        """The best validation value in a short training at each of the task's rates, where there are several: the same for all seeds."""
        if len(task.rates) < 2:
            return {}
        known = next((r.search for r in self.done if (r.trial.cell, r.trial.H) == (trial.cell, trial.H) and r.search), None)
        return known or {f"{rate:g}": self.tried(task, trial, rate, until) for rate in task.rates}

    def tried(self, task: Task, trial: Trial, rate: float, until: float) -> float:
        short = {"rate": rate, "seed": SEARCH_SEED, "steps": max(1, trial.steps // SEARCH_SHARE)}
        now = time.monotonic()
        share = now + (until - now) / (2 * len(task.rates))
        curve = Training(task, trial.model_copy(update=short), self.device).run(self.tell, share).curve
        values = [point.value for point in curve]
        return max(values) if task.higher else min(values)


def match(one: Trial, other: Trial) -> bool:
    """Whether they are the same training but for its rate, its end, and the heading it is under."""
    return all(getattr(one, key) == getattr(other, key) for key in ("task", "cell", "H", "seed", "examples"))


def complete(record: TrainingRecord, trial: Trial) -> bool:
    """Whether nothing is left to do: a training that did all its steps has some left where more are asked for."""
    return record.end != "time" and not (record.end == "steps" and record.steps < trial.steps)


def name(trial: Trial) -> str:
    """A trial's, for its checkpoint."""
    known = (trial.cell, f"H{trial.H}", f"seed{trial.seed}", f"n{trial.examples}" if trial.examples else "")
    return "-".join(filter(None, known))


def short(device: torch.device, say: Callable[[str], None]) -> list[TrainingRecord]:
    """A few seconds of the adding problem: does a gated cell learn here, and how far does a vanilla one get in as many steps?"""
    task = Adding(T=16, B=32, H=16, steps=150, every=50, rates=(2e-2,))
    records = []
    for _, trial in Plan(task, ("minimal", "vanilla"), 1).trials():
        say(f"training {trial.cell} on the adding problem")
        records.append(Training(task, trial, device).run(quiet).model_copy(update={"baselines": task.baselines()}))
    return records


def quiet(trial: Trial, point: Point) -> None:
    """Tell nobody."""
