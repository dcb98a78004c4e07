"""Defines MNIST-1D: ten shapes of twelve points, deformed, shifted and in noise. Greydanus & Kobak, "Scaling down deep learning with
MNIST-1D", ICML 2024 (2011.14439), with the paper's constants. The data are generated here: the same distribution, not the same examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter1d

from bench.studies.training.pixel_sequences import Pictures, TenClasses
from bench.studies.training.task import Split, Task, make_rng, split_indices

SHAPES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
"""The outlines of the ten digits in the paper: heights from left to right."""

PADDING, STRETCHED, LENGTH = (36, 60), 72, 40
SCALE, SHIFT, SHEAR = 0.4, 48, 0.75
SMOOTH_NOISE, SMOOTHING, NOISE = 0.25, 2.0, 0.02
COUNT, TRAIN, VALID = 6000, 4000, 1000
SIZES = (100, 300, 1000, 4000)


@dataclass(frozen=True)
class Mnist1d(TenClasses):
    """The MNIST-1D task. The first `examples` of 4000 are for training, 1000 each for validation and test.

    x (40, B, 1) has heights; y (B) is the digit.
    """

    name: ClassVar[str] = "mnist1d"
    cells: ClassVar[tuple[str, ...]] = ("gru", "cfn", "minimal", "minimal_deep", "lstm", "vanilla")

    examples: int = TRAIN
    steps: int = 5000
    every: int = 250
    patience: int = 8

    @staticmethod
    def data(split: Split) -> Pictures:
        return load_mnist1d(split)

    def sizes(self) -> dict[str, Any]:
        return super().sizes() | {"T": LENGTH, "examples": self.examples}


@dataclass(frozen=True)
class Sizes(Mnist1d):
    """MNIST-1D with few and with many training examples."""

    name: ClassVar[str] = "sizes"
    cells: ClassVar[tuple[str, ...]] = ("gru", "lstm", "minimal")

    steps: int = 3000

    def variants(self) -> Sequence[Task]:
        return [Sizes(**{**vars(self), "examples": count}) for count in SIZES]


def load_mnist1d(split: Split) -> Pictures:
    """Returns heights (40, N, 1) and digits (N) of a split; over all splits, heights have mean 0 and standard deviation 1."""
    heights, digits, rows = make_dataset()
    return heights[rows[split]].T[:, :, None], digits[rows[split]]


@cache
def make_dataset() -> tuple[np.ndarray, np.ndarray, dict[Split, np.ndarray]]:
    """Returns all heights (N, 40), all digits (N), and the indices of each split."""
    rng = make_rng(0, 6)
    digits = np.arange(COUNT) % len(SHAPES)
    heights = np.stack([make_example(digit_outline(int(digit)), rng) for digit in digits])
    heights = (heights - heights.mean()) / heights.std()
    return heights, digits, split_indices(rng.permutation(COUNT), (TRAIN / COUNT, VALID / COUNT))


def digit_outline(digit: int) -> np.ndarray:
    """Returns a digit's twelve heights, with standard deviation 1/6 and starting at 0."""
    heights = np.array(SHAPES[digit])
    heights = (heights - heights.mean()) / heights.std()
    return (heights - heights[0]) / 6


def make_example(heights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns one example of an outline, 40 heights: padded at its end, stretched, scaled, rotated cyclically, in noise, sheared.

    Args:
        heights: The outline.
        rng: The generator.
    """
    padding = int(rng.integers(PADDING[0], PADDING[1] + 1))
    length, width = len(heights), len(heights) + padding
    place = np.linspace(0, width - 1, STRETCHED)
    inside = place < length
    x = np.where(inside, np.interp(place, np.arange(width), np.pad(heights, (0, padding))), 0.0)
    shift, scale = int(rng.integers(SHIFT)), 1 + SCALE * (rng.random() - 0.5)
    x, inside = np.roll(scale * x, shift), np.roll(inside, shift)
    x = np.where(inside, x, gaussian_filter1d(rng.normal(0, SMOOTH_NOISE, STRETCHED), SMOOTHING, mode="reflect"))
    x = x + rng.normal(0, NOISE, STRETCHED) - SHEAR * (rng.random() - 0.5) * np.linspace(-0.5, 0.5, STRETCHED)
    return np.interp(np.linspace(0, STRETCHED - 1, LENGTH), np.arange(STRETCHED), x)
