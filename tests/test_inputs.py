"""Inputs and initial states that a layer refuses, with the kind of error that torch.nn raises."""

import pytest
import torch
from torch import Tensor, nn

from kernels import RNN
from tests.sampling import in_full

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
    "hidden without a batch": lambda rnn: rnn(sequence(T, B, D), sequence(1, H)),
    "hidden of another dtype": lambda rnn: rnn(sequence(T, B, D), sequence(1, B, H, dtype=torch.float64)),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input(bad):
    """The kind of error that nn.GRU raises."""
    with pytest.raises(Exception, match=r".") as theirs:
        BAD[bad](nn.GRU(D, H))
    with pytest.raises(type(theirs.value), match=r"."):
        BAD[bad](RNN("gru", D, H))


def test_a_state_of_another_dtype_is_told_what_to_do():
    """Before the loop, whose own check can't say where the tensor came from."""
    with pytest.raises(RuntimeError, match=r"^Expected .*float64.*: convert it$"):
        BAD["hidden of another dtype"](RNN("gru", D, H))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_script_and_fx_name_a_way_out():
    with pytest.raises(RuntimeError, match=r"torch.jit.script can't compile an RNN: use torch.export, torch.jit.trace"):
        torch.jit.script(nn.Sequential(RNN("gru", D, H)))
    with pytest.raises(TypeError, match=r"got Proxy: torch.fx needs the layer as a leaf"):
        torch.fx.symbolic_trace(nn.Sequential(RNN("gru", D, H)))


@pytest.mark.parametrize("count", [1, 3])
def test_wrong_number_of_states(count):
    with pytest.raises(RuntimeError, match=f"lstm has the states h, c: got {count} of 2"):
        RNN("lstm", D, H)(sequence(T, B, D), (sequence(1, B, H),) * count)


def test_wrong_second_state():
    """The state at fault is named."""
    with pytest.raises(RuntimeError, match=r"Expected hidden size \(1, 3, 6\) for c, got \[1, 3, 7\]"):
        RNN("lstm", D, H)(sequence(T, B, D), (sequence(1, B, H), sequence(1, B, H + 1)))


def test_not_a_tensor():
    for input in ([[1.0]], None):
        with pytest.raises(TypeError, match=r"expected a tensor or a PackedSequence, got (list|NoneType)"):
            RNN("gru", D, H)(input)


def test_states_of_another_number_of_dimensions():
    for input, state, says in ((sequence(T, B, D), (1, H), "batched 3-D"), (sequence(T, D), (1, B, H), "unbatched 2-D")):
        with pytest.raises(RuntimeError, match=f"For {says} input, c should also be .-D but got .-D tensor: give it the shape"):
            RNN("lstm", D, H)(input, (sequence(*((1, B, H) if input.dim() == 3 else (1, H))), sequence(*state)))


@pytest.mark.parametrize("hx", [(None, None), (torch.zeros(1, B, H), None), ([1.0], [1.0]), {"h": 1, "c": 2}, 5], ids=repr)
def test_no_state(hx):
    with pytest.raises(TypeError, match=r"hx (has a \w+ for [hc]: give a tensor of shape \(1, 3, 6\)|is a \w+: give h and c)"):
        RNN("lstm", D, H)(sequence(T, B, D), hx)


def test_autocast_without_parameters():
    """A cell has none, or the weights of a layer are no Parameters."""

    def wave(h, x):
        return h + x / 2

    bare, plain = RNN(wave, D, D), RNN("lstm", D, H)
    for name, weight in list(plain.named_parameters()):
        delattr(plain, name)
        setattr(plain, name, weight.detach())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert bare(sequence(T, B, D))[0].dtype == plain(sequence(T, B, D).bfloat16())[0].dtype == torch.float32


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, in_full(torch.jagged)])
def test_nested_tensors_are_refused(layout):
    nested = torch.nested.nested_tensor([torch.randn(3, 4), torch.randn(5, 4)], layout=layout)
    rnn = RNN("lstm", 4, 6)
    for arguments in ({}, {"lengths": [3, 5]}):
        with torch.no_grad(), pytest.raises(RuntimeError, match="no nested tensor: pack its sequences"):
            rnn(nested, **arguments)
