"""`RNN` as people use it: in torch.nn's place, with torch.nn's shapes, habits and errors."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import cells
from cells import CellError
from cells.grammar.functions import tanh
from kernels import RNN
from kernels.layer import select as backends
from tests.reference import error
from tests.sampling import sample
from tests.tolerances import TOLERANCE
from tests.torch_layers import state_list, states_of

LAYERS = [
    {},
    {"bias": False, "batch_first": True},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
]

EVERY = pytest.mark.parametrize("name", cells.DEFAULT)
BACKENDS = pytest.mark.parametrize("backend", ["eager", "compiled", "stepwise"])
T, B, D, H = 5, 3, 4, 6


@pytest.mark.parametrize("name", ["minimal", "lstm", "gru_reset_before"])
@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_shapes(name, options):
    """Those of nn.GRU, or of nn.LSTM for two states, batched and not, with and without initial states."""
    rnn = RNN(name, D, H, **options)
    like = (nn.LSTM if len(rnn.cell.states) == 2 else nn.GRU)(D, H, **options)
    for x, batch in ((torch.randn(T, D), ()), (torch.randn(B, T, D) if rnn.batch_first else torch.randn(T, B, D), (B,))):
        for given in ([], [states_of(rnn, *batch)]):
            (y, final), (z, last) = rnn(x, *given), like(x, *given)
            assert y.shape == z.shape and [h.shape for h in state_list(final)] == [h.shape for h in state_list(last)]
            assert type(final) is type(last)


@sample("backend, name", ["eager", "compiled", "stepwise"], cells.DEFAULT)
def test_final_states(name, backend):
    """The last output of each direction is a final state of the last layer; layouts only move numbers about."""
    rnn = RNN(name, D, H, num_layers=2, bidirectional=True, backend=backend)
    x, hx = torch.randn(T, B, D), states_of(RNN(name, D, H, num_layers=2, bidirectional=True), B)
    y, final = rnn(x, hx)
    h = state_list(final)[0]
    assert torch.equal(y[-1, :, :H], h[-2]) and torch.equal(y[0, :, H:], h[-1])
    rnn.batch_first = True
    z, last = rnn(x.transpose(0, 1), hx)
    assert error(z.transpose(0, 1), y) <= TOLERANCE["two ways", torch.float32]
    assert all(error(a, b) <= TOLERANCE["two ways", torch.float32] for a, b in zip(state_list(last), state_list(final), strict=True))
    one = tuple(s[:, 0] for s in state_list(hx))
    z, last = rnn(x[:, 0], one if len(one) > 1 else one[0])
    assert error(z, y[:, 0]) <= TOLERANCE["two ways", torch.float32]


@EVERY
def test_zero_states_are_the_default(name):
    rnn = RNN(name, D, H, num_layers=2)
    x = torch.randn(T, B, D)
    zeros = tuple(torch.zeros_like(s) for s in state_list(states_of(rnn, B)))
    assert torch.equal(rnn(x)[0], rnn(x, zeros if len(zeros) > 1 else zeros[0])[0])


@EVERY
def test_state_dict(name):
    """Named by layer and direction; what is saved loads, into whichever dtype."""
    options = {"num_layers": 2, "bidirectional": True}
    rnn, other = RNN(name, D, H, **options), RNN(name, D, H, dtype=torch.float64, **options)
    assert set(rnn.state_dict()) == {name + s for name in rnn._keys.values() for s in ("_l0", "_l0_reverse", "_l1", "_l1_reverse")}
    file = io.BytesIO()
    torch.save(rnn.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    x = torch.randn(T, B, D)
    assert error(rnn(x)[0].detach(), other(x.double())[0].detach()) <= TOLERANCE["schedule", torch.float32]


@EVERY
def test_moves_and_copies(name):
    """`.to(dtype)`, deepcopy and pickle keep the numbers; a copy has parameters of its own."""
    rnn, x = RNN(name, D, H, num_layers=2, backend="compiled"), torch.randn(T, B, D)
    y = rnn(x)[0].detach()
    for made in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):
        assert torch.equal(made(x)[0], y)
        assert not {p.data_ptr() for p in made.parameters()} & {p.data_ptr() for p in rnn.parameters()}
    wide = rnn.to(torch.float64)(x.double())[0]
    assert wide.dtype == torch.float64 and error(y, wide.detach()) <= TOLERANCE["schedule", torch.float32]


def test_copies_share_their_plan():
    """A copy builds nothing anew: plans are the keys of what is built."""
    rnn = RNN("minimal", D, H)
    assert copy.deepcopy(rnn).plan is rnn.plan


def test_own_cell():
    """A function in the grammar is enough."""

    def mine(h, x, W, b):
        return tanh(W.x(x) + W.h(h) + b.h)

    rnn, twin = RNN(mine, D, H), RNN("vanilla", D, H)
    twin.set_weights({"W.hx": rnn.weight_x_l0, "W.hh": rnn.weight_h_l0, "b.h": rnn.bias_h_l0})
    x = torch.randn(T, B, D)
    assert torch.equal(rnn(x)[0], twin(x)[0])
    assert repr(rnn) == f"RNN(mine, {D}, {H})"


def test_own_cell_of_equal_widths():
    def mine(h, x, W, b):
        return tanh(W.h(h) + x)

    assert RNN(mine, H, H, num_layers=2)(torch.randn(T, B, H))[0].shape == (T, B, H)
    with pytest.raises(ValueError, match="mine uses x unit by unit: input_size must equal hidden_size"):
        RNN(mine, D, H)


def test_own_cell_that_is_none():
    def mine(h, c, x, W, b):
        return tanh(W.h(h) + c)

    with pytest.raises(CellError, match="mine: returns 1 states, its signature has 2"):
        RNN(mine, D, H)


def test_initialisation_is_the_cells():
    """As torch.nn's by default, as the paper says where it does, and again on reset_parameters."""
    rnn = RNN("cfn", D, H, num_layers=2)
    assert all((p == 1).all() for n, p in rnn.named_parameters() if n.startswith("bias_theta"))
    before = rnn.weight_x_l1.clone()
    rnn.reset_parameters()
    assert not torch.equal(rnn.weight_x_l1, before) and rnn.weight_x_l1.abs().max() <= 0.07


