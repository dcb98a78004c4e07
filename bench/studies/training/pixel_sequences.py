"""Defines the base of tasks that classify a sequence as one of ten digits: one value per step, one answer at the end."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.studies.training.task import (
    CONSTANT,
    Batch,
    Split,
    Supervised,
    accuracy,
    constant_accuracy,
    device_of,
    shuffled_indices,
    to_tensors,
)

GAP = "gap, training - test"
Pictures = tuple[np.ndarray, np.ndarray]
"""Values (T, N, 1) and digits (N)."""


@dataclass(frozen=True)
class TenClasses(Supervised):
    """A task with ten classes. The field `examples` limits the training examples; 0 is no limit.

    x (T, B, 1) has the values of an image; y (B) is its digit.
    """

    metric: ClassVar[str] = "accuracy"
    outputs: ClassVar[int] = 10

    examples: int = 0

    @staticmethod
    @abstractmethod
    def data(split: Split) -> Pictures:
        """Returns all values (T, N, 1) and digits (N) of a split."""

    @property
    def D(self) -> int:
        return 1

    def batch(self, seed: int, step: int) -> Batch:
        x, y = self.data("train")
        chosen = shuffled_indices(min(self.examples or len(y), len(y)), self.B, seed, step)
        return to_tensors(x[:, chosen], y[chosen])

    def held_out(self, split: Split) -> Batch:
        return to_tensors(*self.data(split))

    def criterion(self, output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output, y)

    def score(self, output: Tensor, y: Tensor) -> float:
        return accuracy(output, y)

    @torch.no_grad()
    def extras(self, model: nn.Module) -> dict[str, float]:
        """Returns the accuracy on the training examples, and how far that on the test data lies below it: what was overfitted."""
        x, y = self.data("train")
        seen = min(self.examples or len(y), len(y))
        values, digits = (part.to(device_of(model)) for part in to_tensors(x[:, :seen], y[:seen]))
        trained = self.score(model(values), digits)
        return {"accuracy (training)": trained, GAP: trained - self.measure(model, "test")}

    def baselines(self) -> dict[str, float]:
        return {CONSTANT: constant_accuracy(self.held_out("test")[1])}
