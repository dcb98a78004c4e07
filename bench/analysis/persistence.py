"""Estimates how long the noise of a contestant lasts, and how much wider that makes the interval of a ratio.

An interval over builds is right if builds are independent. Noise that lasts from one build to the next makes neighbouring builds alike, so
few builds look more certain than they are. The lag-1 autocorrelation of a single case over nine builds says little about it, that of all
cases of a run together says enough: each case's times by build, relative to those of all cases that were timed with it (which removes what
slows the whole machine), have one autocorrelation, and it is averaged over the cases.

The estimate is biased downwards in short series, and a standard error too low half the time. So it is raised by one standard error, and
translated by simulation: for autoregressive noise of each strength, what the average is then, and the factor by which an interval must be
widened to contain the median 95% of the time.
"""

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.analysis.median_ci import FEWEST, interval_rank

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""The autocorrelations of neighbouring builds that are simulated."""
SERIES = 4000
"""The simulated series for each of them."""

Array = NDArray[np.float64]


def widening_factor(groups: Iterable[Sequence[Sequence[float]]]) -> float:
    """Returns the factor by which intervals over builds are widened; 1 if builds are independent, or can't be judged.

    Args:
        groups: For each timing group, the seconds by build of each of its cases: as many for all of them.
    """
    found, cases, builds = list[Array](), 0, list[int]()
    for times in groups:
        if len(times) > 1 and len(times[0]) >= FEWEST:
            logs = np.log(np.asarray(times))
            found.append(lag_one(logs - logs.mean(axis=0)))
            cases += len(times) - 1  # the deviations from their mean add up to zero
            builds.append(len(times[0]))
    if not found:
        return 1.0
    n = min(builds)
    average = float(np.concatenate(found).mean()) + 1 / np.sqrt(n * cases)
    expected, factors = simulate_series(n)
    return float(np.interp(average, expected, factors))


def lag_one(series: Array) -> Array:
    """Returns the lag-1 autocorrelation of each row; 0 for a constant row."""
    off = series - series.mean(axis=-1, keepdims=True)
    return (off[..., 1:] * off[..., :-1]).sum(-1) / np.maximum((off**2).sum(-1), 1e-300)


@cache
def simulate_series(n: int) -> tuple[Array, Array]:
    """Returns, for autoregressive series of n values of each of STRENGTHS, the average of `lag_one`, and the factor by which the interval
    of the median must be widened to contain 0, the true value, in 95% of them."""
    averages, factors = [], []
    rank = interval_rank(n)
    for strength in STRENGTHS:
        shocks = np.random.default_rng(0).standard_normal((n, SERIES))
        series = np.empty_like(shocks)
        series[0] = shocks[0]
        for k in range(1, n):
            series[k] = strength * series[k - 1] + np.sqrt(1 - strength**2) * shocks[k]
        ordered, centre = np.sort(series, axis=0), np.median(series, axis=0)
        reach = np.where(centre > 0, centre - ordered[rank - 1], ordered[n - rank] - centre)
        averages.append(lag_one(series.T).mean())
        factors.append(max(1.0, float(np.quantile(np.abs(centre) / reach, 0.95))))
    return np.array(averages), np.array(factors)
