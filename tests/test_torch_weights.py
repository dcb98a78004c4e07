"""Weights from torch.nn's layers and back: modules and state dicts, with the same outputs and gradients."""

from functools import partial

import pytest
import torch
from torch import nn

from kernels import RNN, from_torch, to_torch
from tests.reference import error
from tests.tolerances import TOLERANCE
from tests.torch_layers import KINDS, PAIRS, describe, state_list, states_of

T, B, D, H = 5, 3, 4, 6
MODULES = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "RNN tanh": nn.RNN,
    "RNN relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}
LAYERS = [
    {},
    {"bias": False, "batch_first": True},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
]


def parity(module: nn.RNNBase, backend: str) -> None:
    """The module's own outputs, final states and gradients, from its weights and its input."""
    rnn = from_torch(module, backend)
    dtype = next(module.parameters()).dtype
    x = torch.randn(T, B, D, dtype=dtype)
    x = x.transpose(0, 1) if module.batch_first else x
    hx = [s.to(dtype) for s in state_list(states_of(rnn, B))]
    runs = []
    for run in (rnn, module):
        leaves = [t.clone().requires_grad_() for t in (x, *hx)]
        y, final = run(leaves[0], tuple(leaves[1:]) if len(hx) > 1 else leaves[1])
        torch.manual_seed(1)
        torch.autograd.backward([y, *state_list(final)], [torch.randn_like(out) for out in (y, *state_list(final))])
        runs.append(([y, *state_list(final)], [leaf.grad for leaf in (*leaves, *run.parameters())]))
    (ours, d_ours), (theirs, d_theirs) = runs
    assert all(error(a, b) <= TOLERANCE["torch.nn outputs", dtype] for a, b in zip(ours, theirs, strict=True))
    assert all(error(a, b) <= TOLERANCE["torch.nn gradients", dtype] for a, b in zip(d_ours, d_theirs, strict=True))


@pytest.mark.parametrize("options", LAYERS, ids=str)
@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize(
    ("backend", "dtype"), [("compiled", torch.float32), ("compiled", torch.float64), ("eager", torch.float64)], ids=str
)
def test_torch(kind, options, dtype, backend):
    """In place of the torch.nn module, layers and directions included."""
    parity(MODULES[kind](D, H, dtype=dtype, **options), backend)


@pytest.mark.parametrize("kind", MODULES)
def test_torch_stepwise(kind):
    parity(MODULES[kind](D, H, num_layers=2, bidirectional=True), "stepwise")


@pytest.mark.parametrize("options", LAYERS, ids=str)
@pytest.mark.parametrize("kind", MODULES)
def test_back_to_torch(kind, options):
    """The round trip gives a module of the same kind, arguments and outputs, and the weights survive it."""
    module = MODULES[kind](D, H, dropout=0.0, **options).eval()
    rnn = from_torch(module)
    back = to_torch(rnn)
    assert type(back) is type(module) and back.extra_repr() == module.extra_repr()
    assert not back.training and not rnn.training
    x = torch.randn(B, T, D) if module.batch_first else torch.randn(T, B, D)
    assert error(back(x)[0].detach(), module(x)[0].detach()) <= TOLERANCE["torch.nn outputs", torch.float32]
    again = from_torch(back).state_dict()
    assert all(torch.equal(again[key], value) for key, value in rnn.state_dict().items())


def test_weights_are_copies():
    module = nn.GRU(D, H)
    rnn = from_torch(module)
    before = module.weight_hh_l0.clone()
    with torch.no_grad():
        rnn.weight_hh_l0.zero_()
        to_torch(rnn).weight_ih_l0.zero_()
    assert torch.equal(module.weight_hh_l0, before) and rnn.weight_ih_l0.any()


def test_no_twin():
    with pytest.raises(TypeError, match=r"torch\.nn has no module that computes cfn"):
        to_torch(RNN("cfn", D, H))
    with pytest.raises(TypeError, match="no cell computes what Linear"):
        from_torch(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="proj_size is not supported"):
        from_torch(nn.LSTM(D, H, proj_size=2))


def test_no_projections():
    """Said where they are asked for, whichever way."""
    for ask in (
        lambda: RNN("lstm", D, H, proj_size=2),
        lambda: from_torch(nn.LSTM(D, H, proj_size=2)),
    ):
        with pytest.raises(ValueError, match="proj_size is not supported"):
            ask()


@pytest.mark.parametrize(("kind", "options"), PAIRS, ids=describe)
def test_parameters_are_those_of_torch_nn(kind, options):
    """Names, shapes, order, and the values from a seed; state dicts load both ways as they are."""
    made = []
    for make in (KINDS[kind], partial(RNN, kind)):
        torch.manual_seed(3)
        made.append(make(D, H, **options))
    theirs, ours = made
    assert [*theirs.state_dict()] == [name for name, _ in ours.named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))
    assert ours.mode == theirs.mode and ours.proj_size == theirs.proj_size and ours._flat_weights_names == theirs._flat_weights_names
    for ours_by_layer, by_layer in zip((*ours.all_weights, ours._flat_weights), (*theirs.all_weights, theirs._flat_weights), strict=True):
        assert all(map(torch.equal, ours_by_layer, by_layer)) and len(ours_by_layer) == len(by_layer)
    ours.reset_parameters()
    theirs.load_state_dict(ours.state_dict())
    assert all(map(torch.equal, theirs.parameters(), ours.parameters()))


def test_state_dict_of_another_module():
    """A module without an equivalent raises torch's error, and no option is ignored."""
    for rnn, module, said in (
        (RNN("lstm", D, H), nn.LSTM(D, H + 1), "size mismatch"),
        (RNN("minimal", D, H), nn.GRU(D, H), "Missing key"),
        (RNN("lstm", D, H, bias=False), nn.LSTM(D, H), r"Unexpected key.*bias_ih_l0"),
        (RNN("lstm", D, H), nn.LSTM(D, H, bias=False), r"Missing key.*bias_ih_l0"),
        (RNN("lstm", D, 1), nn.GRU(D, 1), "size mismatch"),
    ):
        with pytest.raises(RuntimeError, match=said):
            rnn.load_state_dict(module.state_dict())
