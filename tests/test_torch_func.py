"""A layer where a fused loop can't run: in torch.func, in forward mode, differentiated twice, with batched gradients. By the equations."""

import pytest
import torch
from torch import Tensor, func
from torch.autograd import forward_ad, functional
from torch.fx.experimental.proxy_tensor import make_fx

from kernels import RNN
from kernels.layer import equations
from tests.reference import error
from tests.tolerances import TOLERANCE

T, B, H = 3, 2, 4
QUIET = [
    pytest.mark.filterwarnings("ignore:.*runs as its equations:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated"),  # torch's own, as it loads what jvp takes
]
pytestmark = QUIET


def run(rnn: RNN, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    return func.functional_call(rnn, parameters, (x,))[0].square().sum()


def dual(rnn: RNN, x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(rnn(forward_ad.make_dual(x, torch.ones_like(x)))[0]).tangent.clone()


def penalty(rnn: RNN, x: Tensor) -> Tensor:
    """Differentiate the norm of a gradient by x, the states and all parameters, through outputs and final states."""
    states = tuple(torch.full((1, B, H), 0.3, dtype=x.dtype, requires_grad=True) for _ in rnn.cell.states)
    leaves = [x.clone().requires_grad_(), *states, *rnn.parameters()]
    y, final = rnn(leaves[0], states if len(states) > 1 else states[0])
    loss = y.sin().sum() + sum(s.square().sum() for s in (final if isinstance(final, tuple) else (final,)))
    first = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
    second = torch.autograd.grad(sum(d.square().sum() for d in first), leaves, materialize_grads=True)
    return torch.cat([d.flatten() for d in second])


def models(rnn: RNN, x: Tensor) -> Tensor:
    """Run an ensemble: vmap over stacked parameters."""
    stacked = {name: torch.stack([p.detach(), -p.detach()]) for name, p in rnn.named_parameters()}
    return func.vmap(lambda p: func.functional_call(rnn, p, (x,))[0])(stacked)


TRANSFORMS = {
    "grad": lambda rnn, x: torch.cat([d.flatten() for d in func.grad(run, 1)(rnn, dict(rnn.named_parameters()), x).values()]),
    "jacrev": lambda rnn, x: func.jacrev(lambda x: rnn(x)[0])(x),
    "jvp": lambda rnn, x: func.jvp(lambda x: rnn(x)[0], (x,), (x,))[1],
    "vmap": lambda rnn, x: func.vmap(lambda x: rnn(x)[0])(torch.stack([x, 2 * x])),
    "vmap over models": models,
    "a gradient for each": lambda rnn, x: func.vmap(func.grad(lambda x: run(rnn, {}, x)))(torch.stack([x, 2 * x])),
    "hessian of torch.func": lambda rnn, x: func.hessian(lambda x: rnn(x)[0].square().sum())(x),
    "forward mode": dual,
    "jacobian, vectorized": lambda rnn, x: functional.jacobian(lambda x: rnn(x)[0], x, vectorize=True),
    "hessian": lambda rnn, x: functional.hessian(lambda x: rnn(x)[0].square().sum(), x),
    "hessian, vectorized": lambda rnn, x: functional.hessian(lambda x: rnn(x)[0].square().sum(), x, vectorize=True),
    "create_graph": penalty,
}


@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_as_the_equations(transform, memory):
    """A cell with two states, and one whose step has two stages and a vector."""
    if memory == "low":
        checkpointed = RNN("lstm", H, H, backend="eager", memory="low")
        assert TRANSFORMS[transform](checkpointed, torch.randn(T, B, H)).isfinite().all()
    for name in ("lstm", "gru_reset_before") if transform in ("create_graph", "hessian") else ("lstm",):
        eager, fused = (RNN(name, H, H, backend=b, memory=m, dtype=torch.float64) for b, m in (("eager", "full"), ("compiled", memory)))
        fused.load_state_dict(eager.state_dict())
        x = torch.randn(T, B, H, dtype=torch.float64)
        right, found = TRANSFORMS[transform](eager, x), TRANSFORMS[transform](fused, x)
        assert right.any() and error(found, right) <= TOLERANCE["schedule", torch.float64]


@pytest.mark.parametrize("name", ["wave", "qrnn", "slstm", "indrnn", "fastgrnn"])
def test_second_derivatives(name):
    """Cells with stencils, prev(x), constants, vectors and shared matrices."""
    D = 1 if name == "wave" else H
    eager, fused = (RNN(name, D, H, backend=backend, dtype=torch.float64) for backend in ("eager", "compiled"))
    fused.load_state_dict(eager.state_dict())
    x = torch.randn(T, B, D, dtype=torch.float64)
    assert error(penalty(fused, x), penalty(eager, x)) <= TOLERANCE["schedule", torch.float64]


def test_the_warning_is_given_once():
    equations.warn_once.cache_clear()
    rnn, x = RNN("janet", H, H), torch.randn(T, B, H)
    with pytest.warns(RuntimeWarning, match=r"janet runs as its equations inside torch.func .*backend='eager'") as said:
        func.jacrev(lambda x: rnn(x)[0])(x)
        func.jacrev(lambda x: rnn(x)[0])(x)
    assert len(said) == 1
    with pytest.warns(RuntimeWarning, match=r"for a second derivative \(create_graph=True\)"):
        penalty(rnn, x)


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
    assert all(p.grad.isfinite().all() for p in rnn.parameters())


def test_no_constant_in_a_graph():
    """A graph that make_fx records reads its input; tensors of a class of their own, as quantized ones, are read by torch's operators."""
    rnn, x = RNN("minimal", H, H), torch.randn(T, B, H)
    graph, other = make_fx(lambda x: rnn(x)[0])(x), torch.randn(T, B, H)
    assert error(graph(other), rnn(other)[0]) <= TOLERANCE["two ways", torch.float32]


def test_in_compiled_and_exported_graphs():
    rnn, x = RNN("lstm", H, H), torch.randn(T, B, H)
    parameters = {name: p.detach() for name, p in rnn.named_parameters()}
    torch._dynamo.reset()
    found = torch.compile(func.grad(run, 1), backend="aot_eager")(rnn, parameters, x)
    right = func.grad(run, 1)(rnn, parameters, x)
    assert all(error(found[name], right[name]) <= TOLERANCE["two ways", torch.float32] for name in right)
    leaves = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    twice = []
    for layer, leaf in zip((rnn, torch.export.export(rnn, (x,)).module()), leaves, strict=True):
        (first,) = torch.autograd.grad(layer(leaf)[0].square().sum(), leaf, create_graph=True)
        twice += torch.autograd.grad(first.square().sum(), leaf)
    assert error(*twice) <= TOLERANCE["schedule", torch.float32]
