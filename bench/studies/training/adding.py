"""The adding problem: the sum of two marked numbers in a sequence, one in each half.

Hochreiter & Schmidhuber, "Long short-term memory", 1997, in the form of Le, Jaitly & Hinton 2015 (1504.00941): numbers from U(0, 1).
Always answering 1, the mean, has a mean squared error of 1/6.

`Masked` hides the marks: of two bits, a number counts where exactly one is set. That is no linear function of the input, so a deeper
Φ of MinimalRNN has something to do.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from bench.studies.training.task import Batch, Split, Supervised, make_rng, to_tensors

HELD_OUT = 1000


@dataclass(frozen=True)
class Adding(Supervised):
    """x (T, B, 2): numbers and marks; y (B, 1): the sum of the two that are marked. A training takes two minutes of a core at most."""

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
        numbers, marks = rng.random((self.T, B)), np.zeros((self.T, B))
        half, rows = self.T // 2, np.arange(B)
        marks[rng.integers(0, half, B), rows] = 1.0
        marks[rng.integers(half, self.T, B), rows] = 1.0
        return np.stack([numbers, *self.shown(marks, rng)], axis=-1), (numbers * marks).sum(0)[:, None]

    def shown(self, marks: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """The marks as the model sees them."""
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
        return {"always 1": 1 / 6}

    def sizes(self) -> dict[str, Any]:
        return super().sizes() | {"T": self.T}


@dataclass(frozen=True)
class Masked(Adding):
    """x (T, B, 3): numbers and two bits, of which exactly one is set where a number counts."""

    name: ClassVar[str] = "masked"
    cells: ClassVar[tuple[str, ...]] = ("minimal", "minimal_deep", "gru", "lstm")

    T: int = 50

    @property
    def D(self) -> int:
        return 3

    def shown(self, marks: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        first = rng.integers(0, 2, marks.shape).astype(float)
        return [first, np.abs(first - marks)]
