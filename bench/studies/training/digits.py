"""Defines handwritten digits, one pixel per step: the 1797 images of 8×8 in scikit-learn (Alpaydin & Kaynak, UCI 1998), read as Le,
Jaitly & Hinton 2015 (1504.00941) read MNIST."""

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch

from bench.errors import UsageError
from bench.studies.training.pixel_sequences import Pictures, TenClasses
from bench.studies.training.task import Batch, Split, make_rng, split_indices

DARKEST = 16
SHARES = (0.7, 0.15)
SPLIT = 292_440
"""The seed of the split, drawn at random after cells, steps, learning rate, noise and patience of the task had been fixed on another
split: no setting was chosen by a score on these test images, though most of them were training images then."""

NOISE = 0.2
"""The standard deviation of normal noise on training images, where black is 1. Without it, the 1258 images are memorized within fifty
epochs."""


@dataclass(frozen=True)
class Digits(TenClasses):
    """The digits task. A training takes at most a minute on one core.

    x (64, B, 1) has the pixels row by row; y (B) is the digit.
    """

    name: ClassVar[str] = "digits"
    target: ClassVar[float] = 0.98
    decays: ClassVar[bool] = True
    cells: ClassVar[tuple[str, ...]] = ("gru", "gru_reset_before", "mgu", "lstm", "cfn", "minimal", "minimal_deep", "vanilla")

    steps: int = 3000
    every: int = 100
    rates: tuple[float, ...] = (1e-2,)
    patience: int = 15

    @staticmethod
    def data(split: Split) -> Pictures:
        return load_digits_data(split)

    def batch(self, seed: int, step: int) -> Batch:
        x, y = super().batch(seed, step)
        noise = make_rng(seed, step, 14).standard_normal(tuple(x.shape), np.float32)
        return x + NOISE * torch.from_numpy(noise), y

    def sizes(self) -> dict[str, Any]:
        return super().sizes() | {"T": 64}


@cache
def load_digits_data(split: Split) -> Pictures:
    """Returns pixels (64, N, 1) from 0 to 1 and digits (N), the same for all seeds: 70% for training, 15% each for validation and test."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError("the digits come with scikit-learn, which is not installed: pip install scikit-learn") from None
    pixels, digits = load_digits(return_X_y=True)
    rows = split_indices(make_rng(0, SPLIT).permutation(len(digits)), SHARES)[split]
    return pixels[rows].T[:, :, None] / DARKEST, digits[rows]
