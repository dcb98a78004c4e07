"""Defines the adding problem: the sum of two marked numbers in a sequence, one in each half.

Hochreiter & Schmidhuber, "Long short-term memory", 1997, in the form of Le, Jaitly & Hinton 2015 (1504.00941): numbers from U(0, 1). The
constant answer 1, the mean, has a mean squared error of 1/6.

`Masked` hides the marks: of two bits, a number counts if exactly one is set. That is no linear function of the input, so a deeper Φ of
MinimalRNN is an advantage.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from bench.studies.training.task import CONSTANT, Batch, Split, Supervised, make_rng, to_tensors

HELD_OUT = 1000


@dataclass(frozen=True)
class Adding(Supervised):
    """The adding problem. A training takes at most two minutes on one core.

    x (T, B, 2) has numbers and marks; y (B, 1) is the sum of the two marked numbers.
    """

    name: ClassVar[str] = "adding"
    metric: ClassVar[str] = "mean squared error"
    higher: ClassVar[bool] = False
    target: ClassVar[float] = 0.01
    outputs: ClassVar[int] = 1

    T: int = 200
    steps: int = 3000
    rates: tuple[float, ...] = (1e-2,)

    @property
    def D(self) -> int:
        return 2

    def sample(self, rng: np.random.Generator, B: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns x (T, B, D) and y (B, 1) of random sequences.

        Args:
            rng: The generator.
            B: The number of sequences.
        """
        numbers, marks = rng.random((self.T, B)), np.zeros((self.T, B))
        half, rows = self.T // 2, np.arange(B)
        marks[rng.integers(0, half, B), rows] = 1.0
        marks[rng.integers(half, self.T, B), rows] = 1.0
        return np.stack([numbers, *self.show_marks(marks, rng)], axis=-1), (numbers * marks).sum(0)[:, None]

    def show_marks(self, marks: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Returns the marks as the model reads them, a list of arrays (T, B)."""
        return [marks]

    def batch(self, seed: int, step: int) -> Batch:
        return to_tensors(*self.sample(make_rng(seed, step, 0), self.B))

    def held_out(self, split: Split) -> Batch:
        return to_tensors(*self.sample(make_rng(0, {"valid": 1, "test": 2}[split], 1), HELD_OUT))

    def criterion(self, output: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(output, y)

    def score(self, output: Tensor, y: Tensor) -> float:
        return F.mse_loss(output, y).item()

    def baselines(self) -> dict[str, float]:
        _, y = self.held_out("test")
        return {CONSTANT: F.mse_loss(y.mean().expand_as(y), y).item()}

    def sizes(self) -> dict[str, Any]:
        return super().sizes() | {"T": self.T}


@dataclass(frozen=True)
class Masked(Adding):
    """The adding problem with hidden marks.

    x (T, B, 3) has numbers and two bits; a number counts if exactly one of its bits is set.
    """

    name: ClassVar[str] = "masked"
    cells: ClassVar[tuple[str, ...]] = ("minimal", "minimal_deep", "gru", "lstm")

    T: int = 50

    @property
    def D(self) -> int:
        return 3

    def show_marks(self, marks: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        first = rng.integers(0, 2, marks.shape).astype(float)
        return [first, np.abs(first - marks)]
