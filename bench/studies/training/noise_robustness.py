"""Adds noise to the inputs and the states of a trained layer."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from kernels import RNN
from kernels.layer.inputs import Hidden

SEED = 12


class NoisyLayer(nn.Module):
    """A layer with normal noise on its inputs and states. Call it like the layer: x (T, B, D) → outputs and states.

    Args:
        rnn: The layer.
        inputs: The noise on inputs, relative to their standard deviation.
        states: The noise on states after every step, relative to the standard deviation of the outputs without noise.
    """

    def __init__(self, rnn: RNN, inputs: float = 0.0, states: float = 0.0):
        super().__init__()
        self.rnn, self.inputs, self.states = rnn, inputs, states

    @torch.no_grad()
    def forward(self, x: Tensor, hx: Hidden | None = None) -> tuple[Tensor, Hidden]:
        """Returns the outputs (T, B, H) and the final states.

        Args:
            x: The input (T, B, D).
            hx: The initial states, as the layer takes them.
        """
        generator = torch.Generator(x.device).manual_seed(SEED)

        def normal(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)

        x = x + self.inputs * x.std(correction=0) * normal(x)
        if not self.states:
            return self.rnn(x, hx)
        scale = self.states * self.rnn(x, hx)[0].std(correction=0)
        outputs, before = list[Tensor](), None
        for x_t in x.split(1):
            _, hx = self.rnn(x_t, hx, before=before)
            before = x_t[0]
            hx = tuple(s + scale * normal(s) for s in hx) if isinstance(hx, tuple) else hx + scale * normal(hx)
            outputs.append(hx[0] if isinstance(hx, tuple) else hx)
        assert hx is not None
        return torch.cat(outputs), hx


@contextmanager
def add_noise(model: nn.Module, inputs: float = 0.0, states: float = 0.0) -> Iterator[nn.Module]:
    """Makes the layer `rnn` of a model noisy while the context lasts.

    Args:
        model: The model, whose `rnn` has one layer in one direction.
        inputs: The noise on inputs, relative to their standard deviation.
        states: The noise on states, relative to the standard deviation of the outputs.

    Yields:
        The model.

    Raises:
        ValueError: `rnn` has several layers or directions.
    """
    rnn = model.rnn
    assert isinstance(rnn, RNN)
    if rnn.num_layers > 1 or rnn.bidirectional:
        raise ValueError("noise on states needs a layer that is a single one, in one direction")
    model.rnn = NoisyLayer(rnn, inputs, states)
    try:
        yield model
    finally:
        model.rnn = rnn
