"""Medians, intervals and outliers of known samples."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis.median_ci import FENCE, find_outliers, median_ci, ratio_ci


def test_median_and_interval_of_known_samples():
    found = median_ci((3.0, 1.0, 2.0, 5.0, 4.0))
    assert (found.value, found.low, found.high, found.n) == (3.0, 1.0, 5.0, 5)
    assert median_ci((2.0,) * 8).low == median_ci((2.0,) * 8).high == 2.0


def test_the_interval_of_a_median_is_that_of_order_statistics():
    """The bootstrap of a median converges to binomial order statistics: of 101 samples those of rank 41 and 61, give or take two."""
    found = median_ci(tuple(float(k) for k in range(1, 102)))
    assert found.value == 51 and abs(found.low - 41) <= 2 and abs(found.high - 61) <= 2


def test_interval_holds_the_median_about_95_times_in_100():
    draw = np.random.default_rng(1)
    intervals = [median_ci(tuple(draw.lognormal(size=15))) for _ in range(200)]
    assert 0.90 <= np.mean([i.low <= 1.0 <= i.high for i in intervals]) <= 0.99


def test_too_few_samples_have_no_interval():
    for samples in ((7.0,), (7.0, 7.1, 7.2, 7.3)):
        assert not median_ci(samples).bounded
        assert not ratio_ci(samples, (1.0,) * 9).bounded and not ratio_ci((1.0,) * 9, samples).bounded


def test_the_ratio_of_unpaired_medians():
    found = ratio_ci((2.0, 4.0, 6.0, 8.0, 10.0), (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0))
    assert (found.value, found.n) == (1.5, 5)
    assert found.low == pytest.approx(0.5, abs=0.25) and found.high == pytest.approx(4, abs=1.5)
    assert ratio_ci((6.0,) * 5, (3.0,) * 5) == median_ci((2.0,) * 5)


def test_the_interval_of_a_ratio_holds_it_about_95_times_in_100():
    draw = np.random.default_rng(2)
    found = [ratio_ci(tuple(3 * draw.lognormal(0, 0.1, 15)), tuple(draw.lognormal(0, 0.1, 15))) for _ in range(200)]
    assert 0.90 <= np.mean([i.low <= 3.0 <= i.high for i in found]) <= 0.995


def test_outliers_by_tukeys_fences():
    """Quartiles 2.5 and 7.5 of nine: the fences are at -5 and 15."""
    steady = [1.0, 2.0, 2.5, 4.0, 5.0, 6.0, 7.5, 8.0]
    assert find_outliers([*steady, 15.0]) == [] and find_outliers([*steady, 15.1]) == [8]
    assert find_outliers([-99.0, *steady[1:], 9.0, 99.0]) == [0, 9]
    assert find_outliers([1.0] * 9) == [] and find_outliers([1.0] * 9 + [1.1]) == [9]
    assert find_outliers([1.0, 1.0, 1.0, 9.0]) == [], "four samples have no quartiles to speak of"


def test_the_fence_is_where_normal_samples_rarely_are():
    normal = NormalDist()
    fence = normal.inv_cdf(0.75) * (1 + 2 * FENCE)
    assert 2 * (1 - normal.cdf(fence)) == pytest.approx(0.007, abs=1e-3)


@given(st.lists(st.floats(1e-6, 1e3), min_size=5, max_size=30), st.floats(0.01, 100))
def test_an_estimate_scales_with_its_unit(samples, unit):
    one, other = median_ci(tuple(samples)), median_ci(tuple(unit * s for s in samples))
    assert (other.value, other.low, other.high) == pytest.approx((unit * one.value, unit * one.low, unit * one.high))
    assert one.low <= one.value <= one.high and math.isfinite(one.high)


def test_intervals_are_those_of_scipys_bootstrap():
    draw = np.random.default_rng(3)
    for n in (5, 8, 20):
        a, b = tuple(draw.lognormal(size=n)), tuple(draw.lognormal(size=n + 1))
        quotient = lambda x, y, axis=-1: np.median(x, axis=axis) / np.median(y, axis=axis)  # noqa: E731
        for found, samples, statistic in ((median_ci(a), (a,), np.median), (ratio_ci(a, b), (a, b), quotient)):
            theirs = stats.bootstrap(samples, statistic, n_resamples=2000, method="percentile", vectorized=True, rng=0).confidence_interval
            assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
