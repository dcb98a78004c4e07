"""Medians, intervals and outliers of known samples."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis.median_ci import FENCE, FEWEST, Estimate, find_outliers, interval_rank, median_ci, ratio_ci
from bench.harness.noise_simulation import SHAPES, measure_coverage


def test_median_and_interval_of_known_samples():
    found = median_ci((3.0, 1.0, 2.0, 5.0, 4.0, 6.0))
    assert (found.value, found.low, found.high, found.n) == (3.5, 1.0, 6.0, 6)
    nine = median_ci(tuple(float(k) for k in range(1, 10)))
    assert (nine.low, nine.high) == (2.0, 8.0), "ranks 2 and 8 of nine hold it with 96.1%"
    twenty = median_ci(tuple(float(k) for k in range(1, 21)))
    assert (twenty.low, twenty.high) == (6.0, 15.0), "Conover 1999, table A3"
    assert median_ci((2.0,) * 8).low == median_ci((2.0,) * 8).high == 2.0


@pytest.mark.parametrize("n", [*range(FEWEST, 14), 20, 51, 100])
def test_the_ranks_are_the_innermost_that_hold_the_median(n):
    rank, binomial = interval_rank(n), stats.binom(n, 0.5)
    assert 1 - 2 * binomial.cdf(rank - 1) >= 0.95 > 1 - 2 * binomial.cdf(rank)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_interval_holds_the_median_at_every_number_of_builds(shape):
    """95% by theory. A standard error of 400 intervals is 1.1%."""
    assert min(measure_coverage(shape, n, 400) for n in (6, 7, 8, 9, 12)) >= 0.94


def test_too_few_samples_have_no_interval():
    for samples in ((7.0,), (7.0, 7.1, 7.2, 7.3, 7.4)):
        assert not median_ci(samples).bounded
        assert not ratio_ci(samples, (1.0,) * 9).bounded and not ratio_ci((1.0,) * 9, samples).bounded


def test_the_ratio_of_unpaired_medians():
    above, below = (2.0, 4.0, 6.0, 8.0, 10.0, 12.0), tuple(float(k) for k in range(1, 10))
    found, a, b = ratio_ci(above, below), median_ci(above), median_ci(below)
    assert (found.value, found.n) == (7 / 5, 6)
    assert math.log(found.value / found.low) == pytest.approx(math.hypot(math.log(a.value / a.low), math.log(b.high / b.value)))
    assert ratio_ci((6.0,) * 6, (3.0,) * 6) == median_ci((2.0,) * 6) and ratio_ci(above, (2.0,) * 6).high == pytest.approx(a.high / 2)


@pytest.mark.parametrize("n", [(6, 6), (7, 7), (6, 40), (9, 9)])
def test_the_interval_of_a_ratio_holds_it(n):
    draw = np.random.default_rng(2)
    found = [ratio_ci(tuple(3 * draw.lognormal(0, 0.1, n[0])), tuple(draw.lognormal(0, 0.2, n[1]))) for _ in range(300)]
    assert np.mean([i.low <= 3.0 <= i.high for i in found]) >= 0.94 and min(i.low for i in found) > 0


def test_a_wider_interval_is_wider_on_a_log_scale():
    wide = Estimate(2.0, 1.0, 3.0, 6).widen(2)
    assert (wide.value, wide.low, wide.high) == pytest.approx((2.0, 0.5, 4.5)) and Estimate(2.0, 0.0, math.inf, 5).widen(2).low == 0


def test_outliers_by_tukeys_fences():
    """Quartiles 2.5 and 7.5 of nine: the fences are at -5 and 15."""
    steady = [1.0, 2.0, 2.5, 4.0, 5.0, 6.0, 7.5, 8.0]
    assert find_outliers([*steady, 15.0]) == [] and find_outliers([*steady, 15.1]) == [8]
    assert find_outliers([-99.0, *steady[1:], 9.0, 99.0]) == [0, 9]
    assert find_outliers([1.0] * 9) == [] and find_outliers([1.0] * 9 + [1.1]) == [9]
    assert find_outliers([1.0, 1.0, 1.0, 9.0]) == [], "so few samples have no quartiles to speak of"


def test_the_fence_is_where_normal_samples_rarely_are():
    normal = NormalDist()
    fence = normal.inv_cdf(0.75) * (1 + 2 * FENCE)
    assert 2 * (1 - normal.cdf(fence)) == pytest.approx(0.007, abs=1e-3)


@given(st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=30), st.floats(0.01, 100))
def test_an_estimate_scales_with_its_unit(samples, unit):
    one, other = median_ci(tuple(samples)), median_ci(tuple(unit * s for s in samples))
    assert (other.value, other.low, other.high) == pytest.approx((unit * one.value, unit * one.low, unit * one.high))
    assert one.low <= one.value <= one.high and math.isfinite(one.high)
