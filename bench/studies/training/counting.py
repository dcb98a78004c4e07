"""Defines counting: predict the end of a word aⁿbⁿ. Gers & Schmidhuber, "LSTM recurrent networks learn simple context-free and
context-sensitive languages", 2001. Weiss, Goldberg & Yahav 2018 (1805.04908) claim that an LSTM counts and a GRU doesn't.

Training has n up to N, the test n up to 4·N: a model that memorizes fails beyond N.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.studies.training.counter import measure_counters
from bench.studies.training.task import Batch, Split, Supervised, device_of, make_rng, to_tensors
from kernels import RNN

IGNORED = -1


@dataclass(frozen=True)
class Counting(Supervised):
    """The counting task. The field `T` is N, the largest n in training. A training takes one or two minutes on one core.

    x (2n, B, 2) is one-hot: n times a, n times b, then zeros. y (2n, B) says after each b if the word ends (1) or not (0); −1 elsewhere.
    """

    name: ClassVar[str] = "counting"
    metric: ClassVar[str] = "words of n up to 4·N whose end is found"
    target: ClassVar[float] = 1.0
    cells: ClassVar[tuple[str, ...]] = ("lstm", "gru", "gru_reset_before", "minimal", "cfn", "vanilla", "vanilla_relu")
    outputs: ClassVar[int] = 2
    last: ClassVar[bool] = False

    T: int = 24
    H: int = 16
    steps: int = 3000
    every: int = 100
    rates: tuple[float, ...] = (1e-2,)

    @property
    def D(self) -> int:
        return 2

    def words(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns x (2·max n, B, 2) and y (2·max n, B) of the words aⁿbⁿ.

        Args:
            counts: The values of n, (B,).
        """
        step = np.arange(2 * counts.max())[:, None]
        a, b = step < counts, (step >= counts) & (step < 2 * counts)
        ends = step == 2 * counts - 1
        return np.stack([a, b], axis=-1).astype(float), np.where(b, ends, IGNORED)

    def batch(self, seed: int, step: int) -> Batch:
        return to_tensors(*self.words(make_rng(seed, step, 4).integers(1, self.T + 1, self.B)))

    def held_out(self, split: Split) -> Batch:
        """Returns the words of even n for validation and of all n for test; both are equally hard for a model that counts."""
        return to_tensors(*self.words(np.arange(2 if split == "valid" else 1, 4 * self.T + 1, 2 if split == "valid" else 1)))

    def criterion(self, output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output.flatten(0, 1), y.flatten(), ignore_index=IGNORED)

    def score(self, output: Tensor, y: Tensor) -> float:
        return is_right(output, y).double().mean().item()

    @torch.no_grad()
    def extras(self, model: nn.Module) -> dict[str, float]:
        """Returns `counts to`, the largest n up to which every word is correct, and beside it how far one unit set by hand is off."""
        x, y = (part.to(device_of(model)) for part in self.held_out("test"))
        wrong = (~is_right(model(x), y)).nonzero()
        assert isinstance(model.rnn, RNN)
        return {"counts to": float(wrong[0, 0]) if len(wrong) else float(y.shape[1]), **measure_counters(model.rnn.cell.name)}

    def sizes(self) -> dict[str, Any]:
        return super().sizes() | {"N": self.T}


def is_right(output: Tensor, y: Tensor) -> Tensor:
    """Returns, for each word (B), whether every answer is correct."""
    return ((output.argmax(-1) == y) | (y == IGNORED)).all(0)
