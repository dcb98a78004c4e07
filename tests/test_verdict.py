"""Verdicts of known ratios, and the noise floor of known pairs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.median_ci import Estimate
from bench.analysis.verdict import NOISE, WIDEST, Noise, compare_cases, judge, measure_noise, relative_difference
from bench.records import Reading
from tests.records import WORK, case, timed

OPPOSITE = {"faster": "slower", "slower": "faster", "tie": "tie", "ambiguous": "ambiguous"}


@pytest.mark.parametrize(
    ("median", "low", "high", "says"),
    [
        (1.10, 1.05, 1.15, "faster"),
        (0.90, 0.85, 0.95, "slower"),
        (1.021, 1.0001, 1.03, "faster"),  # outside the margin, and the interval excludes 1
        (1.021, 0.999, 1.03, "ambiguous"),  # outside the margin, and it doesn't
        (1.019, 1.01, 1.03, "tie"),  # inside the margin: whatever the interval excludes
        (0.985, 0.975, 0.995, "tie"),
        (1.00, 0.92, 1.09, "tie"),
        (1.00, 0.90, 1.01, "ambiguous"),  # 1/0.90 is 1.11: it might be a tenth slower
        (1.00, 0.99, 1.11, "ambiguous"),
        (3.00, 0.50, 9.00, "ambiguous"),
    ],
)
def test_known_ratios(median, low, high, says):
    assert judge(Estimate(median, low, high, 6), NOISE) == says
    assert judge(Estimate(1 / median, 1 / high, 1 / low, 6), NOISE) == OPPOSITE[says]
    assert judge(Estimate(median, low, high, 6), NOISE, throttled=True) == "ambiguous"
    assert judge(Estimate(median, 0.0, math.inf, 5), NOISE) == "ambiguous"


def test_a_noisy_run_has_a_wider_margin():
    ratio = Estimate(1.06, 1.03, 1.09, 20)
    assert judge(ratio, 0.05) == "faster" and judge(ratio, 0.07) == "tie"
    wide = Estimate(1.06, 1.03, 1.15, 20)
    assert 1 + WIDEST < 1.15 and judge(wide, 0.20) == "ambiguous", "however wide the margin, a tie is within a tenth"


@given(st.floats(0.1, 10), st.floats(1, 2), st.floats(1, 2), st.floats(NOISE, 0.5))
def test_it_says_the_opposite_of_the_inverse(median, below, above, margin):
    one = judge(Estimate(median, median / below, median * above, 9), margin)
    assert judge(Estimate(1 / median, 1 / (median * above), below / median, 9), margin) == OPPOSITE[one]
    if one in ("faster", "slower"):
        assert relative_difference(median) > margin
    if one == "tie":
        assert relative_difference(median) <= margin


def test_how_far_apart():
    assert (
        relative_difference(1.25) == relative_difference(1 / 1.25) == pytest.approx(0.25)
        and relative_difference(1.0) == 0
        and relative_difference(0.0) == math.inf
    )


def pair(factor: float, **which: object):
    """A case, and itself again under another name, so many times as slow."""
    times = (1.0, 1.1, 0.9, 1.0, 1.2, 1.0)
    return timed(case(**which), *times), timed(case(aa_repeat=True, **which), *(factor * t for t in times))


def test_the_noise_floor_is_the_largest_difference_of_a_pair():
    found = measure_noise([*pair(1.03), *pair(1 / 1.05, cell="lstm"), *pair(1.01, mode="inference"), timed(case("cfn"), 9.0)])
    assert len(found.pairs) == 3 and found.floor == pytest.approx(0.05) and found.margin == found.floor
    assert {record.case.aa_repeat for record, _ in found.pairs} == {True}


def test_a_quiet_run_has_the_least_margin_and_one_without_pairs_too():
    assert measure_noise(pair(1.001)).margin == NOISE and measure_noise(pair(1.001)).floor == pytest.approx(0.001)
    alone = [timed(case(), 1.0), timed(case("lstm", aa_repeat=True), 1.0), timed(case("cfn", aa_repeat=True), status="oom")]
    assert measure_noise(alone) == Noise() and Noise().margin == NOISE and Noise().floor == 0


def test_noise_is_paired_by_rounds():
    one, other = pair(1.0)
    shifted = other.model_copy(update={"samples": [1.0, 1.1, 0.9, 1.0, 1.2, 1.0][::-1], "rounds": [5, 4, 3, 2, 1, 0]})
    assert measure_noise([one, shifted]).floor == 0


def test_a_throttled_case_has_no_verdict():
    slow, fast = timed(case(), *[2.0] * 6), timed(case(backend="vendor"), *[1.0] * 6)
    assert compare_cases(slow, fast, Noise()).verdict == "slower"
    hot = fast.model_copy(update={"readings": [Reading(clock=1e9), Reading(clock=9e8, throttled=["thermal"])]})
    assert compare_cases(slow, hot, Noise()).verdict == compare_cases(hot, slow, Noise()).verdict == "ambiguous"
    cool = fast.model_copy(update={"readings": [Reading(clock=1e9)]})
    assert compare_cases(slow, cool, Noise()).verdict == "slower"


@pytest.mark.parametrize(("part", "value", "alike"), [
    ("outputs", "last", False), ("copies", True, False), ("operands", "bfloat16", False), ("tf32_hoisted", True, False),
    ("tf32_recurrent", True, False), ("biases", 2, True), ("accumulators", "float64", True), ("flat_weights", True, True),
])  # fmt: skip
def test_rows_whose_work_differs_have_no_ratio(part, value, alike):
    mine = timed(case(), *[1.0] * 6, numerics=WORK)
    other = timed(case(backend="vendor"), *[2.0] * 6, numerics=WORK.model_copy(update={part: value}))
    assert bool(compare_cases(mine, other, Noise())) == alike
    assert compare_cases(mine, other.model_copy(update={"numerics": None}), Noise()), "an older record doesn't say"


def test_a_control_is_compared_with_what_it_repeats_alone():
    one, again = pair(1.0)
    assert compare_cases(again, one, Noise()).verdict == "tie"
    assert compare_cases(again, timed(case(backend="vendor"), *[1.0] * 6), Noise()) is None


def test_of_200_pairs_of_one_percent_noise_hardly_any_differs():
    """A/A, and a twentieth planted: the rule of 100 runs, with the clock left out."""
    draw = np.random.default_rng(3)

    def said(factor: float) -> list[str]:
        runs = ((draw.normal(1, 0.01, 15), factor * draw.normal(1, 0.01, 15)) for _ in range(200))
        return [compare_cases(timed(case(), *one), timed(case(backend="vendor"), *other), Noise()).verdict for one, other in runs]

    assert said(1.0).count("tie") >= 198 and said(1.05).count("faster") >= 190 and said(1 / 1.05).count("slower") >= 190


def test_where_times_and_ratio_contradict_each_other_the_row_is_unstable():
    """In every round the case is a twentieth faster, while by its median time it is a third slower."""
    theirs = [1.0, 1.0, 1.0, 1.0, 1.5, 1.5, 1.5, 1.5, 1.5]
    ours = [t / 1.05 for t in theirs]
    one = timed(case(backend="vendor"), *theirs)
    assert compare_cases(timed(case(), *ours), one, Noise()).verdict == "faster"
    mixed = timed(case(), *ours, *[2.0] * 10, rounds=[*range(9), *range(20, 30)])
    assert compare_cases(mixed, one, Noise()).verdict == "unstable"


def test_noise_that_lasts_widens_the_interval():
    fast, slow = timed(case(), *[1.0, 1.01] * 5), timed(case(backend="vendor"), *[1.05, 1.05] * 5)
    assert compare_cases(fast, slow, Noise()).verdict == "faster"
    assert compare_cases(fast, slow, Noise(widening=9)).verdict == "ambiguous"


def test_a_speed_is_that_of_builds():
    """Calls of one build are alike: a hundred of them count once."""
    builds = [build for build in range(6) for _ in range(50)]
    rounds, draw = list(range(50)) * 6, np.random.default_rng(0)
    times = [0.97 + 0.1 * (build % 2) + 0.001 * draw.random() for build in builds]
    found = compare_cases(
        timed(case(), *times, rounds=rounds, builds=builds),
        timed(case(backend="vendor"), *[1.0] * 300, rounds=rounds, builds=builds), Noise(),
    )  # fmt: skip
    assert found.ratio.n == 6 and found.ratio.low < 0.94 and found.ratio.high > 1.02 and found.verdict == "tie"
