"""Numbers derived from known samples."""

import math

import pytest

from bench.analysis.summary import (
    CaseIndex,
    find_peers,
    fit_growth,
    group_by_cell,
    is_representable,
    median_time,
    sequences_per_second,
    sgemm_share,
    speedup_ci,
    timesteps_per_second,
)
from bench.render.case_grid import FASTEST, TIED, Row, build_grids
from tests.records import ENVIRONMENT, B, D, H, case, gradient, timed, whole

UNSUPPORTED = {"status": "unsupported", "reason": "torch.nn has no such cell"}


def test_throughput():
    record = timed(case(T=128, B=32), 0.5, 0.5, 0.5)
    assert median_time(record).value == 0.5
    assert sequences_per_second(record) == 64
    assert timesteps_per_second(record) == 64 * 128


def test_training_counts_three_times_the_forward_flops():
    known = {"flops": 1000}
    forward = timed(case(mode="inference", T=10, B=7), 1.0, **known)
    assert sgemm_share(forward, ENVIRONMENT) == pytest.approx(70_000 / 1.4e11)
    assert sgemm_share(timed(case(T=10, B=7), 1.0, **known), ENVIRONMENT) == pytest.approx(210_000 / 1.4e11)
    assert sgemm_share(timed(case(input_product=False), 1.0, **known), ENVIRONMENT) is None
    assert sgemm_share(timed(case(), 1.0), ENVIRONMENT) is None
    old = ENVIRONMENT.model_copy(update={"constants": None})
    assert sgemm_share(forward, old) is None
    assert sgemm_share(forward, old.model_copy(update={"sgemm_flops": 7e10})) == pytest.approx(1e-6)


def test_speed_pairs_samples_of_one_round():
    slow = [1.0, 10.0, 2.0, 8.0, 4.0, 6.0]
    peer = timed(case(backend="vendor"), *slow)
    ratio = speedup_ci(timed(case(), *(t / 3 for t in slow)), peer)
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((3, 3, 3))
    swapped = speedup_ci(timed(case(), *reversed(slow)), peer)
    assert swapped.low < 1 < swapped.high


def test_speed_uses_shared_rounds_alone():
    ours = timed(case(), 1.0, 2.0, 9.0, rounds=[0, 1, 7])
    assert speedup_ci(ours, timed(case(backend="vendor"), 4.0, 4.0, rounds=[1, 0])).value == 3.0
    assert speedup_ci(ours, timed(case(backend="vendor"), 4.0, rounds=[3])) is None
    assert speedup_ci(ours, timed(case(backend="vendor"), status="oom")) is None


def test_a_cell_is_held_against_the_vendors_same_cell():
    mine, same = timed(case("lstm"), 1.0), timed(case("lstm", "vendor"), 2.0)
    others = [timed(case("lstm", "vendor", **other), 2.0) for other in ({"T": 64}, {"mode": "inference"}, {"H": 128}, {"dtype": "float64"})]
    found = find_peers(CaseIndex.from_records((mine, *others, same)), mine.case)
    assert (found.same, found.width, found.parameters) == (same, None, None)
    assert find_peers(CaseIndex.from_records((mine, *others)), mine.case).first is None


def test_a_cell_that_torch_lacks_is_held_against_two_grus():
    mine, none = timed(case("cfn"), 1.0), timed(case("cfn", "vendor"), **UNSUPPORTED)
    width, parameters = timed(case("gru", "vendor"), 2.0), timed(case("gru", "vendor", H=245, matched_params_of="cfn"), 2.0)
    other = timed(case("gru", "vendor", H=155, matched_params_of="minimal"), 2.0)
    found = find_peers(CaseIndex.from_records((mine, none, other, parameters, width)), mine.case)
    assert (found.same, found.width, found.parameters) == (None, width, parameters)
    assert found.first == width


def test_a_vendor_that_failed_has_no_stand_in():
    failed = timed(case("lstm", "vendor"), status="failed")
    gru = timed(case("gru", "vendor"), 2.0)
    assert find_peers(CaseIndex.from_records((failed, gru)), case("lstm")).first is None


