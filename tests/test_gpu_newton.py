"""The schedule newton on a GPU: against the equations in float64, and inside a graph that the caller captures."""

import pytest
import torch

import cells
from kernels import RNN
from kernels.schedules.newton import newton
from tests.reference import check, problem

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none here"),
]
DEVICE = "cuda"


def on_gpu(p):
    """The problem with its tensors on the device."""
    return type(p)(p.cell, p.bias, *({name: value.to(DEVICE) for name, value in part.items()} for part in (p.given, p.upstream)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("T", [70, 1024])
@pytest.mark.parametrize("name", ["minimal", "cfn", "lstm", "gru_reset_before", "sru", "paralstm"])
def test_cells(name, T, dtype):
    check([on_gpu(problem(cells.load(name), T, 4, 48, 48, dtype))], "newton", dtype)


@pytest.mark.parametrize("name", ["minimal", "lstm"])
def test_rest(name, monkeypatch):
    """What hasn't converged runs step by step."""
    monkeypatch.setattr(newton, "BUDGET", 3)
    check([on_gpu(problem(cells.load(name), 70, 4, 48, 48))], "newton", torch.float32)


def test_captured_by_the_caller():
    """A graph of the caller's holds the pass, and replays it on other inputs."""
    layer = RNN("minimal", 16, 32, backend="newton", device=DEVICE)
    x = torch.randn(40, 2, 16, device=DEVICE)
    with torch.no_grad():
        layer(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y, _ = layer(x)
        x.normal_()
        graph.replay()
        assert torch.allclose(y, layer(x)[0], atol=1e-5)
