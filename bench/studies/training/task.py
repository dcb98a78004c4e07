"""Defines the interface of tasks: data determined by a seed and a step, a loss, and a metric on data that is not trained on.

A batch depends only on the seed and the number of the step. So an interrupted training has no state besides its model and optimiser, and
for one seed all cells get the same data in the same order.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bench.records.training_record import Plane
from kernels import RNN

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
Batch = tuple[Tensor, ...]
CONSTANT = "best constant answer"
"""The name of the baseline that always gives the answer that is best on the test data."""


@dataclass(frozen=True)
class Task(ABC):
    """A task with its sizes.

    Attributes:
        name: The task's name.
        metric: The metric's name.
        higher: Higher values of the metric are better.
        target: The value of the metric at which the task counts as solved; None if there is none.
        decays: The learning rate decreases linearly to zero at the last step.
        cells: The cells that are trained by default.
        equal: What all cells have in common by default: "hidden", the width H, or "parameters", those of `yardstick` at width H.
        yardstick: The cell whose number of parameters the others match.
        B: Sequences in a batch.
        H: Hidden width.
        steps: Training steps, at most.
        every: Training steps between two evaluations on the validation data.
        rates: Learning rates; of several, a search takes the best.
        patience: Evaluations without improvement after which a training stops; 0 for no limit.
        clip: The largest norm of the gradient of all dense parameters, the recurrent layer and the maps around it; infinite for no limit.
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    higher: ClassVar[bool] = True
    target: ClassVar[float | None] = None
    decays: ClassVar[bool] = False
    cells: ClassVar[tuple[str, ...]] = ("gru", "cfn", "minimal", "lstm", "vanilla")
    equal: ClassVar[str] = "hidden"
    yardstick: ClassVar[str] = "gru"

    B: int = 32
    H: int = 64
    steps: int = 2000
    every: int = 50
    rates: tuple[float, ...] = (3e-3,)
    patience: int = 0
    clip: float = 1.0

    @property
    @abstractmethod
    def D(self) -> int:
        """Returns the input width of the recurrent layer."""

    @abstractmethod
    def model(self, cell: str, H: int) -> nn.Module:
        """Returns a new model whose attribute `rnn` is the recurrent layer, drawn from torch's global generator.

        Args:
            cell: The cell's name.
            H: The hidden width.
        """

    @abstractmethod
    def batch(self, seed: int, step: int) -> Batch:
        """Returns the data of a training step, on the CPU.

        Args:
            seed: The seed.
            step: The number of the step.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Returns the loss of a batch, a scalar.

        Args:
            model: The model.
            batch: The data, from `batch`.
        """

    @abstractmethod
    def measure(self, model: nn.Module, split: Split) -> float:
        """Returns the metric on all data of a split.

        Args:
            model: The model.
            split: "valid" or "test".
        """

    @abstractmethod
    def inputs(self, model: nn.Module) -> Tensor:
        """Returns an input (T, B, D) of the recurrent layer, from validation data.

        Args:
            model: The model.
        """

    def trained_parameters(self) -> int | None:
        """Returns how many parameters of `yardstick` are trained at width H; None if all are."""
        return None

    def unfit(self, cell: str, H: int) -> str:
        """Returns the reason why a cell of width H can't be trained on the task; "" if it can.

        Args:
            cell: The cell's name.
            H: The hidden width.
        """
        return ""

    def variants(self) -> Sequence["Task"]:
        """Returns the tasks that are trained under this name: this one, or several of its kind."""
        return [self]

    def baselines(self) -> dict[str, float]:
        """Returns the metric of methods without a recurrent layer, by name, each measured on the test data."""
        return {}

    def extras(self, model: nn.Module) -> dict[str, float]:
        """Returns further results of a trained model, by name.

        Args:
            model: The model.
        """
        return {}

    def field(self, model: nn.Module) -> Plane | None:
        """Returns what a trained model has learned over a plane; None if it has no such values.

        Args:
            model: The model.
        """
        return None

    def sizes(self) -> dict[str, Any]:
        """Returns the sizes that a record stores."""
        clip = self.clip if math.isfinite(self.clip) else "none"
        return {"B": self.B, "every": self.every, "patience": self.patience, "clip": clip}


