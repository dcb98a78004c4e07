"""Gradients of every state on the way back through a sequence, by the backends themselves, a stretch of it at a time.

A fused backward pass gives the gradient of the states it began with, not of those between. So the sequence is cut: the forward pass
leaves a state at every cut, and from the last stretch to the first each runs again and hands the gradient of its initial states to
the one before. All in all that is two forward passes and one backward; no more than one stretch is kept at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from bench.measure.backends import pack_states, unpack_result
from kernels import RNN


@dataclass
class VJPStep:
    """At `lag` steps before the last: the gradients (B, H) of all states there, and of the input (B, D) that led to them; None at the
    initial states. `scale` (B, 1) is ln of what the gradients were divided by, zero unless asked for."""

    lag: int
    states: list[Tensor]
    scale: Tensor
    input: Tensor | None = None


@dataclass
class ChunkedVJP:
    """The way back through x (T, B, D) from `upstream`, the gradients (B, H) of the final states. `lags` are where it stops, from 0 to
    T in rising order. With `unit` the gradient is divided by its norm at every stop, for each sequence; then it is that of the states
    alone. Otherwise `weights` holds, afterwards, the gradients of the learned values, by name, in float64.
    """

    rnn: RNN
    x: Tensor
    states: list[Tensor]
    upstream: list[Tensor]
    lags: Sequence[int]
    unit: bool = False
    weights: dict[str, Tensor] = field(default_factory=dict)

    def pull_back(self) -> Iterator[VJPStep]:
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
        learned = {} if self.unit else self.rnn.weights()
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
            for name, g in zip(learned, rest[len(given) :], strict=True):
                self.weights[name] = self.weights.get(name, 0) + g.double()
            yield link
        if self.unit:
            gradients, scale = normalize(gradients, scale)
        yield VJPStep(self.lags[-1], gradients, scale)

    def previous_input(self, begin: int) -> Tensor | None:
        """The input (B, D) before step `begin`, where there is one and the cell asks for it."""
        return self.x[begin - 1].detach() if begin and self.rnn.plan.uses_prev else None


def normalize(gradients: list[Tensor], scale: Tensor) -> tuple[list[Tensor], Tensor]:
    """Gradients of norm 1 for each sequence, and `scale` with ln of what they were divided by; what is zero stays."""
    norm = torch.cat(gradients, 1).norm(dim=1, keepdim=True)
    norm = torch.where(norm > 0, norm, torch.ones_like(norm))
    return [g / norm for g in gradients], scale + norm.log()


EACH = 64
"""Up to so many steps, a stop at every lag."""
OCTAVE = 8
"""Else so many stops while the lag doubles, which is a factor of 1.09: gradients are lost early in a long sequence, or not at all."""


def chunk_boundaries(T: int) -> list[int]:
    """Lags from 0 to T."""
    if T <= EACH:
        return list(range(T + 1))
    return sorted({0, *(round(2 ** (k / OCTAVE)) for k in range(OCTAVE * T.bit_length()) if 2 ** (k / OCTAVE) < T), T})


def octave_lags(T: int) -> list[int]:
    """Lags 0, 1, 2, 4, … and T."""
    return sorted({0, *(2**k for k in range(T.bit_length()) if 2**k < T), T})
