"""The confidence interval of a mean."""

import math

import pytest

from bench.analysis.mean_ci import mean_ci


def test_the_interval_of_a_mean_is_students():
    """The 97.5% quantile of t with two degrees of freedom is 4.3027."""
    found = mean_ci([1.0, 2.0, 3.0])
    assert (found.value, found.n, found.sign) == (2.0, 3, 0) and found.half_width == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert mean_ci([1.0]).half_width == math.inf and mean_ci([2.0, 2.1, 2.05]).sign == 1 and mean_ci([-2.0, -2.1]).sign == -1
