"""Noise on inputs and states of a trained layer."""

import torch

from bench.studies.training.noise_robustness import NoisyLayer, add_noise
from kernels import RNN
from tests.single_thread import one_thread
from tests.small_trainings import EASY

__all__ = ["one_thread"]


def test_noise_of_zero_is_none_and_more_is_more():
    torch.manual_seed(0)
    for cell in ("lstm", "minimal"):
        rnn, x = RNN(cell, 3, 5), torch.randn(9, 4, 3)
        with torch.no_grad():  # as the noisy layer is called: a training call rounds otherwise
            y, _ = rnn(x)
        assert torch.equal(NoisyLayer(rnn)(x)[0], y)
        still, _ = NoisyLayer(rnn, states=1e-12)(x)  # the loop step by step
        assert torch.allclose(still, y, atol=1e-6)
        off = [(NoisyLayer(rnn, inputs=i, states=s)(x)[0] - y).std().item() for i, s in ((0.1, 0), (1.0, 0), (0, 0.1), (0, 1.0))]
        assert 0 < off[0] < off[1] and 0 < off[2] < off[3]


def test_noise_is_over_after_its_context():
    model = EASY.model("minimal", 8)
    rnn, clean = model.rnn, EASY.measure(model, "test")
    with add_noise(model, inputs=1.0):
        assert EASY.measure(model, "test") != clean
    assert model.rnn is rnn and EASY.measure(model, "test") == clean


def test_noise_on_states_leaves_the_input_before_as_it_is():
    """Step by step, as it is for noise on states, prev(x) is still the step before."""
    rnn = RNN("qrnn", 3, 5)
    x = torch.randn(7, 2, 3)
    found, _ = NoisyLayer(rnn, states=1e-6)(x)
    assert torch.allclose(found, rnn(x)[0], atol=1e-4)
