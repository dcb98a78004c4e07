"""Defines the base of tasks that classify a sequence as one of ten digits: one value per step, one answer at the end."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from bench.studies.training.task import CONSTANT, Batch, Split, Supervised, accuracy, constant_accuracy, shuffled_indices, to_tensors

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

    def baselines(self) -> dict[str, float]:
        return {CONSTANT: constant_accuracy(self.held_out("test")[1])}
