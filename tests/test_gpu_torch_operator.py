"""On a GPU: torch's operator over our weights is cuDNN's layer of torch.nn, without a copy of the weights that torch would warn of."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from torch import nn

from kernels import RNN, from_torch
from tests.reference import error
from tests.tolerances import TOLERANCE
from tests.torch_layers import KINDS, results

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none here"),
]
SIZES = [(5, 3, 7, 17), (40, 16, 128, 256)]
"""T, B, D, H: at the second cuDNN takes its persistent kernels, in float16."""


def flatten(module: nn.RNNBase) -> None:
    """As torch does itself, but not in bfloat16, where not every cuDNN can."""
    mode = torch.backends.cudnn.rnn.get_cudnn_mode(module.mode)
    with torch.no_grad(), suppress(RuntimeError):
        weights, each = list(module.parameters()), 4 if module.bias else 2
        torch._cudnn_rnn_flatten_weight(weights, each, module.input_size, mode, module.hidden_size, 0, 1, False, False)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_as_cudnn_runs_it(kind, bias, dtype, size):
    """The same numbers as nn.LSTM's, training and not; a buffer that isn't cuDNN's would be a warning, and so an error here."""
    T, B, D, H = size
    theirs = KINDS[kind](D, H, bias=bias, device="cuda", dtype=dtype)
    if bias:
        nn.init.zeros_(theirs.bias_hh_l0)  # their sum is rounded, which may put a value on the other side of a rectifier's kink
    ours, x = from_torch(theirs, "torch"), torch.randn(T, B, D, device="cuda").to(dtype)
    flatten(theirs)
    (found, d_found), (right, d_right) = results(ours, x), results(theirs, x)
    allowed = TOLERANCE["schedule", dtype]
    assert all(error(a, b) <= allowed for a, b in zip(found + d_found, right + d_right, strict=True))
    with torch.no_grad():
        assert error(ours(x)[0], found[0]) <= allowed


def test_without_training_it_keeps_nothing():
    """Only a forward pass that may have a backward pass keeps memory for it."""
    rnn, x = RNN("lstm", 128, 256, backend="torch", device="cuda", dtype=torch.float16), torch.randn(200, 16, 128).half().cuda()

    def held(run: Callable[[], object]) -> int:
        run()
        before = torch.cuda.memory_allocated()
        results = run()
        return torch.cuda.memory_allocated() - before if results else 0

    with torch.no_grad():
        without = held(lambda: rnn(x))
    assert held(lambda: rnn(x)) > without + 2**20
