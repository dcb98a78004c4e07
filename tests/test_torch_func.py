"""A layer inside the transforms of torch.func: the eager reference takes them all, a fused loop says which backend does."""

import pytest
import torch
from torch import Tensor, func
from torch.autograd import forward_ad, functional

from kernels import RNN
from tests.reference import error
from tests.tolerances import TOLERANCE

T, B, H = 3, 2, 4


def run(rnn: RNN, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    return func.functional_call(rnn, parameters, (x,))[0].square().sum()


TRANSFORMS = {
    "grad": lambda rnn, p, x: next(iter(func.grad(run, 1)(rnn, p, x).values())),
    "jacrev": lambda rnn, p, x: func.jacrev(lambda x: rnn(x)[0])(x),
    "jvp": lambda rnn, p, x: func.jvp(lambda x: rnn(x)[0], (x,), (x,))[1],
    "vmap": lambda rnn, p, x: func.vmap(lambda x: rnn(x)[0])(torch.stack([x, 2 * x])),
    "a gradient for each": lambda rnn, p, x: func.vmap(func.grad(run, 2), (None, None, 0))(rnn, p, torch.stack([x, 2 * x])),
}


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own, as it loads what jvp takes
@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_fused_loop_says_what_runs_there(transform, memory):
    rnn = RNN("janet", H, H, backend="compiled", memory=memory)
    x, parameters = torch.randn(T, B, H), dict(rnn.named_parameters())
    with pytest.raises(RuntimeError, match=r"inside torch.func .*: make this janet with backend='eager'$"):
        TRANSFORMS[transform](rnn, parameters, x)
    rnn.backend, rnn.memory = "eager", "full"
    assert TRANSFORMS[transform](rnn, parameters, x).isfinite().all()


@pytest.mark.parametrize("memory", ["full", "low"])
def test_torch_runs_its_own_cells_there(memory):
    """As far as nn.LSTM can: the gradient, with the parameters of the layer."""
    rnn = RNN("lstm", H, H, backend="compiled", memory=memory)
    x, parameters = torch.randn(T, B, H), dict(rnn.named_parameters())
    found = func.grad(run, 1)(rnn, parameters, x)
    right = torch.autograd.grad(run(rnn, parameters, x), list(parameters.values()))
    assert all(error(a, b) <= TOLERANCE["torch.nn gradients", torch.float32] for a, b in zip(found.values(), right, strict=True))


def test_outside_of_them_all_is_as_before():
    rnn, x = RNN("lstm", H, H), torch.randn(T, B, H)
    func.functional_call(rnn, dict(rnn.named_parameters()), (x,))[0].sum().backward()
    assert rnn.weight_ih_l0.grad.isfinite().all()


def forward_mode(layer: RNN, x: Tensor) -> None:
    with forward_ad.dual_level():
        layer(forward_ad.make_dual(x, torch.ones_like(x)))


BEYOND = {
    "no derivative in forward mode": forward_mode,
    "one gradient at a time": lambda layer, x: functional.jacobian(lambda x: layer(x)[0], x, vectorize=True),
}


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize("says", BEYOND)
def test_what_one_gradient_does_not_do(says, memory):
    layer = RNN("lstm", H, H, backend="compiled", memory=memory)
    with pytest.raises(RuntimeError, match=f"{says}.*backend='eager'"):
        BEYOND[says](layer, torch.randn(T, B, H))
