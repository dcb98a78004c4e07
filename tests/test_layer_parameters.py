"""The parameters of a layer: trained as torch.nn's are, started, moved, copied, and loaded from before."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

import cells
from kernels import GRU, LSTM, RNN
from tests.reference import error
from tests.sampling import sample
from tests.single_thread import one_thread
from tests.tolerances import TOLERANCE
from tests.torch_layers import KINDS

__all__ = ["one_thread"]

T, B, D, H = 5, 3, 4, 6


def steps(layer: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> list[float]:
    """Losses and clipped norms of a training."""
    found = []
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(T, B, D, generator=generator, dtype=torch.float64).to(next(layer.parameters()).dtype)
        optimizer.zero_grad()
        loss = (layer(x)[0] - 0.3).square().mean()
        loss.backward()
        found += [loss.item(), clip_grad_norm_(layer.parameters(), 1.0).item()]
        optimizer.step()
    return found


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_steps_are_those_of_torch_nn(kind, dtype, allowed):
    """Losses and norms, while each goes on with the other's weights and optimizer half way."""
    made = []
    for make in (lambda: KINDS[kind](D, H, dtype=dtype), lambda: RNN(kind, D, H, dtype=dtype)):
        torch.manual_seed(0)
        layer = make()
        made.append((layer, torch.optim.Adam(layer.parameters(), 1e-2)))
    begun = [steps(*pair, 0, 50) for pair in made]
    states = [(layer.state_dict(), copy.deepcopy(optimizer.state_dict())) for layer, optimizer in made]
    for (layer, optimizer), (weights, state) in zip(made, copy.deepcopy(states[::-1]), strict=True):
        layer.load_state_dict(weights)
        optimizer.load_state_dict(state)
    ended = [steps(*pair, 50, 100) for pair in made]
    for theirs, ours in (begun, ended):
        assert all(abs(a - b) <= allowed * max(1, abs(a)) for a, b in zip(theirs, ours, strict=True))


@pytest.mark.parametrize("name", [*KINDS, "minimal", "minimal_deep", "lstm_peephole", "ligru"])
def test_a_call_joins_nothing(name, monkeypatch):
    """Neither at first nor after a step of an optimizer, a copy or a move."""
    rnn, x = RNN(name, D, H, backend="compiled"), torch.randn(T, B, D)
    optimizer = torch.optim.SGD(rnn.parameters(), 0.1)
    monkeypatch.delattr(torch, "cat")
    rnn(x)[0].sum().backward()
    optimizer.step()
    for layer in (rnn, copy.deepcopy(rnn), copy.deepcopy(rnn).double().float(), pickle.loads(pickle.dumps(rnn))):
        layer(x)


CHANGES = {
    "optimizer": lambda rnn: [p.sub_(0.1) for p in rnn.parameters()],
    ".data": lambda rnn: [p.data.mul_(0.5) for p in rnn.parameters()],
    "new data": lambda rnn: [setattr(p, "data", p.data * 0.5) for p in rnn.parameters()],
    "new parameters": lambda rnn: [setattr(rnn, n, nn.Parameter(p * 0.5)) for n, p in [*rnn.named_parameters()]],
    "one of them": lambda rnn: next(iter(rnn.parameters())).data.mul_(0.5),
    "state dict": lambda rnn: rnn.load_state_dict({n: v * 0.5 for n, v in rnn.state_dict().items()}),
    "assigned state dict": lambda rnn: rnn.load_state_dict({n: v * 0.5 for n, v in rnn.state_dict().items()}, assign=True),
    "moved": lambda rnn: rnn.double().float(),
    "emptied": lambda rnn: rnn.to_empty(device="cpu").reset_parameters(),
    "reset": lambda rnn: rnn.reset_parameters(),
}


@sample("name, change", ["lstm", "gru", "minimal", "lstm_peephole"], list(CHANGES))
def test_a_call_reads_what_the_weights_are_now(name, change):
    rnn, x = RNN(name, D, H, num_layers=2, bidirectional=True, backend="compiled"), torch.randn(T, B, D)
    rnn(x)
    for layer in (rnn, copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):
        with torch.no_grad():
            CHANGES[change](layer)
        found = layer(x)[0]
        gradients = torch.autograd.grad(found.sin().sum(), list(layer.parameters()))
        layer.backend = "eager"
        right = layer(x)[0]
        assert error(found, right) <= TOLERANCE["schedule", torch.float32]
        for d, exact in zip(gradients, torch.autograd.grad(right.sin().sum(), list(layer.parameters())), strict=True):
            assert error(d, exact) <= TOLERANCE["schedule", torch.float32]


