"""A layer with `memory="low"`: it keeps the states alone, and is otherwise as one with full memory."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import cells
from bench.measure import memory
from bench.measure.backends import build_workload
from bench.measure.problem import make_problem as case
from bench.records import Memory
from kernels import RNN
from kernels.layer import checkpointing
from tests.reference import error
from tests.sampling import in_full
from tests.tolerances import TOLERANCE

ALL = pytest.mark.parametrize("backend", ["eager", "compiled", in_full("stepwise"), in_full("persistent")])
BOTH = pytest.mark.parametrize("backend", ["compiled", "stepwise"])


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    monkeypatch.setattr(checkpointing, "CHUNK", 3)


def test_second_derivatives_eager():
    found = []
    x = torch.randn(7, 2, 4, requires_grad=True)
    rnn = RNN("gru", 4, 6, backend="eager")
    for rnn.memory in ("full", "low"):
        (dx,) = torch.autograd.grad(rnn(x)[0].square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(dx.square().sum(), list(rnn.parameters())))
    for a, b in zip(*found, strict=True):
        assert error(a, b) <= TOLERANCE["schedule", torch.float32]


@ALL
def test_layers(backend):
    """Layers, directions and layouts, against the same module with full memory."""
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    rnn, x, results = RNN("lstm", 4, 6, backend=backend, **options), torch.randn(2, 7, 4), []
    for rnn.memory in ("full", "low"):
        rnn.zero_grad()
        y, (h, c) = rnn(x)
        (y.square().sum() + h.sum() + c.square().sum()).backward()
        results.append([y.detach(), h.detach(), c.detach(), *(p.grad for p in rnn.parameters())])
    for full, low in zip(*results, strict=True):
        assert error(low, full) <= TOLERANCE["schedule", torch.float32]


@ALL
def test_empty_batch(backend):
    y, _ = RNN("gru", 4, 6, backend=backend, memory="low")(torch.randn(7, 0, 4))
    y.sum().backward()
    assert y.shape == (7, 0, 6)


@BOTH
def test_autocast(backend):
    """Its backward pass, too, computes in the weights' precision."""
    rnn, x, found = RNN("minimal", 4, 6, backend=backend, memory="low"), torch.randn(7, 2, 4), []
    for enabled in (False, True):
        rnn.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            rnn(x)[0].sum().backward()
        found.append([p.grad for p in rnn.parameters()])
    for plain, cast in zip(*found, strict=True):
        assert error(cast, plain) <= TOLERANCE["two ways", torch.float32]


def test_changed_in_place():
    """Autograd says so where the outputs, which the backward pass needs, are written to; the final states are nobody else's."""
    rnn, x = RNN("lstm", 4, 6, backend="compiled", memory="low"), torch.randn(7, 2, 4)
    y, (h, c) = rnn(x)
    right = torch.autograd.grad(y.sum(), list(rnn.parameters()), retain_graph=True)
    with torch.no_grad():
        h.zero_()
        c.zero_()
    assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(y.sum(), list(rnn.parameters())), right, strict=True))
    y, _ = rnn(x)
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_says_so():
    with pytest.raises(ValueError, match="memory is 'full' or 'low', not 'tiny'"):
        RNN("gru", 4, 6, memory="tiny")
    assert repr(RNN("gru", 4, 6, memory="low")) == "RNN(gru, 4, 6, memory='low')"


T, B, H = 512, 8, 64
UNIT = 4 * T * B * H
"""Bytes of one state of all steps, in float32."""


@pytest.fixture
def measured(monkeypatch) -> Callable[[str, str], tuple[Memory, int]]:
    """The memory of a training step, and the peak of an inference."""
    monkeypatch.setattr(checkpointing, "CHUNK", 16)

    def measure(name: str, backend: str) -> tuple[Memory, int]:
        work = build_workload(backend, case(name, T, B, H, H, "float32", "cpu", 0))
        return memory.measure_memory(work), memory.measure_peak(work.infer, torch.device("cpu"))

    return measure


@pytest.mark.parametrize("name", ["lstm", "minimal_deep", "gru_reset_before"])
def test_the_states_are_all_that_is_kept(name, measured):
    """Between forward and backward, over the inputs and the weights. At its peak a training step holds them, the input's gradient,
    the weights a few times over, and of all else a chunk; inference holds the outputs and a chunk."""
    (training, infer), states, chunk = measured(name, "compiled-low"), len(cells.load(name).states), UNIT // 32
    assert training.saved == states * UNIT
    assert training.peak <= (states + 1) * UNIT + 5 * training.weights + 16 * chunk
    assert infer <= UNIT + training.weights + 6 * chunk


@pytest.mark.parametrize(("name", "kept", "held"), [("lstm", 2 / 6, 4 / 7), ("minimal", 1 / 3, 3 / 5)])
def test_a_part_of_full_memory(name, kept, held, measured):
    """Of what a full training step keeps (an LSTM two states and four terms, MinimalRNN its state, z and one term) and of what it holds
    at its peak, the gradients of the input and of what it returns besides."""
    (full, _), (low, _) = measured(name, "compiled"), measured(name, "compiled-low")
    assert low.saved <= kept * full.saved
    assert low.peak <= held * full.peak


def test_hooks_see_the_states_alone():
    """What a caller keeps elsewhere (`save_on_cpu`, say) is what lives from forward to backward, not what a chunk makes again."""
    packed: list[Tensor] = []
    rnn, x = RNN("lstm", 4, 6, backend="compiled", memory="low"), torch.randn(7, 2, 4)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        y, _ = rnn(x)
        forward = len(packed)
        y.sum().backward()
    assert len(packed) <= forward + 1  # the loss may keep something
