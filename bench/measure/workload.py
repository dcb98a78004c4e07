"""Defines the workload: a case on a backend, ready to be checked and timed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from bench.measure.clock import Contestant
from bench.measure.problem import Answer, Problem
from bench.records import Mode

Result = tuple[Tensor, tuple[Tensor, ...]]
"""y (T, B, H) and the final states (B, H)."""
Forward = Callable[[Tensor, Sequence[Tensor], Mapping[str, Tensor]], Result]


class Unsupported(Exception):
    """A backend can't run a case. The message is the reason."""


@dataclass
class Workload:
    """A case that is ready to run.

    Attributes:
        forward: Computes y and the final states from inputs and states.
        inputs: x, or the precomputed rows that the loop reads.
        learned: The trainable tensors.
        name_gradients: Maps gradients of `learned` to the cell's names.
        check: Computes the answer, if the rows are precomputed and x is not among the inputs.
    """

    problem: Problem
    forward: Callable[[list[Tensor], list[Tensor]], Result]
    inputs: list[Tensor]
    learned: list[Tensor]
    name_gradients: Callable[[list[Tensor]], dict[str, Tensor]]
    check: Callable[[], Answer] | None = None

    def __post_init__(self) -> None:
        self.states = [s.clone() for s in self.problem.states]  # its own: no backend can spoil another's
        self.dy = self.problem.dy.clone()
        self.masks = [] if self.problem.masks is None else [self.problem.masks.clone()]

    def infer(self) -> Tensor:
        """Returns y (T, B, H), computed without gradients by the call that is timed."""
        with torch.no_grad():
            self.inference.setup()
            found: Tensor = self.inference.call()[0]
            return found

    def train(self) -> tuple[Tensor, ...]:
        """Returns the gradients of the inputs and of the trainable tensors."""
        return self.differentiate(self.forward(self.inputs, self.states)[0])

    def differentiate(self, y: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(y, [*self.inputs, *self.learned], self.dy, allow_unused=True)

    def make_contestant(self, mode: Mode) -> Contestant:
        """Returns the call that a mode times. In "backward" an untimed forward pass runs before each call."""
        if mode == "inference":
            return self.inference
        if mode == "training":
            return Contestant(self.train)
        waiting: list[Tensor] = []
        return Contestant(lambda: self.differentiate(waiting.pop()), lambda: waiting.append(self.forward(self.inputs, self.states)[0]))

    @cached_property
    def inference(self) -> Contestant:
        """Returns a call that returns y first: the layer's own with states in its shape, else that of `forward`."""
        if not isinstance(self.forward, LayerForward):
            return Contestant(lambda: self.forward(self.inputs, self.states), gradients=False)
        layer, x, states = self.forward.layer, self.inputs[0].detach(), pack_states(self.states)
        return Contestant(lambda: layer(x, states), layer.eval, gradients=False)

    def roll_batch(self, rows: int) -> None:
        """Rolls all sequences and states by `rows` along the batch, in place. Correct outputs move with them."""
        sequences = [t for t in (*self.inputs, self.dy, *self.masks) if t.dim() == 3]
        with torch.no_grad():
            for tensor, batch in [*((t, 1) for t in sequences), *((s, 0) for s in self.states)]:
                tensor.copy_(tensor.roll(rows, batch))

    def answer(self) -> Answer:
        """Returns the outputs and all gradients, through y and the final states, for the comparison with the reference."""
        if self.check:
            return self.check()
        states = [s.clone().requires_grad_() for s in self.problem.states]
        y, final = self.forward(self.inputs, states)
        leaves = [*self.inputs, *states, *self.learned]
        upstream = [self.problem.dy, *self.problem.d_final]
        gradients = list(torch.autograd.grad([y, *final], leaves, upstream, allow_unused=True, materialize_grads=True))
        names = ["x", *(f"{s}_0" for s in self.problem.cell.states)]
        found = dict(zip(names, gradients, strict=False)) | self.name_gradients(gradients[len(names) :])
        return Answer([y.detach(), *(f.detach() for f in final)], found)


class LayerForward:
    """The forward pass of a module like nn.LSTM. Inference is timed by the module's call alone, as a program makes it."""

    def __init__(self, layer: nn.Module):
        self.layer = layer

    def __call__(self, inputs: list[Tensor], states: list[Tensor]) -> Result:
        self.layer.training = torch.is_grad_enabled()  # in training cuDNN writes what its backward pass needs, whoever asks
        return unpack_result(self.layer(inputs[0], pack_states(states)))


def pack_states(states: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Returns states (B, H) as nn.LSTM takes them: (1, B, H), in a tuple if there are several."""
    packed = tuple(s.unsqueeze(0) for s in states)
    return packed if len(packed) > 1 else packed[0]


def unpack_result(result: tuple[Tensor, Any]) -> Result:
    """Returns what a module like nn.LSTM returns as y and its final states (B, H)."""
    y, final = result
    return y, tuple(s.squeeze(0) for s in (final if isinstance(final, tuple) else (final,)))


def wrap_layer(
    problem: Problem, layer: nn.Module, tensors: Mapping[str, Tensor], name_gradients: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> Workload:
    """Returns the workload of a module like nn.LSTM. Its trainable tensors are `tensors`; `name_gradients` maps theirs to the cell's."""
    return Workload(
        problem, LayerForward(layer), [requires_grad_copy(problem.x)], list(tensors.values()),
        lambda gradients: name_gradients(dict(zip(tensors, gradients, strict=True))),
    )  # fmt: skip


def wrap(
    problem: Problem, forward: Forward, weights: dict[str, Tensor],
    name_gradients: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> Workload:  # fmt: skip
    """Returns the workload of `forward(x, states, weights)`, whose trainable tensors are `weights`; `name_gradients` maps theirs to the
    cell's."""
    return Workload(
        problem, lambda inputs, states: forward(inputs[0], states, weights), [requires_grad_copy(problem.x)],
        list(weights.values()), lambda gradients: name_gradients(dict(zip(weights, gradients, strict=True))),
    )  # fmt: skip


def requires_grad_copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


def copy_weights(problem: Problem) -> dict[str, Tensor]:
    return {name: requires_grad_copy(value) for name, value in problem.weights.items()}
