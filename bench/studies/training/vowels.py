"""Defines the classification of three spoken vowels by a wave model: it learns a map of wave speeds that guides each vowel to its own
probe.

Hughes, Williamson, Minkov & Fan 2019 (1904.12831), on a smaller grid and with synthetic vowels (`synthetic_vowels`). The sound enters at
one point. At three probes, the wave is squared and summed over time. A vowel's probability is its probe's share of the total.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.records.training_record import Plane
from bench.studies.training.synthetic_vowels import FORMANTS, RATE, synthesize_vowel
from bench.studies.training.task import (
    CONSTANT,
    Batch,
    Reader,
    Split,
    Supervised,
    accuracy,
    constant_accuracy,
    device_of,
    make_rng,
    shuffled_indices,
    to_tensors,
)
from cells.grammar.grid import Grid
from cells.grammar.stencil import squarest_shape
from kernels import RNN
from kernels.layer.input_products import GraphEvaluator

VOWELS = tuple(FORMANTS)
ROOM = 3, 6
"""The least numbers of rows and columns, for three probes and a source on another side."""
SPOKEN: dict[Split, int] = {"train": 600, "valid": 150, "test": 300}
"""The number of voices in each split, each with one vowel."""
LARGEST = 16 * 2**30
"""The largest size in bytes of a layer's outputs for all test sequences, which are in memory at once."""


class Probes(nn.Module):
    """Waves on the grid of a cell; only the wave speed is trained, source and damping are fixed. The result is the logarithm of each
    probe's share.

    Args:
        cell: The cell's name.
        H: The number of grid points.
    """

    def __init__(self, cell: str, H: int):
        super().__init__()
        self.rnn = RNN(cell, 1, H)
        rows, columns = squarest_shape(H)
        margin = min(Grid().border, columns // 8) + 2
        self.source = (rows // 2, margin)
        self.probes = tuple((rows * (k + 1) // 4, columns - 1 - margin) for k in range(len(VOWELS)))
        self.units = [row * columns + column for row, column in self.probes]
        weights = self.rnn.weights()
        with torch.no_grad():
            weights["W.source"].view(rows, columns, 1).zero_()[self.source] = 1
        for name, value in weights.items():
            value.requires_grad_(name == "p.c")

    def forward(self, x: Tensor) -> Tensor:
        """Returns, for x (T, B, 1), the logarithms (B, 3) of the probes' shares.

        The probes are selected from all outputs here, not in the loop: the backward pass needs all outputs anyway.
        """
        y, _ = self.rnn(x)
        seen = y[..., self.units].square().sum(0)
        tiny = torch.finfo(seen.dtype).tiny  # before the wave arrives, all shares are equal
        return (seen / seen.sum(1, keepdim=True).clamp_min(tiny)).clamp_min(tiny).log()


@dataclass(frozen=True)
class Vowels(Supervised):
    """The vowel task. Any cell except `wave` is read at its last step by a linear map.

    x (T, B, 1) is a window of sound; y (B) is the vowel.
    """

    name: ClassVar[str] = "vowels"
    metric: ClassVar[str] = "accuracy"
    outputs: ClassVar[int] = len(VOWELS)
    cells: ClassVar[tuple[str, ...]] = ("wave", "gru", "lstm")
    equal: ClassVar[str] = "parameters"
    yardstick: ClassVar[str] = "wave"

    T: int = 300
    B: int = 24
    H: int = 1024
    steps: int = 200
    every: int = 20
    rates: tuple[float, ...] = (0.2, 0.01)

    @property
    def D(self) -> int:
        return 1

    def unfit(self, cell: str, H: int) -> str:
        held = 4 * self.T * SPOKEN["test"] * H
        if held > LARGEST:
            size = f"{H:,} units of {cell} over {self.T} steps of {SPOKEN['test']} voices are {held / 2**30:,.0f} GiB of outputs"
            return f"{size}: take a smaller --hidden"
        rows, columns = squarest_shape(H)
        if cell != "wave" or (rows >= ROOM[0] and columns >= ROOM[1]):
            return ""
        grid = f"{H} units of wave are a grid of {rows}×{columns}"
        return f"{grid}, and source and probes take {ROOM[0]}×{ROOM[1]} at least: take another --hidden, as 1024"

    def trained_parameters(self) -> int:
        return self.H  # the wave speeds; source and damping are fixed

    def model(self, cell: str, H: int) -> nn.Module:
        return Probes(cell, H) if cell == "wave" else Reader(cell, self.D, H, self.outputs, self.last)

    def batch(self, seed: int, step: int) -> Batch:
        x, y = load_vowels("train", self.T)
        chosen = shuffled_indices(len(y), self.B, seed, step)
        return x[:, chosen], y[chosen]

    def held_out(self, split: Split) -> Batch:
        return load_vowels(split, self.T)

    def criterion(self, output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output, y)

    def score(self, output: Tensor, y: Tensor) -> float:
        return accuracy(output, y)

    def baselines(self) -> dict[str, float]:
        return {CONSTANT: constant_accuracy(self.held_out("test")[1])}

    def extras(self, model: nn.Module) -> dict[str, float]:
        """Returns the confidence: the mean share of the correct vowel in the test sequences."""
        x, y = (part.to(device_of(model)) for part in self.held_out("test"))
        with torch.no_grad():
            return {"share of the right one": model(x).softmax(1).gather(1, y[:, None]).mean().item()}

    def field(self, model: nn.Module) -> Plane | None:
        if not isinstance(model, Probes):
            return None
        node = next(node for node in model.rnn.plan.ordered_nodes if node.name == "c" and node.args)  # the speed, made of p.c
        speed = GraphEvaluator({}, model.rnn.weights())[node].detach().view(squarest_shape(model.rnn.hidden_size))
        points = {"source": model.source, **dict(zip(VOWELS, model.probes, strict=True))}
        return Plane(name="wave speed", values=speed.tolist(), points=points)

    def sizes(self) -> dict[str, Any]:
        return super().sizes() | {"T": self.T, "rate": RATE}


@cache
def load_vowels(split: Split, T: int) -> Batch:
    """Returns sounds (T, N, 1) and vowels (N) of a split, the same for all seeds."""
    count = SPOKEN[split]
    voice = make_rng(0, list(SPOKEN).index(split), 0x5)
    names = [n % len(VOWELS) for n in range(count)]
    x, y = torch.zeros(T, count, 1), torch.tensor(names)
    for n, kind in enumerate(names):
        (x[:, n, 0],) = to_tensors(synthesize_vowel(VOWELS[kind], T, voice))
    return x, y
