"""The warnings: when each is given, and that its advice is for the flags in use."""

import pytest

from bench.records import Reading, Records
from bench.render.header import list_remarks
from bench.render.warnings import list_machine_warnings, list_warnings
from tests.command_line import bench
from tests.inline import Inline
from tests.records import ENVIRONMENT, case, records, timed

__all__ = ["bench"]


def on(found: Records, settings: dict[str, object], **machine: object) -> Records:
    """The same run with other settings on another machine."""
    here = found.run.environment.model_copy(update=machine)
    return found.model_copy(update={"run": found.run.model_copy(update={"settings": settings, "environment": here})})


NOISY = records(timed(case("gru"), *[1.0] * 9), timed(case("gru", aa_repeat=True), *[1.5] * 9))


@pytest.mark.parametrize(("settings", "advice"), [
    ({}, "reduce the load of the machine and measure again, with --thorough for more samples"),
    ({"quick": True, "lean": False}, "measure again without --quick, which takes few samples"),
    ({"lean": True}, "measure again without --lean, which takes few samples"),
    ({"samples": 7}, "measure again without --samples, which takes few samples"),
    ({"thorough": True}, "reduce the load of the machine and measure again."),
])  # fmt: skip
def test_advice_is_for_the_flags_in_use(settings, advice):
    assert [advice in warning for warning in list_warnings(on(NOISY, settings))] == [True]
    assert any(advice in remark for remark in list_remarks(on(NOISY, settings)))


def test_a_calm_run_has_no_warning():
    calm = records(timed(case("gru"), *[1.0] * 9), timed(case("gru", aa_repeat=True), *[1.001] * 9))
    assert list_warnings(on(calm, {}, load=0.1, cpus=64, governor="performance", turbo="on", smt="on")) == []
    assert list_warnings(on(calm, {})) == [], "older records don't say how busy the machine was"


@pytest.mark.parametrize(("load", "cpus", "busy"), [(0.2, 2, False), (0.4, 2, True), (3.0, 64, False), (7.0, 64, True), (0.9, None, True)])
def test_a_busy_machine(load, cpus, busy):
    found = list_machine_warnings(ENVIRONMENT.model_copy(update={"load": load, "cpus": cpus}))
    assert bool(found) == busy and all("CPUs busy" in warning and "wait until they are done" in warning for warning in found)


def test_a_clock_that_follows_the_load_and_a_shared_gpu():
    slow = ENVIRONMENT.model_copy(update={"governor": "performance, schedutil"})
    assert ["governor schedutil" in warning for warning in list_machine_warnings(slow)] == [True]
    shared = ENVIRONMENT.model_copy(update={"other_processes": 1})
    assert [warning.startswith("1 other process uses this GPU") for warning in list_machine_warnings(shared)] == [True]


def test_a_throttled_gpu():
    hot = records(timed(case("gru"), *[1.0] * 9, readings=[Reading(throttled=["power cap"])]))
    assert any("throttled its clock (power cap) in 1 case" in warning for warning in list_warnings(hot))


@pytest.mark.full
def test_it_is_given_before_anything_is_measured_and_recorded(bench, tmp_path, monkeypatch):
    from bench.measure import environment

    busy = ENVIRONMENT.model_copy(update={"load": 1.5, "cpus": 2})
    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    monkeypatch.setattr(environment, "read_environment", lambda device, quick: busy)
    arguments = ("--quick", "--cells", "vanilla", "--backends", "vendor", "--seq-lens", "2", "--device", "cpu")
    code, _, err = bench("all", *arguments, "--out", tmp_path / "run")
    said = err.splitlines()
    first = next(k for k, line in enumerate(said) if "kept 1.5 of 2 CPUs busy" in line)
    assert code == 0 and first < next(k for k, line in enumerate(said) if " records in " in line)
    report = (tmp_path / "run" / "report.md").read_text()
    assert "kept 1.5 of 2 CPUs busy" in report and "| property" in report and "| CPUs that other processes kept busy" in report
