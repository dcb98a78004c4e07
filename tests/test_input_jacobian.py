"""The Jacobian of the last output with respect to earlier inputs: against autograd's own, and when a training measures it."""

import dataclasses

import pytest
import torch

from bench.studies.training import input_jacobian
from bench.studies.training.trainer import ANALYSED_SEEDS, Training
from kernels import RNN
from tests.small_trainings import CPU, EASY, quiet, trial


@pytest.mark.parametrize("cell", ["lstm", "minimal"])
def test_it_is_that_of_autograd(cell):
    rnn, x = RNN(cell, 2, 3, dtype=torch.float64), torch.randn(6, 4, 2, dtype=torch.float64)
    found = input_jacobian.measure_input_jacobian(rnn, x, 7)
    whole = torch.autograd.functional.jacobian(lambda x: rnn(x)[0][-1, 0], x[:, :1])[:, :, 0]
    assert found.step == 7 and found.lags == [0, 1, 2, 4]
    for k, lag in enumerate(found.lags):
        values = torch.linalg.svdvals(whole[:, 5 - lag])
        assert found.mean_square[k] == pytest.approx(values.square().mean().item(), rel=1e-10)
        assert found.largest[k] == pytest.approx(values[0].item(), rel=1e-10)


def test_a_wide_layer_has_an_estimate(monkeypatch):
    rnn, x = RNN("gru", 8, 8, dtype=torch.float64), torch.randn(3, 1, 8, dtype=torch.float64)
    exact = input_jacobian.measure_input_jacobian(rnn, x, 0)
    monkeypatch.setattr(input_jacobian, "ROWS", 4)
    monkeypatch.setattr(input_jacobian, "PROBES", 4000)
    found = input_jacobian.measure_input_jacobian(rnn, x, 0)
    assert found.largest == [] and found.mean_square == pytest.approx(exact.mean_square, rel=0.1)


def test_a_training_measures_it_at_its_start_middle_and_end():
    task = dataclasses.replace(EASY, steps=16, every=2)
    record = Training(task, trial(task), CPU).run(quiet)
    assert [j.step for j in record.jacobians] == [0, 8, 16]
    assert record.jacobians[0].mean_square != record.jacobians[2].mean_square
    seeds = (ANALYSED_SEEDS - 1, ANALYSED_SEEDS)
    assert [len(Training(task, trial(task, seed=seed), CPU).run(quiet).jacobians) for seed in seeds] == [3, 0]
