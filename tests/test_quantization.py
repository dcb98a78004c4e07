"""A quantized layer: within 2e-2 of the layer in float64, the same in one step or many, and everywhere else an ordinary layer."""

import copy
import pickle

import pytest
import torch

import cells
from kernels import RNN
from kernels.layer.quantization import LARGEST, round_to_grid
from tests import custom
from tests.reference import error, problem
from tests.sampling import sample

ALLOWED = 2e-2
T, B, D, H = 6, 2, 12, 24


def make_layer(name, **options):
    torch.manual_seed(0)
    cell = custom.CELLS.get(name, name)
    return RNN(cell, H, H, **options)


def storages(layer):
    return {storage for version in layer._kept_panels.entries.values() for (_, storage), panels in version.panels.items() if panels}


@sample("name", cells.names(), taken=cells.DEFAULT)
@torch.no_grad()
def test_outputs(name):
    """Of every cell with a matrix."""
    cell = cells.load(name)
    width = 64 if name == "wave" else H
    p = problem(cell, T, B, width, width)
    layer = RNN(cell, width, width)
    layer.set_weights(p.weights)
    states = tuple(p.given[s].unsqueeze(0) for s in cell.states)
    y, _ = layer.quantize()(p.given["x"], states if len(states) > 1 else states[0])
    expected, _ = cell.unroll(*(given_in_double(p)))
    assert error(y, expected) <= ALLOWED


def given_in_double(p):
    double = {name: value.double() for name, value in p.given.items()}
    return double["x"], [double[s] for s in p.cell.states], {name: double[name] for name in p.weights}


@pytest.mark.parametrize("name", ["lstm", "gru", "slstm", "minimal"])
@torch.no_grad()
def test_streaming(name):
    """Steps one by one give what the sequence does, from int8 matrices alone."""
    layer, x = make_layer(name, num_layers=2).quantize(), torch.randn(T, 1, H)
    for _ in range(3):  # the general way, then prepared
        y, state = layer(x), None
        y, found = y[0], []
        for step in x.unbind(0):
            out, state = layer(step.unsqueeze(0), state)
            found.append(out)
        assert torch.allclose(torch.cat(found), y, atol=1e-6)
    assert storages(layer) == {torch.int8}


@torch.no_grad()
def test_every_backend_and_copy_agrees():
    layer, x = make_layer("gru").quantize(), torch.randn(T, B, H)
    y, _ = layer(x)
    eager = RNN("gru", H, H, backend="eager")
    eager.load_state_dict(layer.state_dict())
    assert torch.allclose(eager(x)[0], y, atol=1e-6) and not torch.equal(eager(x)[0], make_layer("gru")(x)[0])
    for same in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), eager.quantize(), layer.quantize()):
        assert same.is_quantized and torch.allclose(same(x)[0], y, atol=1e-6)
    assert "is_quantized=True" in repr(layer) and not make_layer("gru").is_quantized


def test_gradients_of_the_input():
    """The loop reads the same matrices in float32 where a gradient is needed."""
    layer, x = make_layer("lstm").quantize(), torch.randn(T, B, H, requires_grad=True)
    y, _ = layer(x)
    with torch.no_grad():
        assert torch.allclose(layer(x)[0], y, atol=1e-6)
    assert y.sum().backward() is None and x.grad.abs().sum() > 0 and not any(p.requires_grad for p in layer.parameters())


@torch.no_grad()
def test_grid():
    """255 values of a row, which are on the grid of their own largest."""
    matrix = torch.randn(5, 3, 40)
    found = round_to_grid(matrix)
    steps = found / (matrix.abs().amax(-1, keepdim=True) / LARGEST)
    assert torch.allclose(steps, steps.round(), atol=1e-4) and steps.abs().max() < LARGEST + 0.5
    assert torch.allclose(round_to_grid(found), found) and (found - matrix).abs().max() <= matrix.abs().max() / LARGEST / 1.9
    assert torch.equal(round_to_grid(torch.zeros(2, 3)), torch.zeros(2, 3))
    assert round_to_grid(torch.tensor([[1.0, float("nan")], [1.0, 0.3]])).isnan().tolist() == [[False, True], [False, False]]


def test_other_dtypes():
    with pytest.raises(ValueError, match=r"only a layer in float32 .* weight_ih_l0 is not: convert it, layer.float\(\)"):
        RNN("lstm", D, H).bfloat16().quantize()
