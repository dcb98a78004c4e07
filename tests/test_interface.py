"""Whatever tensor reaches a loop in another shape, dtype, layout or place: an error, or the right numbers; nothing in between."""

import functools
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

import cells
from kernels import RNN
from kernels.derive.plan import plan
from kernels.layer.autograd import Recurrence
from kernels.layer.input_products import recurrence_operands
from kernels.layer.select import SCHEDULES
from tests.reference import error
from tests.single_thread import one_thread
from tests.tolerances import TOLERANCE

__all__ = ["one_thread"]

T, B, D, H = 3, 2, 4, 5
REFUSED = (RuntimeError, ValueError, TypeError)
"""Errors that torch.nn raises; NotImplementedError is a RuntimeError."""

CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "in float64": torch.Tensor.double,
    "in float16": torch.Tensor.half,
    "whole numbers": lambda t: (8 * t).long(),
    "complex": lambda t: t.to(torch.complex64),
    "on another device": lambda t: t.to("meta"),
    "sparse": lambda t: t.to_sparse(),
    "of oneDNN": lambda t: t.to_mkldnn(),
    "without its first row": lambda t: t[1:],
    "without its last column": lambda t: t[..., :-1],
    "with a row more": lambda t: torch.cat([t, t[:1]]),
    "empty": lambda t: t[:0],
    "one number": lambda t: t.flatten()[:1],
    "flat": torch.Tensor.flatten,
    "with a dimension more": lambda t: t[None],
    "transposed": lambda t: t.transpose(0, -1),
    "with other strides": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "a view with gaps": lambda t: torch.stack([t, t + 1], -1)[..., 0],
    "one number for all": lambda t: t.flatten()[:1].view([1] * t.dim()).expand(t.shape),
    "not aligned": lambda t: torch.cat([t.flatten()[:1], t.flatten()])[1:].view(t.shape),
    "lazily negative": lambda t: torch._neg_view(-t),
    "lazily zero": lambda t: torch._efficientzerotensor(t.shape),
}


def same(found: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    return all(f.shape == r.shape and error(f, r) <= TOLERANCE["schedule", torch.float32] for f, r in zip(found, right, strict=True))


def outputs_and_gradients(layer: RNN, change: Callable[[Tensor], Tensor], which: int) -> list[Tensor]:
    """Run a layer with one of its tensors changed: x, the states, the weights, in this order; a weight is no Parameter then."""
    generator = torch.Generator().manual_seed(5)
    given = [torch.randn(n, B, width, generator=generator) for n, width in [(T, D)] + [(1, H)] * len(layer.cell.states)]
    names = [name for name, _ in layer.named_parameters()]
    if which < len(given):
        given[which] = change(given[which])
    else:
        name = names[(which - len(given)) % len(names)]
        weight = getattr(layer, name).detach()
        delattr(layer, name)
        setattr(layer, name, change(weight))
    x, *states = given
    y, _ = layer(x, tuple(states) if len(states) > 1 else states[0])
    return [y.detach(), *torch.autograd.grad(y.square().sum(), [*layer.parameters()])]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["lstm", "vanilla"]), st.sampled_from([*CHANGES]), st.integers(0, 15), st.booleans())
def test_any_tensor_of_a_call(name, change, which, low):
    """The loop raises where the equations do; where it doesn't raise, it computes what they compute."""
    eager, fused = RNN(name, D, H, backend="eager"), RNN(name, D, H, backend="compiled", memory="low" if low else "full")
    fused.load_state_dict(eager.state_dict())
    try:
        right = outputs_and_gradients(eager, CHANGES[change], which)
    except REFUSED:
        right = None
    try:
        found = outputs_and_gradients(fused, CHANGES[change], which)
    except REFUSED:
        return
    assert right is not None and same(found, right)


@functools.cache
def operands(name: str) -> list[Tensor | None]:
    """Returns the tensors of `Recurrence`."""
    layer = RNN(name, D, H)
    with torch.no_grad():
        tensors = recurrence_operands(plan(layer.cell), torch.randn(T, B, D), H, layer.weights())
    return [*tensors, *(torch.randn(B, H) for _ in layer.cell.states)]


def recur(name: str, tensors: Sequence[Tensor | None], hook: Callable[[Tensor], Tensor] = lambda t: t) -> list[Tensor]:
    """Run a recurrence without a layer around it; `hook` is given the gradient of its output."""
    leaves = [t if t is None or not t.is_floating_point() else t.detach().requires_grad_() for t in tensors]
    y, *_ = Recurrence.apply(plan(cells.load(name)), SCHEDULES["compiled"], True, T, *leaves)
    y.grad_fn.register_prehook(lambda d: (hook(d[0]), *d[1:]))
    given = [t for t in leaves if t is not None and t.requires_grad]
    return [y.detach(), *torch.autograd.grad(y, given, 2 * y.detach(), allow_unused=True)]  # saved tensors are the recurrence's alone


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["lstm", "gru_reset_before"]), st.sampled_from([*CHANGES]), st.integers(0, 30), st.data())
def test_any_tensor_of_a_loop(name, change, which, data):
    """The check covers what it is given, what it saved and a hook changed, and the gradient that a hook changed: just before the loop."""
    right, tensors = recur(name, operands(name)), list(operands(name))
    count, seen, changed = len([t for t in tensors if t is not None]), iter(range(100)), CHANGES[change]
    place = data.draw(st.sampled_from(["given", "saved", "upstream"]))
    numbers = change in ("one number for all", "lazily zero", "transposed", "flat")  # other numbers of a shape that may be the right one
    try:
        if place == "given":
            index = [k for k, t in enumerate(tensors) if t is not None][which % count]
            tensors[index] = changed(tensors[index])
            found = recur(name, tensors)
        elif place == "upstream":
            found = recur(name, tensors, changed)
        else:
            with saved_tensors_hooks(lambda t: (next(seen), t), lambda saved: changed(saved[1]) if saved[0] == which else saved[1]):
                found = recur(name, tensors)
    except REFUSED:
        return
    assert numbers or same([f for f in found if f is not None], [r for r in right if r is not None])


def test_a_weight_is_named():
    layer = RNN("vanilla", D, H)
    name = next(n for n, p in layer.named_parameters() if p.shape == (H, H))
    setattr(layer, name, nn.Parameter(torch.zeros(1, 1)))
    with pytest.raises(RuntimeError, match=rf"Expected {name} to be \(5, 5\) in torch.float32 on cpu, got \(1, 1\)"):
        layer(torch.randn(T, B, D))
    delattr(layer, name)
    setattr(layer, name, [1.0])
    with pytest.raises(TypeError, match=f"{name} is a list: set it to a tensor"):
        layer(torch.randn(T, B, D))
