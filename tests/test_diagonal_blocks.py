"""Block-diagonal matrices as their blocks: the same as whole ones, and a NaN stays in its head."""

import pytest
import torch

import cells
from cells.grammar.cell import Cell
from cells.grammar.functions import sigmoid, tanh
from kernels import RNN
from kernels.derive.plan import plan
from kernels.layer import select
from kernels.schedules import diagonal_blocks
from tests.reference import check, problem
from tests.sampling import sample

T, B, H = 5, 3, 40


def headed(h, x, W, b):
    r = sigmoid(W.rx(x) + W.rh(h) + b.r)
    return (1 - r) * h + r * tanh(W.cx(x) + W.ch(r * h) + b.c)


def joined(h, x, W, b):
    r = sigmoid(W.rx(x) + W.rh(h) + b.r)
    return (1 - r) * h + r * tanh(W.cx(x) + W.ch(h) + b.c)


def everywhere(h, c, x, W, b):
    """Matrices of two, four and all heads on one operand, a state and a computed one, one transposed, and one in front of the loop."""
    r = sigmoid(W.two(h) + W.four(h) + W.a(W.x(x)) + b.a + W.a.T(h))
    return (1 - r) * h + r * tanh(W.c2(r * h) + W.c4(r * h)) + W.front(tanh(W.x(x))), c + W.two(c)


CELLS = {
    "everywhere": Cell(everywhere, heads={"W.two": 2, "W.four": 4, "W.a": 4, "W.c2": 2, "W.c4": 4, "W.front": 2}),
    "two stages": Cell(headed, heads={"W.rh": 4, "W.ch": 2}),
    "one of two stages": Cell(headed, heads={"W.ch": 4}),
    "one of two matrices": Cell(joined, heads={"W.ch": 4}),
    "two matrices": Cell(joined, heads={"W.rh": 4, "W.ch": 4}),
}


@sample("name, size, backend", list(CELLS), [(7, 2, 3, 40), (30, 34, 5, 64), (3, 1, 5, 128)], ["compiled", "compiled-low"])
def test_cells(name, size, backend):
    """Gradients after the loop and in step with it, units shared by threads and not, blocks that end inside a panel."""
    check([problem(CELLS[name], *size)], backend, torch.float32)


@pytest.mark.parametrize("backend", ["stepwise", "persistent"])
def test_kernels(backend):
    check([problem(CELLS["two matrices"], 3, 2, 3, 8)], backend, torch.float32)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_as_whole_matrices(heads):
    n = H // heads
    weights = [torch.randn(heads, n, n) for _ in range(3)]
    blocks, whole = torch.cat([w.flatten(0, 1) for w in weights]), torch.cat([torch.block_diag(*w) for w in weights])
    operand, d = torch.randn(B, H), torch.randn(B, 3 * H)
    assert torch.equal(diagonal_blocks.expand(blocks, H), whole) and torch.equal(diagonal_blocks.compress(whole, n), blocks)
    assert torch.allclose(diagonal_blocks.multiply(operand, blocks), operand @ whole.t(), atol=1e-5)
    assert torch.allclose(diagonal_blocks.multiply_transposed(d, blocks, H), d @ whole, atol=1e-5)
    expected = diagonal_blocks.compress(d.t() @ operand, n)
    assert torch.allclose(diagonal_blocks.outer_products(d, operand, n), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("run", ["compiled", "eager", "stepwise", "low", "traced", pytest.param("graph", marks=pytest.mark.full)])
def test_a_nan_stays_in_its_half(run):
    """Matrices of two and of four heads, in every way to run them."""
    options = {"backend": run} if run in ("compiled", "eager", "stepwise") else {"memory": run} if run == "low" else {}
    rnn, x = RNN(CELLS["everywhere"], 5, 8, **options), torch.randn(T, B, 5)
    states = [torch.randn(1, B, 8) for _ in range(2)]
    states[0][..., :4] = torch.nan
    states = [s.requires_grad_() for s in states]
    layer = torch.jit.trace(rnn, (x, tuple(states)), check_trace=False) if run == "traced" else rnn
    layer = torch.compile(rnn, backend="eager", fullgraph=True) if run == "graph" else layer
    y, _ = layer(x, tuple(states))
    y[..., 4:].sum().backward()
    assert y[..., 4:].isfinite().all() and not y[..., :4].isfinite().all() and states[0].grad[..., 4:].isfinite().all()
    assert rnn.weight_c4_l0.grad[2:].isfinite().all() and rnn.weight_front_l0.grad[1:].isfinite().all()


def test_auto_takes_what_has_blocks():
    """On a GPU too, where the persistent kernel multiplies whole matrices."""
    for name in ("slstm", "gru_block"):
        assert select.fastest_schedule_name(plan(cells.load(name)), torch.float32, torch.device("cuda"), 4, 512) == "stepwise"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("backend", ["compiled", "eager", "stepwise"])
def test_a_nan_stays_in_its_head(backend, bad):
    """In the outputs, in the gradient of the states and in that of the matrices."""
    layer, x = RNN(CELLS["two matrices"], 5, H, backend=backend), torch.randn(T, B, 5)
    h = torch.randn(1, B, H)
    h[..., :10] = bad  # the first of four heads
    h.requires_grad_()
    y, _ = layer(x, h)
    y[..., 10:].sum().backward()
    assert y[..., 10:].isfinite().all() and not y[..., :10].isfinite().all()
    assert h.grad[..., 10:].isfinite().all() and layer.weight_ch_l0.grad[1:].isfinite().all()
