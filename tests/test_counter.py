"""Counters of one unit with weights set by hand: an LSTM counts exactly, and what bounds a GRU and a MinimalRNN."""

import math

import pytest
import torch

from bench.studies.training import counter
from kernels import RNN
from tests.single_thread import one_thread

__all__ = ["one_thread"]


@pytest.mark.parametrize(("backend", "n"), [("compiled", 100_000), ("eager", 300), pytest.param("eager", 100_000, marks=pytest.mark.full)])
def test_an_lstm_counts_up_and_back_exactly(backend, n):
    rnn = counter.make_counter("lstm", backend)
    assert counter.count(rnn, n, 0) == n and counter.count(rnn, n, n - 1) == 1.0 and counter.count(rnn, n, n) == 0.0


@pytest.mark.parametrize("cell", ["gru", "minimal"])
def test_a_bounded_state_does_not_come_back(cell):
    """By -(1 - uⁿ)²/(1 - u) counts, over a thousand at n = 100,000 and a tenth at 1,000; float32 rounds each step by up to a tenth."""
    rnn, step = counter.make_counter(cell), 2.0**-23
    for n, rel in ((1_000, 0.02), (100_000, 0.15)):
        assert counter.count(rnn, n, n) == pytest.approx(-((1 - (1 - step) ** n) ** 2) / step, rel=rel)
    assert list(counter.measure_counters(cell).values()) == pytest.approx([1.2e-5, 0.12, 1180], rel=0.15)


@pytest.mark.parametrize("cell", ["gru", "minimal"])
def test_counts_in_a_bounded_state_lie_close(cell):
    """Whatever the weights, |h| ≤ 1, so two of n states are within 2/(n - 1); an LSTM's are 1 apart."""
    for gain in (1.0, 10.0, 100.0):
        torch.manual_seed(0)
        rnn = RNN(cell, 2, 1, backend="eager", dtype=torch.float64)
        rnn.set_weights({name: gain * torch.randn_like(value) for name, value in rnn.weights().items()})
        h = rnn(torch.eye(2, dtype=torch.float64)[torch.randint(2, (200,))][:, None])[0].flatten()
        assert h.abs().max() <= 1 and h.sort().values.diff().min() <= 2 / 199
    assert counter.count(counter.make_counter("lstm"), 7, 0) - counter.count(counter.make_counter("lstm"), 7, 1) == 1.0


def test_other_cells_have_no_counter():
    assert counter.measure_counters("vanilla") == {} and math.prod(counter.measure_counters("lstm").values()) == 0