class Reader(nn.Module):
    """A recurrent layer and a linear map of its outputs.

    Args:
        cell: The cell's name.
        D: The input width.
        H: The hidden width.
        outputs: The width of the result.
        last: Map the last output only, not all of them.
    """

    def __init__(self, cell: str, D: int, H: int, outputs: int, last: bool):
        super().__init__()
        self.rnn = RNN(cell, D, H)
        self.out = nn.Linear(H, outputs)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """Returns, for x (T, B, D), the result of the last step (B, outputs), or of all steps (T, B, outputs)."""
        y, _ = self.rnn(x)
        return self.out(y[-1] if self.last else y)


@dataclass(frozen=True)
class Supervised(Task):
    """A task with inputs x (T, B, D) and targets y, solved by a linear map of the layer's outputs.

    Attributes:
        outputs: The width of the result.
        last: The result is that of the last step only.
    """

    outputs: ClassVar[int]
    last: ClassVar[bool] = True

    @abstractmethod
    def held_out(self, split: Split) -> Batch:
        """Returns x and y of a split.

        Args:
            split: "valid" or "test".
        """

    @abstractmethod
    def criterion(self, output: Tensor, y: Tensor) -> Tensor:
        """Returns the loss, a scalar.

        Args:
            output: The model's outputs.
            y: The targets.
        """

    @abstractmethod
    def score(self, output: Tensor, y: Tensor) -> float:
        """Returns the metric.

        Args:
            output: The model's outputs.
            y: The targets.
        """

    def model(self, cell: str, H: int) -> nn.Module:
        return Reader(cell, self.D, H, self.outputs, self.last)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        x, y = batch
        return self.criterion(model(x), y)

    @torch.no_grad()
    def measure(self, model: nn.Module, split: Split) -> float:
        x, y = (part.to(device_of(model)) for part in self.held_out(split))
        return self.score(model(x), y)

    def inputs(self, model: nn.Module) -> Tensor:
        return self.held_out("valid")[0].to(device_of(model))


def device_of(model: nn.Module) -> torch.device:
    """Returns the device of a model's parameters."""
    return next(model.parameters()).device


def make_rng(*numbers: int) -> np.random.Generator:
    """Returns a generator that these numbers determine."""
    return np.random.default_rng(numbers)


def shuffled_indices(count: int, B: int, seed: int, step: int) -> np.ndarray:
    """Returns the examples in the batch of a step. Each appears at most once in an epoch, in a new random order; an incomplete last
    batch is left out.

    Args:
        count: The number of examples.
        B: The number of examples in a batch.
        seed: The seed.
        step: The number of the step.
    """
    per_epoch = max(1, count // B)
    order = make_rng(seed, step // per_epoch, 0xE).permutation(count)
    start = step % per_epoch * B
    return order[start : start + B]


def to_tensors(*arrays: np.ndarray) -> Batch:
    """Returns arrays as tensors: numbers as float32, indices as int64."""
    return tuple(torch.from_numpy(a.astype(np.float32 if a.dtype.kind == "f" else np.int64)) for a in arrays)


def accuracy(output: Tensor, y: Tensor) -> float:
    """Returns the share of correct answers among those with a target.

    Args:
        output: The scores (…, classes).
        y: The classes (…), −1 for no target.
    """
    known = y >= 0
    return (output.argmax(-1) == y)[known].double().mean().item()


def constant_accuracy(y: Tensor) -> float:
    """Returns the largest share of correct answers of one that is always the same.

    Args:
        y: The classes, each at least 0.
    """
    return (y.flatten().bincount().max() / y.numel()).item()


def split_indices(order: Sequence[int] | np.ndarray, shares: tuple[float, float]) -> dict[Split, np.ndarray]:
    """Splits a sequence into training, validation and test data.

    Args:
        order: The sequence.
        shares: The shares of training and validation data.
    """
    first, second = (round(len(order) * share) for share in (shares[0], sum(shares)))
    return dict(zip(SPLITS, np.split(np.asarray(order), (first, second)), strict=True))
