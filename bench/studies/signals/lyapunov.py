"""Largest Lyapunov exponents: how fast, in nats per step, a small difference grows along a trajectory.

After Benettin et al. (Meccanica 1980) a vector is carried along and divided by its norm every few steps; the mean of the logarithms is
the exponent. Here it is carried backwards, by the backend's own backward pass: the singular values of a product of Jacobians are
those of its transpose, so the exponent is the same.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.measure.backends import pack_states, unpack_result
from bench.studies.signals.chunked_vjp import ChunkedVJP
from kernels import RNN

STRETCH = 20
"""Steps between two divisions, in which nothing may overflow."""


def autonomous_input(rnn: RNN, T: int, B: int) -> Tensor:
    """No input, for T steps of B sequences: (T, B, D), with one number of memory."""
    weight = next(rnn.parameters())
    return weight.new_zeros(1, 1, 1).expand(T, B, rnn.input_size)


def advance(rnn: RNN, states: Sequence[Tensor], steps: int) -> list[Tensor]:
    """The states after so many steps without input."""
    with torch.no_grad():
        for begin in range(0, steps, 10 * STRETCH):
            x = autonomous_input(rnn, min(10 * STRETCH, steps - begin), len(states[0]))
            states = [s.clone() for s in unpack_result(rnn(x, pack_states(list(states))))[1]]
    return list(states)


def exponents(rnn: RNN, states: list[Tensor], steps: int, generator: torch.Generator) -> Tensor:
    """The largest exponent along each trajectory from `states` over `steps` steps without input: (B,). The first tenth, in which the
    random vector turns, isn't counted. -inf where a difference dies out to nothing, NaN where a state isn't finite."""
    vector = [torch.randn(s.shape, generator=generator, dtype=torch.float64).to(s) for s in states]
    lags = sorted({*range(0, steps, STRETCH), steps})
    links = ChunkedVJP(rnn, autonomous_input(rnn, steps, len(states[0])), states, vector, lags, unit=True).pull_back()
    turned = next(link for link in links if 10 * link.lag >= steps)
    last = turned
    for link in links:
        last = link
    found = (last.scale - turned.scale).squeeze(1) / (last.lag - turned.lag)
    dead = torch.cat(last.states, 1).norm(dim=1) == 0
    return torch.where(dead, torch.full_like(found, -torch.inf), found)
