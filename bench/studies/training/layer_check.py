"""Before a layer is trained: its outputs and gradients against the equations in float64, on the data it will see."""

import torch
from torch import Tensor

from bench.measure import gate
from bench.measure.backends import pack_states
from kernels import RNN
from kernels.layer.select import choose

STEPS, SEQUENCES = 16, 4


class WrongResult(RuntimeError):
    """A layer that doesn't compute its cell; the message says how far off it is."""


def check_layer(rnn: RNN, x: Tensor) -> tuple[str, float]:
    """The backend that runs `rnn`, and its largest error, max|Δ| / max|reference|, over outputs, the gradient of every learned value and
    of the input. x is (T, B, D); its first steps and sequences are looked at. Raises WrongResult for an error above
    the tolerance."""
    x = x[:STEPS, :SEQUENCES].detach()
    weights = rnn.weights()
    upstream = torch.cos(torch.arange(x.shape[0] * x.shape[1] * rnn.hidden_size, device=x.device).view(*x.shape[:2], -1))
    exact = {name: value.detach().double().requires_grad_() for name, value in weights.items()}
    x_exact, x = x.double().requires_grad_(), x.clone().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    normal = [torch.randn(x.shape[1], rnn.hidden_size, generator=generator).to(x) for _ in rnn.cell.states]
    # not those of the layer: from zero, some gradients are (that of slstm's b.i), and a rounding error would be all there is of them
    initial = [rnn.cell.random_state(name, n) for name, n in zip(rnn.cell.states, normal, strict=True)]
    y_exact, _ = rnn.cell.unroll(x_exact, [s.double() for s in initial], exact)
    y, _ = rnn(x, pack_states(initial))
    learned = [name for name, value in weights.items() if value.requires_grad]
    wanted = [y_exact, *torch.autograd.grad(y_exact, [x_exact, *(exact[name] for name in learned)], upstream.double())]
    found = [y, *torch.autograd.grad(y, [x, *(weights[name] for name in learned)], upstream.to(y.dtype))]
    error = max(gate.compute_error(value, reference) for value, reference in zip(found, wanted, strict=True))
    schedule = choose(rnn.backend, rnn.plan, x.dtype, x.device, x.shape[1], rnn.hidden_size)
    backend = "eager" if schedule is None else schedule.__name__.rpartition(".")[2]
    backend = "torch" if rnn.uses_torch_operator(x, initial, weights) else backend
    allowed = gate.find_tolerance(str(y.dtype).removeprefix("torch."), "ieee")
    if not error <= allowed:
        raise WrongResult(
            f"{rnn.cell.name} ({backend}) is off by {error:.1e} of the largest before it is trained, allowed is {allowed:.0e}"
        )
    return backend, error
