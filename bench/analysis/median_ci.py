"""Medians with their intervals, by scipy, and the samples that lie far out.

An interval covers the true value with 95% probability: percentiles of the medians of resamples drawn with replacement (Efron 1979),
from a fixed seed. Below five samples there is none, and so it is unbounded: even the range of four holds the median only 87% of the time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

FEWEST = 5
RESAMPLES = 2000
FENCE = 1.5
"""Tukey (1977): of normal samples, 0.7% are further than this many interquartile ranges from the nearer quartile."""


@dataclass(frozen=True)
class Estimate:
    """A median, or a ratio of two, with its 95% interval, in the unit of its samples, and of how many it is."""

    value: float
    low: float
    high: float
    n: int

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.high)


@cache
def estimate(samples: tuple[float, ...]) -> Estimate:
    """The median of positive samples, at least one."""
    value = float(np.median(samples))
    return interval(value, (samples,), np.median, len(samples))


@cache
def ratio(above: tuple[float, ...], below: tuple[float, ...]) -> Estimate:
    """The median of one over that of another, of samples that aren't paired; both are drawn anew."""
    value = float(np.median(above) / np.median(below))
    return interval(value, (above, below), quotient, min(len(above), len(below)))


def quotient(above: Any, below: Any, axis: int = -1) -> Any:
    return np.median(above, axis=axis) / np.median(below, axis=axis)


def interval(value: float, samples: tuple[tuple[float, ...], ...], statistic: Any, n: int) -> Estimate:
    if n < FEWEST:
        return Estimate(value, 0.0, math.inf, n)
    found = stats.bootstrap(samples, statistic, n_resamples=RESAMPLES, method="percentile", vectorized=True, rng=0).confidence_interval
    return Estimate(value, float(found.low), float(found.high), n)


def outliers(samples: Sequence[float]) -> list[int]:
    """The places of samples beyond Tukey's fences: further out of the quartiles than FENCE interquartile ranges. They are counted where
    samples are shown and stay in every median."""
    if len(samples) < FEWEST:
        return []
    low, high = np.quantile(samples, (0.25, 0.75))
    reach = FENCE * (high - low)
    return [k for k, sample in enumerate(samples) if not low - reach <= sample <= high + reach]
