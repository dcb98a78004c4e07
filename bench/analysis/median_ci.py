"""Computes medians with 95% intervals, and finds outliers.

An interval is that of order statistics: the r-th smallest and the r-th largest of n independent samples enclose the median of any
continuous distribution with a probability that is known exactly (Conover 1999, Practical Nonparametric Statistics, §3.2), and r is the
largest rank for which it is at least 95%. Below six samples there is no such rank: even their range has the median only 93.75% of the
time, so the interval is unbounded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import bdtr

FEWEST = 6
TAIL = (1 - 0.95) / 2
FENCE = 1.5
"""Tukey (1977): 0.7% of normal samples are further than this many interquartile ranges from the nearer quartile."""


@dataclass(frozen=True)
class Estimate:
    """A median, mean or ratio with its 95% interval, in the unit of its n samples."""

    value: float
    low: float
    high: float
    n: int

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.high)

    @property
    def half_width(self) -> float:
        """Returns half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def sign(self) -> int:
        """Returns 1 or -1 if the interval lies on one side of 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def widen(self, factor: float) -> "Estimate":
        """Returns a positive estimate with each side of its interval `factor` times as wide, on a log scale."""
        if factor == 1 or not self.bounded:
            return self
        return Estimate(self.value, self.value * (self.low / self.value) ** factor, self.value * (self.high / self.value) ** factor, self.n)


@cache
def interval_rank(n: int) -> int:
    """Returns the largest r for which the r-th smallest and r-th largest of n samples enclose the median with probability 95%; 0 below
    FEWEST."""
    return int(np.searchsorted(bdtr(np.arange(n), n, 0.5), TAIL))


@cache
def median_ci(samples: tuple[float, ...]) -> Estimate:
    """Returns the median of one or more positive samples with its 95% interval."""
    ordered, n = sorted(samples), len(samples)
    value, rank = float(np.median(samples)), interval_rank(n)
    return Estimate(value, ordered[rank - 1], ordered[n - rank], n) if rank else Estimate(value, 0.0, math.inf, n)


@cache
def ratio_ci(above: tuple[float, ...], below: tuple[float, ...]) -> Estimate:
    """Returns the ratio of two medians with its 95% interval, for unpaired positive samples.

    The interval combines those of the two medians: the squared distances of their ends, on a log scale, are added (Zou & Donner 2008,
    Statistics in Medicine 27: 1693, MOVER).
    """
    a, b = median_ci(above), median_ci(below)
    value, n = a.value / b.value, min(a.n, b.n)
    if n < FEWEST:
        return Estimate(value, 0.0, math.inf, n)
    down = math.hypot(math.log(a.value / a.low), math.log(b.high / b.value))
    up = math.hypot(math.log(a.high / a.value), math.log(b.value / b.low))
    return Estimate(value, value * math.exp(-down), value * math.exp(up), n)


def find_outliers(samples: Sequence[float]) -> list[int]:
    """Returns the indices of samples outside Tukey's fences: FENCE interquartile ranges outside the quartiles. Reports count them; they
    stay in every median."""
    if len(samples) < FEWEST:
        return []
    low, high = np.quantile(samples, (0.25, 0.75))
    reach = FENCE * (high - low)
    return [k for k, sample in enumerate(samples) if not low - reach <= sample <= high + reach]
