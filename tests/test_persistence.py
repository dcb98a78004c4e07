"""The persistence of noise: independent builds widen nothing, builds that resemble each other widen the interval until it is right."""

import numpy as np
import pytest

from bench.analysis.persistence import STRENGTHS, lag_one, simulate_series, widening_factor


def autoregressive(strength: float, cases: int, builds: int, seed: int):
    """Times by build of several cases, whose noise of 2% lasts."""
    shocks = np.random.default_rng(seed).standard_normal((builds, cases))
    series = [shocks[0]]
    for shock in shocks[1:]:
        series.append(strength * series[-1] + np.sqrt(1 - strength**2) * shock)
    return np.exp(0.02 * np.array(series).T).tolist()


def test_independent_builds_widen_little_and_lasting_noise_much():
    factors = {s: np.median([widening_factor([autoregressive(s, 12, 9, seed)]) for seed in range(40)]) for s in (0.0, 0.5, 0.9)}
    assert 1.0 <= factors[0.0] < 1.15 < 1.5 < factors[0.5] < factors[0.9] and factors[0.9] > 5


def test_what_slows_the_whole_machine_does_not_count():
    times = np.array(autoregressive(0.0, 12, 9, 1)) * np.linspace(1, 3, 9)
    assert widening_factor([times.tolist()]) == pytest.approx(widening_factor([autoregressive(0.0, 12, 9, 1)]))


def test_groups_are_pooled_and_too_few_builds_say_nothing():
    groups = [autoregressive(0.9, 4, 9, seed) for seed in range(6)]
    assert widening_factor(groups) > 5
    assert widening_factor([]) == widening_factor([groups[0][:1]]) == widening_factor([[t[:5] for t in groups[0]]]) == 1.0


def test_lag_one_of_known_series():
    assert lag_one(np.array([1.0, -1.0] * 50)) == pytest.approx(-0.99) and lag_one(np.ones((2, 9))).tolist() == [0, 0]


@pytest.mark.parametrize("n", [6, 9])
def test_factors_grow_with_the_strength_and_start_at_one(n):
    averages, factors = simulate_series(n)
    assert factors[0] == 1.0 and len(factors) == len(STRENGTHS) and all(np.diff(averages) > 0) and all(np.diff(factors[1:]) > 0)
    assert averages[0] == pytest.approx(-1 / n, abs=0.03), "a short series is biased (Marriott & Pope 1954)"
