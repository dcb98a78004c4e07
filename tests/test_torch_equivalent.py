"""Cells that torch.nn has too: the same equations, weights read and written."""

import pytest
import torch

import cells
from cells.grammar.torch_equivalent import TorchEquivalent
from tests.reference import agree, problem, solve
from tests.tolerances import TOLERANCE

TWINS = [name for name in cells.names() if cells.load(name).torch_equivalent]


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("bias", [True, False])
def test_torch(name, bias):
    """The equations are those of the torch.nn module, with its weights by the cell's names."""
    p = problem(cells.load(name), 6, 3, 5, 7, dtype=torch.float64, bias=bias)
    twin, states = p.cell.torch_equivalent, p.cell.states
    module = twin.build(5, 7, bias=bias, dtype=torch.float64)
    p = p.with_given(**{key: value for key, value in twin.read(module).items() if key in p.weights})
    x = p.given["x"].clone().requires_grad_()
    initial = [p.given[s][None].clone().requires_grad_() for s in states]
    y, final = module(x, tuple(initial) if len(states) > 1 else initial[0])
    final = final if len(states) > 1 else (final,)
    upstream = [p.upstream["y"], *(p.upstream[f"final {s}"][None] for s in states)]
    dx, *rest = torch.autograd.grad([y, *final], [x, *initial, *module.parameters()], upstream)
    packed = {key.removesuffix("_l0"): d for (key, _), d in zip(module.named_parameters(), rest[len(states) :], strict=True)}
    expected = {"y": y.detach(), **{f"final {s}": v.detach()[0] for s, v in zip(states, final, strict=True)}, "d x": dx}
    expected |= {f"d {s}": d[0] for s, d in zip(states, rest, strict=False)}
    expected |= {f"d {key}": d for key, d in twin.split(packed).items() if key in p.weights}
    agree([solve(p, "eager", torch.float64)], [expected], TOLERANCE["torch.nn gradients", torch.float64])


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("bias", [True, False])
def test_twin_writes_what_it_reads(name, bias):
    """Weights written to a module and read back are the same, in whichever layer and direction."""
    found = cells.load(name)
    weights = {key: torch.randn(shape) for key, shape in found.shapes(10, 5, bias).items()}
    module = found.torch_equivalent.build(3, 5, num_layers=2, bidirectional=True, bias=bias)
    found.torch_equivalent.write(weights, module, "_l1_reverse")
    read = found.torch_equivalent.read(module, "_l1_reverse")
    assert all(torch.equal(read[key], weights[key]) for key in weights)


def test_twin_refuses():
    """Another module, another nonlinearity, and projections, which the cells don't have."""
    twin = cells.load("vanilla").torch_equivalent
    with pytest.raises(TypeError, match=r"expected nn\.RNN"):
        twin.read(torch.nn.GRU(3, 5))
    with pytest.raises(TypeError, match="nonlinearity"):
        twin.read(torch.nn.RNN(3, 5, nonlinearity="relu"))
    with pytest.raises(ValueError, match="proj_size"):
        TorchEquivalent("LSTM", tuple("ifgo")).read(torch.nn.LSTM(3, 5, proj_size=2))
