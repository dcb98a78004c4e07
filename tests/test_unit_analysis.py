"""What drives a unit's update, and its gates, in cells where both are known."""

import pytest
import torch
from torch import nn

from bench.studies.training import unit_analysis
from cells.grammar.functions import prev
from kernels import RNN
from tests.single_thread import one_thread

__all__ = ["one_thread"]


class Around(nn.Module):
    def __init__(self, rnn: RNN):
        super().__init__()
        self.rnn = rnn


def shares_of(step, weights=None):
    """The shares of a cell whose matrices are set, at inputs and states of deviation 1 or so."""
    torch.manual_seed(0)
    rnn = RNN(step, 4, 4)
    with torch.no_grad():
        for name, value in (weights or {}).items():
            rnn.weights()[name].copy_(value)
    x = torch.randn(40, 8, 4)
    return unit_analysis.variance_shares(rnn.cell, x, unit_analysis.run_states(rnn, x), rnn.weights())


def test_what_moves_a_unit_in_cells_where_it_is_known():
    def input(h, x, W):
        return W.x(x)

    def turned(h, x, W):
        return W.h(h) + W.x(x)

    shift = torch.eye(4).roll(1, 0)
    assert shares_of(input) == (0.0, 0.0, 1.0)
    own, neighbours, of_input = shares_of(turned, {"W.h": 0.5 * shift, "W.x": torch.eye(4)})
    assert own == 0.0 and 0.2 < neighbours < 0.3 and own + neighbours + of_input == pytest.approx(1)  # (4/3)/4 over that and 1
    own, neighbours, _ = shares_of(turned, {"W.h": 0.5 * torch.eye(4), "W.x": torch.eye(4)})
    assert neighbours == pytest.approx(0, abs=1e-12) and 0.2 < own < 0.3


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_reset_before", "cfn", "minimal", "vanilla", "qrnn", "fastgrnn"])
def test_gates_are_those_of_the_equations(cell):
    torch.manual_seed(0)
    rnn, x = RNN(cell, 3, 5), torch.randn(6, 4, 3)
    path = unit_analysis.run_states(rnn, x)
    assert torch.allclose(path[0][1:], rnn(x)[0], atol=1e-6)
    with torch.no_grad():
        found = unit_analysis.measure_gates(rnn, x, path)
    names = {
        "lstm": ["i", "f", "o"],
        "gru": ["r", "z"],
        "gru_reset_before": ["r", "u"],
        "cfn": ["theta", "eta"],
        "minimal": ["u"],
        "vanilla": [],
        "qrnn": ["f", "o"],
        "fastgrnn": ["nu", "z", "zeta"],
    }
    assert sorted(g.name for g in found) == sorted(names[cell])
    assert all(0 < low <= middle <= high < 1 for g in found for low, middle, high in zip(g.low, g.middle, g.high, strict=True))
    if cell == "minimal":
        W = rnn.weights()
        z = torch.tanh(x[3] @ W["W.z"].T + W["b.z"])
        u = torch.sigmoid(path[0][3] @ W["W.uh"].T + z @ W["W.uz"].T + W["b.u"])
        assert found[0].middle[3] == pytest.approx(u.quantile(0.5).item(), abs=1e-6)


def test_shares_of_a_state_that_begins_at_minus_infinity():
    """m of sLSTM: it counts from where it is finite."""
    torch.manual_seed(0)
    rnn, x = RNN("slstm", 3, 8), torch.randn(6, 4, 3)
    path = unit_analysis.run_states(rnn, x)
    assert path[3][0].isinf().all()
    assert sum(unit_analysis.variance_shares(rnn.cell, x, path, rnn.weights())) == pytest.approx(1)


def test_the_input_before_moves_no_share_of_the_input():
    """It is given, not varied: of a cell that reads nothing else, nothing moves a unit."""

    def late(h, x, W):
        return W.x(prev(x)) + 0.5 * h

    assert shares_of(late) == pytest.approx((1, 0, 0), abs=1e-12)
