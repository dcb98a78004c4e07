"""The backend `torch`: torch's own operator, its weights in one buffer, in the place of nn.RNN, nn.LSTM and nn.GRU."""

import pytest
import torch
from torch import Tensor, func, nn
from torch.autograd import gradgradcheck

import cells
from cells.grammar.cell import Cell
from kernels import RNN, from_torch
from kernels.layer import input_products, select, torch_operator
from tests.reference import error
from tests.tolerances import TOLERANCE
from tests.torch_layers import KINDS, LENGTHS, PAIRS, describe, flat, results

T, B, D, H = 7, 5, 10, 12

EVERY = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def alone(monkeypatch):
    """Nothing runs but torch's operator."""
    for owner, name in ((Cell, "unroll"), (input_products, "apply")):
        monkeypatch.delattr(owner, name)


def alike(one: tuple[list[Tensor], list[Tensor]], other: tuple[list[Tensor], list[Tensor]], kind: str = "torch's operator") -> None:
    for found, right in zip(one, other, strict=True):
        assert len(found) == len(right)
        for a, b in zip(found, right, strict=True):
            assert a.shape == b.shape and error(a, b) <= TOLERANCE[kind, b.dtype]


@pytest.mark.parametrize(("kind", "options"), PAIRS, ids=describe)
def test_as_torch_nn(kind, options, alone):
    """Rectangular, packed in both orders, with initial states and without: outputs, final states and every gradient."""
    theirs = KINDS[kind](D, H, **options).double()
    ours = from_torch(theirs, "torch")
    x = torch.randn(*((B, T) if theirs.batch_first else (T, B)), D, dtype=torch.float64)
    count = ours.num_layers * ours.directions
    states = tuple(torch.randn(count, B, H, dtype=torch.float64, requires_grad=True) for _ in ours.cell.states)
    for rest in ((), (states if len(states) > 1 else states[0],)):
        for pack in (None, LENGTHS["falling"], LENGTHS["any order"]):
            alike(results(ours, x, *rest, pack=pack), results(theirs, x, *rest, pack=pack))


@EVERY
def test_lengths_and_single_sequences(kind, alone):
    rnn, x = from_torch(KINDS[kind](D, H).double(), "torch"), torch.randn(T, B, D, dtype=torch.float64)
    y, final = rnn(x, lengths=LENGTHS["any order"])
    for b, length in enumerate(LENGTHS["any order"]):
        z, last = rnn(x[:length, b])
        assert error(y[:length, b], z) <= TOLERANCE["torch's operator", torch.float64] and not y[length:, b].any()
        for ended, alone_ended in zip(flat((y, final))[1:], flat((z, last))[1:], strict=True):
            assert error(ended[:, b], alone_ended) <= TOLERANCE["torch's operator", torch.float64]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", ["lstm", "gru", "vanilla"])  # in 16 bit, rounding puts values on either side of a rectifier's kink
def test_every_dtype(kind, dtype, alone):
    theirs, x = KINDS[kind](D, H, 2, dtype=dtype), torch.randn(T, B, D).to(dtype)
    alike(results(from_torch(theirs, "torch"), x), results(theirs, x), "schedule")


@pytest.mark.parametrize("grads, wanted, trains", [(True, True, True), (True, False, False), (False, True, False)])
@pytest.mark.parametrize("leaf", ["x", "state", "weight"])
def test_what_training_is(leaf, grads, wanted, trains, monkeypatch):
    """cuDNN keeps what a backward pass takes where there can be one, and there alone."""
    rnn, x, h = RNN("gru", D, H, backend="torch").requires_grad_(False), torch.randn(T, B, D), torch.randn(1, B, H)
    {"x": x, "state": h, "weight": rnn.bias_hh_l0}[leaf].requires_grad_(wanted)
    seen, run = [], torch.gru
    monkeypatch.setattr(torch, "gru", lambda *arguments: (seen.append(arguments[6]), run(*arguments))[1])
    with torch.set_grad_enabled(grads):
        rnn(x, h)
    assert seen == [trains]


def test_a_cell_that_torch_lacks():
    """One line of a reason, once; then the eager reference."""
    select._warn.cache_clear()
    rnn, x = RNN("minimal", D, H, backend="torch"), torch.randn(T, B, D)
    with pytest.warns(
        RuntimeWarning, match="the backend 'torch' runs the cells of torch.nn, which has no minimal; minimal runs as the eager"
    ):
        y = rnn(x)[0]
    rnn.backend = "eager"
    assert torch.equal(rnn(x)[0], y)