@sample("backend, name", ["eager", "compiled", "stepwise"], cells.DEFAULT)
def test_training(name, backend):
    """`y.sum().backward()` reaches every parameter, in every layer and direction."""
    rnn = RNN(name, D, H, num_layers=2, bidirectional=True, backend=backend)
    y, _ = rnn(torch.randn(3, B, D))
    y.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in rnn.parameters())


@BACKENDS
def test_only_a_final_state(backend):
    """A loss of the final cell state alone."""
    rnn, eager = (RNN("lstm", D, H, backend=b) for b in (backend, "eager"))
    eager.load_state_dict(rnn.state_dict())
    x = torch.randn(T, B, D)
    for run in (rnn, eager):
        _, (_, c) = run(x)
        c.square().sum().backward()
    for p, q in zip(rnn.parameters(), eager.parameters(), strict=True):
        assert error(p.grad, q.grad) <= TOLERANCE["schedule", torch.float32]


@BACKENDS
def test_frozen_weights(backend):
    """A frozen layer gets no gradient and passes one on."""
    rnn = RNN("gru", D, H, num_layers=2, backend=backend)
    for p in rnn.tensors("_l1").values():
        p.requires_grad_(False)
    rnn(torch.randn(T, B, D))[0].sum().backward()
    assert all(p.grad is None for p in rnn.tensors("_l1").values())
    assert all(p.grad.any() for p in rnn.tensors("_l0").values())


@pytest.mark.parametrize("name", ["minimal", "gru", "lstm"])
def test_weights_however_they_lie(name):
    """Parameters that are views, as transposed or sliced ones are."""
    rnn = RNN(name, D, H, backend="compiled")
    other = copy.deepcopy(rnn)
    for key, p in rnn.named_parameters():
        view = p.data.t().contiguous().t() if p.dim() == 2 else torch.stack([p.data, p.data], 1)[:, 0]
        assert not view.is_contiguous()
        setattr(other, key, nn.Parameter(view))
    x = torch.randn(T, B, D)
    results = []
    for run in (rnn, other):
        y, _ = run(x)
        y.sum().backward()
        results.append([y.detach(), *(p.grad for p in run.parameters())])
    for a, b in zip(*results, strict=True):
        assert error(b, a) <= TOLERANCE["two ways", torch.float32]


