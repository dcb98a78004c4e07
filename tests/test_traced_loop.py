"""torch.jit.trace: a trace of any cell runs for other T and B than the example's, can be trained and saved, and repeats no example."""

import io

import pytest
import torch
from torch import nn

from kernels import RNN
from tests.reference import error
from tests.tolerances import TOLERANCE

T, B, D, H = 5, 3, 4, 8

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
"""torch's own, about TorchScript and about the checks of a call's shapes."""


@pytest.mark.parametrize(("cell", "options"), [
    ("minimal", {"num_layers": 2, "bidirectional": True, "batch_first": True}), ("qrnn", {"memory": "low"}), ("slstm", {"bias": False}),
    ("wave", {"backend": "eager"}),
], ids=["layers", "prev(x)", "heads", "stencil"])  # fmt: skip
def test_other_lengths_and_batches(cell, options):
    """Outputs and every gradient, of a trace that was saved and loaded; torch's own check of a trace passes."""
    rnn, file = RNN(cell, D, H, **options, dtype=torch.float64), io.BytesIO()
    torch.jit.save(torch.jit.trace(rnn, torch.randn(T, B, D, dtype=torch.float64)), file)
    file.seek(0)
    traced, x = torch.jit.load(file), torch.randn(9, 2, D, dtype=torch.float64, requires_grad=True)
    results = []
    for layer in (traced, rnn):
        y, final = layer(x)
        layer.zero_grad()
        x.grad = None
        (y.square().sum() + sum(part.sum() for part in (final if isinstance(final, tuple) else (final,)))).backward()
        gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
        results.append([y, x.grad, *(gradients[name] for name, _ in rnn.named_parameters())])
    for found, right in zip(*results, strict=True):
        assert (found is None) == (right is None)
        assert right is None or error(found, right) <= TOLERANCE["schedule", torch.float64]


class Continued(nn.Module):
    """A layer that goes on from another call."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = RNN("qrnn", D, H)

    def forward(self, x, h, c, before):
        return self.rnn(x, (h, c), before=before)


def test_states_and_the_input_before():
    layer, shapes = Continued(), [(1, 2, H), (1, 2, H), (2, D)]
    traced = torch.jit.trace(layer, [torch.randn(T, 2, D), *map(torch.randn, shapes)])
    given = [torch.randn(9, 2, D), *map(torch.randn, shapes)]
    assert error(traced(*given)[0], layer(*given)[0]) <= TOLERANCE["schedule", torch.float32]
