"""Which of ten digits a sequence is: what tasks with one value a step and one answer at its end share."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from bench.studies.training.task import Batch, Split, Supervised, accuracy, shuffled_indices, to_tensors

Pictures = tuple[np.ndarray, np.ndarray]
"""Values (T, N, 1) and digits (N)."""


@dataclass(frozen=True)
class TenClasses(Supervised):
    """x (T, B, 1): the values of a picture; y (B): its digit. The first `examples` are trained on, all where that is 0."""

    metric: ClassVar[str] = "accuracy"
    outputs: ClassVar[int] = 10

    examples: int = 0

    @staticmethod
    @abstractmethod
    def data(split: Split) -> Pictures: ...

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
        return {"chance": 0.1}
