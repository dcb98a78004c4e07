"""What a few cells need beyond states, matrices and vectors: prev(x), heads, scalars, and states that don't begin at zero."""

import math
import pickle
from dataclasses import replace

import pytest
import torch

from cells import Cell, CellError, cell, load
from cells.grammar.functions import prev, sigmoid, tanh
from kernels import RNN
from kernels.derive.cost_formulas import D, H, parameter_count
from kernels.derive.plan import plan
from kernels.layer import checkpointing
from tests import custom
from tests.reference import agree, check, draws, problem, solve
from tests.sampling import in_full
from tests.tolerances import TOLERANCE

BACKENDS = pytest.mark.parametrize("backend", ["eager", "compiled", "stepwise", "persistent", "eager-low", "compiled-low"])
WAYS = [("eager", "full"), ("compiled", "full"), ("eager", "low"), ("compiled", "low")]
LAYERS = pytest.mark.parametrize(("backend", "memory"), WAYS)
STARTED = pytest.mark.parametrize(("backend", "memory"), [*WAYS, ("stepwise", "full"), ("persistent", "full"), ("stepwise", "low")])


@cell(heads={"W.h": 2, "W.n": 3, "W.z": 6})
def headed(h, c, x, W, b):
    """Heads of three counts: on a state, on what a step computes, and in front of the loop."""
    z = W.z(tanh(W.x(x)))
    r = sigmoid(W.h(h) + z + b.r)
    return r * h + tanh(W.n(r * c)) + b.h, tanh(W.c(h) + W.z(c)) + z


@cell(start={"c": 2.0, "h": -0.5})
def begun(h, c, x, W, b):
    return tanh(W.h(h) + W.x(x) * c + b.h), 0.5 * c


@BACKENDS
@pytest.mark.parametrize("size", [(5, 1, 3, 6), (3, 9, 7, 42), (1, 2, 1, 12)], ids=str)
def test_heads(backend, size):
    """Outputs and every gradient of a block-diagonal matrix, computed whole, are those of its blocks."""
    check(draws(headed, *size), backend, torch.float32)


def test_heads_are_blocks_on_the_diagonal():
    """The same cell with whole matrices: equal outputs, and the gradients of the blocks are what there is of theirs on the diagonal."""
    p = problem(headed, 6, 3, 5, 12, dtype=torch.float64)
    whole = {key: torch.block_diag(*p.given[key]) for key in headed.heads}
    assert {key: tuple(value.shape) for key, value in p.weights.items() if key in whole} == {
        "W.h": (2, 6, 6), "W.n": (3, 4, 4), "W.z": (6, 2, 2),
    }  # fmt: skip
    found = solve(p, "eager", torch.float64)
    expected = solve(replace(p.with_given(**whole), cell=Cell(headed.step)), "eager", torch.float64)
    for key, heads in headed.heads.items():
        n = 12 // heads
        blocks = [expected[f"d {key}"][k : k + n, k : k + n] for k in range(0, 12, n)]
        expected[f"d {key}"] = torch.stack(blocks)
    agree([found], [expected], TOLERANCE["paper", torch.float64])


def test_heads_count():
    assert parameter_count(plan(headed)) == D * H + H**2 / 2 + H**2 / 3 + H**2 / 6 + H**2 + 2 * H
    assert (
        plan(headed).round_up_width(1) == 6
        and plan(headed).round_up_width(12) == 12
        and plan(headed).round_up_width(13) == 18
        and plan(load("lstm")).round_up_width(7) == 7
    )


def test_heads_share_the_units():
    with pytest.raises(CellError, match=r"slstm: the 4 heads of W\.zh share the units: H must be a multiple of 4, not 10"):
        RNN("slstm", 3, 10)
    with pytest.raises(ValueError, match=r"headed: the 6 heads of W\.z share the units: H must be a multiple of 6, not 9"):
        headed.shapes(3, 9)


