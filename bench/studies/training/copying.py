"""Defines the copy problem: recall ten symbols after a lag of blanks. Hochreiter & Schmidhuber 1997, in the form of Arjovsky, Shah &
Bengio 2016 (1511.06464): eight symbols, a blank, and a mark that says when to begin.

A model without memory gives all eight symbols the same probability: a cross entropy of 10 ln 8 / (lag + 20) over all steps, and one
symbol in eight correct.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from bench.studies.training.task import CONSTANT, Batch, Split, Supervised, constant_accuracy, make_rng, to_tensors

SYMBOLS, RECALLED = 8, 10
BLANK, MARK = SYMBOLS, SYMBOLS + 1
HELD_OUT = 500


@dataclass(frozen=True)
class Copying(Supervised):
    """The copy problem. The field `T` is the lag.

    x (lag + 20, B, 10) is one-hot; y (lag + 20, B) has blanks, then the first ten symbols in the last ten steps.
    """

    name: ClassVar[str] = "copy"
    metric: ClassVar[str] = "symbols recalled"
    target: ClassVar[float] = 0.99
    outputs: ClassVar[int] = SYMBOLS + 1
    last: ClassVar[bool] = False

    T: int = 20
    steps: int = 3000
    rates: tuple[float, ...] = (1e-2,)

    @property
    def D(self) -> int:
        return SYMBOLS + 2

    def sample(self, rng: np.random.Generator, B: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns x (lag + 20, B, 10) and y (lag + 20, B) of random sequences.

        Args:
            rng: The generator.
            B: The number of sequences.
        """
        symbols = rng.integers(0, SYMBOLS, (RECALLED, B))
        x = np.full((self.T + 2 * RECALLED, B), BLANK)
        x[:RECALLED] = symbols
        x[-RECALLED - 1] = MARK
        y = np.full_like(x, BLANK)
        y[-RECALLED:] = symbols
        return np.eye(self.D)[x], y

    def batch(self, seed: int, step: int) -> Batch:
        return to_tensors(*self.sample(make_rng(seed, step, 2), self.B))

    def held_out(self, split: Split) -> Batch:
        return to_tensors(*self.sample(make_rng(0, {"valid": 1, "test": 2}[split], 3), HELD_OUT))

    def criterion(self, output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output.flatten(0, 1), y.flatten())

    def score(self, output: Tensor, y: Tensor) -> float:
        recalled = output[-RECALLED:, :, :SYMBOLS].argmax(-1) == y[-RECALLED:]
        return recalled.double().mean().item()

    def baselines(self) -> dict[str, float]:
        return {CONSTANT: constant_accuracy(self.held_out("test")[1][-RECALLED:])}

    def sizes(self) -> dict[str, Any]:
        return super().sizes() | {"lag": self.T}