def test_a_gradient_that_its_dtype_can_t_tell_has_no_rate():
    """A float32 that is halved until it is the smallest there is, and then stays: 2⁻¹⁴⁹ times a half rounds to it again."""
    norms = [max(2.0**-k, 2.0**-149) for k in range(400)]
    found = gradient("cfn", 399).model_copy(update={"by_lag": norms})
    assert fit_growth(found) == pytest.approx(-math.log(2))
    assert fit_growth(found.model_copy(update={"dtype": "float16"})) == pytest.approx(-math.log(2))
    assert fit_growth(found.model_copy(update={"dtype": "float64"})) > -0.3
    assert (
        is_representable("float16", 1e-4)
        and not is_representable("float16", 1e-5)
        and is_representable("bfloat16", 1e-37)
        and not is_representable("float64", 0.0)
    )


def test_rate_is_the_slope_of_the_logarithm():
    assert fit_growth(gradient("lstm", 64)) == pytest.approx(-0.07)
    with_holes = gradient("lstm", 64).model_copy(update={"by_lag": [1.0, math.exp(-2), 0.0, math.exp(-6), math.inf, math.nan]})
    assert fit_growth(with_holes) == pytest.approx(-2)
    for norms in ([], [1.0], [0.0, 0.0, 1.0]):
        assert fit_growth(with_holes.model_copy(update={"by_lag": norms})) is None


def test_gradients_are_sorted_by_cell_and_length():
    found = group_by_cell([gradient("minimal", 64), gradient("cfn", 32), gradient("minimal", 16)])
    assert [(cell, list(lengths)) for cell, lengths in found.items()] == [("cfn", [32]), ("minimal", [16, 64])]


def test_marks_name_the_fastest_and_its_ties():
    drift = [1.0, 1.1, 1.0, 0.9, 1.0, 1.2]
    times = {"vendor": drift, "compiled": [t * n for t, n in zip(drift, (1.01, 1.02, 1.0, 0.99, 1.0, 1.02), strict=True)]}
    records = [timed(case(backend=name), *samples) for name, samples in times.items()]
    records.append(timed(case(backend="eager"), *(2 * t for t in drift)))
    (grid,) = build_grids(records)
    (row,) = grid.rows
    assert sorted(grid.mark_fastest(row).values()) == sorted((FASTEST, TIED))
    assert "eager" not in grid.mark_fastest(row)
    assert build_grids(records[:1])[0].mark_fastest(row) == {}
    (few,) = build_grids([r.model_copy(update={"samples": r.samples[:2], "rounds": r.rounds[:2]}) for r in records])
    assert list(few.mark_fastest(row).values()) == [FASTEST], "two calls show nothing of who is slower"


def test_an_unstable_backend_is_no_tie():
    """Its time jumped in builds where the other's did not, so that the two times contradict the paired ratio."""
    slow, fast = [2.0, 2.0, 2.0, 2.0, 8.0, 8.0, 8.0, 8.0, 8.0], [1.0, 1.0, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0]
    records = [timed(case(backend=name), *times) for name, times in (("eager", slow), ("compiled", fast))]
    (grid,) = build_grids(records)
    (row,) = grid.rows
    assert grid.compare_with(records[0], records[1]).verdict == "unstable"
    assert grid.mark_fastest(row) == {"compiled": FASTEST}


def test_a_speedup_is_that_of_the_times_beside_it():
    """The faster backend has more calls in a build, and its later ones, with fewer neighbours, are faster."""
    slow = timed(case(backend="vendor"), *[4.0] * 12).model_copy(update={"builds": [k // 2 for k in range(12)], "rounds": list(range(12))})
    fast = timed(case(), *[2.0, 1.0, 1.0] * 6).model_copy(
        update={"builds": [k // 3 for k in range(18)], "rounds": [r for k in range(6) for r in (2 * k, 2 * k + 1, 100 + k)]}
    )
    assert median_time(slow).value / median_time(fast).value == speedup_ci(fast, slow).value == 4.0


def test_grids_order_tasks_and_take_in_what_was_verified_elsewhere():
    laid = build_grids(whole().cases)
    tasks = [(grid.common.mode, grid.common.input_product) for grid in laid]
    assert tasks == [("training", True), ("inference", True), ("training", False), ("inference", False)]
    assert laid[0].backends == ("vendor", "eager", "compiled", "stepwise", "torchrecurrent")
    assert laid[0].lengths == (16, 32, 64, 128)
    assert laid[0].find_entry(Row("cfn", 16, B, D, H), "stepwise") == "verified"
    assert laid[0].find_entry(Row("cfn", 16, B, D, H), "vendor") == "no such cell"
    assert laid[0].find_entry(Row("cfn", 17, B, D, H), "eager") == "not run"
    assert laid[0].untimed_backends == {"stepwise": "verified"}
