"""What a backward pass needs is changed in place before it runs: that is an error, or changes nothing. Never other gradients."""

import pytest
import torch
from torch import Tensor

from kernels import RNN

T, B, H = 4, 2, 6
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


@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize(("name", "backend"), RUN, ids=[" ".join(run) for run in RUN])
def test_changed_before_the_backward_pass(name, backend, memory):
    """One of the two, whatever is changed: nn.LSTM raises, too. In `stencil` the second state's history is a view of the first's."""
    if (backend, memory) == ("eager", "low"):
        pytest.skip("torch.utils.checkpoint doesn't watch what it is given")
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
