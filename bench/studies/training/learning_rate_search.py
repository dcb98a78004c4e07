"""Searches for a learning rate: one training at each of a task's rates. The best on the validation data is used for all seeds.

These trainings have full length. In shorter ones, high rates look best: they learn fast and end worse.
"""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bench.errors import UsageError
from bench.records.training_record import Trial
from bench.studies.training import training_checkpoint
from bench.studies.training.layer_check import WrongResult
from bench.studies.training.round_robin import round_robin
from bench.studies.training.task import Task
from bench.studies.training.trainer import Tell, Training

SEED = 10_000
"""The seed of the search, which no trial has."""

Found = dict[str, float]
"""The best validation value by learning rate. The rates are written with all their digits: rounded, two could be equal."""


@dataclass
class Search:
    """The search for learning rates. Results are kept in search.json and never change when a run is resumed: a training continues at the
    rate it started with.

    Attributes:
        folder: The folder of search.json and of checkpoints.
        device: The device to train on.
        tell: Called with every evaluation.
        found: The results of each cell and width.
    """

    folder: Path
    device: torch.device
    tell: Tell
    found: dict[str, Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            try:
                self.found = json.loads(self.path.read_text(encoding="utf-8"))
            except ValueError:
                raise UsageError(f"{self.path} is no JSON: move it away, and --resume searches again") from None

    @property
    def path(self) -> Path:
        """Returns the path of search.json."""
        return self.folder / "search.json"

    def find_rates(self, trial: Trial) -> Found:
        """Returns the results for a trial's cell and width; empty if there was no search, or no time for one."""
        return self.found.get(size_key(trial), {})

    def best_rate(self, task: Task, trial: Trial) -> float:
        """Returns the best rate that was found for a trial; the task's first rate if none was.

        Args:
            task: The task.
            trial: The trial, of which the cell and the width count.
        """
        found = self.find_rates(trial)
        return float((max if task.higher else min)(found, key=lambda rate: found[rate])) if found else task.rates[0]

    def search_rates(self, task: Task, trials: Iterable[Trial], rng: np.random.Generator, until: float) -> None:
        """Searches for the rates that are not known yet, interleaved, in at most half of the time that is left.

        Args:
            task: The task.
            trials: The trials that need a rate.
            rng: The generator of the order.
            until: The end of the time left, on the clock of `time.monotonic`.
        """
        wanted = {size_key(trial): trial for trial in trials if size_key(trial) not in self.found}
        rates = tuple(dict.fromkeys(task.rates))
        if len(rates) < 2 or not wanted:
            return
        now, best = time.monotonic(), max if task.higher else min
        trainings: list[Training] = []
        for trial in wanted.values():
            with suppress(WrongResult):  # the training itself raises it again and reports it
                trainings += [self.try_rate(task, trial, rate) for rate in rates]
        for training, _ in round_robin(trainings, rng, self.tell, now + (until - now) / 2):
            if training.curve:
                value = best(point.value for point in training.curve)
                self.found.setdefault(size_key(training.trial), {})[repr(training.trial.rate)] = value
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.found), encoding="utf-8")
        beside.replace(self.path)
        for training in trainings:
            if training.path:
                training.path.unlink(missing_ok=True)

    def try_rate(self, task: Task, trial: Trial, rate: float) -> Training:
        """Returns the training of a trial at another rate, with the seed of the search."""
        path = self.folder / f"search-{training_checkpoint.checkpoint_name(trial)}-{rate!r}.pt"
        return Training(task, trial.model_copy(update={"rate": rate, "seed": SEED}), self.device, path)


def size_key(trial: Trial) -> str:
    return f"{trial.cell} H={trial.H}"
