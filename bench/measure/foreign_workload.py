"""A workload in a library with arrays of its own. Inputs are converted before the timed call, and results after it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.measure.clock import Contestant
from bench.measure.problem import Answer, Problem
from bench.measure.workload import Workload
from bench.records import Mode

Array = Any


@dataclass(frozen=True)
class ForeignCalls:
    """The functions of a case in a library. They return when their result is complete, and each result is new.

    Attributes:
        run: (x, states) → y (T, B, H) and the final states (B, H).
        train: (x, states, dy) → the gradients of x and of the trainable arrays, through y; None if the library only runs inference.
        differentiate: (x, states, dy, d_final) → the gradients of x, of each state, and of each trainable array, through y and the final
            states.
        to_array: Converts a tensor.
        to_tensor: Converts an array.
        name_gradients: Maps the gradients of the trainable arrays to the cell's names.
    """

    run: Callable[[Array, Sequence[Array]], tuple[Array, Sequence[Array]]]
    to_array: Callable[[Tensor], Array]
    to_tensor: Callable[[Array], Tensor]
    train: Callable[[Array, Sequence[Array], Array], tuple[Array, Sequence[Array]]] | None = None
    differentiate: Callable[..., tuple[Array, Sequence[Array], Sequence[Array]]] | None = None
    name_gradients: Callable[[list[Tensor]], dict[str, Tensor]] = lambda gradients: {}


class ForeignWorkload(Workload):
    """A case that is ready to run in another library. `learned` is empty: its trainable arrays are the library's.

    Args:
        problem: The problem.
        calls: The functions of the library.
    """

    def __init__(self, problem: Problem, calls: ForeignCalls):
        self.calls = calls
        super().__init__(problem, self.forward_tensors, [problem.x.clone()], [], calls.name_gradients)
        self.load()

    def load(self) -> None:
        """Converts the inputs."""
        self.x, self.dy_array = self.calls.to_array(self.inputs[0]), self.calls.to_array(self.dy)
        self.state_arrays = [self.calls.to_array(s) for s in self.states]

    def forward_tensors(self, *_: object) -> tuple[Tensor, tuple[Tensor, ...]]:
        y, final = self.calls.run(self.x, self.state_arrays)
        return self.calls.to_tensor(y), tuple(map(self.calls.to_tensor, final))

    def infer(self) -> Tensor:
        return self.forward_tensors()[0]

    def train(self) -> tuple[Tensor, ...]:
        dx, weights = self.call_train()
        return tuple(map(self.calls.to_tensor, (dx, *weights)))

    def call_train(self) -> tuple[Array, Sequence[Array]]:
        assert self.calls.train is not None, "a library without gradients has no case that trains"
        return self.calls.train(self.x, self.state_arrays, self.dy_array)

    def make_contestant(self, mode: Mode) -> Contestant:
        return Contestant((lambda: self.calls.run(self.x, self.state_arrays)) if mode == "inference" else self.call_train)

    def roll_batch(self, rows: int) -> None:
        super().roll_batch(rows)
        self.load()

    def answer(self) -> Answer:
        """Returns the outputs, and all gradients if the library has any."""
        y, final = self.forward_tensors()
        if self.calls.differentiate is None:
            return Answer([y, *final], {})
        d_final = [self.calls.to_array(d) for d in self.problem.d_final]
        dx, states, weights = self.calls.differentiate(self.x, self.state_arrays, self.dy_array, d_final)
        given: list[torch.Tensor] = list(map(self.calls.to_tensor, (dx, *states)))
        named = dict(zip(["x", *(f"{s}_0" for s in self.problem.cell.states)], given, strict=True))
        return Answer([y, *final], named | self.name_gradients(list(map(self.calls.to_tensor, weights))))
