"""Computes means with 95% intervals: of a few independent values, such as seeds, by Student's t, and of ratios that each have an interval.

A single value has no interval: it is unbounded. Where `looks` values are looked at to choose one, or to call some significant, each
interval has the level 1 - 0.05/looks (Bonferroni), so that all of them hold together with 95%.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import geometric_mean

import numpy as np
from scipy.special import stdtrit

from bench.analysis.median_ci import TAIL, Estimate

LARGEST = 700.0
"""The largest exponent of a float64."""


def student_quantile(n: int, looks: int = 1) -> float:
    """Returns the quantile of Student's t at which an interval of n values ends."""
    return float(stdtrit(n - 1, 1 - TAIL / looks))


def mean_ci(values: Sequence[float], looks: int = 1, low: float = -math.inf, high: float = math.inf) -> Estimate:
    """Returns the mean of one or more values with its interval, which stays between the limits that a value can have.

    With a lower limit the interval is symmetric in the logarithm of the distance from it; with both limits, in the logit.

    Args:
        values: The values.
        looks: The number of means that are looked at together.
        low: The least possible value.
        high: The largest possible value.
    """
    centre, n = float(np.mean(values)), len(values)
    half = student_quantile(n, looks) * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    above, below = centre - low, high - centre
    if not math.isfinite(half) or not math.isfinite(above) or above <= 0 or below <= 0:
        return Estimate(centre, centre - half, centre + half, n)
    if math.isinf(below):
        factor = math.exp(min(half / above, LARGEST))
        return Estimate(centre, low + above / factor, low + above * factor, n)
    factor = math.exp(min(half * (high - low) / (above * below), LARGEST))
    ends = [low + (high - low) * odds / (1 + odds) for odds in (above / below / factor, above / below * factor)]
    return Estimate(centre, ends[0], ends[1], n)


def geometric_mean_ci(values: Sequence[float], looks: int = 1) -> Estimate:
    """Returns the geometric mean of positive values; its interval is computed from their logarithms."""
    logs = mean_ci([math.log(v) for v in values], looks)
    return Estimate(math.exp(logs.value), math.exp(logs.low), math.exp(min(logs.high, LARGEST)) if logs.bounded else math.inf, logs.n)


def mean_of_ratios(ratios: Iterable[Estimate], looks: int = 1) -> Estimate:
    """Returns the geometric mean of ratios that each have an interval, with an interval that holds however their errors depend on each
    other: from the mean of the low ends to the mean of the high ends. It is unbounded if one of them is.

    Args:
        ratios: One or more positive ratios.
        looks: The number of means that are looked at together.
    """
    found = [widen(ratio, looks) for ratio in ratios]
    value, n = geometric_mean(ratio.value for ratio in found), min(ratio.n for ratio in found)
    if not all(ratio.bounded and ratio.low > 0 for ratio in found):
        return Estimate(value, 0.0, math.inf, n)
    return Estimate(value, geometric_mean(ratio.low for ratio in found), geometric_mean(ratio.high for ratio in found), n)


def widen(ratio: Estimate, looks: int) -> Estimate:
    """Returns a positive ratio with the interval of one of several that are looked at together: wider, on a logarithmic scale, by the
    quotient of Student's quantiles."""
    if looks == 1 or ratio.n < 2 or not (ratio.bounded and ratio.low > 0):
        return ratio
    factor = student_quantile(ratio.n, looks) / student_quantile(ratio.n)
    low, high = (ratio.value * (end / ratio.value) ** factor for end in (ratio.low, ratio.high))
    return Estimate(ratio.value, low, high, ratio.n)
