"""A layer in torch.compile's and torch.export's graphs: one operator, its shapes, its gradients."""

import io
import pickle

import pytest
import torch
from torch import Tensor, nn

import cells
from cells.grammar.cell import Cell
from cells.grammar.functions import tanh
from kernels import RNN
from kernels.derive.plan import plan
from kernels.layer import custom_op, input_products, select
from tests.reference import error
from tests.sampling import each_kind, in_full, sample
from tests.tolerances import TOLERANCE

T, B, D = 5, 3, 4
GRAPH = {"backend": "aot_eager", "fullgraph": True}
"""Traced whole, forward and backward, and not compiled further: that is the compiler's own affair."""


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def outputs_and_gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    y, final = layer(x)
    found = [y, *(final if isinstance(final, tuple) else (final,))]
    generator = torch.Generator().manual_seed(3)
    loss = sum((v * torch.randn(v.shape, generator=generator)).sum() for v in found)
    return found + list(torch.autograd.grad(loss, [x, *layer.parameters()]))


@sample("name", ["lstm", "minimal", "gru_reset_before", "sru", "slstm", "vanilla_relu", "qrnn", "fastgrnn"])
def test_compiled(name):
    """Whole graphs, with states of one and of several kinds, of one stage and two, with hoisted values and vectors."""
    rnn = RNN(name, D, D, num_layers=2, bidirectional=name != "sru")
    x = torch.randn(T, B, D, requires_grad=True)
    found = outputs_and_gradients(torch.compile(rnn, **GRAPH), x)
    assert all(error(a, b) <= TOLERANCE["two ways", torch.float32] for a, b in zip(found, outputs_and_gradients(rnn, x), strict=True))


def test_compiled_for_any_length():
    """A new length and batch are the same graph; without gradients nothing is kept."""
    rnn = RNN("minimal", D, D)
    compiled = torch.compile(rnn, dynamic=True, **GRAPH)
    with torch.no_grad():
        for shape in ((5, 3), (8, 2), (3, 7)):
            x = torch.randn(*shape, D)
            assert error(compiled(x)[0], rnn(x)[0]) <= TOLERANCE["two ways", torch.float32]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


