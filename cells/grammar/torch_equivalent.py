"""Which torch.nn module computes the same equations, and how the weights of one read as the other's.

torch packs a layer's gates into `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh`. A cell with a twin names them by
gate: `W.<gate>x` and `W.<gate>h`, and either one bias `b.<gate>` (the sum of torch's two) or `b.<gate>x` and `b.<gate>h`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""A layer's tensors as torch packs them; a layer without bias has the first two."""


@dataclass(frozen=True)
class Twin:
    """`torch.nn.<module>(…, **options)`, its gates in torch's packing order."""

    module: str
    gates: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, input_size: int, hidden_size: int, **arguments: Any) -> nn.RNNBase:
        return getattr(nn, self.module)(input_size, hidden_size, **self.options, **arguments)

    def read(self, module: nn.RNNBase, suffix: str = "_l0") -> dict[str, Tensor]:
        """A layer's weights by the cell's names; `suffix` is torch's, "_l0" or "_l1_reverse"."""
        if type(module).__name__ != self.module or any(getattr(module, k) != v for k, v in self.options.items()):
            raise TypeError(f"expected nn.{self.module} with {dict(self.options)}, got {module}")
        if getattr(module, "proj_size", 0):
            raise ValueError("proj_size is not supported: the cells' states have one width, hidden_size")
        return self.merge_biases({key: getattr(module, key + suffix).detach().clone() for key in KEYS[: 4 if module.bias else 2]})

    def merge_biases(self, packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torch's packed tensors of a layer by gate, with both biases of a gate and their sum."""
        weights = self.split(packed)
        if "bias_ih" in packed:
            weights |= {f"b.{g}": weights[f"b.{g}x"] + weights[f"b.{g}h"] for g in self.gates}
        return weights

    def split(self, packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torch's packed tensors of a layer, or their gradients, by gate; the gradient of a merged bias is that of either."""
        split: dict[str, Tensor] = {}
        for key, kind, side in (("weight_ih", "W", "x"), ("weight_hh", "W", "h"), ("bias_hh", "b", "h"), ("bias_ih", "b", "x")):
            if key in packed:
                for g, part in zip(self.gates, packed[key].chunk(len(self.gates)), strict=True):
                    split[f"{kind}.{g}{side}"] = part
                    if kind == "b":
                        split[f"b.{g}"] = part
        return split

    def write(self, weights: Mapping[str, Tensor], module: nn.RNNBase, suffix: str = "_l0") -> None:
        """The inverse of `read`: copy a layer's `weights` into `module`. A merged bias goes to `bias_ih`."""

        def bias(g: str, side: str) -> Tensor:
            merged = weights.get(f"b.{g}")
            if merged is None:
                return weights[f"b.{g}{side}"]
            return merged if side == "x" else torch.zeros_like(merged)

        packed = {
            "weight_ih": [weights[f"W.{g}x"] for g in self.gates],
            "weight_hh": [weights[f"W.{g}h"] for g in self.gates],
        }
        if module.bias:
            packed |= {"bias_ih": [bias(g, "x") for g in self.gates], "bias_hh": [bias(g, "h") for g in self.gates]}
        with torch.no_grad():
            for key, values in packed.items():
                getattr(module, key + suffix).copy_(torch.cat(list(values)))
