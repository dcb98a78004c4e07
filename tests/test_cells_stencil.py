"""What a cell may not do with a stencil, and layers of a cell that has one."""

import pytest
import torch

from cells.grammar.cell import Cell
from cells.grammar.errors import CellError
from cells.grammar.functions import tanh
from cells.grammar.stencil import Stencil
from kernels import RNN
from kernels.derive.plan import plan
from tests.sampling import sample
from tests.waves import CELLS, UPWIND


def under_a_matrix(u, x, W, b):
    return tanh(W.h(UPWIND(u)) + W.x(x))


def two_of_one_name(u, x, W, b):
    return tanh(UPWIND(u) + Stencil("up", (((0, 0), 1.0),))(u) + W.x(x))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (under_a_matrix, "under_a_matrix: a matrix can't be applied to the result of a stencil: no schedule supports that"),
        (two_of_one_name, "two_of_one_name: two stencils are called up: use two names"),
        (lambda h, x, W, b: UPWIND(W.h), "up takes a state or a value of the step, not a Matrix"),
    ],
)
def test_wrong_cells(step, message):
    with pytest.raises(CellError, match=message):
        plan(Cell(step))


def test_a_layer_of_another_size():
    with pytest.raises(CellError, match="wave: lap needs a grid of 3×4×5 = 60 units, not 64"):
        RNN(CELLS["box"], 1, 64)


@sample("first, backend", ["inference", "export", "compile", "jacobian"], ["compiled", "eager"])
def test_a_layer_is_trained_whoever_asked_for_its_weights_first(first, backend):
    """In inference mode, traced or transformed: no tensor of those is left for the others."""
    given = Stencil(f"{first}_{backend}", (((1,), 0.5), ((-1,), -0.25)))
    cell = Cell(lambda u, x, W, p: tanh(given(u) + given(p.c) + W.z(x)))
    layer = RNN(cell, 1, 9, backend=backend)
    x = torch.randn(3, 2, 1)
    y, learned = None, cell.bind_parameters(layer.weights())
    if first == "inference":
        with torch.inference_mode():
            y, _ = layer(x)
    elif first == "jacobian":
        torch.func.vmap(torch.func.jacrev(lambda u: cell((u,), x[0, :1], learned)[0]))(torch.randn(4, 1, 9))
    elif first == "export":
        y, _ = torch.export.export(layer, (x,)).module()(x)
    else:
        y, _ = torch.compile(layer, backend="aot_eager")(x)
    again, _ = layer(x)
    again.sum().backward()
    assert (y is None or torch.allclose(y, again, atol=1e-6)) and all(w.grad.isfinite().all() for w in layer.parameters())
