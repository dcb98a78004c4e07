"""An iteration of newton on a CPU ignores lanes past the last unit, and recovers from an overflow."""

import pytest
import torch

from cells.grammar.functions import tanh
from kernels import RNN
from tests.test_newton import spy_on
from tests.tolerances import TOLERANCE


def offset(h, x, W):
    """Lanes past the last unit compute another value than zero, from zeros."""
    return 2 + tanh(W.h(h) + W.x(x)) / 4


def steep(h, x, W):
    """Its slope of 3 at the first guess overflows float32 after 80 steps, but its states don't."""
    return 3 * tanh(h + W.x(x))


@pytest.mark.parametrize(("function", "H"), [(offset, 5), (offset, 17), (steep, 8)])
def test_converges_without_a_rest(function, H, monkeypatch):
    """Lanes past the last unit count for nothing, and what overflows on the way is guessed again from 0."""
    rests = spy_on(monkeypatch)
    layer, x = RNN(function, 3, H, backend="newton"), torch.randn(200, 2, 3)
    found = layer(x)[0]
    reference = RNN(function, 3, H, backend="eager")
    reference.load_state_dict(layer.state_dict())
    expected = reference(x)[0]
    assert (found - expected).abs().max() <= TOLERANCE["schedule", torch.float32] * expected.abs().max()
    found.sum().backward()
    assert not rests
