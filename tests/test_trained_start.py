"""The starts `trained:TASK`: weights of a training, and inputs of its task."""

import pytest
import torch

from bench.studies.signals.signal_plan import make_study_problem
from bench.studies.training import trained_start


@pytest.fixture
def short(monkeypatch):
    """Trainings of a few steps."""
    sizes = {"adding": {"T": 5}, "digits": {}, "recommend": {"users": 60, "T": 6, "vocabulary": 40, "S": 8}}
    monkeypatch.setattr(trained_start, "TASKS", {name: {**size, "B": 2, "steps": 3} for name, size in sizes.items()})
    trained_start.train.cache_clear()
    yield
    trained_start.train.cache_clear()


@pytest.mark.parametrize("task", trained_start.TASKS)
def test_weights_and_inputs_of_the_task(task, short):
    """Weights are trained once for all lengths, and sequences follow each other: the longer input begins with the shorter one."""
    first, second = (trained_start.make_trained_problem("minimal", task, T, 3, 4, 0) for T in (7, 150))
    assert torch.equal(first.x, second.x[:7]) and first.x.shape[1] == 3
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    start = make_study_problem("minimal", "default", 7, 3, first.x.shape[2], 4, "float32", "cpu", 0)
    assert not torch.equal(first.weights["W.uh"], start.weights["W.uh"])
    assert trained_start.train.cache_info().misses == 1


def test_every_sequence_is_whole(short):
    """Each stream has two marks in every five steps of the adding problem, and streams differ."""
    x = trained_start.make_trained_problem("minimal", "adding", 20, 3, 4, 0).x
    assert (x[..., 1].reshape(4, 5, 3).sum(1) == 2).all() and not torch.equal(x[:, 0], x[:, 1])


def test_width_of_inputs():
    assert trained_start.has_width("recommend", 8) and not trained_start.has_width("digits", 8)