@BACKENDS
@pytest.mark.parametrize("name", ["qrnn", *(in_full(name) for name in ("delayed", "scaled"))])
def test_many_steps(name, backend, monkeypatch):
    """More of them than a chunk has: its first step needs the x before it."""
    monkeypatch.setattr(checkpointing, "CHUNK", 4)
    found = custom.CELLS.get(name) or load(name)
    if backend != "persistent" or plan(found).stages:
        check(draws(found, 11, 3, 5, 8), backend, torch.float32)


@LAYERS
def test_a_sequence_in_pieces(backend, memory, monkeypatch):
    """With `before`, a sequence in pieces is the whole of it: outputs, and the gradients of everything."""
    monkeypatch.setattr(checkpointing, "CHUNK", 4)
    rnn, x = RNN("qrnn", 3, 5, backend=backend, memory=memory, dtype=torch.float64), torch.randn(11, 2, 3, dtype=torch.float64)
    g, found = torch.randn(11, 2, 5, dtype=torch.float64), []
    for ends in ([11], [5, 11], [1, 2, 3, 11]):
        given = x.clone().requires_grad_()
        outputs, hx, before = [], None, None
        for begin, end in zip([0, *ends], ends, strict=False):
            y, hx = rnn(given[begin:end], hx, before=before)
            outputs.append(y)
            before = given[end - 1]
        y = torch.cat(outputs)
        gradients = torch.autograd.grad(y, [given, *rnn.parameters()], g)
        found.append({"y": y.detach()} | {str(k): d for k, d in enumerate(gradients)})
    for other in found[1:]:
        agree([other], [found[0]], TOLERANCE["schedule", torch.float64])


@LAYERS
def test_a_call_begins_from_nothing(backend, memory):
    """Without `before` the first step of a call has no input behind it, in either direction."""
    rnn = RNN("qrnn", 3, 5, bidirectional=True, backend=backend, memory=memory)
    x = torch.randn(6, 2, 3)
    y, _ = rnn(x)
    led, _ = rnn(torch.cat([torch.zeros(1, 2, 3), x, torch.zeros(1, 2, 3)]), tuple(torch.zeros(2, 2, 5) for _ in "hc"))
    start, _ = RNN.forward(rnn, x[:1])
    assert torch.allclose(y[:1, :, :5], start[..., :5], atol=1e-6) and not torch.allclose(led[1:-1], y)


def test_before_is_of_one_layer():
    x = torch.randn(4, 2, 3)
    for options in ({"num_layers": 2}, {"bidirectional": True}):
        with pytest.raises(ValueError, match="before takes a single layer in one direction"):
            RNN("qrnn", 3, 5, **options)(x, before=x[0])
    with pytest.raises(RuntimeError, match=r"Expected before to be \(2, 3\) in torch\.float32 on cpu, got \(3,\)"):
        RNN("qrnn", 3, 5)(x, before=x[0, 0])
    with pytest.raises(ValueError, match="`before` can't be used with `lengths`"):
        RNN("qrnn", 3, 5)(x, lengths=[4, 2], before=x[0])
    rnn = RNN("lstm", 3, 5)
    assert torch.equal(rnn(x, before=x[0])[0], rnn(x)[0]), "a cell that doesn't ask has no use for it"
    one = RNN("qrnn", 3, 5)
    assert torch.allclose(one(x[:, 0], before=x[0, 1])[0], one(x, before=x[0, 1].expand(2, 3))[0][:, 0], atol=1e-6)


def test_prev_takes_x_alone():
    def of_a_state(h, x, W, b):
        return tanh(W.h(prev(h)) + W.x(x))

    def of_a_value(h, x, W, b):
        return tanh(W.h(h) + prev(W.x(x)))

    for step in (of_a_state, of_a_value):
        for read in (lambda step=step: plan(Cell(step)), lambda step=step: Cell(step).shapes(3, 5)):
            with pytest.raises(CellError, match=rf"{step.__name__}: prev takes x, .* make it a state \(File .*test_grammar\.py\", line"):
                read()