def test_compiled_model():
    """In a model, some of it frozen, with only a final state used."""

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn, self.out = nn.Embedding(9, D), RNN("cfn", D, 6), nn.Linear(6, 2)
            self.rnn.requires_grad_(False)

        def forward(self, words: Tensor) -> Tensor:
            return self.out(self.rnn(self.embed(words))[1][0])

    model, words = Classifier(), torch.randint(9, (T, B))
    gradients = []
    for run in (model, torch.compile(model, **GRAPH)):
        model.zero_grad()
        run(words).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == 3
    assert all(error(a, b) <= TOLERANCE["two ways", torch.float32] for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("name", ["lstm", "minimal"])
def test_exported(name):
    """Saved, loaded, and run on another length."""
    rnn, saved = RNN(name, D, D, batch_first=True).eval(), io.BytesIO()
    steps, rows = torch.export.Dim("steps", min=2), torch.export.Dim("rows", min=2)
    program = torch.export.export(rnn, (torch.randn(B, T, D),), dynamic_shapes=({0: rows, 1: steps},))
    torch.export.save(program, saved)
    saved.seek(0)
    x = torch.randn(4, 9, D)
    assert error(torch.export.load(saved).module()(x)[0], rnn(x)[0]) <= TOLERANCE["two ways", torch.float32]


def test_a_cell_of_ones_own(monkeypatch):
    """It has a name in this process, and is said to be unknown in another."""

    def own(h, x, W):
        return tanh(W.x(x) + W.h(h))

    rnn, x = RNN(own, D, D), torch.randn(T, B, D)
    compiled = torch.compile(rnn, **GRAPH)
    assert error(compiled(x)[0], rnn(x)[0]) <= TOLERANCE["two ways", torch.float32]
    name = custom_op.register(rnn.cell)
    assert name.startswith("own#") and custom_op.register(rnn.cell) == name
    assert custom_op.register(Cell(other_own("gru"))) != "gru", "it is not the built-in one"
    assert custom_op.register(Cell(other_own())) != name  # in another process, which of the two came first is not known
    monkeypatch.setattr(custom_op, "CELLS_BY_NAME", {})
    with pytest.raises(RuntimeError, match="own is not built in: construct RNN"):
        custom_op.find_plan(name, True)


def other_own(name="own"):
    def own(h, x, W):
        return tanh(W.x(x) - W.h(h))

    own.__name__ = name
    return own


def test_a_layer_of_another_process(monkeypatch):
    """Unpickled, its cell is known to graphs; a cell of the tree, initialised otherwise, is one of the tree to them."""
    saved, x = pickle.dumps(RNN(residual, D, D)), torch.randn(T, B, D)
    monkeypatch.setattr(custom_op, "CELLS_BY_NAME", {})
    rnn = pickle.loads(saved)
    assert torch.equal(torch.compile(rnn, **GRAPH)(x)[0], rnn(x)[0])
    assert custom_op.register(cells.load("janet").with_init("chrono")) == "janet"


def residual(h, x, W):
    return h + tanh(W.x(x) + W.h(h))


@pytest.mark.parametrize("name", [in_full("lstm"), "qrnn"])
def test_the_reference_in_a_graph(name):
    """The way out where nothing fused can run: an eager loop is traced whole, too."""
    rnn, x = RNN(name, D, D, backend="eager"), torch.randn(T, B, D, requires_grad=True)
    found = outputs_and_gradients(torch.compile(rnn, **GRAPH), x)
    assert all(error(a, b) <= TOLERANCE["two ways", torch.float32] for a, b in zip(found, outputs_and_gradients(rnn, x), strict=True))


def test_no_sequences():
    rnn, x = RNN("lstm", D, D), torch.randn(T, 0, D, requires_grad=True)
    found = outputs_and_gradients(torch.compile(rnn, **GRAPH), x)
    assert [v.shape for v in found] == [v.shape for v in outputs_and_gradients(rnn, x)]
    assert not any(v.any() for v in found)


def test_no_steps_of_a_graph_for_any_number():
    rnn, any_size = RNN("lstm", D, D), torch.export.Dim.DYNAMIC
    graph = torch.export.export(rnn, (torch.randn(T, B, D),), dynamic_shapes=({0: any_size, 1: any_size},)).module()
    assert graph(torch.randn(1, B, D))[0].shape == (1, B, D) and graph(torch.randn(T, 0, D))[0].shape == (T, 0, D)
    for sequences in (B, 0):
        with pytest.raises(RuntimeError, match="Expected sequence length to be larger than 0"):
            graph(torch.randn(0, sequences, D))


def test_nothing_fused_can_run(monkeypatch):
    select._warn.cache_clear()
    monkeypatch.setattr("kernels.schedules.cpu.compiled.compiler", lambda: None)
    rnn = RNN("lstm", D, D, dtype=torch.float16)
    with pytest.warns(RuntimeWarning), pytest.raises(RuntimeError, match="create the RNN with backend='eager'"):
        states = [torch.zeros(B, D, dtype=torch.float16)] * 2
        custom_op.apply("lstm", True, "compiled", torch.zeros(T, B, D, dtype=torch.float16), states, rnn.weights())


@each_kind([*cells.DEFAULT, *sorted({*cells.names()} - {*cells.DEFAULT})])
def test_rules(name):
    """What torch asks of an operator: its schema, its shapes without data, its gradients registered."""
    H = plan(cells.load(name)).round_up_width(D)
    rnn, x = RNN(name, H, H), torch.randn(T, B, H)
    states = [rnn.cell.random_state(s, torch.randn(B, H)).requires_grad_() for s in rnn.cell.states]
    tensors = [*input_products.recurrence_operands(rnn.plan, x, H, rnn.weights()), *states]
    there = [t is not None for t in tensors]
    given = [t.detach().clone().requires_grad_() for t in tensors if t is not None]
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(custom_op.recurrence, (name, True, "auto", True, T, there, given), test_utils=tests)


def test_heads_are_part_of_a_name():
    """The same equations with other blocks are another cell."""
    step = cells.load("vanilla").step
    whole, two = Cell(step), Cell(step, heads={"W.hh": 2})
    assert custom_op.hash_equations(whole) != custom_op.hash_equations(two)
