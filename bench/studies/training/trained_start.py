"""Makes the starts `trained:TASK`: weights of a short training, with validation sequences of its task as inputs."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from bench.measure.problem import Problem
from bench.records.training_record import Trial
from bench.studies.signals.signal_plan import make_study_problem
from bench.studies.training import load_task
from bench.studies.training.trainer import Training

PREFIX = "trained:"
TASKS: dict[str, dict[str, Any]] = {
    "adding": {"T": 100, "steps": 400},
    "digits": {"steps": 400},
    "recommend": {"steps": 200, "rates": (1e-2,)},
}
"""The sizes of each task. A training takes some ten seconds for a cell of 64 units on one core; most cells have begun to solve the task
then."""
STARTS = tuple(f"{PREFIX}{name}" for name in TASKS)


def make_trained_problem(cell: str, task: str, T: int, B: int, H: int, seed: int) -> Problem:
    """Returns a problem in float32 on a CPU with trained weights; its inputs are T steps of the task's sequences, one after another."""
    weights, inputs = train(cell, task, H, seed)
    length, count, D = inputs.shape
    given = make_study_problem(cell, "default", T, B, D, H, "float32", "cpu", seed)
    for name, value in given.weights.items():
        value.copy_(weights[name])
    rows = [torch.arange(first, first + B) % count for first in range(0, B * -(-T // length), B)]
    given.x.copy_(torch.cat([inputs[:, chosen] for chosen in rows])[:T])
    return given


def has_width(task: str, H: int) -> bool:
    """Returns whether inputs of a task have the width H, as a cell that uses x unit by unit needs."""
    return load_task(task, H=H, **TASKS[task]).D == H


@cache
def train(cell: str, task: str, H: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Returns the weights of a layer after the training, and validation sequences (T, N, D)."""
    made = load_task(task, H=H, **TASKS[task])
    training = Training(made, Trial(task=task, cell=cell, H=H, seed=seed, rate=made.rates[0], steps=made.steps), torch.device("cpu"))
    for _ in range(made.steps):
        training.advance()
    return {name: value.detach() for name, value in training.rnn.weights().items()}, made.inputs(training.model)
