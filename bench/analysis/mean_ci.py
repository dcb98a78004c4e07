"""Computes means of a few independent values, such as seeds, with 95% intervals by Student's t. The interval of a single value is
unbounded."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from bench.analysis.median_ci import Estimate


def mean_ci(values: Sequence[float]) -> Estimate:
    """Returns the mean of one or more values with its 95% interval."""
    centre, n = float(np.mean(values)), len(values)
    half = float(stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else math.inf
    return Estimate(centre, centre - half, centre + half, n)


def geometric_mean_ci(values: Sequence[float]) -> Estimate:
    """Returns the geometric mean of positive values; its interval is computed from their logarithms."""
    logs = mean_ci([math.log(v) for v in values])
    return Estimate(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high), logs.n)
