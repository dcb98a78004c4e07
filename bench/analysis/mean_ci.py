"""A few independent values, as of seeds, and how well their mean is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Spread:
    """The mean of `n` values and half the width of its 95% interval by Student's t; infinite for a single value."""

    mean: float
    half: float
    n: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval is on one side of 0, else 0."""
        return 1 if self.mean > self.half else -1 if self.mean < -self.half else 0


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    n = len(values)
    if n < 2:
        return Spread(float(values[0]), float("inf"), n)
    half = stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(n)
    return Spread(float(np.mean(values)), float(half), n)