@pytest.mark.parametrize("bias", [True, False])
def test_scalars(bias):
    """Single numbers, which `bias=False` leaves, named by what they do."""
    found = custom.CELLS["scaled"]
    rnn = RNN(found, 3, 5, bias=bias)
    names = {key for key, shape in found.shapes(3, 5, bias).items() if shape == (1,)}
    assert names == {f"s.{name}" for name in ("a", "h", "x", "c", "d", "y", "next", "q")}
    assert {key for key in rnn.state_dict() if rnn.state_dict()[key].shape == (1,)} == {f"{rnn._keys[key]}_l0" for key in names}
    assert all(rnn.weights()[key].item() == 1 for key in names), "a scalar starts at 1"
    assert parameter_count(plan(found, bias)) == 2 * D * H + H**2 + H + (H if bias else 0) + 8


@pytest.mark.parametrize("backend", ["compiled", "stepwise", "compiled-low"])
def test_scalars_apart_from_one(backend):
    """At numbers that differ, so that none can stand for another."""
    given = draws(custom.CELLS["scaled"], 5, 3, 7, 17)
    check([p.with_given(**{key: torch.rand(1) + 0.5 for key in p.weights if key.startswith("s.")}) for p in given], backend, torch.float32)


@STARTED
def test_start(backend, memory):
    """Where no states are given; given ones win."""
    rnn = RNN(begun, 3, 5, num_layers=2, bidirectional=True, backend=backend, memory=memory)
    x = torch.randn(4, 2, 3)
    given = torch.full((4, 2, 5), -0.5), torch.full((4, 2, 5), 2.0)
    zero = torch.zeros(4, 2, 5), torch.zeros(4, 2, 5)
    assert torch.equal(rnn(x)[0], rnn(x, given)[0]) and not torch.allclose(rnn(x)[0], rnn(x, zero)[0])


@STARTED
def test_slstm_starts_as_its_authors_have_it(backend, memory):
    """m_1 = ĩ_1 where n is 0: also for a first ĩ that exp rounds to nothing, which from m = 0 would divide 0 by 0."""
    rnn = RNN("slstm", 3, 8, backend=backend, memory=memory)
    with torch.no_grad():
        rnn.bias_i_l0.fill_(-200.0)
    x = torch.randn(1, 2, 3)
    y, (_, _, n, m) = rnn(x)
    y.sum().backward()
    assert torch.allclose(m[0], x[0] @ rnn.weight_ix_l0.T - 200.0) and (n == 1).all()
    assert y.isfinite().all() and all(p.grad is None or p.grad.isfinite().all() for p in rnn.parameters())
    from_zero, _ = rnn(x, tuple(torch.zeros(1, 2, 8) for _ in "hcnm"))
    assert from_zero.isnan().all()


def test_facts_of_a_copy():
    """Heads and start go along where a cell is pickled by its facts, and stay in another initialisation."""
    other = load("slstm").with_init({"b": 0.0})
    assert (other.heads, other.start) == (load("slstm").heads, {"m": -math.inf})
    assert pickle.loads(pickle.dumps(headed)) is headed
    back = pickle.loads(pickle.dumps(Cell(of_module, heads={"W.h": 2}, start={"h": 1.0})))
    assert (back.heads, back.start) == ({"W.h": 2}, {"h": 1.0})


def of_module(h, x, W, b):
    return tanh(W.h(h) + W.x(x))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"heads": {"W.x": 2}}, r"of_module: heads names W\.x, which is not a matrix applied to a state"),
        ({"heads": {"W.q": 2}}, r"heads names W\.q, which is not a matrix"),
        ({"start": {"c": 1.0}}, "start names c, which is not a state: the states are h"),
    ],
)
def test_wrong_facts(facts, message):
    with pytest.raises(CellError, match=message):
        RNN(Cell(of_module, **facts), 4, 4)
