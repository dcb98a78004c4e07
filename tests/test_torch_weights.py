"""Weights from torch.nn's layers and back: modules and state dicts, with the same outputs and gradients."""

import pytest
import torch
from torch import Tensor, nn

from kernels import RNN, from_torch, to_torch
from tests.reference import error
from tests.tolerances import TOLERANCE
from tests.torch_layers import KINDS, PAIRS, describe, flat, state_list, states_of

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


def gradients_by_name(rnn: RNN, module: nn.RNNBase) -> dict[str, tuple[Tensor, Tensor]]:
    """Every parameter's gradient with that of its twin."""
    found = {}
    for layer in range(rnn.num_layers):
        for suffix in rnn.suffixes(layer):
            packed = {k.removesuffix(suffix): v.grad for k, v in module.named_parameters() if k.endswith(suffix)}
            for name, theirs in rnn.cell.torch_equivalent.split(packed).items():
                if name in rnn.weights(suffix):
                    found[name + suffix] = rnn.weights(suffix)[name].grad, theirs
    return found


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
        runs.append(([y, *state_list(final)], [leaf.grad for leaf in leaves]))
    (ours, d_ours), (theirs, d_theirs) = runs
    gradients = gradients_by_name(rnn, module)
    assert len(gradients) == len(list(rnn.parameters()))
    assert all(error(a, b) <= TOLERANCE["torch.nn outputs", dtype] for a, b in zip(ours, theirs, strict=True))
    for a, b in [*zip(d_ours, d_theirs, strict=True), *gradients.values()]:
        assert error(a, b) <= TOLERANCE["torch.nn gradients", dtype]


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
        rnn.W_nh_l0.zero_()
        to_torch(rnn).weight_ih_l0.zero_()
    assert torch.equal(module.weight_hh_l0, before) and rnn.W_rx_l0.any()


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


@pytest.mark.parametrize(("kind", "options"), [pair for pair in PAIRS if pair[0] != "vanilla_relu"], ids=describe)
def test_state_dict_of_torch_nn(kind, options):
    """A checkpoint of a model with nn.LSTM in it loads into the same model with an RNN there."""
    theirs = nn.ModuleDict({"rnn": KINDS[kind](D, H, **options), "out": nn.Linear(H, 1)})
    ours = nn.ModuleDict({"rnn": RNN(kind, D, H, **options), "out": nn.Linear(H, 1)})
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(T, B, D)
    assert error(flat(ours["rnn"](x))[0], flat(theirs["rnn"](x))[0]) <= TOLERANCE["torch.nn outputs", torch.float32]
    assert not [key for key in ours.state_dict() if "weight_ih" in key]


def test_state_dict_of_another_module():
    with pytest.raises(RuntimeError, match=r"size mismatch|Missing key"):
        RNN("lstm", D, H).load_state_dict(nn.LSTM(D, H + 1).state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        RNN("minimal", D, H).load_state_dict(nn.GRU(D, H).state_dict())


def test_state_dict_of_a_like_module():
    """A module that has no equivalent raises an error, and no option is ignored."""
    with pytest.raises(RuntimeError, match=r"Unexpected key.*bias_ih_l0"):
        RNN("lstm", D, H, bias=False).load_state_dict(nn.LSTM(D, H).state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key.*b_i_l0"):
        RNN("lstm", D, H).load_state_dict(nn.LSTM(D, H, bias=False).state_dict())
    half = nn.LSTM(D, H).state_dict()
    del half["bias_hh_l0"]
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*b_i_l0.*Unexpected key.*bias_ih_l0"):
        RNN("lstm", D, H).load_state_dict(half)
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*Unexpected key"):
        RNN("lstm", D, 1).load_state_dict(nn.GRU(D, 1).state_dict())
