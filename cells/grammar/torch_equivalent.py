"""The torch.nn module that computes the same equations as a cell, and where it keeps the cell's parameters.

torch packs the gates of a layer into `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh`. A cell with a torch equivalent names them by
gate: `W.<gate>x` and `W.<gate>h`, and either one bias `b.<gate>`, the sum of torch's two, or `b.<gate>x` and `b.<gate>h`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The names of a layer's tensors in torch; a layer without bias has the first two."""


@dataclass(frozen=True)
class TorchEquivalent:
    """The module `torch.nn.<module>(…, **options)`; `gates` are in torch's packing order."""

    module: str
    gates: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mode(self) -> str:
        """Returns the `mode` of the module: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU"."""
        return "_".join([self.module, *self.options.values()]).upper()

    def build(self, input_size: int, hidden_size: int, **arguments: Any) -> nn.RNNBase:
        """Makes the torch module; `arguments` are further ones of its constructor."""
        return getattr(nn, self.module)(input_size, hidden_size, **self.options, **arguments)

    def shapes(self, D: Any, H: Any, bias: bool) -> dict[str, tuple[Any, ...]]:
        """Returns the shapes of a layer's tensors by torch's names, in torch's order, for an input of width D; numbers or symbols."""
        G = len(self.gates) * H
        return dict(zip(KEYS[: 4 if bias else 2], ((G, D), (G, H), (G,), (G,)), strict=False))

    def rows_of(self, name: str, packed: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns views of what torch adds up to a parameter of the equations: rows of one of its tensors, or of both biases.

        Args:
            name: the name in the equations ("W.ix", "b.i").
            packed: a layer's tensors, or their gradients, by torch's names.
        """
        kind, label = name.split(".")
        gate, sides = (label, "xh") if kind == "b" and label in self.gates else (label[:-1], label[-1])
        first = self.gates.index(gate)
        tensors = [packed[("weight" if kind == "W" else "bias") + ("_ih" if side == "x" else "_hh")] for side in sides]
        return [t.unflatten(0, (len(self.gates), -1))[first] for t in tensors]

    def read(self, name: str, packed: Mapping[str, Tensor]) -> Tensor:
        """Returns a parameter of the equations: a view, or the sum of torch's two biases. Differentiable."""
        rows = self.rows_of(name, packed)
        return rows[0] if len(rows) == 1 else rows[0] + rows[1]

    def write(self, name: str, value: Tensor, packed: Mapping[str, Tensor]) -> None:
        """Copies a value to where `read` finds it. Of torch's two biases the first gets it, and the second becomes 0."""
        with torch.no_grad():
            rows = self.rows_of(name, packed)
            rows[0].copy_(value)
            for second in rows[1:]:
                second.zero_()

    def pack(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the equations' parameters of a layer as torch's tensors, which are new; without a bias "b.…" there are two.

        Raises:
            ValueError: a parameter doesn't have the rows of the others.
        """
        first = weights[f"W.{self.gates[0]}x"]
        if any(len(value) != len(first) for value in weights.values()):
            raise ValueError(f"every gate has {len(first)} rows: got { {name: len(value) for name, value in weights.items()} }")
        shapes = self.shapes(first.shape[1], len(first), any(name.startswith("b.") for name in weights))
        packed = {key: first.new_zeros(shape) for key, shape in shapes.items()}
        for name, value in weights.items():
            self.write(name, value, packed)
        return packed
