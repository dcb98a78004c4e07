"""The torch.nn module that computes the same equations as a cell, and the conversion of weights between them.

torch packs the gates of a layer into `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh`. A cell with a torch equivalent names them by
gate: `W.<gate>x` and `W.<gate>h`, and either one bias `b.<gate>` (the sum of torch's two) or `b.<gate>x` and `b.<gate>h`.
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

    def build(self, input_size: int, hidden_size: int, **arguments: Any) -> nn.RNNBase:
        """Makes the torch module; `arguments` are further ones of its constructor."""
        return getattr(nn, self.module)(input_size, hidden_size, **self.options, **arguments)

    def read(self, module: nn.RNNBase, suffix: str = "_l0") -> dict[str, Tensor]:
        """Returns copies of a layer's weights by the cell's names; `suffix` is torch's, "_l0" or "_l1_reverse".

        Raises:
            TypeError: it is another module.
            ValueError: the module has a `proj_size`.
        """
        if type(module).__name__ != self.module or any(getattr(module, k) != v for k, v in self.options.items()):
            raise TypeError(f"expected nn.{self.module} with {dict(self.options)}, got {module}")
        if getattr(module, "proj_size", 0):
            raise ValueError("proj_size is not supported: the cells' states have one width, hidden_size")
        return self.merge_biases({key: getattr(module, key + suffix).detach().clone() for key in KEYS[: 4 if module.bias else 2]})

    def merge_biases(self, packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Splits torch's packed tensors of a layer by gate, and adds the sum of both biases of a gate."""
        weights = self.split(packed)
        if "bias_ih" in packed:
            weights |= {f"b.{g}": weights[f"b.{g}x"] + weights[f"b.{g}h"] for g in self.gates}
        return weights

    def split(self, packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Splits torch's packed tensors of a layer, or their gradients, by gate; a merged bias has the gradient of either."""
        split: dict[str, Tensor] = {}
        for key, kind, side in (("weight_ih", "W", "x"), ("weight_hh", "W", "h"), ("bias_hh", "b", "h"), ("bias_ih", "b", "x")):
            if key in packed:
                for g, part in zip(self.gates, packed[key].chunk(len(self.gates)), strict=True):
                    split[f"{kind}.{g}{side}"] = part
                    if kind == "b":
                        split[f"b.{g}"] = part
        return split

    def pack(self, weights: Mapping[str, Tensor], bias: bool = True) -> dict[str, list[Tensor]]:
        """Returns a layer's weights by torch's names, a list by gate for each, to concatenate. A merged bias goes to `bias_ih`."""

        def biased(g: str, side: str) -> Tensor:
            merged = weights.get(f"b.{g}")
            if merged is None:
                return weights[f"b.{g}{side}"]
            return merged if side == "x" else torch.zeros_like(merged)

        packed = {
            "weight_ih": [weights[f"W.{g}x"] for g in self.gates],
            "weight_hh": [weights[f"W.{g}h"] for g in self.gates],
        }
        if bias:
            packed |= {"bias_ih": [biased(g, "x") for g in self.gates], "bias_hh": [biased(g, "h") for g in self.gates]}
        return packed

    def write(self, weights: Mapping[str, Tensor], module: nn.RNNBase, suffix: str = "_l0") -> None:
        """Copies a layer's weights into a module: the inverse of `read`."""
        with torch.no_grad():
            for key, values in self.pack(weights, module.bias).items():
                getattr(module, key + suffix).copy_(torch.cat(values))
