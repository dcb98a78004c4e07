"""The definition of a task: data that follow from a seed and a step, a loss, and a metric on data that training never sees.

A batch depends on nothing but the seed and the number of the step. So a training that was interrupted has no state but that of the
model and its optimiser, and the same seed gives every cell the same data in the same order.
"""

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


@dataclass(frozen=True)
class Task(ABC):
    """A task and its sizes: `B` sequences in a batch; `H`, `steps`, `every` (steps between two looks at the validation data), `rates`
    (learning rates, of which a search takes the best where there are several) and `patience` (looks without a better one before it
    stops, 0 for no end) are what a training takes that names no others. `target` is what counts as solved, None where nothing does; where
    the learning rate `decays`, it falls in a straight line to zero at the last step."""

    name: ClassVar[str]
    metric: ClassVar[str]
    higher: ClassVar[bool] = True
    target: ClassVar[float | None] = None
    decays: ClassVar[bool] = False
    cells: ClassVar[tuple[str, ...]] = ("gru", "cfn", "minimal", "lstm", "vanilla")

    B: int = 32
    H: int = 64
    steps: int = 2000
    every: int = 50
    rates: tuple[float, ...] = (3e-3,)
    patience: int = 0

    @property
    @abstractmethod
    def D(self) -> int:
        """The width of what the recurrent layer reads."""

    @abstractmethod
    def model(self, cell: str, H: int) -> nn.Module:
        """A new model around a recurrent layer, its attribute `rnn`, drawn from torch's global generator."""

    @abstractmethod
    def batch(self, seed: int, step: int) -> Batch:
        """The data of a training step, on the CPU."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute what training minimizes; a scalar."""

    @abstractmethod
    def measure(self, model: nn.Module, split: Split) -> float:
        """The metric on all of a split that training doesn't see."""

    @abstractmethod
    def inputs(self, model: nn.Module) -> Tensor:
        """Return the input of the recurrent layer for some validation data, (T, B, D)."""

    def unfit(self, cell: str, H: int) -> str:
        """Why a cell of width H can't be trained on it; "" where it can."""
        return ""

    def variants(self) -> Sequence["Task"]:
        """Return what is trained under this name: the task itself, or several of its kind."""
        return [self]

    def baselines(self) -> dict[str, float]:
        """Return what is reached on the test data without a recurrent layer, by name."""
        return {}

    def extras(self, model: nn.Module) -> dict[str, float]:
        """More about a trained model, by name."""
        return {}

    def field(self, model: nn.Module) -> Plane | None:
        """Return what a trained model has learned over a plane, if it has."""
        return None

    def sizes(self) -> dict[str, Any]:
        """Return the sizes as a record stores them."""
        return {"B": self.B, "every": self.every, "patience": self.patience}


class Reader(nn.Module):
    """A recurrent layer and a linear map of its outputs: of all of them, or of the last."""

    def __init__(self, cell: str, D: int, H: int, outputs: int, last: bool):
        super().__init__()
        self.rnn = RNN(cell, D, H)
        self.out = nn.Linear(H, outputs)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """x (T, B, D) → (B, outputs) of the last step, or (T, B, outputs)."""
        y, _ = self.rnn(x)
        return self.out(y[-1] if self.last else y)


@dataclass(frozen=True)
class Supervised(Task):
    """A task of inputs x (T, B, D) and targets y, read off by a linear map."""

    outputs: ClassVar[int]
    last: ClassVar[bool] = True

    @abstractmethod
    def held_out(self, split: Split) -> Batch:
        """x and y of a split."""

    @abstractmethod
    def criterion(self, output: Tensor, y: Tensor) -> Tensor:
        """The loss of the model's outputs."""

    @abstractmethod
    def score(self, output: Tensor, y: Tensor) -> float:
        """The metric of the model's outputs."""

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
    return next(model.parameters()).device


def make_rng(*numbers: int) -> np.random.Generator:
    """The generator of these numbers."""
    return np.random.default_rng(numbers)


def shuffled_indices(count: int, B: int, seed: int, step: int) -> np.ndarray:
    """Which of `count` examples are in the batch of a step: each once an epoch, in a new order, but for what is left over at its end."""
    per_epoch = max(1, count // B)
    order = make_rng(seed, step // per_epoch, 0xE).permutation(count)
    start = step % per_epoch * B
    return order[start : start + B]


def to_tensors(*arrays: np.ndarray) -> Batch:
    """Numbers as float32, indices as int64."""
    return tuple(torch.from_numpy(a.astype(np.float32 if a.dtype.kind == "f" else np.int64)) for a in arrays)


def accuracy(output: Tensor, y: Tensor) -> float:
    """The share of (…, classes) that are right, of those whose target isn't −1."""
    known = y >= 0
    return (output.argmax(-1) == y)[known].double().mean().item()


def split_indices(order: Sequence[int] | np.ndarray, shares: tuple[float, float]) -> dict[Split, np.ndarray]:
    """An order cut into training, validation and test data; `shares` are those of the first two."""
    first, second = (round(len(order) * share) for share in (shares[0], sum(shares)))
    return dict(zip(SPLITS, np.split(np.asarray(order), (first, second)), strict=True))
