"""Gradients when something a backward pass needs is changed in place: the right ones or an error. And second derivatives."""

import pytest
import torch
from torch import Tensor

from kernels import RNN
from kernels.derive.buffers import contiguous_slots
from tests.sampling import sample

BACKENDS = pytest.mark.parametrize("backend", ["eager", "compiled", "stepwise"])

T, B, D, H = 4, 2, 4, 6
RUN = [
    ("lstm", "eager"), ("lstm", "compiled"), ("lstm", "stepwise"), ("lstm", "persistent"), ("minlstm", "scan"),
    ("wave", "compiled"), ("wave", "stepwise"), ("wave", "stencil"),
]  # fmt: skip
CHANGES = ["x", "y", "a step of y", "first state given", "last state given", "first state", "last state"]


def gradients(rnn: RNN, change: str = "") -> list[Tensor]:
    """Those of x, the initial states and all parameters, after one of the tensors was changed behind autograd's back."""
    generator = torch.Generator().manual_seed(3)
    count = len(rnn.cell.states)
    leaves = [torch.randn(n, B, width, generator=generator) for n, width in [(T, rnn.input_size)] + [(1, H)] * count]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    x, *given = (leaf * 1 for leaf in leaves)
    y, final = rnn(x, tuple(given))
    loss = sum((out * torch.randn(out.shape, generator=generator)).sum() for out in (y, *final))
    places = {"x": x, "y": y, "a step of y": y[1], "first state given": given[0], "last state given": given[-1]}
    places |= {"first state": final[0], "last state": final[-1]}
    if change:
        with torch.no_grad():
            places[change].mul_(7)
    return list(torch.autograd.grad(loss, leaves + list(rnn.parameters())))


@sample("run, memory", RUN, ["full", "low"])
def test_changed_before_the_backward_pass(run, memory):
    """One of the two, whatever is changed: nn.LSTM raises, too. In `stencil` the second state's history is a view of the first's."""
    name, backend = run
    rnn = RNN(name, 1 if name == "wave" else H, H, backend=backend, memory=memory)
    expected, refused = gradients(rnn), []
    for change in CHANGES:
        try:
            found = gradients(rnn, change)
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error) or "modified inplace" in str(error)
            refused.append(change)
        else:
            assert all(map(torch.equal, found, expected)), change
    assert {"x", "y", "a step of y"} <= {*refused} or backend == "eager"


@pytest.mark.parametrize("layer", [torch.nn.LSTM(1, H), RNN("lstm", 1, H, backend="compiled"), RNN("wave", 1, H, backend="stencil")])
def test_changed_where_autograd_sees_it(layer):
    y, _ = layer(torch.randn(T, B, 1))
    with pytest.raises(RuntimeError, match=r"inplace"):
        y.mul_(2).sum().backward()


@BACKENDS
def test_outputs_changed_in_place(backend):
    """Either the gradients are right, or autograd says what happened; nothing in between."""
    rnn, x = RNN("gru", D, H, backend=backend), torch.randn(T, B, D)
    right = torch.autograd.grad(rnn(x)[0].sum(), list(rnn.parameters()))
    y, _ = rnn(x)
    y += 1
    try:
        found = torch.autograd.grad(y.sum(), list(rnn.parameters()))
    except RuntimeError as raised:
        assert "modified by an inplace operation" in str(raised)
    else:
        assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True))


@BACKENDS
def test_final_states_changed_in_place(backend):
    """The final states are nobody else's: changing them changes no gradient."""
    rnn, x = RNN("lstm", D, H, backend=backend), torch.randn(T, B, D)
    right = torch.autograd.grad(rnn(x)[0].sum(), list(rnn.parameters()))
    y, (h, c) = rnn(x)
    with torch.no_grad():
        h.zero_()
        c.zero_()
    assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(y.sum(), list(rnn.parameters())), right, strict=True))


@pytest.mark.parametrize(("backend", "memory"), [("compiled", "full"), ("compiled", "low"), ("eager", "low")])
def test_weights_changed_before_the_backward_pass(backend, memory):
    """Each one, as an optimizer's step changes it: an error, as nn.LSTM raises, though a loop joins them and saves what it joined."""
    rnn, x = RNN("lstm", D, H, backend=backend, memory=memory), torch.randn(T, B, D)
    for name, weight in rnn.named_parameters():
        if backend == "eager" and name.startswith("bias"):
            continue  # their sum is what the forward pass computed with
        y, _ = rnn(x)
        with torch.no_grad():
            weight.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation") as raised:
            y.sum().backward()
        said = str(raised.value)  # by the layer's name for it, or the equations' for a part of it
        assert "call backward" not in said or said.startswith((name.removesuffix("_l0"), "W.", "b."))


def test_an_input_that_was_copied():
    """A layer that takes (B, T, D) reads a copy of x."""
    rnn, x = RNN("lstm", D, H, batch_first=True, backend="compiled"), torch.randn(B, T, D)
    y, _ = rnn(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match=r"the input has been modified by an inplace operation .* or change a clone"):
        y.sum().backward()


def test_slots_apart_are_ranges_apart():
    """Slots of one buffer with another between them, and slots of two buffers."""
    assert list(contiguous_slots([(0, 0), (0, 1), (0, 3), (1, 4)])) == [(0, 2, 0, 0), (2, 1, 0, 3), (3, 1, 1, 4)]
