"""Cells that torch.nn has too: the same equations, weights read and written."""

import pytest
import torch

import cells
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
    packed = {key.removesuffix("_l0"): value.detach() for key, value in module.named_parameters()}
    p = p.with_given(**{name: twin.read(name, packed) for name in p.weights})
    x = p.given["x"].clone().requires_grad_()
    initial = [p.given[s][None].clone().requires_grad_() for s in states]
    y, final = module(x, tuple(initial) if len(states) > 1 else initial[0])
    final = final if len(states) > 1 else (final,)
    upstream = [p.upstream["y"], *(p.upstream[f"final {s}"][None] for s in states)]
    dx, *rest = torch.autograd.grad([y, *final], [x, *initial, *module.parameters()], upstream)
    packed = dict(zip(packed, rest[len(states) :], strict=True))
    expected = {"y": y.detach(), **{f"final {s}": v.detach()[0] for s, v in zip(states, final, strict=True)}, "d x": dx}
    expected |= {f"d {s}": d[0] for s, d in zip(states, rest, strict=False)}
    expected |= {f"d {name}": twin.rows_of(name, packed)[0] for name in p.weights}
    agree([solve(p, "eager", torch.float64)], [expected], TOLERANCE["torch.nn gradients", torch.float64])


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("bias", [True, False])
def test_twin_reads_what_it_packs(name, bias):
    """Weights written into torch's tensors and read back are the same, and are torch's in name and shape."""
    found = cells.load(name)
    weights = {key: torch.randn(shape) for key, shape in found.shapes(3, 5, bias).items()}
    packed = found.torch_equivalent.pack(weights)
    module = found.torch_equivalent.build(3, 5, bias=bias)
    assert [(f"{key}_l0", t.shape) for key, t in packed.items()] == [(key, t.shape) for key, t in module.named_parameters()]
    assert all(torch.equal(found.torch_equivalent.read(key, packed), weights[key]) for key in weights)
    assert found.torch_equivalent.mode == module.mode


def test_gates_of_other_widths_are_refused():
    with pytest.raises(ValueError, match=r"every gate has 5 rows: got .*'b.i': 4"):
        cells.load("lstm").torch_equivalent.pack({"W.ix": torch.zeros(5, 3), "b.i": torch.zeros(4)})
