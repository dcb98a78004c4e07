"""The start `trained`: weights of a training, and inputs of its task."""

import torch

from bench.studies.signals.signal_plan import make_study_problem
from bench.studies.training import trained_start
from bench.studies.training.adding import Adding


def test_weights_and_inputs_of_the_task(monkeypatch):
    monkeypatch.setattr(trained_start, "TASK", Adding(T=5, B=2, steps=3))
    trained_start.train.cache_clear()
    first, second = (trained_start.make_trained_problem("minimal", T, 3, 4, 0) for T in (7, 9))
    assert first.x.shape == (7, 3, 2) and set(first.x[..., 1].unique().tolist()) == {0, 1}
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    start = make_study_problem("minimal", "default", 7, 3, 2, 4, "float32", "cpu", 0)
    assert not torch.equal(first.weights["W.uh"], start.weights["W.uh"])
    assert trained_start.train.cache_info().misses == 1
    trained_start.train.cache_clear()