@BACKENDS
def test_dropout(backend):
    """Between layers, in training only: with p = 1 the second layer sees zeros."""
    rnn, x = RNN("minimal", D, H, num_layers=2, dropout=1.0, backend=backend), torch.randn(T, B, D)
    second = RNN("minimal", H, H, backend=backend)
    second.load_state_dict({key.replace("l1", "l0"): value for key, value in rnn.state_dict().items() if "l1" in key})
    assert torch.equal(rnn(x)[0], second(torch.zeros(T, B, H))[0])
    without = copy.deepcopy(rnn)
    without.dropout = 0.0
    assert torch.equal(rnn(x)[1][0], without(x)[1][0]), "what the first layer is given stays whole"
    assert torch.equal(rnn.eval()(x)[0], without(x)[0]) and not torch.equal(rnn.train()(x)[0], without(x)[0])


@BACKENDS
@EVERY
def test_empty_batch(name, backend):
    """B = 0 gives empty outputs and zero gradients, as torch.nn does."""
    rnn = RNN(name, D, H, backend=backend)
    y, final = rnn(torch.randn(T, 0, D))
    assert y.shape == (T, 0, H) and all(h.shape == (1, 0, H) for h in state_list(final))
    y.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in rnn.parameters())


@BACKENDS
@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize("given", [{}, {"lengths": []}, {"before": torch.zeros(0, D)}], ids=["", "lengths", "before"])
def test_no_schedule_is_asked_for_no_sequence(backend, memory, given, monkeypatch):
    """None of them has to know what zero rows are."""
    for schedule in backends.SCHEDULES.values():
        monkeypatch.delattr(schedule, "forward")
    y, _ = RNN("minimal", D, H, backend=backend, memory=memory)(torch.randn(T, 0, D), **given)
    assert y.shape == (T, 0, H)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": 0}, {"hidden_size": -1}, {"hidden_size": 2.5}, {"input_size": 0}, {"input_size": -3}, {"input_size": 1.5},
        {"num_layers": 0}, {"num_layers": 1.5}, {"dropout": 1.5}, {"dropout": -0.1}, {"dropout": True},
    ],
    ids=str,
)  # fmt: skip
def test_bad_arguments(wrong):
    """The kind of error that nn.GRU raises."""
    arguments = {"input_size": D, "hidden_size": H, **wrong}
    with pytest.raises(Exception, match=r".") as theirs:
        nn.GRU(**arguments)
    with pytest.raises(type(theirs.value), match=r"."):
        RNN("gru", **arguments)


def test_unknown_names():
    with pytest.raises(KeyError, match="no cell is called 'minimall': did you mean minimal"):
        RNN("minimall", D, H)
    with pytest.raises(ValueError, match=r"no backend is called 'compield': .*compiled"):
        RNN("minimal", D, H, backend="compield")


@BACKENDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["lstm", "minimal"])
def test_autocast(name, dtype, backend):
    """Under autocast the result is right to the lower precision, whichever dtype the layer before it hands on, and gradients
    are of the parameters' dtype."""
    rnn, x = RNN(name, D, H, backend=backend), torch.randn(T, B, D)
    expected = rnn(x)[0].detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = rnn(x.to(dtype))
    y.float().sum().backward()
    assert error(y.detach().float(), expected) <= TOLERANCE["schedule", torch.bfloat16]
    assert all(p.grad.dtype == p.dtype for p in rnn.parameters())


def test_repr():
    """What differs from the defaults."""
    rnn = RNN("gru", D, H, num_layers=2, batch_first=True, backend="eager")
    assert repr(rnn) == "RNN(gru, 4, 6, num_layers=2, batch_first=True, backend='eager')"
