"""Checks a layer before it is trained: compares its outputs and gradients with the equations in float64, on data of the task."""

import torch
from torch import Tensor

from bench.measure import gate
from bench.measure.workload import pack_states
from bench.records.tolerance import find_tolerance
from kernels import RNN
from kernels.layer import random_masks

STEPS, SEQUENCES = 16, 4


class WrongResult(RuntimeError):
    """A layer doesn't compute its cell; the message gives the error."""


def check_layer(rnn: RNN, x: Tensor) -> tuple[str, float]:
    """Compares a layer with its equations in float64: the outputs, and the gradients of the input and of every trainable parameter.

    Args:
        rnn: The layer.
        x: An input (T, B, D); its first STEPS steps and SEQUENCES sequences are used.

    Returns:
        The backend that runs the layer, and its largest error, max|Δ| / max|reference|.

    Raises:
        WrongResult: The error exceeds the tolerance.
    """
    x = x[:STEPS, :SEQUENCES].detach()
    tensors = rnn.tensors()
    upstream = torch.cos(torch.arange(x.shape[0] * x.shape[1] * rnn.hidden_size, device=x.device).view(*x.shape[:2], -1))
    exact = {name: value.detach().double().requires_grad_() for name, value in rnn.weights().items()}
    x_exact, x = x.double().requires_grad_(), x.clone().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    normal = [torch.randn(x.shape[1], rnn.hidden_size, generator=generator).to(x) for _ in rnn.cell.states]
    # not the layer's own: from zero states, some exact gradients are 0 (slstm's b.i), and only rounding errors would be compared
    initial = [rnn.cell.random_state(name, n) for name, n in zip(rnn.cell.states, normal, strict=True)]
    drawn = rnn.draw_masks(x)
    y_exact, _ = random_masks.unroll(rnn.plan, x_exact, [s.double() for s in initial], exact, drawn.get("drawn"))
    rnn.draw_masks = lambda x: drawn  # type: ignore[method-assign]
    y, _ = rnn(x, pack_states(initial))
    del rnn.draw_masks
    learned = {name: value for name, value in tensors.items() if value.requires_grad}
    dx, *gradients = torch.autograd.grad(y, [x, *learned.values()], upstream.to(y.dtype))
    found = rnn.gradients_of_weights(dict(zip(learned, gradients, strict=True)))
    wanted = [y_exact, *torch.autograd.grad(y_exact, [x_exact, *(exact[name] for name in found)], upstream.double())]
    error = max(gate.compute_error(value, reference) for value, reference in zip([y, dx, *found.values()], wanted, strict=True))
    schedule = rnn.select_schedule(x, initial, tensors=tensors)
    backend = schedule.__name__.rpartition(".")[2] if schedule else "torch" if rnn.cell.torch_equivalent else "eager"
    backend = rnn.backend if rnn.backend == "eager" else "torch" if rnn.uses_torch_operator(x, initial, tensors) else backend
    allowed = find_tolerance(str(y.dtype).removeprefix("torch."), "ieee")
    if not error <= allowed:
        raise WrongResult(
            f"{rnn.cell.name} ({backend}) is off by {error:.1e} of the largest before it is trained, allowed is {allowed:.0e}"
        )
    return backend, error
