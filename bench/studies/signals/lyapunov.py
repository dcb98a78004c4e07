"""Measures largest Lyapunov exponents: the growth of a small difference along a trajectory, in nats per step.

Benettin et al. (Meccanica 1980) propagate a vector and divide it by its norm every few steps; the mean of the logarithms is the
exponent. Here the vector is propagated backwards, by the backend's own backward pass. A product of Jacobians and its transpose have the
same singular values, so the exponent is the same.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.measure.workload import pack_states, unpack_result
from bench.studies.signals.chunked_vjp import ChunkedVJP
from kernels import RNN

STRETCH = 20
"""The steps between two divisions; the vector must not overflow in them."""


def autonomous_input(rnn: RNN, T: int, B: int) -> Tensor:
    """Returns a zero input (T, B, D) for a layer, stored as a single number."""
    weight = next(rnn.parameters())
    return weight.new_zeros(1, 1, 1).expand(T, B, rnn.input_size)


def advance(rnn: RNN, states: Sequence[Tensor], steps: int) -> list[Tensor]:
    """Returns the states after some steps without input.

    Args:
        rnn: The layer.
        states: The initial states, (B, H) each.
        steps: The number of steps.
    """
    with torch.no_grad():
        for begin in range(0, steps, 10 * STRETCH):
            x = autonomous_input(rnn, min(10 * STRETCH, steps - begin), len(states[0]))
            states = [s.clone() for s in unpack_result(rnn(x, pack_states(list(states))))[1]]
    return list(states)


def measure_exponents(rnn: RNN, states: list[Tensor], steps: int, generator: torch.Generator) -> Tensor:
    """Returns the largest exponent along each trajectory (B), without input.

    The first tenth of the steps is excluded: in it the random vector aligns with the leading direction.

    Args:
        rnn: The layer.
        states: The initial states, (B, H) each.
        steps: The number of steps.
        generator: The generator of the random vector.

    Returns:
        The exponents in nats per step: -inf if a difference vanishes entirely, NaN if a state isn't finite.
    """
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
