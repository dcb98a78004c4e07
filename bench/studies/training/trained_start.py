"""Makes the start `trained`: the weights of a short training on the adding problem, and its sequences as inputs."""

from functools import cache

import torch
from torch import Tensor

from bench.measure.problem import Problem
from bench.records.training_record import Trial
from bench.studies.signals.signal_plan import make_study_problem
from bench.studies.training.adding import Adding
from bench.studies.training.task import make_rng, to_tensors
from bench.studies.training.trainer import Training

TASK = Adding(T=100, steps=400)
"""What is trained: many seconds for a cell of 64 units on one core. Most cells have begun to solve it by then."""


def make_trained_problem(cell: str, T: int, B: int, H: int, seed: int) -> Problem:
    """Returns a problem in float32 on a CPU with trained weights, and T steps of the task's data as its input."""
    given = make_study_problem(cell, "default", T, B, TASK.D, H, "float32", "cpu", seed)
    for name, value in given.weights.items():
        value.copy_(train(cell, H, seed)[name])
    x, _ = to_tensors(*Adding(T=T).sample(make_rng(seed, 0, 2), B))
    given.x.copy_(x)
    return given


@cache
def train(cell: str, H: int, seed: int) -> dict[str, Tensor]:
    """Returns the weights of a layer after the training."""
    training = Training(TASK, Trial(task=TASK.name, cell=cell, H=H, seed=seed, rate=TASK.rates[0], steps=TASK.steps), torch.device("cpu"))
    for _ in range(TASK.steps):
        training.advance()
    return {name: value.detach() for name, value in training.rnn.weights().items()}
