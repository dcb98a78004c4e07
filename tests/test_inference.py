"""A prepared call computes what the general way does, and is taken where nothing is unusual."""

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import cells
from kernels import RNN
from kernels.layer import inference, input_products
from tests.sampling import each_kind

T, B, H = 3, 2, 8


@pytest.fixture
def general(monkeypatch):
    """The number of layers that went the general way."""
    found, apply = [], input_products.apply
    monkeypatch.setattr(input_products, "apply", lambda *given, **options: (found.append(1), apply(*given, **options))[1])
    return found


def call(layer, *given):
    y, states = layer(*given)
    return [y, *(states if isinstance(states, tuple) else (states,))]


def states_of(layer, *shape):
    states = tuple(torch.rand(layer.num_layers, *shape, H) for _ in layer.cell.states)
    return states if len(states) > 1 else states[0]


@each_kind(cells.names())
@torch.no_grad()
def test_as_the_general_way(name, general):
    """Every cell, from given states and from its own, one step and several."""
    layer = RNN(name, H, H)
    for x in (torch.randn(T, B, H), torch.randn(1, 1, H)):
        for states in ((), (states_of(layer, x.shape[1]),)):
            first = call(layer, x, *states)
            assert general
            general.clear()
            call(layer, 2 * x, *states)  # in memory of its own
            again = call(layer, x, *states)
            assert not general and all(torch.equal(a, b) and a.shape == b.shape for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("options", [{"num_layers": 3}, {"batch_first": True}, {"bidirectional": True}, {"bias": False},
                                     {"num_layers": 2, "dropout": 0.5}, {"memory": "low"}], ids=str)  # fmt: skip
@torch.no_grad()
def test_options(options, general):
    layer = RNN("lstm", H, H, **options).eval()
    torch_layer = nn.LSTM(H, H, **{k: v for k, v in options.items() if k != "memory"}).eval()
    torch_layer.load_state_dict(layer.state_dict())
    for x in (torch.randn(T, B, H), torch.randn(T, H), torch.randn(1, B, H)):
        for _ in range(3):
            pairs = zip(call(layer, x), call(torch_layer, x), strict=True)
            assert all(torch.allclose(a, b, atol=1e-6) and a.shape == b.shape for a, b in pairs)
    assert not (options.get("dropout") and inference.find_outputs(layer.train(), x, None))


@torch.no_grad()
def test_any_mistake_is_still_reported():
    layer, x = RNN("lstm", H, H), torch.randn(T, B, H)
    good = states_of(layer, B)
    for _ in range(3):
        layer(x, good)
    for bad in ((good[0],), (good[0], good[1][:, :1]), (good[0], good[1].double()), [1, 2], good[0], (good[0].half(), good[1])):
        with pytest.raises((RuntimeError, ValueError, TypeError)):
            layer(x, bad)
    layer.weight_hh_l0.data = layer.weight_hh_l0.data[1:]
    with pytest.raises(RuntimeError, match="Expected weight_hh_l0"):
        layer(x, good)


class Modes:
    class Function(TorchFunctionMode):
        def __torch_function__(self, function, types, given=(), options=None):
            return function(*given, **(options or {}))

    class Dispatch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, given=(), options=None):
            return function(*given, **(options or {}))


class Sub(torch.Tensor):
    pass


def test_unusual_calls_go_the_general_way():
    layer, x, seen = RNN("gru", H, H), torch.randn(T, B, H), []

    def prepared(*given):
        return inference.find_outputs(layer, *given) is not None

    with torch.no_grad():
        for _ in range(3):
            layer(x)
        assert prepared(x, None)
        with torch.autocast("cpu"):
            assert not prepared(x, None)
        for mode in (Modes.Function(), Modes.Dispatch()):
            with mode:
                assert not prepared(x, None)
        for other in (x.as_subclass(Sub), torch._neg_view(x), x.transpose(0, 1), x.to("meta"), x.to_sparse(), None, [1]):
            assert not prepared(other, None)
        torch.func.vmap(lambda x: (seen.append(prepared(x, None)), x)[1])(torch.randn(2, T, B, H))
    assert seen == [False]
    assert not prepared(x, None)  # weights need gradients
    layer.requires_grad_(False)
    assert prepared(x, None) and not prepared(x.clone().requires_grad_(), None)
    layer.backend = "eager"
    assert not prepared(x, None) and not prepared(x, None)


class Louder(RNN):
    def run_layer(self, x, states, tensors, before=None):
        y, final = super().run_layer(x, states, tensors, before)
        return 2 * y, final


@torch.no_grad()
def test_hooks_and_subclasses():
    layer, x = RNN("gru", H, H), torch.randn(T, B, H)
    louder = Louder("gru", H, H)
    louder.load_state_dict(layer.state_dict())
    for _ in range(3):
        y, _ = layer(x)
        assert torch.equal(louder(x)[0], 2 * y)
    layer.register_forward_hook(lambda module, given, result: (result[0] + 1, result[1]))
    assert torch.equal(layer(x)[0], y + 1)


@torch.no_grad()
def test_what_is_returned_is_the_callers():
    """A later call writes to none of it."""
    layer, x = RNN("lstm", H, H), torch.randn(T, B, H)
    for _ in range(3):
        y, (h, c) = layer(x)
        before = [t.clone() for t in (y, h, c)]
        layer(x + 1, (h, c))
        assert all(torch.equal(a, b) for a, b in zip((y, h, c), before, strict=True))
        assert len({t.untyped_storage().data_ptr() for t in (y, h, c)}) == 3


@torch.no_grad()
def test_few_shapes_are_kept():
    layer = RNN("gru", H, H)
    for T in range(1, 2 * inference.MAX_SHAPES):
        layer(torch.randn(T, B, H))
    assert len(layer._kept_panels.calls) <= inference.MAX_SHAPES
