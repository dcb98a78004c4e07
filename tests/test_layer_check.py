"""A layer is checked against its equations before it is trained."""

import pytest
import torch

from bench.studies.training.layer_check import WrongResult, check_layer
from kernels import RNN


def test_a_layer_that_is_wrong_is_not_trained(monkeypatch):
    rnn = RNN("minimal", 3, 5)
    x = torch.randn(7, 2, 3)
    assert check_layer(rnn, x)[0] == "compiled" and check_layer(rnn, x)[1] < 1e-5
    forward = RNN.forward
    monkeypatch.setattr(RNN, "forward", lambda self, *given: (forward(self, *given)[0] * 1.001, None))
    with pytest.raises(WrongResult, match=r"minimal \(compiled\) is off by"):
        check_layer(rnn, x)


@pytest.mark.parametrize("cell", ["qrnn", "fastgrnn", "slstm"])
def test_cells_are_checked_before_they_are_trained(cell):
    torch.manual_seed(0)
    assert check_layer(RNN(cell, 3, 8), torch.randn(20, 5, 3))[0] == "compiled"
