"""Inputs and initial states that a layer refuses, with the kind of error that torch.nn raises."""

import pytest
import torch
from torch import Tensor, nn

from kernels import RNN

T, B, D, H = 5, 3, 4, 6


def sequence(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(dtype)


BAD = {
    "no steps": lambda rnn: rnn(sequence(0, B, D)),
    "no steps, unbatched": lambda rnn: rnn(sequence(0, D)),
    "no steps and no rows": lambda rnn: rnn(sequence(0, 0, D)),
    "wrong width": lambda rnn: rnn(sequence(T, B, D + 1)),
    "wrong dtype": lambda rnn: rnn(sequence(T, B, D, dtype=torch.float64)),
    "integers": lambda rnn: rnn(sequence(T, B, D, dtype=torch.int64)),
    "one dimension": lambda rnn: rnn(sequence(D)),
    "four dimensions": lambda rnn: rnn(sequence(1, T, B, D)),
    "hidden of another batch": lambda rnn: rnn(sequence(T, B, D), sequence(1, B + 1, H)),
    "hidden of another width": lambda rnn: rnn(sequence(T, B, D), sequence(1, B, H + 1)),
    "hidden of more layers": lambda rnn: rnn(sequence(T, B, D), sequence(2, B, H)),
    "hidden without layers": lambda rnn: rnn(sequence(T, B, D), sequence(B, H)),
    "batched hidden": lambda rnn: rnn(sequence(T, D), sequence(1, 1, H)),
    "hidden of another dtype": lambda rnn: rnn(sequence(T, B, D), sequence(1, B, H, dtype=torch.float64)),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input(bad):
    """The kind of error that nn.GRU raises."""
    with pytest.raises(Exception, match=r".") as theirs:
        BAD[bad](nn.GRU(D, H))
    with pytest.raises(type(theirs.value), match=r"."):
        BAD[bad](RNN("gru", D, H))


@pytest.mark.parametrize("count", [1, 3])
def test_wrong_number_of_states(count):
    with pytest.raises((ValueError, RuntimeError), match=f"lstm has the states h, c: got {count} of 2"):
        RNN("lstm", D, H)(sequence(T, B, D), (sequence(1, B, H),) * count)


def test_wrong_second_state():
    """The state at fault is named."""
    with pytest.raises(RuntimeError, match=r"Expected hidden size \(1, 3, 6\) for c, got \[1, 3, 7\]"):
        RNN("lstm", D, H)(sequence(T, B, D), (sequence(1, B, H), sequence(1, B, H + 1)))


def test_not_a_tensor():
    for input in ([[1.0]], None):
        with pytest.raises(TypeError, match=r"expected a tensor or a PackedSequence, got (list|NoneType)"):
            RNN("gru", D, H)(input)
