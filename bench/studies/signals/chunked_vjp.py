"""Computes the gradients of all states along a sequence with the backends' own backward passes, chunk by chunk.

A fused backward pass gives the gradient of its initial states, not of the states in between. So the sequence is divided into chunks. The
forward pass keeps the state at every boundary. From the last chunk to the first, each runs again, and the gradient of its initial states
becomes the upstream gradient of the chunk before. This takes two forward passes and one backward pass; only one chunk's intermediate
values are kept at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from bench.measure.workload import pack_states, unpack_result
from kernels import RNN


@dataclass
class VJPStep:
    """Gradients at one time step.

    Attributes:
        lag: The number of steps before the last one.
        states: The gradients of all states at this step, (B, H) each.
        scale: The logarithm (B, 1) of the factor that the gradients were divided by; zero unless they are normalized.
        input: The gradient (B, D) of the input that led to these states; None for the initial states.
    """

    lag: int
    states: list[Tensor]
    scale: Tensor
    input: Tensor | None = None


@dataclass
class ChunkedVJP:
    """Backward passes over the chunks of a sequence.

    Attributes:
        rnn: The layer.
        x: The input (T, B, D).
        states: The initial states, (B, H) each.
        upstream: The gradients of the final states, (B, H) each.
        lags: The chunk boundaries as lags, from 0 to T in increasing order.
        unit: Divide the gradient of each sequence by its norm at every boundary; only gradients of states are computed.
        weights: The gradients of the parameters by name, in float64; complete after `pull_back`, empty with `unit`.
    """

    rnn: RNN
    x: Tensor
    states: list[Tensor]
    upstream: list[Tensor]
    lags: Sequence[int]
    unit: bool = False
    weights: dict[str, Tensor] = field(default_factory=dict)

    def pull_back(self) -> Iterator[VJPStep]:
        """Yields the gradients at every boundary, from the last step to the first."""
        x, T = self.x, len(self.x)
        stops = [T - lag for lag in reversed(self.lags)]
        stretches = list(pairwise(stops))
        begun = [self.states]
        with torch.no_grad():
            for begin, end in stretches[:-1]:
                begun.append(
                    [s.clone() for s in unpack_result(self.rnn(x[begin:end], pack_states(begun[-1]), before=self.previous_input(begin)))[1]]
                )
        gradients, scale = self.upstream, x.new_zeros(x.shape[1], 1)
        learned = {name: t for name, t in self.rnn.tensors().items() if t.requires_grad and not self.unit}
        later = torch.zeros_like(x[0])  # of the gradient of a stretch's last input, what the stretch after it passes on
        for (begin, end), states, lag in zip(reversed(stretches), reversed(begun), self.lags, strict=False):
            if self.unit:
                gradients, scale = normalize(gradients, scale)
            link = VJPStep(lag, gradients, scale)
            leaves = [s.detach().requires_grad_() for s in states]
            piece = x[begin:end].detach().requires_grad_(not self.unit)
            before = self.previous_input(begin)
            given = [] if self.unit else [piece] if before is None else [piece, before.requires_grad_()]
            _, final = unpack_result(self.rnn(piece, pack_states(leaves), before=before))
            through = [(f, g) for f, g in zip(final, gradients, strict=True) if f.requires_grad]
            wanted = [*leaves, *given, *learned.values()]
            found = torch.autograd.grad([f for f, _ in through], wanted, [g for _, g in through], allow_unused=True)
            known = [torch.zeros_like(v) if g is None else g for v, g in zip(wanted, found, strict=True)]
            gradients, rest = known[: len(leaves)], known[len(leaves) :]
            link.input = rest[0][-1] + later if rest else None
            later = rest[1] if len(given) == 2 else later
            named = {} if self.unit else self.rnn.gradients_of_weights(dict(zip(learned, rest[len(given) :], strict=True)))
            for name, g in named.items():
                self.weights[name] = self.weights.get(name, 0) + g.double()
            yield link
        if self.unit:
            gradients, scale = normalize(gradients, scale)
        yield VJPStep(self.lags[-1], gradients, scale)

    def previous_input(self, begin: int) -> Tensor | None:
        """Returns the input (B, D) before step `begin`; None at the first step, or if the cell doesn't use it."""
        return self.x[begin - 1].detach() if begin and self.rnn.plan.uses_prev else None


def normalize(gradients: list[Tensor], scale: Tensor) -> tuple[list[Tensor], Tensor]:
    """Returns gradients of norm 1 for each sequence, and `scale` plus the logarithm of the divisors. A zero gradient stays zero.

    Args:
        gradients: The gradients of all states, (B, H) each.
        scale: The logarithm (B, 1) of earlier divisors.
    """
    norm = torch.cat(gradients, 1).norm(dim=1, keepdim=True)
    norm = torch.where(norm > 0, norm, torch.ones_like(norm))
    return [g / norm for g in gradients], scale + norm.log()


EACH = 64
"""Sequences of up to this many steps have a boundary at every lag."""
OCTAVE = 8
"""The number of boundaries while the lag doubles, in longer sequences: a factor of 1.09 between lags. Gradients vanish early in a long
sequence, or not at all."""


def chunk_boundaries(T: int) -> list[int]:
    """Returns the lags, from 0 to T, at which gradients are recorded: all of them up to EACH steps, else OCTAVE for each octave."""
    if T <= EACH:
        return list(range(T + 1))
    return sorted({0, *(round(2 ** (k / OCTAVE)) for k in range(OCTAVE * T.bit_length()) if 2 ** (k / OCTAVE) < T), T})


def octave_lags(T: int) -> list[int]:
    """Returns the lags 0, 1, 2, 4, … and T."""
    return sorted({0, *(2**k for k in range(T.bit_length()) if 2**k < T), T})
