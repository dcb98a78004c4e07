"""Medians with their intervals, and the samples that lie far out.

An interval covers the true value with 95% probability: percentiles of the medians of resamples drawn with replacement (Efron 1979),
from a fixed seed, as `scipy.stats.bootstrap` draws them. Below five samples there is none, and so it is unbounded: even the range of four
holds the median only 87% of the time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

FEWEST = 5
RESAMPLES = 2000
TAIL = (1 - 0.95) / 2
FENCE = 1.5
"""Tukey (1977): of normal samples, 0.7% are further than this many interquartile ranges from the nearer quartile."""


@dataclass(frozen=True)
class Estimate:
    """A median, a mean or a ratio with its 95% interval, in the unit of its samples, and of how many it is."""

    value: float
    low: float
    high: float
    n: int

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.high)

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def sign(self) -> int:
        """1 or -1 where the interval is on one side of 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@cache
def median_ci(samples: tuple[float, ...]) -> Estimate:
    """The median of positive samples, at least one."""
    return _bootstrap(float(np.median(samples)), samples)


@cache
def ratio_ci(above: tuple[float, ...], below: tuple[float, ...]) -> Estimate:
    """The median of one over that of another, of samples that aren't paired; both are resampled."""
    return _bootstrap(float(np.median(above) / np.median(below)), above, below)


def _bootstrap(value: float, *samples: tuple[float, ...]) -> Estimate:
    n = min(map(len, samples))
    if n < FEWEST:
        return Estimate(value, 0.0, math.inf, n)
    drawn = _draw_resamples(tuple(map(len, samples)))
    medians = [_row_medians(np.asarray(found)[places]) for found, places in zip(samples, drawn, strict=True)]
    statistic = medians[0] if len(medians) == 1 else medians[0] / medians[1]
    low, high = np.percentile(statistic, (100 * TAIL, 100 * (1 - TAIL)))
    return Estimate(value, float(low), float(high), n)


@lru_cache(maxsize=64)
def _draw_resamples(sizes: tuple[int, ...]) -> tuple[Any, ...]:
    """The places that each resample of samples of these sizes takes, one row for each resample."""
    draw = np.random.default_rng(0)
    return tuple(draw.integers(0, n, (RESAMPLES, n)) for n in sizes)


def _row_medians(values: Any) -> Any:
    """As np.median along the last axis; sorting is several times as fast for rows of some twenty values."""
    values.sort(axis=-1)
    n = values.shape[-1]
    return values[:, (n - 1) // 2 : n // 2 + 1].mean(axis=-1)


def find_outliers(samples: Sequence[float]) -> list[int]:
    """The places of samples beyond Tukey's fences: further out of the quartiles than FENCE interquartile ranges. They are counted where
    samples are shown and stay in every median."""
    if len(samples) < FEWEST:
        return []
    low, high = np.quantile(samples, (0.25, 0.75))
    reach = FENCE * (high - low)
    return [k for k, sample in enumerate(samples) if not low - reach <= sample <= high + reach]
