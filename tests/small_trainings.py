"""Trainings that take a second, for the tests of whatever trains."""

import math

import torch

from bench.records.training_record import Point, Trial
from bench.studies.training import trainings as run
from bench.studies.training.adding import Adding
from bench.studies.training.training_plan import TrainingPlan

CPU = torch.device("cpu")
EASY = Adding(T=10, B=32, H=16, steps=250, every=50, rates=(2e-2,))


def trial(task, cell="minimal", **changes) -> Trial:
    known = {"task": task.name, "cell": cell, "H": task.H, "seed": 0, "rate": task.rates[0], "steps": task.steps}
    return Trial.model_validate(known | changes)


def quiet(trial: Trial, point: Point) -> None:
    pass


def runner(task, tmp_path, cells=("minimal",), seeds=1, equal=("hidden",), done=(), tell=quiet):
    lines = []
    made = run.TrainingRunner(TrainingPlan(task, cells, seeds, equal), CPU, tmp_path, lines.append, tell, math.inf, list(done))
    return made.run_all(), [line for line in lines if line.kind == "training"], lines