def test_changed_before_the_backward_pass():
    """As nn.LSTM says it."""
    rnn = RNN("minimal", D, H, backend="compiled")
    y = rnn(torch.randn(T, B, D))[0]
    with torch.no_grad():
        rnn.weight_uz_l0.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("name", ["lstm", "gru", "vanilla", "vanilla_relu", "cfn", "wave", "slstm"])
@pytest.mark.parametrize("bias", [True, False])
def test_checkpoints_of_before(name, bias):
    """They have a tensor for each name in the equations, and load with a word: into a model, and as a pickled layer."""
    options = {"bias": bias} if name == "wave" else {"bias": bias, "num_layers": 2, "bidirectional": True}
    rnn, other = RNN(name, 16, 16, **options), RNN(name, 16, 16, **options)
    old = {n.replace(".", "_") + suffix: v.detach() for suffix in rnn.suffixes() for n, v in rnn.weights(suffix).items()}
    pickled = copy.deepcopy(rnn)
    del pickled._keys
    pickled._parameters = {key: nn.Parameter(value.clone()) for key, value in old.items()}
    state = pickle.dumps(pickled)
    with pytest.warns(FutureWarning, match=f"loaded {name} by its former names .*: save it again"):
        nn.ModuleDict({"rnn": other}).load_state_dict({f"rnn.{key}": value for key, value in old.items()})
    with pytest.warns(FutureWarning, match="former names"):
        unpickled = pickle.loads(state)
    x = torch.randn(T, B, 16)
    for loaded in (other, unpickled):
        assert [*loaded.state_dict()] == [*rnn.state_dict()]
        assert error(loaded(x)[0], rnn(x)[0]) <= TOLERANCE["two ways", torch.float32]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.load_state_dict(rnn.state_dict())


def test_a_part_of_a_former_checkpoint_is_missing():
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*weight_ih_l0.*Unexpected key.*W_ix_l0"):
        RNN("lstm", D, H).load_state_dict({"W_ix_l0": torch.zeros(H, D)})


def test_rules_of_a_cell_hold_in_torchs_tensors():
    """An initial value is set for what they name: the rest starts as in torch.nn."""
    cell = cells.load("lstm").with_init({"b.f": 1.0, "W.ih": 0.25})
    torch.manual_seed(0)
    plain = nn.LSTM(D, H)
    torch.manual_seed(0)
    rnn = RNN(cell, D, H)
    assert (rnn.weights()["b.f"] == 1).all() and (rnn.weight_hh_l0[:H] == 0.25).all()
    assert torch.equal(rnn.weight_hh_l0[H:], plain.weight_hh_l0[H:]) and torch.equal(rnn.bias_hh_l0[:H], plain.bias_hh_l0[:H])


def test_weights_are_those_of_the_equations():
    rnn = RNN("gru", D, H)
    weights: dict[str, Tensor] = {name: torch.randn(shape) for name, shape in rnn.cell.shapes(D, H).items()}
    rnn.set_weights(weights)
    assert all(torch.equal(rnn.weights()[name], value) for name, value in weights.items())
    x = torch.randn(T, B, D)
    right = rnn.cell.unroll(x, [torch.zeros(B, H)], weights)[0]
    assert error(rnn(x)[0], right) <= TOLERANCE["schedule", torch.float32]


@pytest.mark.parametrize(("mine", "theirs"), [(LSTM, nn.LSTM), (GRU, nn.GRU)])
def test_to_import_in_torchs_place(mine, theirs):
    rnn = mine(D, H, 2, True, True, bidirectional=True)
    assert isinstance(rnn, mine) and isinstance(copy.deepcopy(rnn), mine) and rnn.mode == theirs(D, H).mode
    assert [*rnn.state_dict()] == [*theirs(D, H, 2, True, True, bidirectional=True).state_dict()]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_where_no_fused_loop_runs_torchs_operator_does(kind, memory):
    """In a trace: nn.LSTM's own numbers."""
    x = torch.randn(T, B, D)
    theirs = KINDS[kind](D, H)
    rnn = RNN(kind, D, H, memory=memory)
    rnn.load_state_dict(theirs.state_dict())
    traced = torch.jit.trace(rnn, x)
    assert kind in str(traced.inlined_graph) and torch.equal(traced(x)[0], theirs(x)[0])