def test_low_memory_is_no_matter_of_torch(monkeypatch):
    """It keeps what it keeps: the derived loops run, in a graph too."""
    monkeypatch.delattr(torch_operator, "apply")
    low, auto, x = RNN("lstm", D, H, backend="torch", memory="low"), RNN("lstm", D, H, memory="low"), torch.randn(T, B, D)
    auto.load_state_dict(low.state_dict())
    assert torch.equal(low(x)[0], auto(x)[0])
    torch._dynamo.reset()
    assert torch.compile(low, backend="aot_eager", fullgraph=True)(x)[0].shape == (T, B, H)


def test_no_sequences(monkeypatch):
    """Nothing of torch's is asked what zero rows are."""
    monkeypatch.delattr(torch_operator, "apply")
    rnn, x = RNN("lstm", D, H, backend="torch"), torch.randn(T, 0, D)
    y, (h, c) = rnn(x)
    assert y.shape == (T, 0, H) and h.shape == c.shape == (1, 0, H)


def test_differentiated_twice(alone):
    """On a CPU, as torch's own layers are."""
    rnn, x = RNN("gru", 3, 4, backend="torch", dtype=torch.float64), torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*rnn.named_parameters(), strict=True)

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return func.functional_call(rnn, dict(zip(names, values, strict=True)), (x,))[0]

    assert gradgradcheck(run, (x, *values))


TRANSFORMS = {
    "grad": lambda rnn, x: func.grad(lambda x: rnn(x)[0].square().sum())(x),
    "jacrev": lambda rnn, x: func.jacrev(lambda x: rnn(x)[0])(x),
}
"""Those that torch's operator knows: it has no rule for vmap."""


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_inside_of_torch_func(transform):
    rnn, x = RNN("lstm", 3, 4, backend="torch", dtype=torch.float64), torch.randn(3, 2, 3, dtype=torch.float64)
    found = TRANSFORMS[transform](rnn, x)
    rnn.backend = "eager"
    assert error(found, TRANSFORMS[transform](rnn, x)) <= TOLERANCE["torch's operator", torch.float64]


@EVERY
def test_in_a_graph(kind):
    """Its graph holds torch's operator, and none of ours."""
    torch._dynamo.reset()
    targets = set[str]()

    def seen(graph: torch.fx.GraphModule, examples: list[Tensor]) -> torch.fx.GraphModule:
        targets.update(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph

    rnn = RNN(kind, D, H, 2, bidirectional=True, backend="torch", dtype=torch.float64)
    x = torch.randn(T, B, D, dtype=torch.float64, requires_grad=True)
    y, _ = torch.compile(rnn, backend=seen, fullgraph=True)(x)
    assert any(torch_operator.find_operator(rnn.cell.torch_equivalent).__name__ in target for target in targets), targets
    assert not any("recurrent_bench" in target for target in targets)
    found = torch.autograd.grad(y.square().sum(), [x, *rnn.parameters()])
    right = torch.autograd.grad(rnn(x)[0].square().sum(), [x, *rnn.parameters()])
    assert all(error(a, b) <= TOLERANCE["torch's operator", torch.float64] for a, b in zip(found, right, strict=True))


def test_exported():
    rnn, x = RNN("gru", D, H, backend="torch").eval(), torch.randn(T, B, D)
    assert error(torch.export.export(rnn, (x,)).module()(x)[0], rnn(x)[0]) <= TOLERANCE["torch.nn outputs", torch.float32]


def test_under_autocast():
    """In its weights' dtype, from what another layer made in 16 bit."""
    rnn, x, h = RNN("gru", D, H, backend="torch"), torch.randn(T, B, D), torch.randn(1, B, H).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = rnn(x, h)
    assert all(map(torch.equal, found, rnn(x, h.float())))


@pytest.mark.parametrize("name", [name for name in cells.names() if cells.load(name).torch_equivalent])
def test_shapes_without_numbers(name):
    y, _ = RNN(name, D, H, device="meta", backend="torch")(torch.empty(T, B, D, device="meta"))
    assert y.shape == (T, B, H)


def test_without_flattening(alone):
    """nn.LSTM's habits: what is moved, copied or loaded needs no call to be in one buffer again."""
    rnn = RNN("lstm", D, H, backend="torch")
    rnn.load_state_dict(nn.LSTM(D, H).state_dict())
    rnn.double().flatten_parameters()
    assert rnn(torch.randn(T, B, D, dtype=torch.float64))[0].dtype == torch.float64
