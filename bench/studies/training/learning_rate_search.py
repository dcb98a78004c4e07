"""The search for a learning rate: a training at each of a task's rates, of which the best on the validation data is used for all seeds.

It is as long as any other: of short ones those at high rates are the best, which learn soon and end worse.
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
"""No trial's own."""

Found = dict[str, float]
"""The best validation value by learning rate, in as few digits as say which it is: rounded, two could share a name."""


@dataclass
class Search:
    """The search for learning rates. Its results are kept in search.json in `folder`, and stay when a run is resumed: a training goes on at
    the rate that it began with."""

    folder: Path
    device: torch.device
    tell: Tell
    found: dict[str, Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            try:
                self.found = json.loads(self.path.read_text(encoding="utf-8"))
            except ValueError:
                raise UsageError(f"{self.path} is no JSON: delete it, and --resume searches again") from None

    @property
    def path(self) -> Path:
        return self.folder / "search.json"

    def record_of(self, trial: Trial) -> Found:
        """Return what was found for a cell and its width; nothing if there was no search, or no time for one."""
        return self.found.get(size_key(trial), {})

    def rate(self, task: Task, trial: Trial) -> float:
        """The best rate that was found, the task's first where none was."""
        found = self.record_of(trial)
        return float((max if task.higher else min)(found, key=lambda rate: found[rate])) if found else task.rates[0]

    def search_rates(self, task: Task, trials: Iterable[Trial], rng: np.random.Generator, until: float) -> None:
        """Search for what isn't known yet, interleaved, in at most half of the time that is left."""
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
        path = self.folder / f"search-{training_checkpoint.checkpoint_name(trial)}-{rate!r}.pt"
        return Training(task, trial.model_copy(update={"rate": rate, "seed": SEED}), self.device, path)


def size_key(trial: Trial) -> str:
    return f"{trial.cell} H={trial.H}"
